//! Tokens that were prefetched, and what is known of each.
//!
//! A token is money that no key protects any more: whoever reads the file spends them. They are in
//! no backup of the wallet; a token that is lost is one coupon.

use std::path::Path;
use std::sync::Arc;

use farthing_core::amount::Amount;
use farthing_core::id::{OrderId, PeerId};
use farthing_core::sign::Signed;
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_coupon::broker::{Form, Translated, Want};
use farthing_coupon::micro::Token;
use farthing_coupon::secret::Digest;
use farthing_driver::{Clock, Local, OsEntropy};
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt, Table};
use farthing_store::{SqliteOptions, SqliteStore, StoreError};
use minicbor::{Decode, Encode};

use crate::messages::{PrefetchAnswer, SellerLine};
use crate::rows;

/// Tokens that were asked for and have not come, by holder.
const ASKED: Table = Table("pocket_asked");
/// Tokens, by holder.
const TOKENS: Table = Table("pocket_tokens");

/// The most tokens in one pocket.
pub const TOKENS_MAX: usize = 10_000;

/// Why a pocket gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum PocketError {
    /// The file.
    #[error("the file of tokens: {0}")]
    Store(#[from] StoreError),
    /// The file.
    #[error("the file of tokens: {0}")]
    Fault(#[from] StoreFault),
    /// Refused.
    #[error("{0}")]
    Refused(farthing_core::refusal::Refusal),
    /// Too many.
    #[error("there are {TOKENS_MAX} tokens already: spend some first")]
    Full,
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Starved,
}

impl From<Halt> for PocketError {
    fn from(why: Halt) -> Self {
        match why {
            Halt::Refused(why) => Self::Refused(why),
            Halt::Store(fault) => Self::Fault(fault),
        }
    }
}

/// A token that was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Asked {
    #[n(0)]
    site: String,
    /// What the coupon pays for.
    #[n(1)]
    pub want: Want,
    #[n(2)]
    holder: Digest,
    #[n(3)]
    expires: Time,
}

impl Asked {
    /// A token for a pseudonym of its own, drawn now.
    ///
    /// # Errors
    /// [`PocketError::Starved`].
    pub fn new(site: String, seller: PeerId, units: u32, expires: Time) -> Result<Self, PocketError> {
        let mut holder = [0; 32];
        getrandom::fill(&mut holder).map_err(|_| PocketError::Starved)?;
        let holder = Digest(holder);
        let want = Want { seller, units, request: [0; 32], form: Form::Prefetch { holder, expires } };
        Ok(Self { site, want, holder, expires })
    }

    /// Whether a token is the one.
    #[must_use]
    pub fn is_answered_by(&self, token: &Token) -> bool {
        let terms = token.terms;
        (terms.units, terms.holder, terms.expires) == (self.want.units, self.holder, self.expires)
    }
}

/// A token, and where it may be spent.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Kept {
    /// The token.
    #[n(0)]
    pub token: Token,
    /// The broker's word that it took the coupon.
    #[n(1)]
    pub receipt: Signed<Translated>,
    /// Where the broker is.
    #[n(2)]
    pub broker: String,
    /// Whose it is to take.
    #[n(3)]
    pub seller: PeerId,
    /// Where that is.
    #[n(4)]
    pub origin: String,
    /// What one of its units is worth.
    #[n(5)]
    pub unit: Amount,
    /// How often the seller gave units back, as far as it told us.
    #[n(6)]
    pub turn: u32,
    /// The request it was sent with, and no answer came.
    #[cbor(n(7), with = "minicbor::bytes")]
    pub sent: Option<[u8; 32]>,
}

impl Kept {
    pub(crate) fn new(answer: PrefetchAnswer, line: &SellerLine, broker: &str) -> Self {
        let PrefetchAnswer { token, receipt } = answer;
        let (seller, origin, unit, broker) = (line.seller, line.origin.clone(), line.unit, broker.to_owned());
        Self { token, receipt, broker, seller, origin, unit, turn: 0, sent: None }
    }

    /// What it is worth to its seller.
    #[must_use]
    pub fn worth(&self) -> Option<Amount> {
        self.unit.checked_mul(self.token.terms.units.into()).ok()
    }
}

