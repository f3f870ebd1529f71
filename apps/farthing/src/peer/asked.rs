//! Requests that move money at the bank and that the wallet does not journal by itself: written
//! down before they are sent, and sent again with the same id until they are answered.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use farthing_bank::client::{AskError, BankClient};
use farthing_core::id::RequestId;
use farthing_core::sign::SecretKey;
use farthing_core::time::Time;
use serde::{Deserialize, Serialize};

use crate::fail::{Context, Failure};

/// The file's name in the wallet's folder.
const ASKED_FILE: &str = "asked.json";

/// A request that was not answered yet.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    id: RequestId,
    kind: u16,
    /// In hexadecimal.
    message: String,
}

/// Asks the bank, and survives a crash at any point: the same command, run again, finds out what
/// came of it instead of asking anew.
///
/// An older request that was never answered is settled first. `done` reads the reply.
pub(crate) async fn ask(
    home: &Path,
    bank: &BankClient,
    key: &SecretKey,
    now: Time,
    kind: u16,
    message: Vec<u8>,
) -> Result<Vec<u8>, Failure> {
    let path = home.join(ASKED_FILE);
    let message = hex::encode(message);
    let open = match read(&path)? {
        Some(open) if (open.kind, &open.message) == (kind, &message) => Some(open),
        Some(open) => {
            settle(&path, bank, key, &open).await.map(drop).or_else(|error| match error {
                // Answered with no: it is over all the same.
                AskError::Refused { authenticated: true, .. } => Ok(()),
                error => Err(error),
            })?;
            None
        }
        None => None,
    };
    let asked = match open {
        Some(open) => open,
        None => {
            let asked = Asked { id: BankClient::new_id(now)?, kind, message };
            write(&path, &asked)?;
            asked
        }
    };
    Ok(settle(&path, bank, key, &asked).await?)
}

/// Sends a request, and forgets it once the bank itself has answered.
async fn settle(path: &Path, bank: &BankClient, key: &SecretKey, asked: &Asked) -> Result<Vec<u8>, AskError> {
    let message = hex::decode(&asked.message).map_err(|_| AskError::NotSent("a damaged request".into()))?;
    let answer = bank.ask(key, asked.id, asked.kind, message).await;
    let over = match &answer {
        Ok(_) | Err(AskError::Refused { authenticated: true, .. }) => true,
        Err(_) => false,
    };
    if over {
        // Left behind, it would only be asked once more, under the same id.
        let _ = std::fs::remove_file(path);
    }
    answer
}

fn read(path: &Path) -> Result<Option<Asked>, Failure> {
    match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| {
            Failure::damaged(format_args!("{} is damaged", path.display()))
                .next("see with `farthing wallet show` whether the money moved, then remove the file")
        }),
    }
}

/// Writes it down for good before anything is sent.
fn write(path: &Path, asked: &Asked) -> Result<(), Failure> {
    let unfinished: PathBuf = path.with_extension("unfinished");
    let written = || -> std::io::Result<()> {
        let bytes = serde_json::to_vec(asked)?;
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    written().or_fail("the request could not be written down, and was not sent")
}
