//! The signer: the one who holds the certifying key, apart from the one who keeps the books.
//!
//! Whoever takes over the server's process can write into its books, but the certifying key is not
//! in its memory: it can ask the signer for certificates of a week, a bounded number each minute,
//! and nothing else. Whoever takes over the signer has no books. What a certificate says is decided
//! in the commit of the request and signed after it, so that a repeat gets the same bytes.

mod child;
mod key;
mod serve;

use std::future::Future;
use std::pin::Pin;

use farthing_core::cert::Certificate;
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::refusal::Refusal;
use farthing_core::sign::Signed;
use minicbor::{Decode, Encode};

pub use child::{ChildSigner, SIGN_WITHIN, START_WITHIN, SignerCommand};
pub use key::{InProcessSigner, SIGNATURES_PER_MINUTE};
pub use serve::serve;

/// A signature on its way.
pub type Signing<'a> = Pin<Box<dyn Future<Output = Result<Signed<Certificate>, SignerError>> + Send + 'a>>;

/// Whoever signs certificates.
pub trait CertificateSigner: Send + Sync + 'static {
    /// Signs a certificate; the same one always gets the same signature.
    fn sign(&self, certificate: Certificate) -> Signing<'_>;
}

/// Why a certificate was not signed. No money is concerned; the same request may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The signer does not sign such a thing, or not now.
    #[error("the signer refused: {0}")]
    Refused(Refusal),
    /// The signer does not answer, or not sensibly, even after it was started again.
    #[error("the signer does not answer ({0}); it is started again at the next request")]
    Down(String),
}

/// What the signer is told first: for which network it signs, and how its key opens.
#[derive(Encode, Decode)]
struct Greeting {
    #[n(0)]
    network: NetworkId,
    #[n(1)]
    passphrase: Option<String>,
}

impl Drop for Greeting {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.passphrase);
    }
}

/// What the signer says.
#[derive(Encode, Decode)]
enum Said {
    /// The key is open; this is its public half.
    #[n(0)]
    Ready(#[n(0)] PeerId),
    /// A certificate, signed.
    #[n(1)]
    Signed(#[n(0)] Signed<Certificate>),
    /// No.
    #[n(2)]
    Refused(#[n(0)] Refusal),
}

/// The longest frame between server and signer: 16 KiB.
const FRAME_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests;
