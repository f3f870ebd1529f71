//! Claims (NPP-7, NPP-8): paying each unit once, many visits at a time.

use farthing_core::chain::{Claimed, Payword, Tag, prove_many};
use farthing_core::id::{ChainId, PeerId, RequestId, time_of};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::{Signed, Unproven, Verified, verify_batch};
use farthing_core::wire::{self, Bounded};
use farthing_ledger::{Ledger, StoreFault, Transfer};
use farthing_role::{Context, Halt, Records};

use super::records::{self, CHAINS, CLAIMS, ChainRecord, TAKEN, Taken};
use super::units::{Stretch, overlap};
use super::{NetPay, REASON_CLAIM, transfer_id};
use crate::messages::{Claim, ClaimLine, ClaimOutcome, ClaimReceipt, Claims, Previous, Reserve};
use crate::payee::freed_by;

/// The most chain steps that one request may cost: as many as twice the longest chain has.
pub const STEPS_PER_REQUEST_MAX: u64 = 1 << 21;

/// A request for claims, as it arrived.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Who claims; the request's signature held.
    pub payee: PeerId,
    /// The request.
    pub id: RequestId,
    /// Its signed bytes, kept as evidence.
    pub proof: Vec<u8>,
    /// What is claimed.
    pub claims: Claims,
}

/// Claims whose signatures and words were checked as far as the records of a moment ago allowed.
#[derive(Debug)]
pub struct CheckedClaims {
    payee: PeerId,
    id: RequestId,
    proof: Vec<u8>,
    items: Vec<Item>,
}

/// One claim: where it lies, as far as it can be read, and whether it passed.
#[derive(Debug)]
struct Item {
    chain: ChainId,
    from: u32,
    checked: Result<CheckedClaim, Refusal>,
}

#[derive(Debug)]
struct CheckedClaim {
    claim: Claim,
    reserve: Verified<Reserve>,
    /// The word, if the chain was known then. Once on the chain, always on the chain.
    proven: Option<Payword>,
}

impl NetPay {
    /// Checks many requests at once: all reserves' signatures in one batch, all words of chains
    /// walked in step. Changes nothing.
    #[must_use]
    pub fn check_claims(&self, requests: Vec<ClaimRequest>, facts: &dyn Records) -> Vec<Result<CheckedClaims, Halt>> {
        let claims = requests.iter().flat_map(|request| request.claims.items.as_slice());
        let reserves: Vec<Signed<Reserve>> = claims.map(|claim| claim.reserve.clone()).collect();
        let mut verified = verify_batch(self.network, reserves).into_iter();
        let mut walks = Vec::new();
        let mut answers: Vec<Result<CheckedClaims, Halt>> = Vec::with_capacity(requests.len());
        for (at, request) in requests.into_iter().enumerate() {
            let claims = request.claims.items.into_vec();
            let pairs: Vec<_> = claims.into_iter().zip(verified.by_ref()).collect();
            let items = find_walks(pairs, facts, |nth, walk| walks.push((at, nth, walk)));
            let checked = |items| CheckedClaims { payee: request.payee, id: request.id, proof: request.proof, items };
            answers.push(items.map(checked).map_err(Halt::Store));
        }
        let proofs = prove_many(&walks.iter().map(|(_, _, walk)| *walk).collect::<Vec<_>>());
        for ((at, nth, _), proof) in walks.into_iter().zip(proofs) {
            let Some(Ok(request)) = answers.get_mut(at) else { continue };
            let Some(Item { checked, .. }) = request.items.get_mut(nth) else { continue };
            match (proof, checked) {
                (Ok(proven), Ok(claim)) => claim.proven = Some(proven),
                (Err(_), checked) => *checked = Err(not_on_chain()),
                (Ok(_), Err(_)) => {}
            }
        }
        answers
    }

