//! Answers about drafts that the schemes' own messages leave to the bank's server.

use farthing_core::cert::Certificate;
use farthing_core::id::PeerId;
use farthing_core::refusal::Refusal;
use farthing_core::sign::Signed;
use farthing_draft::messages::{Confirmed, Reconciled};
use minicbor::{Decode, Encode};

/// KSF-R3 as it leaves the bank: what it says, and the certificate signed by the offline key.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Closed {
    /// What the comparison came to.
    #[n(0)]
    pub said: Signed<Reconciled>,
    /// To write drafts under, where the books agree and one was wanted.
    #[n(1)]
    pub certificate: Option<Signed<Certificate>>,
}

/// What the bank says to a payee that asks before it serves.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Confirmation {
    /// The money is set aside.
    #[n(0)]
    Yes(#[n(0)] Signed<Confirmed>),
    /// It is not; evidence may have been filed.
    #[n(1)]
    No(#[n(0)] Refusal),
}

/// A key speaks for an account from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Enrolled {
    /// Which.
    #[n(0)]
    pub key: PeerId,
    /// Whose.
    #[n(1)]
    pub account: PeerId,
}
