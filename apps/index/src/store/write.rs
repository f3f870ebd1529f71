//! Taking in what sellers say, and forgetting it in time.

use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::Time;
use farthing_core::wire;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use super::search::signed;
use super::{Counts, IndexStore, SWEEP_MAX, StoreError, StoreLimits, Writer};
use crate::messages::{BATCH_MAX, LISTING_LIFE_MAX, Listing, Presence, Scope, Withdraw};
use crate::text::Text;

/// A seller's row, as far as writing needs it.
struct Seller {
    id: i64,
    listings: u64,
    withdrawn: Time,
    serial: Time,
}

/// What is known of one seller and one content.
struct Known {
    id: i64,
    serial: Time,
    signed: Option<Signed<Listing>>,
}

/// A transaction, and the counts as they will be once it is committed.
struct Change<'a> {
    tx: Transaction<'a>,
    counts: Counts,
    limits: StoreLimits,
}

impl IndexStore {
    /// Takes listings in, all or none, and says how many of them were news. One that was taken
    /// before is taken again without effect.
    ///
    /// # Errors
    /// A refusal naming the first listing at fault: unsound ([`Listing::check`]), older than what
    /// stands or was withdrawn ([`Code::Sequence`]), contradicting it ([`Code::Conflict`]), or
    /// above a limit. Or [`StoreError::Database`].
    pub fn announce(&self, listings: &[Verified<Listing>], now: Time) -> Result<usize, StoreError> {
        if listings.len() > BATCH_MAX {
            return Err(Refusal::new(Code::Limit, format!("a batch has {BATCH_MAX} listings at most")).into());
        }
        self.change(|change| {
            let mut news = 0;
            for (at, listing) in listings.iter().enumerate() {
                news += usize::from(change.put(listing, now).map_err(|error| numbered(error, at))?);
            }
            Ok(news)
        })
    }

    /// Notes where a seller is. By the index's own clock it counts as present from now on for as
    /// long as the statement holds after its signing.
    ///
    /// # Errors
    /// A refusal when it is unsound ([`Presence::check`]), older than the one that stands
    /// ([`Code::Sequence`]), contradicts it ([`Code::Conflict`]), or comes from one seller too
    /// many. Or [`StoreError::Database`].
    pub fn appear(&self, presence: &Verified<Presence>, now: Time) -> Result<(), StoreError> {
        let body = presence.body();
        body.check(now)?;
        self.change(|change| {
            let seller = change.seller_or_new(presence.signer())?;
            if body.serial < seller.serial {
                return Err(stale("a later presence is known").into());
            }
            if body.serial == seller.serial {
                // A repeat must not prolong what it repeats.
                let known: Option<Signed<Presence>> = change
                    .tx
                    .prepare_cached("SELECT presence FROM sellers WHERE id = ?1 AND presence IS NOT NULL")?
                    .query_row([seller.id], |row| signed(row, 0))
                    .optional()?;
                return same(known.as_ref().map(Signed::digest), presence.digest());
            }
            let until = now.after(body.expires.since(body.serial));
            change
                .tx
                .prepare_cached("UPDATE sellers SET serial = ?2, present_until = ?3, presence = ?4 WHERE id = ?1")?
                .execute(params![
                    seller.id,
                    body.serial.as_millis(),
                    until.as_millis(),
                    wire::encode(presence.signed())
                ])?;
            Ok(())
        })
    }

    /// Takes the signer's own listings back and says how many. It is remembered for as long as one
    /// of them could be announced again by somebody who kept it.
    ///
    /// # Errors
    /// A refusal when it is unsound ([`Withdraw::check`]), or [`StoreError::Database`].
    pub fn withdraw(&self, withdraw: &Verified<Withdraw>, now: Time) -> Result<usize, StoreError> {
        let body = withdraw.body();
        body.check(now)?;
        self.change(|change| {
            let Some(seller) = change.seller(withdraw.signer())? else {
                return Ok(0); // Nothing of this seller stands here.
            };
            match &body.scope {
                Scope::All => change.withdraw_all(&seller, body.serial),
                Scope::These(contents) => {
                    let mut withdrawn = 0;
                    for content in contents.as_slice() {
                        let Some(known) = change.known(seller.id, &content.0)? else { continue };
                        if known.serial <= body.serial && known.signed.is_some() {
                            change.withdraw_one(known.id, body.serial)?;
                            withdrawn += 1;
                        }
                    }
                    Ok(withdrawn)
                }
            }
        })
    }

