//! The signer's own process.

use std::path::Path;

use farthing_core::cert::Certificate;
use farthing_core::refusal::{Code, Fault, Refusal};
use farthing_core::wire;
use farthing_driver::Clock;
use farthing_net::frame::{FrameError, FrameReader, FrameWriter};
use tokio::io::{AsyncRead, AsyncWrite};

use super::key::CertifyingKey;
use super::{FRAME_MAX, Greeting, Said};
use crate::home::{Unlock, open_authority};

/// Signs what is asked for on `input` until it ends: the whole of `farthing bank signer`.
///
/// Reads one file, `ca.key` in the bank's folder, and opens nothing else. The first frame says how
/// that file opens; it never comes as an argument or in the environment, where others could see it.
///
/// # Errors
/// [`FrameError`] when a pipe fails. What it was asked to sign and refused is answered, not an
/// error.
pub async fn serve(
    home: &Path,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    clock: impl Clock,
) -> Result<(), FrameError> {
    let mut input = FrameReader::with_max(input, FRAME_MAX);
    let mut output = FrameWriter::with_max(output, FRAME_MAX);
    let Some(first) = input.next().await? else { return Ok(()) };
    let opened = open(home, &first);
    drop(first);
    let mut key = match opened {
        Ok((key, ready)) => {
            say(&mut output, &ready).await?;
            key
        }
        Err(why) => return say(&mut output, &Said::Refused(why)).await,
    };
    while let Some(frame) = input.next().await? {
        let signed = wire::decode::<Certificate>(&frame)
            .map_err(|why| Refusal::new(Code::Malformed, why.to_string()))
            .and_then(|certificate| key.sign(clock.now(), &certificate));
        say(&mut output, &signed.map_or_else(Said::Refused, Said::Signed)).await?;
    }
    Ok(())
}

fn open(home: &Path, greeting: &[u8]) -> Result<(CertifyingKey, Said), Refusal> {
    let ours = |why: String| Refusal::new(Code::State, why).blame(Fault::Us);
    let mut greeting: Greeting =
        wire::decode(greeting).map_err(|why| Refusal::new(Code::Malformed, why.to_string()))?;
    let unlock = match greeting.passphrase.take() {
        Some(typed) => Unlock::passphrase(typed).map_err(|why| ours(why.to_string()))?,
        None => Unlock::insecure(),
    };
    let key = open_authority(home, &unlock).map_err(|why| ours(why.to_string()))?;
    let ready = Said::Ready(key.id());
    Ok((CertifyingKey::new(key, greeting.network), ready))
}

async fn say(output: &mut FrameWriter<impl AsyncWrite + Unpin>, said: &Said) -> Result<(), FrameError> {
    output.feed(&wire::encode(said)).await?;
    output.flush().await
}
