//! The bank's signed answer.

use farthing_core::refusal::Refusal;
use farthing_core::sign::Statement;
use minicbor::{Decode, Encode};

/// What the bank answers to a request whose sender it knows, signed by its statement key.
///
/// The answer to a repeated request is byte for byte the same, because the reply was stored and
/// Ed25519 has no randomness.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Answer {
    /// The digest of the request it answers ([`farthing_role::Request::digest`]).
    #[cbor(n(0), with = "minicbor::bytes")]
    pub request: [u8; 32],
    /// What came of it.
    #[n(1)]
    pub outcome: AnswerOutcome,
}

impl Statement for Answer {
    const KIND: u16 = 0x0004;
}

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum AnswerOutcome {
    /// It was done; the canonical bytes of the reply.
    #[n(0)]
    Done(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// It was refused.
    #[n(1)]
    Refused(#[n(0)] Refusal),
}
