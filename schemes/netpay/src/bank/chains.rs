//! Opening a chain, releasing for a vanished payee, and giving back what was not spent.

use farthing_core::chain::{CHAIN_LEN_MAX, Payword, Scheme, Scope};
use farthing_core::id::{PeerId, RequestId, time_of};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::time::SKEW;
use farthing_core::wire;
use farthing_ledger::{Account, AccountKind, Ledger, StoreFault, Transfer};
use farthing_role::{Context, Halt, Scan};

use super::records::{self, CHAINS, ChainRecord, DUE, TAKEN, Taken};
use super::units::Stretch;
use super::{NetPay, REASON_OPEN, REASON_REFUND, transfer_id};
use crate::messages::{BrokerRelease, OpenChain, Register, RegisterAnswer, Registered, Release, Reserve, Touchstone};
use crate::payee::check_range;

/// The most chains given back in one tick.
const REFUNDS_PER_TICK: usize = 256;

impl NetPay {
    /// Opens a chain (NPP-1, NPP-2): moves its whole value from the payer's account to one that
    /// backs the chain and nothing else, and signs the touchstone.
    ///
    /// # Errors
    /// [`Halt`]: limits of the chain, funds, deposit, suspension.
    pub fn open(
        &self,
        cx: &mut Context<'_>,
        payer: PeerId,
        id: RequestId,
        open: &OpenChain,
    ) -> Result<Signed<Touchstone>, Halt> {
        let header = &open.header;
        self.check_header(cx, payer, open)?;
        let chain = header.chain_id(&open.root);
        if cx.tx.get(CHAINS, &chain.0)?.is_some() {
            return Err(Refusal::new(Code::Conflict, "this chain was opened before, by another request").into());
        }
        let currency = header.unit.currency();
        let value = header.value().map_err(Refusal::from)?;
        let backing = Account::id_for(self.network, AccountKind::Backing, &chain.0, currency);
        let account = Account::new(backing, AccountKind::Backing, currency, Some(payer), cx.now);
        let mut ledger = Ledger(&mut *cx.tx);
        ledger.open(account)?;
        let transfer = Transfer {
            id: transfer_id(time_of(&id.0), &[b"open", &payer.0, &id.0]),
            debit: self.customer(payer, currency),
            credit: backing,
            amount: value,
            reason: REASON_OPEN,
            reference: chain.0,
            at: cx.now,
            hold: None,
        };
        ledger.post(transfer)?;
        let touchstone =
            Touchstone { chain, root: open.root, header: header.clone(), grace: self.terms.grace, opened: cx.now };
        let record = ChainRecord {
            owner: payer,
            backing,
            touchstone: touchstone.clone(),
            verified: Payword::root(open.root),
            closed: false,
        };
        cx.tx.put(CHAINS, &chain.0, wire::encode(&record));
        cx.tx.put(DUE, &records::due_key(record.claims_end().after(SKEW), &chain.0), Vec::new());
        Ok(self.key.sign(self.network, &touchstone))
    }

    fn check_header(&self, cx: &Context<'_>, payer: PeerId, open: &OpenChain) -> Result<(), Halt> {
        let header = &open.header;
        if header.scheme != Scheme::NetPay || header.scope != Scope::Any {
            return Err(Refusal::new(Code::Version, "this is not a NetPay chain").into());
        }
        if header.units == 0 || header.units > CHAIN_LEN_MAX {
            return Err(Refusal::new(Code::Limit, format!("a chain holds from 1 to {CHAIN_LEN_MAX} units")).into());
        }
        if header.unit.is_zero() {
            return Err(Refusal::new(Code::Amount, "a unit is worth something").into());
        }
        if header.not_after <= cx.now {
            return Err(Refusal::new(Code::Expired, "the chain would have ended already").remedy(Remedy::Mend).into());
        }
        if header.not_after.since(cx.now) > self.terms.life_max {
            return Err(Refusal::new(Code::Limit, "the chain would live too long").into());
        }
        if let Some(wanted) = self.terms.deposit.filter(|d| d.currency() == header.unit.currency()) {
            let deposit = cx.tx.account(self.deposit(payer, wanted.currency()))?;
            if deposit.is_none_or(|d| d.available() < i128::from(wanted.as_micros())) {
                let why = format!("opening a chain takes a deposit of {wanted} against cheating");
                return Err(Refusal::new(Code::Funds, why).into());
            }
        }
        Ok(())
    }

