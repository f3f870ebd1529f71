//! Auth-Request, Auth-Response and the inquiry.

use farthing_core::chain::{CHAIN_LEN_MAX, Payword, Scheme};
use farthing_core::evidence::{Evidence, EvidenceKind, StatementBytes, Verdict};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::SKEW;
use farthing_core::wire::{self, Bounded};
use farthing_ledger::{Hold, Ledger, LedgerError, LedgerRefusal};
use farthing_role::{Context, Filed, Halt, Records};

use super::records::{self, ANSWERS, Answered, DUE, Due, RELATIONS, RelationRecord, SEEN, Seen};
use super::{Coupons, transfer_id};
use crate::messages::{
    Answer, AuthAnswer, AuthRequest, Authorisation, Clear, Common, Inquiry, Slip, buyer_id, sealed_digest,
};
use crate::secret::Digest;
use crate::verdict;

/// A request to authorise whose signatures hold and whose parts fit each other.
#[derive(Debug)]
pub struct CheckedAuth {
    request: Digest,
    clear: Verified<Clear>,
    common: Common,
    /// `BAN`.
    account: PeerId,
    epoch: u64,
}

impl CheckedAuth {
    /// Whose account is to be charged.
    #[must_use]
    pub const fn account(&self) -> PeerId {
        self.account
    }

    /// Which copy of that account's wallet signed the slip.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Coupons {
    /// Checks Auth-Request as far as no records are needed, in the paper's order: the seller's
    /// signature before anything is opened, so that strangers can neither make us decrypt nor use
    /// us to try slips; then that `COMMON`, rebuilt from `CLEAR` and `SLIP`, is what all of them
    /// name; then the account's blind and the buyer's signatures.
    ///
    /// # Errors
    /// A [`Refusal`]; nothing was noted.
    pub fn check_authorise(&self, seller: PeerId, request: AuthRequest) -> Result<CheckedAuth, Refusal> {
        let digest = Digest(hash(Purpose::Request, &[&wire::encode(&request)]));
        let clear = request.clear.verify_by(self.network, seller)?;
        let slip = self.seal.open(self.network, &request.slip)?.verify(self.network)?;
        let Slip { header, common: named, blind, epoch } = slip.body();
        let epoch = epoch.unwrap_or_default();
        let account = slip.signer();
        let common = Common {
            header: header.clone(),
            root: clear.body().root,
            description: request.description,
            buyer: buyer_id(blind, account),
            terms: clear.body().terms.clone(),
        };
        let rebuilt = common.digest();
        if rebuilt != clear.body().common || rebuilt != *named {
            let why = "seller and buyer do not mean the same purchase";
            return Err(Refusal::new(Code::Malformed, why));
        }
        let consent = request.consent.verify_by(self.network, header.payer)?;
        if consent.body().common != rebuilt || consent.body().slip != sealed_digest(&request.slip) {
            return Err(Refusal::new(Code::Order, "the buyer signed for another purchase or slip"));
        }
        if common.header.scheme != Scheme::Coupon || common.seller() != Some(seller) {
            return Err(Refusal::new(Code::NotPayee, "the chain is not one of coupons for this seller"));
        }
        if account == seller {
            return Err(Refusal::new(Code::Order, "nobody buys from itself"));
        }
        Ok(CheckedAuth { request: digest, clear, common, account, epoch })
    }

    /// Whether a request was answered before, so that [`authorise`](Self::authorise) only repeats.
    ///
    /// # Errors
    /// [`StoreFault`](farthing_ledger::StoreFault).
    pub fn was_answered(&self, tx: &dyn Records, checked: &CheckedAuth) -> Result<bool, farthing_ledger::StoreFault> {
        let terms = &checked.common.terms;
        let key = records::seen_key(checked.clear.signer(), terms.tid, terms.nonce);
        Ok(tx.get(SEEN, &key)?.is_some())
    }

