//! Offline drafts and cheques at the bank: who may ask for what, and with which copy of a wallet.

use farthing_core::id::{PeerId, RequestId};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::wire;
use farthing_draft::bank::{Answer, CheckedDeposit};
use farthing_draft::interbank::CheckedPresentation;
use farthing_draft::interbank::messages::{Cashier, Certify, Inquiry, PageRequest};
use farthing_draft::messages::{Closing, Confirm, Enrol, LogPage, Proof, Reconcile, Stop};
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt, Records};

use super::BankRole;
use super::copies::require_present;
use crate::chart::{COUNTS, CUSTOMERS, Daily, no_account, read};
use crate::messages::{Confirmation, Enrolled};

/// What somebody asks about drafts.
pub(super) enum DraftAsk {
    Enrol(Box<Enrol>),
    Reconcile(Reconcile),
    /// With the request as it was signed, in case it shows a misdeed.
    Page(Box<(LogPage, Vec<u8>)>),
    Close(Box<Signed<Closing>>),
    Deposit(Box<CheckedDeposit>),
    Confirm(Box<Confirm>),
    Stop(Box<Signed<Stop>>),
    Prove(Box<Proof>),
}

/// What somebody asks about cheques.
pub(super) enum ChequeAsk {
    Present(Box<CheckedPresentation>),
    Certify(Box<Certify>),
    Cashier(Cashier),
    Page(PageRequest),
    Inquire(Inquiry),
}

impl BankRole {
    /// Whose account a key speaks for: its own, or the one it was enrolled for.
    pub(super) fn account_of(&self, tx: &dyn Records, key: PeerId) -> Result<Option<PeerId>, StoreFault> {
        if tx.get(CUSTOMERS, &key.0)?.is_some() {
            return Ok(Some(key));
        }
        Ok(self.drafts.holder_of(tx, key)?.map(|holder| holder.account))
    }

    /// Turns strangers away, before anything dear is done for them.
    pub(super) fn draft_holders_only(&self, tx: &dyn Records, key: PeerId) -> Result<PeerId, Halt> {
        Ok(self.account_of(tx, key)?.ok_or_else(no_account)?)
    }

    /// Lets customers, their keys and the banks that the operators opened accounts with present cheques.
    pub(super) fn cheque_bearers_only(&self, tx: &dyn Records, key: PeerId) -> Result<(), Halt> {
        if self.interbank.is_peer(tx, key, self.chart.currency)? {
            return Ok(());
        }
        self.draft_holders_only(tx, key).map(drop)
    }

    /// Cheques are never forgotten, and anybody can write worthless ones: no customer presents more of
    /// them in a day than were agreed. What a peer bank may bring is its limit's matter.
    fn count_cheque(&self, cx: &mut Context<'_>, bearer: PeerId) -> Result<(), Halt> {
        let Some(account) = self.account_of(&*cx.tx, bearer)? else { return Ok(()) };
        let key = [b"cheques-of", &account.0[..]].concat();
        let today: Daily = read(&*cx.tx, COUNTS, &key)?.unwrap_or_default();
        let today = today.add(cx.now, 1, self.cheques_per_day).ok_or_else(|| {
            let why = "you have presented as many cheques as this bank takes from a customer in a day";
            Refusal::new(Code::Limit, why).remedy(Remedy::Again)
        })?;
        cx.tx.put(COUNTS, &key, wire::encode(&today));
        Ok(())
    }

    pub(super) fn on_draft(
        &self,
        cx: &mut Context<'_>,
        sender: PeerId,
        epoch: u64,
        ask: DraftAsk,
    ) -> Result<Vec<u8>, Halt> {
        let account = self.draft_holders_only(&*cx.tx, sender)?;
        // Whatever may lead to a draft, or takes money from the account, is for the present copy.
        if matches!(ask, DraftAsk::Reconcile(_) | DraftAsk::Close(_) | DraftAsk::Stop(_)) {
            require_present(cx, account, epoch)?;
        }
        Ok(match ask {
            DraftAsk::Enrol(ask) => {
                let key = ask.alias.claimed_signer();
                let account = self.drafts.enrol(cx, sender, *ask)?.account;
                wire::encode(&Enrolled { key, account })
            }
            DraftAsk::Reconcile(ask) => wire::encode(&self.drafts.reconcile(cx, sender, &ask)?),
            DraftAsk::Page(ask) => wire::encode(&self.drafts.page(cx, sender, &ask.0, &ask.1)?),
            DraftAsk::Close(ask) => wire::encode(&self.drafts.close(cx, sender, *ask)?),
            DraftAsk::Deposit(checked) => {
                self.alarm.check()?;
                wire::encode(&self.drafts.deposit(cx, *checked)?)
            }
            DraftAsk::Confirm(ask) => {
                self.alarm.check()?;
                wire::encode(&match self.drafts.confirm(cx, sender, *ask)? {
                    Answer::Yes(said) => Confirmation::Yes(*said),
                    Answer::No(why) => Confirmation::No(why),
                })
            }
            DraftAsk::Stop(ask) => wire::encode(&self.drafts.stop(cx, sender, *ask)?),
            DraftAsk::Prove(ask) => {
                self.alarm.check()?;
                wire::encode(&self.drafts.prove(cx, sender, *ask)?)
            }
        })
    }

    pub(super) fn on_cheque(
        &self,
        cx: &mut Context<'_>,
        sender: PeerId,
        (id, epoch): (RequestId, u64),
        ask: ChequeAsk,
    ) -> Result<Vec<u8>, Halt> {
        Ok(match ask {
            ChequeAsk::Present(checked) => {
                self.alarm.check()?;
                self.cheque_bearers_only(&*cx.tx, sender)?;
                if !self.interbank.was_presented(&*cx.tx, &checked)? {
                    self.count_cheque(cx, sender)?;
                }
                wire::encode(&self.interbank.present(cx, &self.drafts, &checked)?)
            }
            ChequeAsk::Certify(ask) => {
                let account = self.draft_holders_only(&*cx.tx, sender)?;
                require_present(cx, account, epoch)?;
                self.not_suspended(cx, account)?;
                wire::encode(&self.interbank.certify(cx, &self.drafts, sender, *ask)?)
            }
            ChequeAsk::Cashier(ask) => {
                self.chart.check(ask.amount)?;
                require_present(cx, sender, epoch)?;
                self.not_suspended(cx, sender)?;
                wire::encode(&self.interbank.cashier(cx, sender, id, &ask)?)
            }
            ChequeAsk::Page(ask) => {
                let PageRequest { day, currency, after } = ask;
                wire::encode(&self.interbank.state_day(cx, sender, currency, day, after)?)
            }
            ChequeAsk::Inquire(ask) => wire::encode(&self.interbank.inquire(cx, sender, ask.cheque)?),
        })
    }
}