    /// Pays claims, each unit once. A claim turned away does not hinder the others; its line says
    /// why.
    ///
    /// # Errors
    /// [`Halt::Store`] only.
    pub fn claim(&self, cx: &mut Context<'_>, checked: CheckedClaims) -> Result<Signed<ClaimReceipt>, Halt> {
        let CheckedClaims { payee, id, proof, items } = checked;
        // First the evidence, so that a case opened below finds it.
        if !proof.is_empty() {
            cx.tx.put(CLAIMS, &id.0, proof);
        }
        let mut lines = Vec::with_capacity(items.len());
        for (nth, item) in items.into_iter().enumerate() {
            let paid = match item.checked {
                Ok(checked) => self.pay(cx, payee, id, nth, &checked),
                Err(why) => Err(why.into()),
            };
            let outcome = match paid {
                Ok(outcome) => outcome,
                Err(Halt::Refused(why)) => ClaimOutcome::Refused(why),
                Err(halt) => return Err(halt),
            };
            lines.push(ClaimLine { chain: item.chain, from: item.from, outcome });
        }
        let lines = Bounded::new(lines).unwrap_or_else(Bounded::empty);
        Ok(self.key.sign(self.network, &ClaimReceipt { request: id, lines, time: cx.now }))
    }

    /// Pays one claim. Whatever can be refused is refused before any money moves.
    fn pay(
        &self,
        cx: &mut Context<'_>,
        payee: PeerId,
        id: RequestId,
        nth: usize,
        item: &CheckedClaim,
    ) -> Result<ClaimOutcome, Halt> {
        let (reserve, through) = (item.reserve.body(), item.claim.through);
        let mut chain = records::chain(&*cx.tx, reserve.chain)?;
        if item.reserve.signer() != chain.touchstone.header.payer {
            return Err(Refusal::new(Code::Signature, "the reserve is not signed by the chain's payer").into());
        }
        self.check_reserve(cx, &chain, payee, reserve)?;
        if through < reserve.from || through > reserve.upto {
            return Err(Refusal::new(Code::Range, "the claim lies outside the reserve").into());
        }
        let released = self.check_own_release(payee, item)?;
        let proven = match item.proven {
            Some(proven) => proven,
            None => prove(&chain, item)?,
        };
        let key = records::taken_key(&item.reserve);
        let own: Option<Taken> = records::read(&*cx.tx, TAKEN, &key)?;
        let mut own = own.unwrap_or_else(|| Taken::nothing_yet(&item.reserve));
        let before = own.paid_through;
        let within = Stretch { from: reserve.from, through };
        let others = self.others(cx, &chain, &item.reserve, item.claim.previous.clone(), within)?;
        let fresh = Stretch { from: before + 1, through };
        let kept: Vec<Stretch> =
            others.iter().map(|(from, t)| Stretch { from: *from, through: t.kept_through }).collect();
        let contested = overlap(fresh, &kept);
        let amount =
            chain.touchstone.header.unit.checked_mul((fresh.count() - contested).into()).map_err(Refusal::from)?;
        if !amount.is_zero() {
            let transfer = Transfer {
                id: transfer_id(time_of(&id.0), &[b"claim", &payee.0, &id.0, &nth.to_be_bytes()]),
                debit: chain.backing,
                credit: self.customer(payee, amount.currency()),
                amount,
                reason: REASON_CLAIM,
                reference: reserve.chain.0,
                at: cx.now,
                hold: None,
            };
            Ledger(&mut *cx.tx).post(transfer)?;
        }
        own.paid_through = before.max(through);
        own.kept_through = released.unwrap_or(own.kept_through).max(own.paid_through);
        own.claim = Some(id);
        cx.tx.put(TAKEN, &key, wire::encode(&own));
        if proven.index() > chain.verified.index() {
            chain.verified = proven;
            cx.tx.put(CHAINS, &reserve.chain.0, wire::encode(&chain));
        }
        let defence = item.claim.previous.as_ref().map(|previous| &previous.freed);
        for (from, other) in &others {
            let shared = overlap(fresh, &[Stretch { from: *from, through: other.kept_through }]);
            if shared > 0 {
                self.open_case(cx, &chain, other, &own, shared, defence)?;
            }
        }
        Ok(ClaimOutcome::Paid { amount, through: own.paid_through, contested })
    }

    /// The claimant's own release bounds its claim: how far it may go.
    fn check_own_release(&self, payee: PeerId, item: &CheckedClaim) -> Result<Option<u32>, Refusal> {
        let Some(release) = item.claim.release.clone() else { return Ok(None) };
        let verified = release.verify_by(self.network, payee)?;
        if verified.body().reserve != item.reserve.digest() {
            return Err(Refusal::new(Code::Range, "the release is for another reserve"));
        }
        if item.claim.through > verified.body().through {
            return Err(Refusal::new(Code::Range, "the claim goes beyond the claimant's own release"));
        }
        Ok(Some(verified.body().through))
    }

