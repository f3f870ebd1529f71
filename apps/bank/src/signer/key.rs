//! What a signer signs, and what not.

use std::sync::{Arc, Mutex, PoisonError};

use farthing_core::cert::{CERTIFICATE_LIFE_MAX, Certificate};
use farthing_core::id::NetworkId;
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{SKEW, Time};
use farthing_driver::Clock;

use super::{CertificateSigner, SignerError, Signing};
use crate::home::{BankHome, HomeError, Unlock, open_authority};

/// The most certificates signed in one minute.
pub const SIGNATURES_PER_MINUTE: u32 = 6_000;

const MINUTE_MILLIS: u64 = 60_000;

/// The certifying key with its rules.
pub(super) struct CertifyingKey {
    key: SecretKey,
    network: NetworkId,
    minute: u64,
    signed: u32,
}

impl CertifyingKey {
    pub(super) const fn new(key: SecretKey, network: NetworkId) -> Self {
        Self { key, network, minute: 0, signed: 0 }
    }

    /// Signs a certificate of a week at most, that does not begin in the future, and no more than
    /// [`SIGNATURES_PER_MINUTE`].
    pub(super) fn sign(&mut self, now: Time, certificate: &Certificate) -> Result<Signed<Certificate>, Refusal> {
        let window = certificate.window;
        if window.to <= window.from || window.to.since(window.from) > CERTIFICATE_LIFE_MAX {
            return Err(Refusal::new(Code::Limit, "a certificate holds for a week at most"));
        }
        if window.from > now.after(SKEW) {
            return Err(Refusal::new(Code::NotYet, "a certificate does not begin in the future: check the clocks"));
        }
        let minute = now.as_millis() / MINUTE_MILLIS;
        if minute != self.minute {
            (self.minute, self.signed) = (minute, 0);
        }
        if self.signed >= SIGNATURES_PER_MINUTE {
            let why = "too many certificates in this minute; ask again with the very same request";
            return Err(Refusal::new(Code::Rate, why).blame(Fault::Us).remedy(Remedy::Again));
        }
        self.signed += 1;
        Ok(self.key.sign(self.network, certificate))
    }
}

/// A signer within the server's own process, for demonstrations and tests: whoever takes over that
/// process has the certifying key. A bank that matters uses [`ChildSigner`](super::ChildSigner).
pub struct InProcessSigner {
    key: Mutex<CertifyingKey>,
    clock: Arc<dyn Clock>,
}

impl InProcessSigner {
    /// Opens the certifying key of a bank.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn open(home: &BankHome, unlock: &Unlock, clock: Arc<dyn Clock>) -> Result<Self, HomeError> {
        let key = open_authority(home.path(), unlock)?;
        Ok(Self { key: Mutex::new(CertifyingKey::new(key, home.network())), clock })
    }
}

impl CertificateSigner for InProcessSigner {
    fn sign(&self, certificate: Certificate) -> Signing<'_> {
        Box::pin(async move {
            let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
            key.sign(self.clock.now(), &certificate).map_err(SignerError::Refused)
        })
    }
}
