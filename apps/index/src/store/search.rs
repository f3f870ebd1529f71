//! Finding: by words and by content, only what stands and whose seller is present.

use farthing_core::id::ContentId;
use farthing_core::sign::Signed;
use farthing_core::time::Time;
use farthing_core::wire;
use rusqlite::{Row, params};

use super::query::Query;
use super::{IndexStore, StoreError};
use crate::messages::{Listing, Presence};

/// How many hits a page has when nobody says.
pub const PAGE_DEFAULT: u32 = 20;
/// How many hits a page has at most.
pub const PAGE_MAX: u32 = 100;
/// How many matches are ranked, the newest first, and so how deep anyone can page: bounds what a
/// search for the commonest word costs.
pub const CANDIDATES_MAX: u32 = 10_000;

/// The four figures weigh title, description, tags and media in SQLite's BM25. The innermost query
/// takes the candidates, the next one ranks them, the outer one fetches a page of statements.
const BY_WORDS: &str = "
    SELECT l.signed, s.presence FROM (
        SELECT id, rank, currency, price FROM (
            SELECT l.id AS id, bm25(words, 8.0, 2.0, 4.0, 1.0) AS rank, l.currency AS currency, l.price AS price
            FROM words CROSS JOIN listings l ON l.id = words.rowid CROSS JOIN sellers s ON s.id = l.seller
            WHERE words MATCH ?1 AND l.expires > ?2 AND s.present_until > ?2
            ORDER BY words.rowid DESC LIMIT ?5)
        ORDER BY rank, currency, price, id LIMIT ?3 OFFSET ?4) AS top
    CROSS JOIN listings l ON l.id = top.id CROSS JOIN sellers s ON s.id = l.seller
    ORDER BY top.rank, top.currency, top.price, top.id";

const BY_CONTENT: &str = "
    SELECT l.signed, s.presence
    FROM listings l CROSS JOIN sellers s ON s.id = l.seller
    WHERE l.content = ?1 AND l.signed IS NOT NULL AND l.expires > ?2 AND s.present_until > ?2
    ORDER BY l.currency, l.price, l.id LIMIT ?3 OFFSET ?4";

/// Which part of the hits is wanted. Hits come and go between two pages, so a reader may meet one
/// twice or miss one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    after: u32,
    limit: u32,
}

impl Page {
    /// At most `limit` hits (cut to [`PAGE_MAX`]) after the first `after`.
    #[must_use]
    pub fn new(after: u32, limit: u32) -> Self {
        Self { after: after.min(CANDIDATES_MAX), limit: limit.clamp(1, PAGE_MAX) }
    }

    /// How many hits are passed over.
    #[must_use]
    pub const fn after(self) -> u32 {
        self.after
    }

    /// How many hits there may be.
    #[must_use]
    pub const fn limit(self) -> u32 {
        self.limit
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::new(0, PAGE_DEFAULT)
    }
}

/// One thing for sale now: what is sold, and where its seller is. Both as their seller signed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// What is sold.
    pub listing: Signed<Listing>,
    /// Where the seller is.
    pub presence: Signed<Presence>,
}

/// A page of hits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hits {
    /// The hits, best first.
    pub hits: Vec<Hit>,
    /// What to hand to [`Page::new`] as `after` for the next page; nothing on the last.
    pub next: Option<u32>,
}

impl IndexStore {
    /// What matches all words of a query: the best match first, then the lowest price.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn search(&self, query: &Query, page: Page, now: Time) -> Result<Hits, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(BY_WORDS)?;
            let now = now.as_millis();
            let wanted = params![query.as_fts(), now, page.limit + 1, page.after, CANDIDATES_MAX];
            let rows = statement.query_map(wanted, hit)?;
            collect(rows, page)
        })
    }

    /// Everyone who sells this content now, the lowest price first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn sellers_of(&self, content: &ContentId, page: Page, now: Time) -> Result<Hits, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(BY_CONTENT)?;
            let wanted = params![content.0, now.as_millis(), page.limit + 1, page.after];
            let rows = statement.query_map(wanted, hit)?;
            collect(rows, page)
        })
    }
}

/// Takes a page's worth; one row more says that there is another page.
fn collect(rows: impl Iterator<Item = rusqlite::Result<Hit>>, page: Page) -> Result<Hits, StoreError> {
    let mut hits: Vec<Hit> = rows.collect::<Result<_, _>>()?;
    let limit = page.limit as usize;
    let next = page.after + page.limit;
    let more = hits.len() > limit && next < CANDIDATES_MAX;
    hits.truncate(limit);
    Ok(Hits { hits, next: more.then_some(next) })
}

fn hit(row: &Row<'_>) -> rusqlite::Result<Hit> {
    Ok(Hit { listing: signed(row, 0)?, presence: signed(row, 1)? })
}

/// A statement as it was stored.
pub(super) fn signed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<Signed<T>> {
    let bytes = row.get_ref(column)?.as_blob()?;
    wire::decode(bytes).map_err(|malformed| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, malformed.into())
    })
}
