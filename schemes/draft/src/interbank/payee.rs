//! The payee's side, beyond what it checks of every draft: endorsing, and certified cheques.

use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::{SecretKey, Signed, Verified};
use farthing_core::time::Time;
use farthing_core::title::Title;
use farthing_core::wire::Bounded;

use super::messages::{Certification, Presentation, under_certificate};
use crate::messages::Draft;

/// End1: endorses a cheque to the payee's own bank, for deposit. The payee writes the result down
/// before it sends it and sends these same bytes until it is answered: to sign a second endorsement
/// of one cheque is what cheats do. `serial` is the number of the payor's certificate.
///
/// # Errors
/// [`Code::NotPayee`]: the cheque names somebody else.
pub fn endorse(
    key: &SecretKey,
    cheque: &Verified<Draft>,
    serial: u64,
    bank: PeerId,
    now: Time,
) -> Result<Presentation, Refusal> {
    let draft = cheque.body();
    if draft.payee != key.id() {
        return Err(Refusal::new(Code::NotPayee, "the cheque is for somebody else"));
    }
    let hop = Title::issued(cheque.digest(), draft.payee).next(bank, under_certificate(serial), now);
    let hop = hop.map_err(|why| Refusal::new(Code::Limit, why.to_string()))?;
    let hops = Bounded::new(vec![key.sign(draft.network, &hop)]).unwrap_or_else(Bounded::empty);
    Ok(Presentation { cheque: cheque.signed().clone(), hops, serial })
}

/// Checks that a cheque is certified: its bank says that the money is held until after its end.
///
/// # Errors
/// A [`Refusal`]: not that bank's word, about another cheque or amount, or held too short.
pub fn check_certified(cheque: &Verified<Draft>, certification: Signed<Certification>) -> Result<(), Refusal> {
    let draft = cheque.body();
    let certified = certification.verify_by(draft.network, draft.bank)?;
    let said = certified.body();
    if said.cheque.0 != cheque.digest() || said.amount != draft.amount {
        return Err(Refusal::new(Code::Certificate, "the certification is of another cheque"));
    }
    if said.until < draft.deposit_by {
        return Err(Refusal::new(Code::Certificate, "the money is held for a shorter time than the cheque lasts"));
    }
    Ok(())
}
