//! What is checked of a cheque before any record is read.

use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::{Signed, Verified};
use farthing_core::title::{Broken, Held, Title};

use super::Interbank;
use super::messages::{Digest, Presentation, under_certificate};
use crate::messages::Draft;

/// A cheque whose signatures hold and which its last endorsement brings here.
#[derive(Clone, Debug)]
pub struct CheckedPresentation {
    pub(super) cheque: Verified<Draft>,
    pub(super) held: Held,
    pub(super) giver: PeerId,
    pub(super) serial: u64,
}

impl CheckedPresentation {
    pub(super) fn digest(&self) -> Digest {
        Digest(self.cheque.digest())
    }

    pub(super) fn chain(&self) -> Digest {
        Digest(self.held.title().head())
    }
}

impl Interbank {
    /// Checks a cheque as far as no records are needed: the payor's signature; that the chain of
    /// endorsements is unbroken, each signed by whom the one before names and the first by the
    /// payee; that it ends here; and that whoever presents it signed the last.
    ///
    /// # Errors
    /// A [`Refusal`]; nothing was noted and no money moved.
    pub fn check(&self, sender: PeerId, presentation: Presentation) -> Result<CheckedPresentation, Refusal> {
        let Presentation { cheque, hops, serial } = presentation;
        let cheque = self.verify_cheque(cheque)?;
        let body = cheque.body();
        let named = hops.as_slice().first().map(Signed::peek).transpose()?;
        if named.is_none_or(|first| first.order != under_certificate(serial)) {
            return Err(Refusal::new(Code::Order, "the payee endorsed the cheque under another certificate"));
        }
        let title = Title { issue: cheque.digest(), first: body.payee, hops };
        let held = title.verify(body.network).map_err(broken)?;
        if held.holder() != self.bank() {
            return Err(Refusal::new(Code::NotPayee, "the cheque is not endorsed to this bank"));
        }
        match held.giver() {
            Some(giver) if giver == sender => Ok(CheckedPresentation { cheque, held, giver, serial }),
            _ => Err(Refusal::new(Code::NotPayee, "a cheque is presented by whoever endorsed it last")),
        }
    }

    /// A cheque whose payor's signature holds.
    pub(super) fn verify_cheque(&self, cheque: Signed<Draft>) -> Result<Verified<Draft>, Refusal> {
        let network = cheque.peek()?.network;
        let cheque = cheque.verify(network)?;
        let body = cheque.body();
        if body.amount.is_zero() {
            return Err(Refusal::new(Code::Amount, "a cheque is for more than nothing"));
        }
        if (body.bank == self.bank()) != (body.network == self.network) {
            return Err(Refusal::new(Code::Malformed, "the cheque names a bank and the network of another"));
        }
        Ok(cheque)
    }
}

fn broken(why: Broken) -> Refusal {
    Refusal::new(Code::Certificate, why.to_string()).remedy(Remedy::Stop)
}