    /// Notes a reserve, so that nobody else is paid its units: the one step that prevents a double
    /// spend instead of detecting it.
    ///
    /// # Errors
    /// [`Halt`]. A conflict is an answer, not an error: a case is opened and must be kept.
    pub fn register(&self, cx: &mut Context<'_>, payee: PeerId, register: Register) -> Result<RegisterAnswer, Halt> {
        let claimed = register.reserve.peek().map_err(Refusal::from)?;
        let chain = records::chain(&*cx.tx, claimed.chain)?;
        let verified =
            register.reserve.verify_by(self.network, chain.touchstone.header.payer).map_err(Refusal::from)?;
        self.check_reserve(cx, &chain, payee, verified.body())?;
        let reserve = verified.body();
        if cx.now >= reserve.expires {
            return Err(Refusal::new(Code::Expired, "the reserve has ended").remedy(Remedy::Stop).into());
        }
        let key = records::taken_key(&verified);
        let own: Option<Taken> = records::read(&*cx.tx, TAKEN, &key)?;
        let row = Taken { kept_through: reserve.upto, ..own.unwrap_or_else(|| Taken::nothing_yet(&verified)) };
        let within = Stretch { from: reserve.from, through: reserve.upto };
        let others = self.others(cx, &chain, &verified, register.previous, within)?;
        if let Some((_, other)) = others.into_iter().next() {
            let case = self.open_case(cx, &chain, &other, &row, 0, None)?;
            return Ok(RegisterAnswer::Taken { case, other: other.reserve });
        }
        cx.tx.put(TAKEN, &key, wire::encode(&row));
        Ok(RegisterAnswer::Noted(self.key.sign(self.network, &Registered { reserve: verified.digest(), time: cx.now })))
    }

    /// Releases for a payee that vanished, once its time to claim is over: says how far it was paid.
    /// Between the two lies [`SKEW`], in which neither a claim nor a release is given.
    ///
    /// # Errors
    /// [`Halt`]; [`Code::NotYet`] while the payee may still claim.
    pub fn broker_release(
        &self,
        cx: &mut Context<'_>,
        payer: PeerId,
        reserve: Signed<Reserve>,
    ) -> Result<Signed<BrokerRelease>, Halt> {
        let claimed = reserve.peek().map_err(Refusal::from)?;
        let chain = records::chain(&*cx.tx, claimed.chain)?;
        if chain.owner != payer {
            return Err(Refusal::new(Code::Unknown, "this is not a chain of yours").into());
        }
        let verified = reserve.verify_by(self.network, chain.touchstone.header.payer).map_err(Refusal::from)?;
        let reserve = verified.body();
        check_range(&chain.touchstone, reserve)?;
        if cx.now < reserve.expires.after(chain.touchstone.grace).after(SKEW) {
            let why = "the payee may still claim: ask again when its time is over";
            return Err(Refusal::new(Code::NotYet, why).into());
        }
        let key = records::taken_key(&verified);
        let taken: Option<Taken> = records::read(&*cx.tx, TAKEN, &key)?;
        let through = taken.as_ref().map_or(reserve.from - 1, |taken| taken.paid_through);
        if let Some(taken) = taken {
            // A registered reserve gives up what it did not use.
            cx.tx.put(TAKEN, &key, wire::encode(&Taken { kept_through: through, ..taken }));
        }
        let release = Release { chain: reserve.chain, reserve: verified.digest(), through, time: cx.now };
        Ok(self.key.sign(self.network, &BrokerRelease { release }))
    }

    /// Checks what a reserve must be for its payee to claim under it, the signature apart.
    pub(super) fn check_reserve(
        &self,
        cx: &Context<'_>,
        chain: &ChainRecord,
        payee: PeerId,
        reserve: &Reserve,
    ) -> Result<(), Refusal> {
        if reserve.payee != payee {
            return Err(Refusal::new(Code::NotPayee, "the reserve is for another payee"));
        }
        check_range(&chain.touchstone, reserve)?;
        if chain.closed || cx.now >= reserve.expires.after(chain.touchstone.grace) {
            return Err(Refusal::new(Code::Expired, "the time to claim is over").remedy(Remedy::Stop));
        }
        Ok(())
    }

    /// Gives back what ended chains have left, a bounded portion; says whether more waits.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn refund_due(&self, cx: &mut Context<'_>) -> Result<bool, Halt> {
        let rows = cx.tx.scan(DUE, Scan { prefix: &[], after: None, limit: REFUNDS_PER_TICK })?;
        let full = rows.len() == REFUNDS_PER_TICK;
        for (key, _) in rows {
            let (at, chain) = key.split_at_checked(8).ok_or_else(|| StoreFault("a due row is damaged".into()))?;
            let at = at.try_into().map(u64::from_be_bytes).unwrap_or(u64::MAX);
            if cx.now.as_millis() < at {
                return Ok(false);
            }
            let record: Option<ChainRecord> = records::read(&*cx.tx, CHAINS, chain)?;
            if let Some(record) = record {
                self.refund(cx, record)?;
            }
            cx.tx.delete(DUE, &key);
        }
        Ok(full)
    }

    fn refund(&self, cx: &mut Context<'_>, record: ChainRecord) -> Result<(), Halt> {
        let chain = record.touchstone.chain;
        let rest = cx.tx.account(record.backing)?.and_then(|account| account.available_amount());
        if let Some(rest) = rest.filter(|rest| !rest.is_zero()) {
            let transfer = Transfer {
                id: transfer_id(record.claims_end(), &[b"refund", &chain.0]),
                debit: record.backing,
                credit: self.customer(record.owner, rest.currency()),
                amount: rest,
                reason: REASON_REFUND,
                reference: chain.0,
                at: cx.now,
                hold: None,
            };
            Ledger(&mut *cx.tx).post(transfer)?;
        }
        cx.tx.put(CHAINS, &chain.0, wire::encode(&ChainRecord { closed: true, ..record }));
        Ok(())
    }
}
