//! The bank as a role: what it does with each request, once it knows who asks.

mod ask;
mod banks;
mod capital;
mod check;
mod clearing;
mod copies;
mod customers;
mod drafts;
mod office;
mod recorder;

use std::sync::Arc;

use farthing_clearing::bank::Clearing;
use farthing_clearing::keys::MasterKey;
use farthing_core::cert::Limits;
use farthing_core::id::{PeerId, RequestId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seal::SealKey;
use farthing_core::sign::SecretKey;
use farthing_core::time::{SKEW, Span, Time};
use farthing_core::wire;
use farthing_coupon::bank::Coupons;
use farthing_coupon::messages::kind as coupon;
use farthing_draft::bank::Drafts;
use farthing_draft::interbank::Interbank;
use farthing_draft::interbank::messages::kind as cheque;
use farthing_ledger::Ledger;
use farthing_netpay::bank::NetPay;
use farthing_netpay::messages::OpenChain;
use farthing_role::{Context, EVIDENCE, Halt, Outcome, Records, Request, Role, Table};
use minicbor::{Decode, Encode};

use crate::alarm::Alarm;
use crate::chart::{
    BANKS, BOUND, COPIES, COUNTS, CUSTOMERS, Chart, LINE_COUNTS, LINES, PENDING, PLAY, REPORTS, SUMS, no_account, read,
};
use crate::facilitator::{self, Facilitator};
use crate::home::{Config, RailName, Roles};
use crate::messages::kind;
use crate::rail::{OperatorEntry, PlayMoney, Rail};

use ask::Ask;
pub(crate) use banks::{DAY_MARGIN, PeerRow, peers};
pub(crate) use copies::require_present;
use recorder::Recorder;
pub(crate) use recorder::Sums;

/// The tables of the bank itself.
const OWN_TABLES: [Table; 12] =
    [CUSTOMERS, COUNTS, LINES, LINE_COUNTS, SUMS, PENDING, PLAY, BOUND, COPIES, BANKS, REPORTS, EVIDENCE];

/// The most holds that end in one tick because their time is over.
const EXPIRIES_PER_TICK: usize = 256;

/// The tables of a bank's store: its own, those of its schemes and of the driver.
#[must_use]
pub fn tables() -> Vec<Table> {
    let (netpay, coupon) = (farthing_netpay::bank::TABLES, farthing_coupon::bank::TABLES);
    let (clearing, draft) = (farthing_clearing::bank::TABLES, farthing_draft::bank::TABLES);
    let cheque = farthing_draft::interbank::TABLES;
    let schemes =
        netpay.iter().chain(&coupon).chain(&clearing).chain(&draft).chain(&cheque).chain(&facilitator::TABLES);
    OWN_TABLES.iter().chain(schemes).chain(farthing_driver::TABLES).copied().collect()
}

/// Whether a kind of request only asks and changes nothing. The answer to such a one is not stored:
/// a repeat is answered by what is true then.
#[must_use]
pub const fn is_question(kind: u16) -> bool {
    matches!(
        kind,
        kind::STATEMENT
            | kind::CASES
            | kind::LIST_PENDING
            | kind::LIST_EVIDENCE
            | kind::EVIDENCE_PART
            | kind::LIST_CASES
            | kind::REPORT
            | kind::LIST_PEERS
            | kind::PEER_DAY
            | kind::LIST_CHEQUES
            | cheque::INQUIRE
            | coupon::INQUIRE
    )
}

/// The bank.
pub struct BankRole {
    chart: Chart,
    netpay: NetPay,
    coupons: Coupons,
    clearing: Clearing,
    drafts: Drafts,
    interbank: Interbank,
    facilitator: Option<Facilitator>,
    rail: Box<dyn Rail>,
    operators: Vec<PeerId>,
    roles: Roles,
    limits: Limits,
    accounts_per_day: u64,
    cheques_per_day: u64,
    certificate_life: Span,
    /// From the end of a chain until nothing can be claimed of it, nor judged about it.
    aftermath: Span,
    alarm: Arc<Alarm>,
}

/// The keys that a bank's schemes work with.
#[derive(Debug)]
pub struct SchemeKeys {
    /// Signs what NetPay says: the bank's statement key.
    pub netpay: SecretKey,
    /// The same key once more, for coupons.
    pub coupon: SecretKey,
    /// And for the clearing's grants and receipts.
    pub clearing: SecretKey,
    /// And for what is said about drafts.
    pub draft: SecretKey,
    /// And for cheques, where it is the bank's name among banks.
    pub cheque: SecretKey,
    /// From which the keys grow that customers share with the bank for clearing.
    pub master: MasterKey,
    /// Opens slips: the key that requests are sealed to.
    pub slips: SealKey,
}

/// A request that passed the check.
pub struct Checked {
    id: RequestId,
    /// Which copy of its sender's wallet asks.
    epoch: u64,
    ask: Ask,
}

impl BankRole {
    /// The bank of that configuration, with its rail, under the keys that sign the schemes'
    /// statements and open slips.
    #[must_use]
    pub fn new(chart: Chart, key: SchemeKeys, config: &Config, alarm: Arc<Alarm>) -> Self {
        let rail: Box<dyn Rail> = match config.rail {
            RailName::Play => Box::new(PlayMoney { per_day: config.limits.play_per_day }),
            RailName::Operators => Box::new(OperatorEntry),
        };
        let terms = config.terms.netpay();
        let aftermath = terms.grace.as_millis() + terms.answer_time.as_millis() + 2 * SKEW.as_millis();
        let drafts = farthing_draft::bank::Chart { network: chart.network, currency: chart.currency };
        Self {
            chart,
            netpay: NetPay::new(chart.network, key.netpay, terms),
            coupons: Coupons::new(chart.network, key.coupon, key.slips, config.terms.coupon()),
            clearing: Clearing::new(chart.network, key.clearing, key.master, config.clearing.terms(chart.currency)),
            drafts: Drafts::new(drafts, key.draft, config.draft.terms(&config.limits)),
            interbank: Interbank::new(chart.network, key.cheque, config.banks.terms()),
            facilitator: None,
            rail,
            operators: config.operators.clone(),
            roles: config.roles.clone(),
            limits: config.limits.certified(),
            accounts_per_day: config.limits.accounts_per_day,
            cheques_per_day: config.banks.cheques_per_day,
            certificate_life: config.terms.certificate_life(),
            aftermath: Span::from_millis(aftermath),
            alarm,
        }
    }

    /// The same with another rail.
    #[must_use]
    pub fn on(mut self, rail: Box<dyn Rail>) -> Self {
        self.rail = rail;
        self
    }

    /// The same with a facilitator.
    #[must_use]
    pub(crate) fn with_facilitator(mut self, facilitator: Option<Facilitator>) -> Self {
        self.facilitator = facilitator;
        self
    }

    /// The facilitator, if there is one.
    pub(crate) const fn facilitator(&self) -> Option<&Facilitator> {
        self.facilitator.as_ref()
    }

    /// Opens the facilitator's account.
    pub(crate) fn enrol_facilitator(&self, cx: &mut Context<'_>) -> Result<(), Halt> {
        self.facilitator.as_ref().map_or(Ok(()), |facilitator| facilitator.open_account(cx))
    }

    /// Coupons, for the facilitator.
    pub(crate) const fn coupons(&self) -> &Coupons {
        &self.coupons
    }

    /// Does something as the facilitator, in one transaction. No promise is made and no money is
    /// moved once the books do not add up.
    pub(crate) fn facilitate<T>(
        &self,
        cx: &mut Context<'_>,
        work: impl FnOnce(&Facilitator, &mut Context<'_>) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        self.alarm.check()?;
        let none = || Refusal::new(Code::Unknown, "this bank is no facilitator");
        let facilitator = self.facilitator.as_ref().ok_or_else(none)?;
        Self::recorded(cx, |cx| work(facilitator, cx))
    }

    /// How money comes in and goes out.
    #[must_use]
    pub fn rail(&self) -> &'static str {
        self.rail.name()
    }

    /// What the recorder needs to see of a step.
    fn recorded<T>(cx: &mut Context<'_>, work: impl FnOnce(&mut Context<'_>) -> Result<T, Halt>) -> Result<T, Halt> {
        let mut recorder = Recorder::new(&mut *cx.tx);
        let done = work(&mut Context { now: cx.now, dice: cx.dice, tx: &mut recorder })?;
        recorder.finish()?;
        Ok(done)
    }

    fn carry_out(
        &self,
        cx: &mut Context<'_>,
        sender: PeerId,
        about: (RequestId, u64),
        ask: Ask,
    ) -> Result<Vec<u8>, Halt> {
        let (id, epoch) = about;
        match ask {
            Ask::Office(_) => self.operator_only(sender)?,
            // Whoever asks about drafts and cheques may be a key of a customer's, or another bank.
            Ask::OpenAccount(_) | Ask::Draft(_) | Ask::Cheque(_) => {}
            _ if cx.tx.get(CUSTOMERS, &sender.0)?.is_some() => {}
            _ => return Err(no_account().into()),
        }
        let opens = matches!(ask, Ask::OpenChain(_) | Ask::EnrolClearing(_) | Ask::RotateClearing(_));
        if opens || matches!(ask, Ask::Deposit(_) | Ask::Payout(_)) {
            require_present(cx, sender, epoch)?;
        }
        Ok(match ask {
            Ask::OpenAccount(ask) => wire::encode(&self.open_account(cx, sender, &ask)?),
            Ask::TakeOver(ask) => wire::encode(&self.take_over(cx, sender, &ask)?),
            Ask::Certify(ask) => wire::encode(&self.certify(cx, sender, &ask)?),
            Ask::Statement(ask) => wire::encode(&self.statement(cx, sender, &ask)?),
            Ask::Deposit(ask) => wire::encode(&self.move_deposit(cx, sender, id, &ask)?),
            Ask::Fund(ask) => {
                self.chart.check(ask.amount)?;
                self.books_agree(cx, sender)?;
                self.chart.open_world(cx)?;
                let progress = self.rail.fund(cx, &self.chart, sender, id, ask)?;
                self.drafts.collect(cx, sender)?;
                wire::encode(&progress)
            }
            Ask::Payout(ask) => {
                self.alarm.check()?;
                self.chart.check(ask.amount)?;
                self.not_suspended(cx, sender)?;
                self.books_agree(cx, sender)?;
                self.chart.open_world(cx)?;
                wire::encode(&self.rail.payout(cx, &self.chart, sender, id, ask)?)
            }
            Ask::Cases => wire::encode(&self.cases(cx, sender)?),
            Ask::Office(ask) => self.office(cx, sender, id, ask)?,
            Ask::OpenChain(ask) => self.open_chain(cx, sender, id, &ask)?,
            Ask::Register(ask) => wire::encode(&self.netpay.register(cx, sender, *ask)?),
            Ask::Claim(checked) => {
                self.alarm.check()?;
                wire::encode(&self.netpay.claim(cx, *checked)?)
            }
            Ask::Release(ask) => wire::encode(&self.netpay.broker_release(cx, sender, ask.reserve)?),
            Ask::Defend(ask) => wire::encode(&self.netpay.defend(cx, sender, *ask)?),
            Ask::Authorise(checked) => {
                if !self.coupons.was_answered(&*cx.tx, &checked)? {
                    require_present(cx, checked.account(), checked.epoch())?;
                }
                wire::encode(&self.coupons.authorise(cx, &checked)?)
            }
            Ask::Inquire(ask) => wire::encode(&self.coupons.inquire(cx, sender, &ask)?),
            Ask::Clear(checked) => {
                self.alarm.check()?;
                wire::encode(&self.coupons.clear(cx, *checked)?)
            }
            Ask::Refund(ask) => {
                self.alarm.check()?;
                wire::encode(&self.coupons.refund(cx, sender, id, &ask)?)
            }
            Ask::EnrolClearing(ask) => wire::encode(&self.clearing.enrol(cx, sender, id, &ask)?),
            Ask::RotateClearing(ask) => wire::encode(&self.clearing.rotate(cx, sender, id, &ask)?),
            Ask::Draft(ask) => self.on_draft(cx, sender, epoch, ask)?,
            Ask::Cheque(ask) => self.on_cheque(cx, sender, about, ask)?,
        })
    }

    /// Opens a chain, and notes until when the payer's deposit answers for it.
    fn open_chain(&self, cx: &mut Context<'_>, payer: PeerId, id: RequestId, ask: &OpenChain) -> Result<Vec<u8>, Halt> {
        self.chart.check(ask.header.unit)?;
        self.not_suspended(cx, payer)?;
        let touchstone = self.netpay.open(cx, payer, id, ask)?;
        let bound: Time = read(&*cx.tx, BOUND, &payer.0)?.unwrap_or_default();
        let until = bound.max(ask.header.not_after.after(self.aftermath));
        cx.tx.put(BOUND, &payer.0, wire::encode(&until));
        Ok(wire::encode(&touchstone))
    }

    fn operator_only(&self, sender: PeerId) -> Result<(), Refusal> {
        if self.operators.contains(&sender) {
            return Ok(());
        }
        let why = "this is for operators: the bank's configuration names them";
        Err(Refusal::new(Code::Policy, why).remedy(farthing_core::refusal::Remedy::Stop))
    }

    fn not_suspended(&self, cx: &Context<'_>, customer: PeerId) -> Result<(), Halt> {
        match cx.tx.account(self.chart.customer(customer))? {
            Some(account) if !account.frozen => Ok(()),
            Some(_) => {
                let why = "your account is suspended: it can receive but not pay; ask the operator";
                Err(Refusal::new(Code::Suspended, why).into())
            }
            None => Err(no_account().into()),
        }
    }
}