    /// Sets `n·v` aside and signs that it did, or signs that it did not. A request seen before gets
    /// the answer it got then, and another one under the same number is filed as evidence.
    ///
    /// # Errors
    /// [`Halt`]: stale invoices, limits of the chain, a chain authorised before.
    pub fn authorise(&self, cx: &mut Context<'_>, checked: &CheckedAuth) -> Result<AuthAnswer, Halt> {
        let CheckedAuth { request, clear, common, account, .. } = checked;
        let terms = &common.terms;
        let key = records::seen_key(clear.signer(), terms.tid, terms.nonce);
        if let Some(seen) = records::read::<Seen>(&*cx.tx, SEEN, &key)? {
            return self.answer_again(cx, checked, seen);
        }
        if cx.now < terms.date.before(SKEW) || cx.now >= terms.date.after(self.terms.invoice_life) {
            return Err(Refusal::new(Code::Expired, "the invoice is stale: begin again").remedy(Remedy::Mend).into());
        }
        self.check_header(cx, common)?;
        if cx.tx.account(self.customer(clear.signer(), common.header.unit.currency()))?.is_none() {
            let why = "the seller has no account of this currency";
            return Err(Refusal::new(Code::Unknown, why).into());
        }
        let chain = common.chain();
        if cx.tx.get(RELATIONS, &chain.0)?.is_some() {
            return Err(Refusal::new(Code::Conflict, "this chain was authorised before").into());
        }
        let value = common.header.value().map_err(Refusal::from)?;
        let ends = common.header.not_after.after(self.terms.grace);
        let digest = common.digest();
        let hold = transfer_id(terms.date, &[b"coupon", &digest.0]);
        let aside = Hold::new(hold, self.customer(*account, value.currency()), value, ends, chain.0);
        let (answer, due) = match Ledger(&mut *cx.tx).hold(aside, cx.now) {
            Ok(_) => (Answer::Yes { hold, grace: self.terms.grace }, ends),
            Err(LedgerError::Refused(why)) if is_no(&why) => {
                // The seller learns that the answer is no, not how rich the buyer is.
                let no = Refusal::new(Code::Funds, "the buyer's account does not cover the purchase");
                (Answer::No(no), terms.date.after(self.terms.invoice_life).after(SKEW))
            }
            Err(why) => return Err(why.into()),
        };
        if let Answer::Yes { .. } = answer {
            let record = RelationRecord {
                owner: *account,
                seller: clear.signer(),
                hold,
                header: common.header.clone(),
                clear: terms.clear,
                opened: false,
                verified: Payword::root(common.root),
                cleared: 0,
                refunded: 0,
                grace: self.terms.grace,
                closed: false,
            };
            cx.tx.put(RELATIONS, &chain.0, wire::encode(&record));
        }
        let granted = matches!(answer, Answer::Yes { .. }).then_some(chain);
        let body = Authorisation { common: digest, chain, answer, time: cx.now };
        let reply = self.key.sign(self.network, &body);
        let answered = Answered { owner: *account, reply: reply.clone() };
        cx.tx.put(ANSWERS, &digest.0, wire::encode(&answered));
        cx.tx.put(SEEN, &key, wire::encode(&Seen { request: *request, clear: clear.signed().clone() }));
        let row = Due { chain: granted, seller: clear.signer(), tid: terms.tid, nonce: terms.nonce, common: digest };
        cx.tx.put(DUE, &records::due_key(due, &digest), wire::encode(&row));
        Ok(AuthAnswer::Answered(reply))
    }

    fn answer_again(&self, cx: &mut Context<'_>, checked: &CheckedAuth, seen: Seen) -> Result<AuthAnswer, Halt> {
        if seen.request == checked.request {
            let answered = records::read::<Answered>(&*cx.tx, ANSWERS, &checked.common.digest().0)?;
            let answered = answered.ok_or_else(|| Refusal::new(Code::Expired, "the answer was given long ago"))?;
            return Ok(AuthAnswer::Answered(answered.reply));
        }
        let pair = [seen.clear.clone(), checked.clear.signed().clone()];
        let statements = pair.iter().map(|signed| StatementBytes(wire::encode(signed))).collect();
        let statements = Bounded::new(statements).unwrap_or_else(Bounded::empty);
        let evidence = Evidence { kind: EvidenceKind::InvoiceFork, accused: checked.clear.signer(), statements };
        let verdict = verdict::judge(self.network, self.bank(), &evidence);
        if verdict == Verdict::Insufficient {
            // The same invoice with another slip: perhaps the buyer's doing.
            return Err(Refusal::new(Code::Conflict, "this invoice was brought before with another payment").into());
        }
        Filed::file(cx, evidence, verdict);
        Ok(AuthAnswer::Conflict { other: seen.clear })
    }

    fn check_header(&self, cx: &Context<'_>, common: &Common) -> Result<(), Refusal> {
        let header = &common.header;
        if header.units == 0 || header.units > CHAIN_LEN_MAX {
            return Err(Refusal::new(Code::Limit, format!("a session holds from 1 to {CHAIN_LEN_MAX} units")));
        }
        if header.unit.is_zero() {
            return Err(Refusal::new(Code::Amount, "a unit is worth something"));
        }
        if header.not_after <= cx.now {
            return Err(Refusal::new(Code::Expired, "the session would have ended already").remedy(Remedy::Mend));
        }
        if header.not_after.since(cx.now) > self.terms.life_max {
            return Err(Refusal::new(Code::Limit, "the session would hold the money too long"));
        }
        Ok(())
    }

    /// Tells a buyer what was answered about its purchase, where the seller did not or lied.
    ///
    /// # Errors
    /// [`Code::Unknown`]: nothing was asked about such a purchase of this account.
    pub fn inquire(&self, cx: &Context<'_>, buyer: PeerId, inquiry: &Inquiry) -> Result<Signed<Authorisation>, Halt> {
        let answered = records::read::<Answered>(&*cx.tx, ANSWERS, &inquiry.common.0)?;
        let unknown = || Refusal::new(Code::Unknown, "nobody asked about this purchase: nothing was set aside");
        Ok(answered.filter(|answered| answered.owner == buyer).ok_or_else(unknown)?.reply)
    }
}

/// What is a no about the buyer's account, as against a request that makes no sense.
const fn is_no(why: &LedgerRefusal) -> bool {
    matches!(
        why,
        LedgerRefusal::Funds(_)
            | LedgerRefusal::Frozen(_)
            | LedgerRefusal::UnknownDebit(_)
            | LedgerRefusal::Overflow(_)
    )
}
