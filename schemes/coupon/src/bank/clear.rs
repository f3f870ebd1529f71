//! C-1 and C-2: paying each coupon once, many sessions at a time.

use farthing_core::chain::{Claimed, Payword, Tag, prove_many};
use farthing_core::id::{ChainId, NetworkId, PeerId, RequestId, time_of};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::{Signed, verify_batch};
use farthing_core::time::Time;
use farthing_core::wire::{self, Bounded};
use farthing_ledger::{HoldState, Ledger, StoreFault, Transfer};
use farthing_role::{Context, Halt, Records, RequestBody, is_timely};

use super::records::{self, CLEARINGS, RELATIONS, RelationRecord};
use super::{Coupons, REASON_CLEAR, transfer_id};
use crate::clearing::{ClearLine, ClearOutcome, ClearReceipt, Clearing, Clearings};
use crate::messages::kind;

/// The most chain steps that one request may cost: as many as twice the longest chain has.
pub const STEPS_PER_REQUEST_MAX: u64 = 1 << 21;

/// A request to clear whose signature held.
#[derive(Clone, Debug)]
pub struct ClearRequest {
    /// Who clears.
    pub seller: PeerId,
    /// The request.
    pub id: RequestId,
    /// Its signed bytes, kept as evidence.
    pub proof: Vec<u8>,
    /// What is cleared.
    pub clearings: Clearings,
}

/// Clearings whose words were checked as far as the records of a moment ago allowed.
#[derive(Debug)]
pub struct CheckedClearings {
    seller: PeerId,
    id: RequestId,
    proof: Vec<u8>,
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    clearing: Clearing,
    /// The word, if the chain was known then. Once on the chain, always on the chain.
    checked: Result<Option<Payword>, Refusal>,
}

/// Checks the signatures of many requests in one batch. Without its seller's signature no clearing
/// is looked at, whatever it knows: the paper's `V′` is no secret after the first.
pub fn verify_clearings(
    network: NetworkId,
    bank: PeerId,
    now: Time,
    requests: Vec<Signed<RequestBody>>,
) -> Vec<Result<ClearRequest, Refusal>> {
    let verified = verify_batch(network, requests);
    let read = |request: farthing_core::sign::Verified<RequestBody>| {
        let RequestBody { id, to, kind, message, .. } = request.body();
        if *to != bank || *kind != kind::CLEAR {
            return Err(Refusal::new(Code::NotPayee, "this is not a clearing for this bank"));
        }
        if !is_timely(*id, now) {
            return Err(Refusal::new(Code::Expired, "the request is too old: make a new one").remedy(Remedy::Mend));
        }
        let clearings = wire::decode(message)?;
        Ok(ClearRequest { seller: request.signer(), id: *id, proof: wire::encode(request.signed()), clearings })
    };
    verified.into_iter().map(|request| request.map_err(Refusal::from).and_then(read)).collect()
}

impl Coupons {
    /// Walks the words of many requests in step. Changes nothing.
    #[must_use]
    pub fn check_clearings(
        &self,
        requests: Vec<ClearRequest>,
        facts: &dyn Records,
    ) -> Vec<Result<CheckedClearings, Halt>> {
        let mut walks = Vec::new();
        let mut answers: Vec<Result<CheckedClearings, Halt>> = Vec::with_capacity(requests.len());
        for (at, request) in requests.into_iter().enumerate() {
            let items = find_walks(request.clearings, facts, |nth, walk| walks.push((at, nth, walk)));
            let checked =
                |items| CheckedClearings { seller: request.seller, id: request.id, proof: request.proof, items };
            answers.push(items.map(checked).map_err(Halt::Store));
        }
        let proofs = prove_many(&walks.iter().map(|(_, _, walk)| *walk).collect::<Vec<_>>());
        for ((at, nth, _), proof) in walks.into_iter().zip(proofs) {
            let Some(Ok(request)) = answers.get_mut(at) else { continue };
            if let Some(item) = request.items.get_mut(nth) {
                item.checked = proof.map(Some).map_err(|_| not_on_chain());
            }
        }
        answers
    }

    /// Pays what is new in each session. A clearing turned away does not hinder the others; its
    /// line says why.
    ///
    /// # Errors
    /// [`Halt::Store`] only.
    pub fn clear(&self, cx: &mut Context<'_>, checked: CheckedClearings) -> Result<Signed<ClearReceipt>, Halt> {
        let CheckedClearings { seller, id, proof, items } = checked;
        if !proof.is_empty() {
            cx.tx.put(CLEARINGS, &id.0, proof);
        }
        let mut lines = Vec::with_capacity(items.len());
        for (nth, item) in items.into_iter().enumerate() {
            let paid = match item.checked {
                Ok(proven) => self.pay(cx, seller, id, nth, &item.clearing, proven),
                Err(why) => Err(why.into()),
            };
            let outcome = match paid {
                Ok(outcome) => outcome,
                Err(Halt::Refused(why)) => ClearOutcome::Refused(why),
                Err(halt) => return Err(halt),
            };
            lines.push(ClearLine { chain: item.clearing.chain, outcome });
        }
        let lines = Bounded::new(lines).unwrap_or_else(Bounded::empty);
        Ok(self.key.sign(self.network, &ClearReceipt { request: id, lines, time: cx.now }))
    }

