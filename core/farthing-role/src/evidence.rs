//! The evidence store: what a role found out, kept for the judge.

use farthing_core::evidence::{Evidence, Verdict};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::timed;
use farthing_core::time::Time;
use farthing_core::wire;
use minicbor::{Decode, Encode};

use crate::context::Context;
use crate::records::Table;

/// Evidence by the moment it was filed; shared by all schemes of a bank.
pub const EVIDENCE: Table = Table("evidence");

/// A piece of evidence as filed.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Filed {
    /// The statements.
    #[n(0)]
    pub evidence: Evidence,
    /// What the verdict function found; anybody can run it again.
    #[n(1)]
    pub verdict: Verdict,
    /// When.
    #[n(2)]
    pub filed: Time,
}

impl Filed {
    /// Files a piece of evidence; the same one again changes nothing but the moment.
    pub fn file(cx: &mut Context<'_>, evidence: Evidence, verdict: Verdict) {
        let unique = hash(Purpose::Statement, &[&wire::encode(&evidence)]);
        let filed = Self { evidence, verdict, filed: cx.now };
        cx.tx.put(EVIDENCE, &timed(cx.now, &unique), wire::encode(&filed));
    }
}
