//! Backup and restore: one file, sealed under the seed, with everything but the open connections.

use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use farthing_core::seed::{KeyPurpose, Seed, Which};
use farthing_core::vault::{Protection, VAULT_MAX};
use farthing_role::{Scan, Table};
use farthing_store::Reader;
use zeroize::Zeroizing;

use super::Wallet;
use super::error::WalletError;
use super::home::{Home, open_seed, random, read_private, seal_seed, write_private};
use super::records::{META, TABLES};
use super::settings::Settings;
use super::start::{Beginning, Options, run};

/// The largest backup: 256 MiB.
pub const BACKUP_MAX: usize = 256 << 20;

/// How a backup begins. A newer layout gets a newer number.
const MAGIC: &[u8; 20] = b"farthing backup v1\r\n";

/// Rows read, or written, at once.
const PAGE: usize = 1_024;

const NONCE_BYTES: usize = 24;

/// A row of a backup: its table's place in [`TABLES`], key and value.
type BackupRow = (usize, Vec<u8>, Vec<u8>);

/// What is inside a backup.
struct Contents {
    settings: Zeroizing<String>,
    rows: Vec<BackupRow>,
}

impl Wallet {
    /// Writes a backup: readable by its owner only, opened by the wallet's passphrase or by its
    /// recovery phrase. Whatever is paid or earned after it is not in it: words earned later are
    /// lost with the disk, chains are never spent again from a restored copy.
    ///
    /// # Errors
    /// [`WalletError`]; a file that is there already is not overwritten.
    pub async fn backup(&self, path: &Path, protection: &Protection) -> Result<(), WalletError> {
        if path.exists() {
            return Err(backup_error(path, "there is a file of that name already"));
        }
        // Sealed anew, so that a backup opens by what its owner gave for it.
        let vault = seal_seed(&self.inner.seed, protection)?;
        let settings = toml::to_string(&self.inner.settings).map_err(|_| backup_error(path, "settings"))?;
        let snapshot = self.inner.handle.snapshot().await?;
        let (key, nonce) = (backup_key(&self.inner.seed), random()?);
        let sealed = tokio::task::spawn_blocking(move || {
            let contents = Contents { settings: settings.into(), rows: all_rows(&*snapshot)? };
            drop(snapshot);
            seal(&vault, nonce, &key, &contents)
        });
        let sealed = sealed.await.map_err(|_| WalletError::Records("the program is stopping".into()))??;
        write_private(path, &sealed)
    }

    /// Restores a backup into a folder that holds no wallet. The wallet receives at once, and pays
    /// after [`reconcile`](Self::reconcile).
    ///
    /// # Errors
    /// [`WalletError::Backup`] for a file that is none or was altered, [`WalletError::Vault`] for
    /// the wrong passphrase.
    pub async fn restore(
        home: &Path,
        backup: &Path,
        protection: &Protection,
        options: Options,
    ) -> Result<Self, WalletError> {
        let bytes = read_private(backup, BACKUP_MAX as u64)?;
        let seed =
            open_seed(parts(&bytes).ok_or_else(|| backup_error(backup, "it begins wrongly"))?.vault, protection)?;
        Self::restore_rows(home, backup, &bytes, &seed, protection, options).await
    }

    /// The same with the recovery phrase instead of the backup's passphrase; `protection` is that
    /// of the new wallet.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub async fn restore_with_seed(
        home: &Path,
        backup: &Path,
        seed: &Seed,
        protection: &Protection,
        options: Options,
    ) -> Result<Self, WalletError> {
        let bytes = read_private(backup, BACKUP_MAX as u64)?;
        Self::restore_rows(home, backup, &bytes, seed, protection, options).await
    }

    async fn restore_rows(
        home: &Path,
        backup: &Path,
        bytes: &[u8],
        seed: &Seed,
        protection: &Protection,
        options: Options,
    ) -> Result<Self, WalletError> {
        let Contents { settings, mut rows } =
            unseal(bytes, &backup_key(seed)).map_err(|why| backup_error(backup, why))?;
        let settings = Settings::parse(&settings).map_err(|why| WalletError::Settings { path: backup.into(), why })?;
        let home = Home::create(home)?;
        let handle = run(&home, &options)?;
        // The row about the wallet comes last, and the seed after everything: a folder without one
        // is no wallet, so half a restore is never opened.
        rows.sort_by_key(|(table, ..)| TABLES.get(*table) == Some(&META));
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let page: Vec<BackupRow> = rows.by_ref().take(PAGE).collect();
            handle
                .transact(move |cx| {
                    for (table, key, value) in page {
                        if let Some(table) = TABLES.get(table) {
                            cx.tx.put(*table, &key, value);
                        }
                    }
                    Ok(())
                })
                .await?;
        }
        handle.stop().await;
        drop(handle);
        home.write_settings(&settings)?;
        home.write_seed(seed, protection)?;
        Self::start(home, protection, options, Beginning::Found).await
    }
}