    /// What other reserves hold of the units claimed. Where the claimant shows that one of them was
    /// released below, what that one was never paid gives way.
    pub(super) fn others(
        &self,
        cx: &mut Context<'_>,
        chain: &ChainRecord,
        reserve: &Verified<Reserve>,
        previous: Option<Previous>,
        within: Stretch,
    ) -> Result<Vec<(u32, Taken)>, Halt> {
        let digest = reserve.digest();
        let mut others = records::taken_within(&*cx.tx, reserve.body().chain, within.from, within.through)?;
        others.retain(|(_, taken)| taken.reserve.digest() != digest);
        let Some(previous) = previous.filter(|_| !others.is_empty()) else { return Ok(others) };
        let earlier = previous.reserve.verify_by(self.network, chain.touchstone.header.payer).map_err(Refusal::from)?;
        let same = |(_, taken): &&mut (u32, Taken)| taken.reserve.digest() == earlier.digest();
        let Some((_, taken)) = others.iter_mut().find(same) else { return Ok(others) };
        let release = freed_by(self.network, self.bank(), taken.payee, previous.freed)?;
        if release.reserve == earlier.digest() && release.through < within.from {
            taken.kept_through = taken.paid_through;
            cx.tx.put(TAKEN, &records::taken_key(&earlier), wire::encode(taken));
        }
        others.retain(|(_, taken)| taken.kept_through >= within.from);
        Ok(others)
    }
}

/// Finds out what must be hashed for a request's claims, within [`STEPS_PER_REQUEST_MAX`]. Chains
/// that the facts do not know yet are left for later.
fn find_walks(
    claims: Vec<(Claim, Result<Verified<Reserve>, Unproven>)>,
    facts: &dyn Records,
    mut walk: impl FnMut(usize, Claimed),
) -> Result<Vec<Item>, StoreFault> {
    let mut steps = 0;
    let mut items = Vec::with_capacity(claims.len());
    for (nth, (claim, reserve)) in claims.into_iter().enumerate() {
        let (chain, from) = claim.reserve.peek().map_or((ChainId([0; 32]), 0), |reserve| (reserve.chain, reserve.from));
        let mut checked = reserve.map_err(Refusal::from).map(|reserve| CheckedClaim { claim, reserve, proven: None });
        let known: Option<ChainRecord> = match &checked {
            Ok(_) => records::read(facts, CHAINS, &chain.0)?,
            Err(_) => None,
        };
        if let (Some(known), Ok(item)) = (known, &checked) {
            let found = claimed(&known, item).and_then(|found| {
                steps += u64::from(found.steps());
                if steps > STEPS_PER_REQUEST_MAX { Err(too_many_steps()) } else { Ok(found) }
            });
            match found {
                Ok(found) => walk(nth, found),
                Err(why) => checked = Err(why),
            }
        }
        items.push(Item { chain, from, checked });
    }
    Ok(items)
}

/// Checked before anything is hashed: a claim beyond the chain's end costs nothing.
fn claimed(chain: &ChainRecord, item: &CheckedClaim) -> Result<Claimed, Refusal> {
    let (index, word) = (item.claim.through, item.claim.word);
    if index == 0 || index > chain.touchstone.header.units {
        return Err(Refusal::new(Code::Range, "the claim lies outside the chain"));
    }
    Ok(Claimed { tag: Tag::new(&chain.touchstone.header), known: chain.verified, index, word })
}

fn prove(chain: &ChainRecord, item: &CheckedClaim) -> Result<Payword, Refusal> {
    let walk = claimed(chain, item)?;
    prove_many(&[walk]).pop().and_then(Result::ok).ok_or_else(not_on_chain)
}

fn not_on_chain() -> Refusal {
    Refusal::new(Code::Chain, "the word does not lie on the chain")
}

fn too_many_steps() -> Refusal {
    Refusal::new(Code::Limit, "too much to hash in one request: claim these visits in another one").remedy(Remedy::Mend)
}
