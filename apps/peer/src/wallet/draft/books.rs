//! Comparing books with the bank, for the next certificate.

use farthing_bank::messages::Closed;
use farthing_core::amount::Amount;
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Signed;
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_draft::messages::{Agreement, Alias, Closing, Enrol, Opening, Problem, kind};
use farthing_draft::payer::Payer;
use farthing_role::{Context, Halt};
use minicbor::{Decode, Encode};

use crate::wallet::Wallet;
use crate::wallet::desk::{Desk, DeskError};
use crate::wallet::error::WalletError;
use crate::wallet::means::{self, Said};
use crate::wallet::records::{self, ALIASES};

/// At most so many pages in one round: a log of a million entries.
const PAGES_MAX: usize = 1_100;

/// How often a round is closed anew because drafts were written meanwhile.
const CLOSINGS_MAX: usize = 8;

/// A key that writes drafts, under its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
struct Row {
    #[n(0)]
    alias: Option<u32>,
}

/// What may be written under one name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DraftBook {
    /// Under which pseudonym; none for the wallet's own name.
    pub alias: Option<u32>,
    /// The key that writes.
    pub key: PeerId,
    /// How many drafts it has written in all.
    pub written: u64,
    /// What may still be written without the bank; nothing without a certificate that holds.
    pub left: Amount,
    /// When the certificate ends; none where there is none, or only another copy's.
    pub until: Option<Time>,
    /// Where the bank's books differ from this log; a certificate is not to be had before its operator
    /// has settled that.
    pub problems: Vec<Problem>,
}

impl Wallet {
    /// Compares the log of a key with the bank and gets the next certificate for it. Enrols the key
    /// the first time.
    ///
    /// # Errors
    /// [`WalletError`]; what was written stays written. [`WalletError::Bank`] with code epoch where
    /// another copy of this wallet still holds a certificate: the refusal says when to come back.
    pub async fn renew_drafts(&self, desk: &dyn Desk, alias: Option<u32>) -> Result<DraftBook, WalletError> {
        self.may_pay()?;
        let _counter = self.inner.counter.lock().await;
        self.compare_drafts(desk, alias).await
    }

    /// The same for who holds the counter, and for a wallet that is being reconciled.
    pub(crate) async fn compare_drafts(&self, desk: &dyn Desk, alias: Option<u32>) -> Result<DraftBook, WalletError> {
        self.checked_now()?;
        self.learn(desk).await?;
        let drawer = self.drawer(alias)?;
        self.enrol(desk, alias).await?;
        let opening: Signed<Opening> = self.said(desk, &drawer, kind::RECONCILE, &drawer.reconcile()).await?;
        let signed = opening.peek().map_err(Refusal::from)?.time;
        self.step(alias, move |payer, cx| payer.on_opening(cx, opening)).await?;
        self.raise_floor(signed).await?;
        let wanted = self.limit_wanted()?;
        for _ in 0..CLOSINGS_MAX {
            self.tell_log(desk, alias, &drawer).await?;
            let closing = self.step(alias, move |payer, cx| {
                means::closing(cx, alias)?;
                payer.close(cx, Some(wanted))
            });
            let closing = closing.await;
            let closing: Signed<Closing> = match closing {
                // Something was written since the last page.
                Err(WalletError::Refused(why)) if why.code == Code::Reconcile => continue,
                closing => closing?,
            };
            let before = self.before_asking().await?;
            let Closed { said, certificate } = self.said(desk, &drawer, kind::CLOSE, &closing).await?;
            let told = said.peek().map_err(Refusal::from)?;
            let has = told.balance.checked_sub(told.owed).unwrap_or(told.balance.currency().zero());
            let (outstanding, standing) = (told.outstanding, Said { has, suspended: false });
            let problems = match told.result {
                Agreement::Problems(problems) => problems.into_vec(),
                Agreement::Agreed(_) => Vec::new(),
            };
            let agreed = self.step(alias, move |payer, cx| {
                payer.on_reconciled(cx, said, certificate)?;
                means::closed(cx, alias, outstanding, before, standing)
            });
            match agreed.await {
                Err(WalletError::Refused(why)) if why.code == Code::Reconcile && !problems.is_empty() => {
                    return Ok(DraftBook { problems, ..self.draft_book(alias).await? });
                }
                done => done?,
            }
            return self.draft_book(alias).await;
        }
        Err(Refusal::new(Code::Reconcile, "drafts are written faster than books are compared: pause for a moment")
            .into())
    }

