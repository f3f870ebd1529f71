//! What customers get.

use farthing_core::cert::{CERTIFICATE_LIFE_MAX, Certificate};
use farthing_core::id::{PeerId, RequestId};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::time::{SKEW, Time, Window};
use farthing_core::wire::{self, Bounded};
use farthing_ledger::{Account, AccountKind, Ledger, Transfer};
use farthing_netpay::bank::{CaseState, NetPay};
use farthing_role::{Context, Halt, Scan};

use super::recorder::line_key;
use super::{BankRole, Customer, customer};
use crate::chart::{
    BOUND, COUNTS, CUSTOMERS, Daily, LINE_COUNTS, LINES, REASON_DEPOSIT, REASON_WITHDRAW, count_up, decode, post, read,
    transfer_id,
};
use crate::messages::{
    AccountOpened, Balances, Cases, Certify, Deposit, LINES_SHOWN_MAX, Line, OpenAccount, Statement, StatementOf,
};

impl BankRole {
    pub(super) fn open_account(
        &self,
        cx: &mut Context<'_>,
        sender: PeerId,
        ask: &OpenAccount,
    ) -> Result<AccountOpened, Halt> {
        let before: Option<Customer> = read(&*cx.tx, CUSTOMERS, &sender.0)?;
        if before.is_none() {
            self.count_newcomer(cx)?;
        }
        let (chart, now) = (self.chart, cx.now);
        let (own, deposit) = (chart.customer(sender), chart.deposit(sender));
        let mut ledger = Ledger(&mut *cx.tx);
        ledger.open(Account::new(own, AccountKind::Customer, chart.currency, Some(sender), now))?;
        ledger.open(Account::new(deposit, AccountKind::Deposit, chart.currency, Some(sender), now))?;
        let opened = before.map_or(now, |before| before.opened);
        cx.tx.put(CUSTOMERS, &sender.0, wire::encode(&Customer { seal: ask.seal, opened }));
        Ok(AccountOpened { customer: own, deposit, currency: chart.currency, opened })
    }

    fn count_newcomer(&self, cx: &mut Context<'_>) -> Result<(), Halt> {
        let today: Daily = read(&*cx.tx, COUNTS, b"accounts-today")?.unwrap_or_default();
        let today = today.add(cx.now, 1, self.accounts_per_day).ok_or_else(|| {
            let why = "the bank opens no more accounts today: come back tomorrow";
            Refusal::new(Code::Limit, why).remedy(Remedy::Again)
        })?;
        cx.tx.put(COUNTS, b"accounts-today", wire::encode(&today));
        Ok(())
    }

    /// Decides what a certificate says. It is signed after the commit, elsewhere.
    pub(super) fn certify(&self, cx: &mut Context<'_>, sender: PeerId, ask: &Certify) -> Result<Certificate, Halt> {
        let Customer { seal, .. } = customer(cx, sender)?;
        self.not_suspended(cx, sender)?;
        if !self.roles.allow(sender, ask.role) {
            let why = "the operator has not allowed you this role: ask to be named in the configuration";
            return Err(Refusal::new(Code::Policy, why).into());
        }
        let serial = count_up(cx, b"certificates")? + 1;
        // Holds at once for those whose clocks are behind.
        let from = cx.now.before(SKEW);
        let life = self.certificate_life.min(CERTIFICATE_LIFE_MAX);
        Ok(Certificate {
            holder: sender,
            seal,
            role: ask.role,
            serial,
            window: Window { from, to: from.after(life) },
            limits: self.limits,
            log_head: ask.log_head,
            deposit: self.chart.balances(&*cx.tx, sender)?.deposit,
        })
    }

    pub(super) fn statement(&self, cx: &Context<'_>, sender: PeerId, ask: &StatementOf) -> Result<Statement, Halt> {
        let account = self.chart.customer(sender);
        let last: u64 = read(&*cx.tx, LINE_COUNTS, &account.0)?.unwrap_or_default();
        let limit = usize::from(ask.limit).min(LINES_SHOWN_MAX);
        let after = ask.after.unwrap_or_else(|| last.saturating_sub(limit as u64));
        let after = line_key(account, after);
        let rows = cx.tx.scan(LINES, Scan { prefix: &account.0, after: Some(&after), limit })?;
        let lines: Vec<Line> = rows.iter().map(|(_, row)| decode(LINES, row)).collect::<Result<_, _>>()?;
        Ok(Statement {
            balances: self.chart.balances(&*cx.tx, sender)?,
            suspended: cx.tx.account(account)?.is_some_and(|account| account.frozen),
            lines: Bounded::new(lines).unwrap_or_else(Bounded::empty),
            last,
            time: cx.now,
        })
    }

    /// Moves money into the deposit, or out of it once it answers for nothing any more.
    pub(super) fn move_deposit(
        &self,
        cx: &mut Context<'_>,
        sender: PeerId,
        id: RequestId,
        ask: &Deposit,
    ) -> Result<Balances, Halt> {
        self.chart.check(ask.amount)?;
        self.not_suspended(cx, sender)?;
        let (own, deposit) = (self.chart.customer(sender), self.chart.deposit(sender));
        let (debit, credit, reason) = if ask.withdraw {
            self.books_agree(cx, sender)?;
            self.deposit_is_free(cx, sender)?;
            (deposit, own, REASON_WITHDRAW)
        } else {
            (own, deposit, REASON_DEPOSIT)
        };
        let transfer = Transfer {
            id: transfer_id(id, "deposit", sender),
            debit,
            credit,
            amount: ask.amount,
            reason,
            reference: [0; 32],
            at: cx.now,
            hold: None,
        };
        post(cx, transfer)?;
        self.chart.balances(&*cx.tx, sender)
    }

    /// A payer that could take its deposit back before its payees have claimed could cheat them.
    fn deposit_is_free(&self, cx: &Context<'_>, sender: PeerId) -> Result<(), Halt> {
        let bound: Option<Time> = read(&*cx.tx, BOUND, &sender.0)?;
        if bound.is_some_and(|until| cx.now < until) {
            let why = "the deposit answers for your chains until nothing can be claimed of them any more: ask again when \
                       the last one has ended";
            return Err(Refusal::new(Code::NotYet, why).remedy(Remedy::Stop).into());
        }
        let drafts = self.drafts.bound_until(cx, sender)?;
        let (debts, credit) = self.drafts.owed(cx, sender)?;
        if cx.now < drafts || !debts.is_zero() || !credit.is_zero() {
            let why = "the deposit answers for your drafts until none can be deposited any more, and for what you owe: \
                       ask again when the last certificate has ended for a month and nothing is owed";
            return Err(Refusal::new(Code::NotYet, why).remedy(Remedy::Stop).into());
        }
        let cases = NetPay::cases_of(&*cx.tx, sender)?;
        if cases.iter().any(|case| case.state == CaseState::Open) {
            let why = "the deposit answers for an open case against you: answer it first";
            return Err(Refusal::new(Code::NotYet, why).remedy(Remedy::Stop).into());
        }
        Ok(())
    }

    pub(super) fn cases(&self, cx: &Context<'_>, sender: PeerId) -> Result<Cases, Halt> {
        let netpay = NetPay::cases_of(&*cx.tx, sender)?;
        Ok(Cases { netpay: Bounded::new(netpay).unwrap_or_else(Bounded::empty) })
    }
}
