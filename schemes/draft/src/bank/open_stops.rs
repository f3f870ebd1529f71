//! Stops that nobody has settled, for those who decide them.

use farthing_core::amount::Amount;
use farthing_core::id::PeerId;
use farthing_core::refusal::Refusal;
use farthing_core::time::Time;
use farthing_role::{Context, Halt, Scan};
use minicbor::{Decode, Encode};

use super::Drafts;
use super::records::{STOPS, StopRow, StopState};
use crate::messages::StopReason;
use crate::rows::decode;

/// The most stops of one key that are looked at.
pub(super) const STOPS_SCANNED: usize = 256;

/// A stopped draft whose money is set aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct OpenStop {
    /// The key that wrote the draft.
    #[n(0)]
    pub payer: PeerId,
    /// Its number in that key's log: with the key, what [`Drafts::judge_stop`] takes.
    #[n(1)]
    pub number: u64,
    /// Whom it names.
    #[n(2)]
    pub payee: PeerId,
    /// How much is set aside.
    #[n(3)]
    pub amount: Amount,
    /// Why it was stopped, as the payer says.
    #[n(4)]
    pub reason: StopReason,
    /// Whether the payee has deposited it.
    #[n(5)]
    pub claimed: bool,
    /// When the money goes back to the payer if nothing is shown or decided.
    #[n(6)]
    pub until: Time,
}

impl Drafts {
    /// The stops of a key that nobody has settled, in the order of their numbers; at most
    /// [`STOPS_OPEN_MAX`](super::STOPS_OPEN_MAX).
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn open_stops(&self, cx: &Context<'_>, payer: PeerId) -> Result<Vec<OpenStop>, Halt> {
        let rows = self.stops_of(cx, payer)?.into_iter().filter(|(_, row)| row.is_open());
        rows.map(|(number, row)| {
            let reason = row.stop.peek().map_err(Refusal::from)?.reason;
            let (claimed, until) = match row.state {
                StopState::Claimed { answer_by, .. } => (true, answer_by),
                StopState::Waiting | StopState::Settled(_) => (false, row.until),
            };
            Ok(OpenStop { payer, number, payee: row.payee, amount: row.amount, reason, claimed, until })
        })
        .collect()
    }

    /// All stops of a key that are remembered, with their numbers; at most [`STOPS_SCANNED`].
    pub(super) fn stops_of(&self, cx: &Context<'_>, payer: PeerId) -> Result<Vec<(u64, StopRow)>, Halt> {
        let rows = cx.tx.scan(STOPS, Scan { prefix: &payer.0, after: None, limit: STOPS_SCANNED })?;
        let numbered = rows.into_iter().map(|(key, row)| {
            let number = key.last_chunk().map_or(0, |number| u64::from_be_bytes(*number));
            Ok((number, decode(STOPS, &row)?))
        });
        numbered.collect()
    }
}
