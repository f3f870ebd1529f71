//! Certificates: given, or made by ourselves and recognised by their fingerprint.

use core::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::durable;

/// The names under which TLS agrees on HTTP/2 or HTTP/1.1, best first.
pub(super) const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// The file a self-made certificate and its key are kept in.
const SELF_MADE: &str = "tls.pem";
/// A copy of the certificate alone, to hand out.
const CERTIFICATE: &str = "certificate.pem";

/// Chooses the cryptography for TLS. May be called any number of times, from any thread; without
/// it rustls would not choose between the two that our dependencies bring in.
pub fn install_default() {
    // An error means that it was done before.
    let _ = aws_lc_rs::default_provider().install_default();
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    install_default();
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}

/// The SHA-256 of a certificate: how a self-made one is recognised. Written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER form.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// The fingerprint of the first certificate in a PEM file.
    ///
    /// # Errors
    /// [`TlsError`] if there is none or the file cannot be read.
    pub fn of_file(path: &Path) -> Result<Self, TlsError> {
        let certificate = CertificateDer::from_pem_file(path).map_err(TlsError::pem(path))?;
        Ok(Self::of(&certificate))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 hexadecimal digits; copy it again whole")]
pub struct NotAFingerprint;

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAFingerprint)?;
        Ok(Self(bytes))
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is not what it should be.
    #[error("{path} holds no usable certificate or key ({why}); give another one")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it; never the contents.
        why: String,
    },
    /// The file cannot be read or written.
    #[error("cannot use {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Making a certificate failed.
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

impl TlsError {
    fn pem(path: &Path) -> impl FnOnce(rustls::pki_types::pem::Error) -> Self {
        let path = path.to_owned();
        move |error| match error {
            rustls::pki_types::pem::Error::Io(source) => Self::Io { path, source },
            _ => Self::Unusable { path, why: "not in PEM form".into() },
        }
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// What a server shows and how it is recognised.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) config: Arc<ServerConfig>,
    pub(super) fingerprint: Fingerprint,
}

/// An identity from a chain of certificates and a key, each in a PEM file (or both in one).
pub(super) fn from_files(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
    let unusable = |why: String| TlsError::Unusable { path: certificate.to_owned(), why };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(TlsError::pem(certificate))?;
    let first = chain.first().ok_or_else(|| unusable("no certificate in it".into()))?;
    let fingerprint = Fingerprint::of(first);
    let key = PrivateKeyDer::from_pem_file(key).map_err(TlsError::pem(key))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| unusable(error.to_string()))?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    Ok(Identity { config: Arc::new(config), fingerprint })
}

/// The identity kept in `dir`, made there the first time. Only the owner can read the key. Next
/// to it lies a copy of the certificate alone, for handing out.
pub(super) fn self_made(dir: &Path, listen: IpAddr) -> Result<Identity, TlsError> {
    let path = dir.join(SELF_MADE);
    fs::create_dir_all(dir).map_err(TlsError::io(dir))?;
    if !path.try_exists().map_err(TlsError::io(&path))? {
        make(dir, &path, listen)?;
    }
    from_files(&path, &path)
}

fn make(dir: &Path, path: &Path, listen: IpAddr) -> Result<(), TlsError> {
    let names = ["localhost".into(), "127.0.0.1".into(), "::1".into(), listen.to_string()];
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| TlsError::Make(error.to_string()))?;
    let certificate = made.cert.pem();
    let new = dir.join(format!("{SELF_MADE}.new"));
    let mut file = private(&new).map_err(TlsError::io(&new))?;
    file.write_all(certificate.as_bytes())
        .and_then(|()| file.write_all(made.signing_key.serialize_pem().as_bytes()))
        .and_then(|()| file.sync_all())
        .map_err(TlsError::io(&new))?;
    fs::write(dir.join(CERTIFICATE), certificate).map_err(TlsError::io(dir))?;
    durable::rename(&new, path).map_err(TlsError::io(path))
}

/// A new file only its owner can read. What a crash left under that name goes first, so that no
/// wider permission is inherited.
fn private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_self_made_certificate_is_kept_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = self_made(dir.path(), LOOPBACK).unwrap().fingerprint;
        assert_eq!(self_made(dir.path(), LOOPBACK).unwrap().fingerprint, first);
        assert_eq!(Fingerprint::of_file(&dir.path().join(CERTIFICATE)).unwrap(), first);
        assert_eq!(first.to_string().parse(), Ok(first));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(dir.path().join(SELF_MADE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_certificate_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SELF_MADE);
        fs::write(&path, "SECRET").unwrap();
        let refused = self_made(dir.path(), LOOPBACK).unwrap_err();
        assert!(matches!(refused, TlsError::Unusable { .. }), "{refused:?}");
        assert!(!format!("{refused:?}{refused}").contains("SECRET"));
    }
}