    /// Forgets what has expired: at most [`SWEEP_MAX`] listings and as many sellers of whom nothing
    /// is left to remember. Says how many rows went; when it is nought, all is clean.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn sweep(&self, now: Time) -> Result<usize, StoreError> {
        self.change(|change| {
            let expired = change.rows("SELECT id, seller FROM listings WHERE expires <= ?1 LIMIT ?2", now)?;
            for (id, seller) in &expired {
                change.remove(*id, *seller)?;
            }
            let forgotten = change
                .tx
                .prepare_cached(
                    "DELETE FROM sellers WHERE id IN (
                        SELECT id FROM sellers
                        WHERE present_until <= ?1 AND listings = 0 AND withdrawn <= ?2 AND serial <= ?3 LIMIT ?4)",
                )?
                .execute(params![
                    now.as_millis(),
                    now.before(LISTING_LIFE_MAX).as_millis(),
                    // A presence still fresh enough to be replayed must be remembered.
                    now.before(farthing_core::time::SKEW).before(farthing_core::time::Span::from_millis(1)).as_millis(),
                    SWEEP_MAX
                ])?;
            change.counts.sellers = change.counts.sellers.saturating_sub(forgotten as u64);
            Ok(expired.len() + forgotten)
        })
    }

    /// Runs a change in a transaction of its own; whatever is refused leaves no trace.
    fn change<T>(&self, work: impl FnOnce(&mut Change<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut writer = self.writer();
        let Writer { db, counts, limits } = &mut *writer;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut change = Change { tx, counts: *counts, limits: *limits };
        let answer = work(&mut change)?;
        change.tx.commit()?;
        *counts = change.counts;
        Ok(answer)
    }
}

