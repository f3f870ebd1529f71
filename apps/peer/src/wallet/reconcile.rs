//! Comparing all books with the bank: after a restore, and whenever the owner asks.

use super::Wallet;
use super::clearing::Compared;
use super::desk::Desk;
use super::draft::{DraftBook, is_unknown_to_bank};
use super::error::WalletError;

/// What a reconciliation came to.
#[derive(Debug)]
pub struct Reconciled {
    /// Under which number the bank counts this copy of the wallet; none at a bank that counts none.
    pub epoch: Option<u64>,
    /// Online clearing; none where this wallet or the bank does not take part.
    pub clearing: Option<Result<Compared, WalletError>>,
    /// Drafts, for every name: what may be written, where the books differ, or why there is no
    /// certificate yet.
    pub drafts: Vec<DraftBooks>,
}

/// The drafts of one name.
#[derive(Debug)]
pub struct DraftBooks {
    /// Under which pseudonym; none for the wallet's own name.
    pub alias: Option<u32>,
    /// What came of it.
    pub book: Result<DraftBook, WalletError>,
}

impl Reconciled {
    /// The first thing that needs somebody's attention.
    #[must_use]
    pub fn trouble(&self) -> Option<&WalletError> {
        let clearing = self.clearing.as_ref().and_then(|compared| compared.as_ref().err());
        clearing.or_else(|| self.drafts.iter().find_map(|books| books.book.as_ref().err()))
    }
}

impl Wallet {
    /// Compares all books with the bank. From then on this copy of the wallet is the one that spends,
    /// and the bank refuses whatever another one asks. What was left unanswered is settled, and what
    /// this wallet lacked is learnt.
    ///
    /// After a restore, chains and sessions known before are never spent again: they might have been,
    /// by another copy or after the backup; what they have left comes back when they end. Drafts wait
    /// until the certificate of the lost copy has ended. A scheme that cannot be compared now is in
    /// the report, and pays nothing until it is; the others do.
    ///
    /// # Errors
    /// [`WalletError`]; the wallet stays as it was, and receives.
    pub async fn reconcile(&self, desk: &dyn Desk) -> Result<Reconciled, WalletError> {
        let _errand = self.inner.errand.lock().await;
        self.statement(desk, None, 1).await?;
        self.checked_now()?;
        self.learn(desk).await?;
        self.take_over(desk).await?;
        let (_, trouble) = self.settle(desk).await?;
        if let Some(why) = trouble {
            return Err(why);
        }
        let _counter = self.inner.counter.lock().await;
        let clearing = self.reconcile_clearing(desk).await;
        let drafts = self.reconcile_drafts(desk).await?;
        self.change_meta(|meta| meta.restored = false).await?;
        Ok(Reconciled { epoch: self.inner.meta().presence, clearing, drafts })
    }

    /// A wallet that was restored cannot know whether it had joined: it asks.
    async fn reconcile_clearing(&self, desk: &dyn Desk) -> Option<Result<Compared, WalletError>> {
        let compared = async {
            if self.clearing_state().await?.is_none() && !self.is_restored() {
                return Ok(None);
            }
            // The bank replaces the key when another copy takes over: the present one asks for the new one.
            match self.rejoin_clearing(desk).await {
                Err(why) if is_unknown_to_bank(&why) => return Ok(None),
                joined => joined?,
            }
            self.compare_clearing(desk).await.map(Some)
        };
        compared.await.transpose()
    }

    /// Every name that is known, and the wallet's own.
    async fn reconcile_drafts(&self, desk: &dyn Desk) -> Result<Vec<DraftBooks>, WalletError> {
        let mut done = Vec::new();
        if self.bank_facts().is_err() {
            return Ok(done);
        }
        let mut names = self.draft_names().await?;
        if !names.contains(&None) {
            names.insert(0, None);
        }
        for alias in names {
            let book = self.compare_drafts(desk, alias).await;
            if book.as_ref().err().is_some_and(is_unknown_to_bank) {
                continue; // A bank that takes no drafts.
            }
            done.push(DraftBooks { alias, book });
        }
        Ok(done)
    }
}