/// A file of tokens. One process at a time has it open.
pub struct Pocket(Local);

impl std::fmt::Debug for Pocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pocket(…)")
    }
}

struct Shared(Arc<dyn Clock>);

impl Clock for Shared {
    fn now(&self) -> Time {
        self.0.now()
    }
}

#[allow(clippy::missing_errors_doc, reason = "each fails with PocketError where the file does")]
impl Pocket {
    /// Opens a file of tokens, or makes one.
    pub fn open(file: &Path, clock: Arc<dyn Clock>) -> Result<Self, PocketError> {
        let tables: Vec<Table> = [ASKED, TOKENS].iter().chain(farthing_driver::TABLES).copied().collect();
        let store = SqliteStore::open(file, &tables, &SqliteOptions::default())?;
        Ok(Self(Local::open(store, Shared(clock), OsEntropy)?))
    }

    /// Every token, those that ended too.
    pub fn tokens(&self) -> Result<Vec<Kept>, PocketError> {
        Ok(rows::all::<Kept>(self.0.reader(), TOKENS)?.into_iter().map(|(_, kept)| kept).collect())
    }

    /// A token to spend on a request: the one that was sent with it and never answered, or else the
    /// first to end. It is noted as sent.
    pub fn take(
        &mut self,
        now: Time,
        seller: PeerId,
        realm: OrderId,
        price: (Amount, u32),
        request: [u8; 32],
    ) -> Result<Option<Kept>, PocketError> {
        let mut all = self.tokens()?;
        all.retain(|kept| {
            let fits = kept.seller == seller && kept.token.realm == realm;
            let free = kept.sent.is_none_or(|sent| sent == request);
            fits && free && (kept.unit, kept.token.terms.units) == price && now < kept.token.terms.expires
        });
        let chosen = all.into_iter().min_by_key(|kept| (kept.sent.is_none(), kept.token.terms.expires));
        let Some(mut kept) = chosen else { return Ok(None) };
        kept.sent = Some(request);
        self.put(&kept)?;
        Ok(Some(kept))
    }

    /// A token that came back: it was not taken, or its units were given back.
    pub fn put_back(&mut self, kept: &Kept, turn: u32) -> Result<(), PocketError> {
        self.put(&Kept { sent: None, turn: turn.max(kept.turn), ..kept.clone() })
    }

    /// A token that was spent, or is worth nothing any more.
    pub fn forget(&mut self, kept: &Kept) -> Result<(), PocketError> {
        let holder = kept.token.terms.holder;
        Ok(self.0.run(|cx| {
            cx.tx.delete(TOKENS, &holder.0);
            Ok(())
        })?)
    }

    /// What was asked for and never came, if it may still come.
    pub(crate) fn asked(
        &self,
        site: &str,
        seller: PeerId,
        units: u32,
        now: Time,
    ) -> Result<Option<Asked>, PocketError> {
        let all = rows::all::<Asked>(self.0.reader(), ASKED)?.into_iter().map(|(_, asked)| asked);
        let mut same = all.filter(|asked| asked.site == site && asked.want.seller == seller && now < asked.expires);
        Ok(same.find(|asked| asked.want.units == units))
    }

    /// Writes down what is about to be asked for.
    pub(crate) fn ask(&mut self, asked: Asked) -> Result<Asked, PocketError> {
        if self.tokens()?.len() >= TOKENS_MAX {
            return Err(PocketError::Full);
        }
        self.0.run(|cx| {
            cx.tx.put(ASKED, &asked.holder.0, wire::encode(&asked));
            Ok(())
        })?;
        Ok(asked)
    }

    /// Keeps what came.
    pub(crate) fn keep(&mut self, asked: &Asked, kept: &Kept) -> Result<(), PocketError> {
        Ok(self.0.run(|cx: &mut Context<'_>| {
            cx.tx.delete(ASKED, &asked.holder.0);
            cx.tx.put(TOKENS, &asked.holder.0, wire::encode(kept));
            Ok(())
        })?)
    }

    fn put(&mut self, kept: &Kept) -> Result<(), PocketError> {
        let holder = kept.token.terms.holder;
        Ok(self.0.run(|cx| {
            cx.tx.put(TOKENS, &holder.0, wire::encode(kept));
            Ok(())
        })?)
    }
}