impl Change<'_> {
    /// Takes one listing in; false if it was there already.
    fn put(&mut self, listing: &Verified<Listing>, now: Time) -> Result<bool, StoreError> {
        let body = listing.body();
        body.check(now)?;
        let seller = self.seller_or_new(listing.signer())?;
        if body.serial <= seller.withdrawn {
            return Err(stale("the seller has withdrawn it").into());
        }
        let id = match self.known(seller.id, &body.content.0)? {
            None => self.insert(&seller, body)?,
            Some(known) if body.serial < known.serial => return Err(stale("a later one is known").into()),
            Some(known) if body.serial == known.serial => {
                let Some(before) = known.signed else {
                    return Err(stale("the seller has withdrawn it").into());
                };
                return same(Some(before.digest()), listing.digest()).map(|()| false);
            }
            Some(known) => {
                self.forget_words(known.id)?;
                known.id
            }
        };
        let mut update = self.tx.prepare_cached(
            "UPDATE listings SET serial = ?2, expires = ?3, currency = ?4, price = ?5, signed = ?6 WHERE id = ?1",
        )?;
        update.execute(params![
            id,
            body.serial.as_millis(),
            body.expires.as_millis(),
            body.price.currency().code(),
            body.price.as_micros(),
            wire::encode(listing.signed())
        ])?;
        let tags: Vec<&str> = body.tags.as_slice().iter().map(Text::as_str).collect();
        let mut words = self
            .tx
            .prepare_cached("INSERT INTO words (rowid, title, description, tags, media) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        words.execute(params![
            id,
            body.title.as_str(),
            body.description.as_str(),
            tags.join(" "),
            body.media.as_str()
        ])?;
        Ok(true)
    }

    /// Makes room for a listing, within the limits.
    fn insert(&mut self, seller: &Seller, body: &Listing) -> Result<i64, StoreError> {
        if seller.listings >= self.limits.listings_per_seller {
            let detail = format!(
                "a seller may have {} listings, those withdrawn of late included: withdraw all and announce again",
                self.limits.listings_per_seller
            );
            return Err(Refusal::new(Code::Limit, detail).into());
        }
        if self.counts.listings >= self.limits.listings {
            return Err(full("listings").into());
        }
        self.tx
            .prepare_cached(
                "INSERT INTO listings (seller, content, serial, expires, currency, price) VALUES (?1, ?2, 0, 0, '', 0)",
            )?
            .execute(params![seller.id, body.content.0])?;
        let id = self.tx.last_insert_rowid();
        self.tx.prepare_cached("UPDATE sellers SET listings = listings + 1 WHERE id = ?1")?.execute([seller.id])?;
        self.counts.listings += 1;
        Ok(id)
    }

    fn seller(&self, key: PeerId) -> Result<Option<Seller>, StoreError> {
        let mut select =
            self.tx.prepare_cached("SELECT id, listings, withdrawn, serial FROM sellers WHERE key = ?1")?;
        let seller = select.query_row([key.0], |row| {
            Ok(Seller {
                id: row.get(0)?,
                listings: row.get(1)?,
                withdrawn: Time::from_millis(row.get(2)?),
                serial: Time::from_millis(row.get(3)?),
            })
        });
        Ok(seller.optional()?)
    }

    fn seller_or_new(&mut self, key: PeerId) -> Result<Seller, StoreError> {
        if let Some(seller) = self.seller(key)? {
            return Ok(seller);
        }
        if self.counts.sellers >= self.limits.sellers {
            return Err(full("sellers").into());
        }
        self.tx.prepare_cached("INSERT INTO sellers (key) VALUES (?1)")?.execute([key.0])?;
        self.counts.sellers += 1;
        let id = self.tx.last_insert_rowid();
        Ok(Seller { id, listings: 0, withdrawn: Time::default(), serial: Time::default() })
    }

    fn known(&self, seller: i64, content: &[u8; 32]) -> Result<Option<Known>, StoreError> {
        let mut select =
            self.tx.prepare_cached("SELECT id, serial, signed FROM listings WHERE seller = ?1 AND content = ?2")?;
        let known = select.query_row(params![seller, content], |row| {
            let withdrawn = matches!(row.get_ref(2)?, rusqlite::types::ValueRef::Null);
            Ok(Known {
                id: row.get(0)?,
                serial: Time::from_millis(row.get(1)?),
                signed: if withdrawn { None } else { Some(signed(row, 2)?) },
            })
        });
        Ok(known.optional()?)
    }

    /// Keeps a row in the listing's place until no listing it stands for can come back.
    fn withdraw_one(&self, id: i64, serial: Time) -> Result<(), StoreError> {
        self.forget_words(id)?;
        self.tx
            .prepare_cached("UPDATE listings SET signed = NULL, serial = ?2, expires = ?3 WHERE id = ?1")?
            .execute(params![id, serial.as_millis(), serial.after(LISTING_LIFE_MAX).as_millis()])?;
        Ok(())
    }

    /// One serial in the seller's row stands for all that was withdrawn, so their rows can go.
    fn withdraw_all(&mut self, seller: &Seller, serial: Time) -> Result<usize, StoreError> {
        let mine: Vec<(i64, bool)> = self
            .tx
            .prepare_cached("SELECT id, signed IS NOT NULL FROM listings WHERE seller = ?1 AND serial <= ?2")?
            .query_map(params![seller.id, serial.as_millis()], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (id, _) in &mine {
            self.remove(*id, seller.id)?;
        }
        self.tx
            .prepare_cached("UPDATE sellers SET withdrawn = max(withdrawn, ?2) WHERE id = ?1")?
            .execute(params![seller.id, serial.as_millis()])?;
        Ok(mine.iter().filter(|(_, stood)| *stood).count())
    }

    fn remove(&mut self, id: i64, seller: i64) -> Result<(), StoreError> {
        self.forget_words(id)?;
        self.tx.prepare_cached("DELETE FROM listings WHERE id = ?1")?.execute([id])?;
        self.tx.prepare_cached("UPDATE sellers SET listings = listings - 1 WHERE id = ?1")?.execute([seller])?;
        self.counts.listings = self.counts.listings.saturating_sub(1);
        Ok(())
    }

    fn forget_words(&self, id: i64) -> Result<(), StoreError> {
        self.tx.prepare_cached("DELETE FROM words WHERE rowid = ?1")?.execute([id])?;
        Ok(())
    }

    fn rows(&self, select: &str, now: Time) -> Result<Vec<(i64, i64)>, StoreError> {
        let mut select = self.tx.prepare_cached(select)?;
        let rows = select.query_map(params![now.as_millis(), SWEEP_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// A repeat is welcome, a contradiction under the same serial is not.
fn same(before: Option<[u8; 32]>, now: [u8; 32]) -> Result<(), StoreError> {
    if before == Some(now) {
        return Ok(());
    }
    let detail = "another statement with the same serial is known: sign it anew with a later one";
    Err(Refusal::new(Code::Conflict, detail).remedy(Remedy::Mend).into())
}

fn stale(why: &str) -> Refusal {
    Refusal::new(Code::Sequence, format!("the statement is out of date: {why}; sign it anew")).remedy(Remedy::Mend)
}

fn full(what: &str) -> Refusal {
    Refusal::new(Code::Limit, format!("the index is full of {what}: try another, or later")).remedy(Remedy::Again)
}

/// Says which of a batch was at fault, counted from one.
fn numbered(error: StoreError, at: usize) -> StoreError {
    match error {
        StoreError::Refused(mut refusal) => {
            refusal.detail = format!("listing {}: {}", at + 1, refusal.detail).into();
            StoreError::Refused(refusal)
        }
        other => other,
    }
}