/// Where the parts of a backup lie.
struct Parts<'a> {
    vault: &'a [u8],
    /// Everything in front of what is sealed; authenticated with it.
    head: &'a [u8],
    nonce: [u8; NONCE_BYTES],
    sealed: &'a [u8],
}

fn parts(bytes: &[u8]) -> Option<Parts<'_>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok().filter(|len| *len <= VAULT_MAX)?;
    let (vault, rest) = rest.split_at_checked(len)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
    let head = bytes.get(..bytes.len() - sealed.len())?;
    Some(Parts { vault, head, nonce: *nonce, sealed })
}

fn backup_key(seed: &Seed) -> Zeroizing<[u8; 32]> {
    super::home::bare(&seed.derive(KeyPurpose::Vault, Which::For(b"wallet backup")))
}

fn seal(
    vault: &[u8],
    nonce: [u8; NONCE_BYTES],
    key: &Zeroizing<[u8; 32]>,
    contents: &Contents,
) -> Result<Vec<u8>, WalletError> {
    let too_large = || WalletError::Records("the records are too large for one backup".into());
    let plain = encode(contents).filter(|plain| plain.len() < BACKUP_MAX - VAULT_MAX - 1_024).ok_or_else(too_large)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&u32::try_from(vault.len()).map_err(|_| too_large())?.to_be_bytes());
    bytes.extend_from_slice(vault);
    bytes.extend_from_slice(&nonce);
    let sealed = XChaCha20Poly1305::new((&**key).into())
        .encrypt(&XNonce::from(nonce), Payload { msg: &plain, aad: &bytes })
        .map_err(|_| too_large())?;
    bytes.extend_from_slice(&sealed);
    Ok(bytes)
}

fn unseal(bytes: &[u8], key: &Zeroizing<[u8; 32]>) -> Result<Contents, &'static str> {
    let Parts { head, nonce, sealed, .. } = parts(bytes).ok_or("it begins wrongly")?;
    let plain = XChaCha20Poly1305::new((&**key).into())
        .decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: head })
        .map_err(|_| "another seed's, or altered")?;
    decode(&Zeroizing::new(plain)).ok_or("its contents cannot be read")
}

fn encode(contents: &Contents) -> Option<Zeroizing<Vec<u8>>> {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.str(&contents.settings).ok()?;
    for (table, key, value) in &contents.rows {
        e.u64(*table as u64).ok()?.bytes(key).ok()?.bytes(value).ok()?;
    }
    Some(Zeroizing::new(e.into_writer()))
}

fn decode(plain: &[u8]) -> Option<Contents> {
    let mut d = minicbor::Decoder::new(plain);
    let settings = Zeroizing::new(d.str().ok()?.to_owned());
    let mut rows = Vec::new();
    while d.position() < plain.len() {
        let table = usize::try_from(d.u64().ok()?).ok().filter(|table| *table < TABLES.len())?;
        rows.push((table, d.bytes().ok()?.to_vec(), d.bytes().ok()?.to_vec()));
    }
    Some(Contents { settings, rows })
}

fn all_rows(reader: &dyn Reader) -> Result<Vec<BackupRow>, WalletError> {
    let mut all = Vec::new();
    for (at, table) in TABLES.into_iter().enumerate() {
        rows_of(reader, at, table, &mut all)?;
    }
    Ok(all)
}

fn rows_of(reader: &dyn Reader, at: usize, table: Table, all: &mut Vec<BackupRow>) -> Result<(), WalletError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = reader.scan(table, Scan { prefix: &[], after: after.as_deref(), limit: PAGE })?;
        let last = rows.len() < PAGE;
        after = rows.last().map(|(key, _)| key.clone());
        all.extend(rows.into_iter().map(|(key, value)| (at, key, value)));
        if last {
            return Ok(());
        }
    }
}

fn backup_error(path: &Path, why: &'static str) -> WalletError {
    WalletError::Backup { path: path.into(), why }
}