    /// What may be written under each name that was enrolled.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn draft_books(&self) -> Result<Vec<DraftBook>, WalletError> {
        let mut books = Vec::new();
        for alias in self.draft_names().await? {
            books.push(self.draft_book(alias).await?);
        }
        Ok(books)
    }

    /// The names under which drafts were written, or were to be.
    pub(crate) async fn draft_names(&self) -> Result<Vec<Option<u32>>, WalletError> {
        let rows: Vec<(Vec<u8>, Row)> = self.all_rows(ALIASES).await?;
        Ok(rows.into_iter().map(|(_, row)| row.alias).collect())
    }

    async fn draft_book(&self, alias: Option<u32>) -> Result<DraftBook, WalletError> {
        let (now, zero) = (self.now(), self.inner.settings.currency().zero());
        let key = self.draft_key(alias).0.id();
        let mut book = DraftBook { alias, key, written: 0, left: zero, until: None, problems: Vec::new() };
        if let Some(log) = self.step(alias, |payer, cx| payer.book(cx)).await? {
            book.written = log.log.outgoing.n & u64::from(u32::MAX);
            let certificate = log.certificate.filter(|_| log.copy.0 == self.copy_token());
            let window = certificate.and_then(|certificate| certificate.peek().ok()).map(|body| body.window);
            book.until = window.filter(|window| window.contains(now)).map(|window| window.to);
            if book.until.is_some() && !self.is_restored() {
                let (budget, free) = (log.budget.unwrap_or(zero), self.means().await?.free);
                book.left = free.filter(|free| free.as_micros() < budget.as_micros()).unwrap_or(budget);
            }
        }
        Ok(book)
    }

    /// Enrols a key, unless that was done.
    async fn enrol(&self, desk: &dyn Desk, alias: Option<u32>) -> Result<(), WalletError> {
        if self.draft_names().await?.contains(&alias) {
            return Ok(());
        }
        let (key, seal) = self.draft_key(alias);
        let name = Alias { account: self.me(), bank: self.bank(), seal: seal.public() };
        let message = wire::encode(&Enrol { alias: key.sign(self.network(), &name) });
        self.ask_afresh(desk, &self.inner.key, kind::ENROL, message).await?;
        let number = alias.map_or(0, |n| n.saturating_add(1)).to_be_bytes();
        let known = move |cx: &mut Context<'_>| {
            records::put(cx.tx, ALIASES, &number, &Row { alias });
            Ok(())
        };
        Ok(self.inner.handle.transact(known).await?)
    }

    /// Sends the pages that the bank has not read.
    async fn tell_log(&self, desk: &dyn Desk, alias: Option<u32>, drawer: &Payer) -> Result<(), WalletError> {
        for _ in 0..PAGES_MAX {
            let Some(page) = self.step(alias, |payer, cx| payer.next_page(cx)).await? else { return Ok(()) };
            let taken = self.said(desk, drawer, kind::LOG_PAGE, &page).await?;
            self.step(alias, move |payer, cx| payer.on_page_taken(cx, &page, &taken)).await?;
        }
        Err(Refusal::new(Code::Limit, "the log has more entries than are compared at once").into())
    }

    /// A step of the drawer's in a transaction.
    pub(super) async fn step<T: Send + 'static>(
        &self,
        alias: Option<u32>,
        work: impl FnOnce(&Payer, &mut Context<'_>) -> Result<T, Halt> + Send + 'static,
    ) -> Result<T, WalletError> {
        let drawer = self.drawer(alias)?;
        Ok(self.inner.handle.transact(move |cx| work(&drawer, cx)).await?)
    }

    /// Asks as the drawer, and reads the answer.
    pub(super) async fn said<M: wire::Wire, T: wire::Wire>(
        &self,
        desk: &dyn Desk,
        drawer: &Payer,
        kind: u16,
        message: &M,
    ) -> Result<T, WalletError> {
        let reply = self.ask_afresh(desk, &drawer.key, kind, wire::encode(message)).await?;
        wire::decode(&reply).map_err(|_| WalletError::FalseAnswer("it cannot be read"))
    }

    /// The limit to ask for: what the settings say, within what the bank allows.
    fn limit_wanted(&self) -> Result<Amount, WalletError> {
        let wanted = self.inner.settings.currency().micros(self.inner.settings.drafts.limit_micros)?;
        let allowed = self.bank_facts()?.limits.total;
        Ok(if wanted.compare(allowed)?.is_gt() { allowed } else { wanted })
    }

    /// Whether a book needs the bank soon: its certificate ends within a quarter of its life.
    pub(crate) async fn books_due(&self, now: Time) -> Result<Vec<Option<u32>>, WalletError> {
        let mut due = Vec::new();
        for alias in self.draft_names().await? {
            let log = self.step(alias, |payer, cx| payer.book(cx)).await?;
            let certificate = log.filter(|log| log.copy.0 == self.copy_token()).and_then(|log| log.certificate);
            let fresh = certificate.and_then(|certificate| certificate.peek().ok()).is_some_and(|body| {
                let quarter = body.window.to.since(body.window.from).as_millis() / 4;
                now.after(farthing_core::time::Span::from_millis(quarter)) < body.window.to
            });
            if !fresh {
                due.push(alias);
            }
        }
        Ok(due)
    }
}

/// Whether the bank does not do something at all, being older than this wallet.
pub(crate) fn is_unknown_to_bank(why: &WalletError) -> bool {
    matches!(why, WalletError::Bank(DeskError::Refused(refusal)) if refusal.code == Code::Unknown)
}