impl Role for BankRole {
    type Checked = Checked;

    fn check(&self, _: Time, requests: Vec<Request>, facts: &dyn Records) -> Vec<Result<Checked, Halt>> {
        self.check_all(requests, facts)
    }

    fn apply(&self, cx: &mut Context<'_>, sender: PeerId, message: Checked) -> Result<Outcome, Halt> {
        let Checked { id, epoch, ask } = message;
        Self::recorded(cx, |cx| self.carry_out(cx, sender, (id, epoch), ask)).map(|reply| Outcome { reply })
    }

    fn tick(&self, cx: &mut Context<'_>) -> Result<bool, Halt> {
        Self::recorded(cx, |cx| {
            let refunds = self.netpay.refund_due(cx)?;
            let releases = self.coupons.release_due(cx)?;
            let cases = self.netpay.settle_due(cx)?;
            let lapses = crate::rail::lapse(cx)?;
            let drafts = self.drafts.tick(cx)?;
            let cheques = self.interbank.tick(cx)?;
            let settled = match &self.facilitator {
                Some(facilitator) if self.alarm.check().is_ok() => facilitator.sweep(cx, &self.coupons)?,
                _ => false,
            };
            let now = cx.now;
            let ended = Ledger(&mut *cx.tx).expire_due(now, EXPIRIES_PER_TICK)?;
            Ok(refunds || releases || settled || cases || lapses || drafts || cheques || ended == EXPIRIES_PER_TICK)
        })
    }
}

/// A customer, besides its money.
#[derive(Encode, Decode)]
struct Customer {
    /// The key to seal messages to it.
    #[n(0)]
    seal: farthing_core::seal::SealPublic,
    /// When it came.
    #[n(1)]
    opened: Time,
}

fn customer(cx: &Context<'_>, peer: PeerId) -> Result<Customer, Halt> {
    Ok(read(&*cx.tx, CUSTOMERS, &peer.0)?.ok_or_else(no_account)?)
}

#[cfg(test)]
mod tests;