    /// Clears one session. Whatever can be refused is refused before any money moves.
    fn pay(
        &self,
        cx: &mut Context<'_>,
        seller: PeerId,
        id: RequestId,
        nth: usize,
        clearing: &Clearing,
        proven: Option<Payword>,
    ) -> Result<ClearOutcome, Halt> {
        let mut relation = records::relation(&*cx.tx, clearing.chain)?;
        if relation.seller != seller {
            return Err(Refusal::new(Code::NotPayee, "the session is another seller's").into());
        }
        check_opening(&relation, clearing)?;
        let proven = match proven {
            Some(proven) => proven,
            None if clearing.through == 0 => relation.verified,
            None => prove(&relation, clearing)?,
        };
        let unit = relation.header.unit;
        let fresh = clearing.through.saturating_sub(relation.cleared);
        let over = relation.closed || cx.now >= relation.ends();
        if over && fresh > 0 {
            return Err(Refusal::new(Code::Expired, "the time to clear is over").remedy(Remedy::Stop).into());
        }
        let amount = unit.checked_mul(fresh.into()).map_err(Refusal::from)?;
        if !amount.is_zero() {
            let transfer = Transfer {
                id: transfer_id(time_of(&id.0), &[b"clear", &seller.0, &id.0, &nth.to_be_bytes()]),
                debit: self.customer(relation.owner, amount.currency()),
                credit: self.customer(seller, amount.currency()),
                amount,
                reason: REASON_CLEAR,
                reference: clearing.chain.0,
                at: cx.now,
                hold: Some(relation.hold),
            };
            capture(cx, transfer)?;
        }
        relation.cleared = relation.cleared.max(clearing.through);
        relation.opened = true;
        if proven.index() > relation.verified.index() {
            relation.verified = proven;
        }
        if clearing.is_final && !over {
            self.release(cx, &mut relation)?;
        }
        cx.tx.put(RELATIONS, &clearing.chain.0, wire::encode(&relation));
        Ok(ClearOutcome::Paid { amount, through: relation.cleared })
    }

    /// Gives back what a session's hold has left.
    pub(super) fn release(&self, cx: &mut Context<'_>, relation: &mut RelationRecord) -> Result<(), Halt> {
        let hold = cx.tx.hold(relation.hold)?;
        if hold.is_some_and(|hold| hold.state == HoldState::Open) {
            Ledger(&mut *cx.tx).release(relation.hold, cx.now)?;
        }
        relation.closed = true;
        Ok(())
    }
}

/// Moves money out of the hold it was set aside in. The bank's yes stands whatever becomes of the
/// buyer: suspended since, its account is thawed for this one movement, in the same transaction.
fn capture(cx: &mut Context<'_>, transfer: Transfer) -> Result<(), Halt> {
    let suspended = cx.tx.account(transfer.debit)?.is_some_and(|account| account.frozen);
    let mut ledger = Ledger(&mut *cx.tx);
    if suspended {
        ledger.unfreeze(transfer.debit, transfer.at)?;
    }
    let captured = ledger.capture(transfer);
    if suspended {
        ledger.freeze(transfer.debit, transfer.at)?;
    }
    captured?;
    Ok(())
}

/// `V′` must come with the first clearing, and be the right one whenever it comes.
fn check_opening(relation: &RelationRecord, clearing: &Clearing) -> Result<(), Refusal> {
    let fits = match &clearing.opening {
        Some(opening) => opening.commitment() == relation.clear,
        None => relation.opened,
    };
    if fits {
        Ok(())
    } else {
        Err(Refusal::new(Code::Signature, "this does not open the seller's commitment to clear"))
    }
}

/// Finds out what must be hashed for a request, within [`STEPS_PER_REQUEST_MAX`]. Chains that the
/// facts do not know yet are left for later.
fn find_walks(
    clearings: Clearings,
    facts: &dyn Records,
    mut walk: impl FnMut(usize, Claimed),
) -> Result<Vec<Item>, StoreFault> {
    let mut steps = 0;
    let mut items = Vec::new();
    for (nth, clearing) in clearings.items.into_vec().into_iter().enumerate() {
        let known: Option<RelationRecord> = records::read(facts, RELATIONS, &clearing.chain.0)?;
        let mut checked = Ok(None);
        if let Some(known) = known.filter(|_| clearing.through > 0) {
            let found = claimed(&known, &clearing).and_then(|found| {
                steps += u64::from(found.steps());
                if steps > STEPS_PER_REQUEST_MAX { Err(too_many_steps()) } else { Ok(found) }
            });
            match found {
                Ok(found) => walk(nth, found),
                Err(why) => checked = Err(why),
            }
        }
        items.push(Item { clearing, checked });
    }
    Ok(items)
}

/// Checked before anything is hashed: a claim beyond the chain's end costs nothing.
fn claimed(relation: &RelationRecord, clearing: &Clearing) -> Result<Claimed, Refusal> {
    let Clearing { chain: ChainId(_), through, word, .. } = clearing;
    if *through > relation.header.units {
        return Err(Refusal::new(Code::Range, "the clearing lies outside the chain"));
    }
    Ok(Claimed { tag: Tag::new(&relation.header), known: relation.verified, index: *through, word: *word })
}

fn prove(relation: &RelationRecord, clearing: &Clearing) -> Result<Payword, Refusal> {
    let walk = claimed(relation, clearing)?;
    prove_many(&[walk]).pop().and_then(Result::ok).ok_or_else(not_on_chain)
}

fn not_on_chain() -> Refusal {
    Refusal::new(Code::Chain, "the word does not lie on the chain")
}

fn too_many_steps() -> Refusal {
    Refusal::new(Code::Limit, "too much to hash in one request: clear these sessions in another one")
        .remedy(Remedy::Mend)
}
