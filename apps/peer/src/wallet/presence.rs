//! Which copy of the wallet may spend, and what the bank says of itself.
//!
//! The bank counts the copies of a wallet. Each request says which one asks, and whatever opens or
//! moves money is refused to all but the copy that took over last. A copy that hears so stops paying
//! by every scheme until it has [reconciled](Wallet::reconcile).

use farthing_bank::messages::{Deposit, Presence, TakeOver, kind};
use farthing_core::cert::Limits;
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{PeerId, RequestId, timed};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_core::wire;
use minicbor::{Decode, Encode};

use super::Wallet;
use super::desk::{Desk, DeskError};
use super::error::WalletError;
use super::home::random;

/// For so long a copy that was the present one pays without asking again.
const PRESENT_FOR: Span = Span::from_secs(180);

/// For so long a bank that kept silent is not asked again.
const SILENT_FOR: Span = Span::from_secs(30);

/// For so long a payment waits to hear whether this copy is the present one.
const PRESENCE_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// When the bank was asked whether this copy is the present one, and for how long that does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    at: Time,
    enough_for: Span,
}

/// What a bank says of itself that a wallet remembers, to take and write drafts without it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct BankFacts {
    /// The key that signs its certificates.
    #[n(0)]
    pub authority: PeerId,
    /// What its certificates state at the most.
    #[n(1)]
    pub limits: Limits,
}

impl Wallet {
    /// What tells this copy of the records from every other.
    pub(crate) fn copy_token(&self) -> [u8; 32] {
        let meta = self.inner.meta();
        hash(Purpose::Request, &[b"wallet copy", &meta.copy, &meta.epoch.to_be_bytes()])
    }

    /// Refuses to pay before the bank has confirmed this copy.
    pub(crate) fn may_pay(&self) -> Result<(), WalletError> {
        if self.is_restored() { Err(WalletError::Restored) } else { Ok(()) }
    }

    /// Refuses to pay where another copy is the one that spends, asking the bank about it if it can be
    /// reached and did not say so just now.
    pub(crate) async fn make_sure_present(&self) -> Result<(), WalletError> {
        self.may_pay()?;
        let (now, asked) = (self.now(), *self.inner.asked_presence());
        if asked.is_some_and(|asked| asked.at <= now && now.since(asked.at) < asked.enough_for) {
            return Ok(());
        }
        let enough_for = match tokio::time::timeout(PRESENCE_WAIT, self.ask_presence()).await {
            Ok(Ok(())) => Some(PRESENT_FOR),
            // Nobody there, and quick to find out.
            Ok(Err(WalletError::Bank(DeskError::NotSent(_)))) => None,
            Ok(Err(WalletError::Bank(_))) | Err(_) => Some(SILENT_FOR),
            Ok(Err(why)) => return Err(why),
        };
        *self.inner.asked_presence() = enough_for.map(|enough_for| Asked { at: now, enough_for });
        self.may_pay()
    }

    /// Asks to have nothing moved into the deposit. Like every movement that is for the present copy
    /// only; and as it is over nothing, it is refused to that one as well.
    async fn ask_presence(&self) -> Result<(), WalletError> {
        let desk = self.desk().await?;
        let nothing = Deposit { amount: self.inner.settings.currency().zero(), withdraw: false };
        match self.look_up(&*desk, kind::DEPOSIT, wire::encode(&nothing)).await {
            Ok(_) | Err(WalletError::Bank(DeskError::Refused(_))) => Ok(()),
            Err(why) => Err(why),
        }
    }

    /// Asks the bank, as this copy. If the bank says that another copy is the one that spends, this
    /// one pays no more.
    pub(crate) async fn ask(
        &self,
        desk: &dyn Desk,
        key: &SecretKey,
        id: RequestId,
        kind: u16,
        message: Vec<u8>,
    ) -> Result<Vec<u8>, DeskError> {
        let epoch = self.inner.meta().presence.unwrap_or_default();
        let answer = desk.ask_as(key, epoch, id, kind, message).await;
        if let Err(DeskError::Refused(why)) = &answer {
            self.heed(why).await;
        }
        answer
    }

    /// Asks under an id that nobody needs again: what may be asked any number of times.
    pub(crate) async fn ask_afresh(
        &self,
        desk: &dyn Desk,
        key: &SecretKey,
        kind: u16,
        message: Vec<u8>,
    ) -> Result<Vec<u8>, WalletError> {
        let id = RequestId(timed(self.now(), &random()?));
        Ok(self.ask(desk, key, id, kind, message).await?)
    }

    /// Notes that another copy took over, if that is what a refusal of the bank's says.
    pub(crate) async fn heed(&self, why: &Refusal) {
        if why.code != Code::Epoch || why.remedy != Remedy::Reconcile || self.is_restored() {
            return;
        }
        tracing::warn!("another copy of this wallet is the one that spends: this one pays only after reconciliation");
        if let Err(why) = self.change_meta(|meta| meta.restored = true).await {
            tracing::warn!(%why, "that could not be written down");
        }
    }

    /// The number that the bank has given to this copy, once it has: what spends carries it.
    #[must_use]
    pub fn presence(&self) -> Option<u64> {
        self.inner.meta().presence
    }

    /// Has the bank count this copy as the one that spends. A bank that counts no copies is older
    /// than this wallet, and goes by chains and logs alone.
    pub(crate) async fn take_over(&self, desk: &dyn Desk) -> Result<(), WalletError> {
        let message = wire::encode(&TakeOver { copy: self.copy_token() });
        let reply = match self.ask_afresh(desk, &self.inner.key, kind::TAKE_OVER, message).await {
            Err(WalletError::Bank(DeskError::Refused(why))) if why.code == Code::Unknown => return Ok(()),
            reply => reply?,
        };
        let Presence { epoch, since } =
            wire::decode(&reply).map_err(|_| WalletError::FalseAnswer("it names no copy"))?;
        self.raise_floor(since).await?;
        *self.inner.asked_presence() = Some(Asked { at: self.now(), enough_for: PRESENT_FOR });
        self.change_meta(move |meta| meta.presence = Some(epoch)).await
    }

    /// Remembers what the bank says of itself.
    pub(crate) async fn learn(&self, desk: &dyn Desk) -> Result<(), WalletError> {
        let Some(facts) = desk.facts() else { return Ok(()) };
        if self.inner.meta().bank == Some(facts) {
            return Ok(());
        }
        self.change_meta(move |meta| meta.bank = Some(facts)).await
    }

    /// What the bank said of itself the last time.
    pub(crate) fn bank_facts(&self) -> Result<BankFacts, WalletError> {
        let never = "the bank's certifying key is not known yet: connect to the bank once (farthing reconcile)";
        let facts = self.inner.meta().bank;
        facts.ok_or_else(|| Refusal::new(Code::Certificate, never).into())
    }
}
