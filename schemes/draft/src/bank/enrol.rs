//! Several keys for one account: whoever is paid by one of them learns neither the account nor that
//! two of them are one party's. The bank knows.

use farthing_core::audit::AuditLog;
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt, Records, Scan};

use super::Drafts;
use super::records::{self, HOLDERS, HOLDERS_OF, Holder};
use crate::messages::{DRAFT_LIFE_MAX, Enrol};
use crate::rows::read;

/// The most keys of one account.
pub const IDENTITIES_MAX: usize = 16;

impl Drafts {
    /// Enrols a key of an account, or its own. Enrolled before, it gets the new sealing key.
    ///
    /// # Errors
    /// [`Halt`]: no account, another's key, too many keys.
    pub fn enrol(&self, cx: &mut Context<'_>, account: PeerId, ask: Enrol) -> Result<Holder, Halt> {
        let alias = ask.alias.verify(self.chart.network).map_err(Refusal::from)?;
        let (key, body) = (alias.signer(), alias.body());
        if body.account != account || body.bank != self.bank() {
            return Err(Refusal::new(Code::Signature, "the key speaks of another account or bank").into());
        }
        if cx.tx.account(self.chart.customer(account))?.is_none() {
            return Err(Refusal::new(Code::Unknown, "you have no account here: open one first").into());
        }
        if key != account && cx.tx.account(self.chart.customer(key))?.is_some() {
            return Err(Refusal::new(Code::Conflict, "that key has an account of its own").into());
        }
        let known: Option<Holder> = read(&*cx.tx, HOLDERS, &key.0)?;
        let holder = match known {
            Some(known) if known.account != account => {
                return Err(Refusal::new(Code::Conflict, "that key belongs to another account").into());
            }
            Some(known) => Holder { seal: body.seal, ..known },
            None => {
                if self.keys_of(cx, account)?.len() >= IDENTITIES_MAX {
                    return Err(
                        Refusal::new(Code::Limit, format!("an account has at most {IDENTITIES_MAX} keys")).into()
                    );
                }
                Holder {
                    account,
                    seal: body.seal,
                    known: AuditLog::new(key),
                    epoch: 0,
                    copy: None,
                    certified_until: Time::default(),
                    total: self.chart.currency.zero(),
                    problem: None,
                    mark: None,
                    forget: 0,
                    outstanding: self.chart.currency.zero(),
                }
            }
        };
        cx.tx.put(HOLDERS, &key.0, wire::encode(&holder));
        cx.tx.put(HOLDERS_OF, &[account.0, key.0].concat(), Vec::new());
        Ok(holder)
    }

    /// The first moment at which no draft of an account can come any more: until then its deposit
    /// answers for them and must not be withdrawn.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn bound_until(&self, cx: &Context<'_>, account: PeerId) -> Result<Time, Halt> {
        let mut until = Time::default();
        for key in self.keys_of(cx, account)? {
            let end = records::holder(&*cx.tx, key)?.certified_until;
            if end > Time::default() {
                until = until.max(end.after(DRAFT_LIFE_MAX));
            }
        }
        Ok(until)
    }

    /// A key that writes or takes drafts, as the bank knows it.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub fn holder_of(&self, tx: &dyn Records, key: PeerId) -> Result<Option<Holder>, StoreFault> {
        read(tx, HOLDERS, &key.0)
    }

    /// The keys of an account, at most [`IDENTITIES_MAX`].
    ///
    /// # Errors
    /// [`StoreFault`].
    pub fn keys_of(&self, cx: &Context<'_>, account: PeerId) -> Result<Vec<PeerId>, StoreFault> {
        let scan = Scan { prefix: &account.0, after: None, limit: IDENTITIES_MAX };
        let rows = cx.tx.scan(HOLDERS_OF, scan)?;
        Ok(rows.iter().filter_map(|(key, _)| key.get(32..)?.try_into().ok().map(PeerId)).collect())
    }
}
