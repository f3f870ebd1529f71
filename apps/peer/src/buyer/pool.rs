//! The pool: which pieces are still to be fetched, and who is fetching which.
//!
//! Pieces are handed out one by one to whoever asks, so a fast seller serves many and a slow one
//! few, and a piece that its seller does not deliver goes to the next.
//!
//! The content's name does not tell its size, and a seller that claims a wrong one could deliver
//! true pieces and never the end. Only the last piece proves the size. So it is fetched first, and
//! until it has come nobody fetches another.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use farthing_core::amount::Amount;
use farthing_core::id::{ContentId, PeerId};
use farthing_net::content::{ContentError, Manifest};
use tokio::sync::{Notify, watch};

use super::basket::Basket;
use super::report::{Progress, SellerProgress, Stopped};

/// The pieces of one purchase.
pub(super) struct Pool {
    content: ContentId,
    dir: PathBuf,
    budget: Option<Amount>,
    opening: tokio::sync::Mutex<()>,
    inside: Mutex<Inside>,
    changed: Notify,
    progress: watch::Sender<Progress>,
}

#[derive(Default)]
struct Inside {
    active: Option<Active>,
    spent: Option<Amount>,
    /// Whether a piece was left because of the budget.
    short: bool,
    stopped: Option<Stopped>,
}

/// The size that is believed, and what is known under it.
struct Active {
    manifest: Manifest,
    basket: Basket,
    /// Whether the last piece is in place.
    proved: bool,
    present: Vec<bool>,
    before: u64,
    missing: u64,
    /// No piece below this one is waiting, but for those given back.
    next: u64,
    back: BTreeSet<u64>,
    flying: BTreeSet<u64>,
    /// How many sellers go by this size.
    members: usize,
}

/// What a seller's next piece is.
pub(super) enum Take<'a> {
    Piece(Flight<'a>),
    /// The size believed is not this seller's: ask to join again.
    Rejoin,
    /// Nothing more is to be fetched, or not now.
    Over,
}

/// A piece on its way. Dropped before it has landed, it goes back to the pool.
pub(super) struct Flight<'a> {
    pool: &'a Pool,
    manifest: Manifest,
    basket: Basket,
    piece: u64,
    price: Amount,
    paid: bool,
    landed: bool,
}

/// Goes by one size until it is dropped.
pub(super) struct Member<'a> {
    pool: &'a Pool,
    manifest: Manifest,
}

/// Why a seller may not join.
pub(super) enum Refused {
    WrongSize { size: u64 },
    Over,
}

impl Pool {
    pub(super) fn new(
        content: ContentId,
        dir: PathBuf,
        budget: Option<Amount>,
        progress: watch::Sender<Progress>,
    ) -> Self {
        Self {
            content,
            dir,
            budget,
            opening: tokio::sync::Mutex::default(),
            inside: Mutex::default(),
            changed: Notify::new(),
            progress,
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins with the size a seller claims. Waits while another claim is being proved.
    pub(super) async fn join(&self, size: u64) -> Result<Member<'_>, Refused> {
        let manifest = Manifest { root: self.content, size };
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.try_join(manifest) {
                Some(joined) => return joined,
                None if self.inside().active.is_some() => changed.await,
                None => self.open(manifest).await,
            }
        }
    }

    fn try_join(&self, manifest: Manifest) -> Option<Result<Member<'_>, Refused>> {
        let mut inside = self.inside();
        if inside.stopped.is_some() {
            return Some(Err(Refused::Over));
        }
        let active = inside.active.as_mut()?;
        if active.manifest == manifest {
            active.members += 1;
            return Some(Ok(Member { pool: self, manifest }));
        }
        active.proved.then_some(Err(Refused::WrongSize { size: active.manifest.size }))
    }

    /// Begins with a size, if nobody else has meanwhile.
    async fn open(&self, manifest: Manifest) {
        let _turn = self.opening.lock().await;
        if self.inside().active.is_some() {
            return;
        }
        // Each size has a folder of its own: a false one must not cut off what a true one fetched.
        let dir = self.dir.join(manifest.size.to_string());
        match Basket::open(&dir, manifest).await {
            Ok((basket, present)) => {
                let missing = present.iter().filter(|present| !**present).count() as u64;
                let proved = present.last().is_none_or(|last| *last);
                let before = manifest.pieces() - missing;
                let active = Active {
                    manifest,
                    basket,
                    proved,
                    present,
                    before,
                    missing,
                    next: 0,
                    back: BTreeSet::new(),
                    flying: BTreeSet::new(),
                    members: 0,
                };
                let bytes = active.bytes_present();
                self.inside().active = Some(active);
                self.progress.send_modify(|so_far| {
                    (so_far.pieces, so_far.of) = (before, manifest.pieces());
                    (so_far.bytes, so_far.size) = (bytes, manifest.size);
                });
                self.changed.notify_waiters();
            }
            Err(why) => self.stop(Stopped::Disk(why)),
        }
    }

    /// The next piece for a seller at its price, waiting while others may give one back.
    pub(super) async fn take(&self, member: &Member<'_>, price: Amount) -> Take<'_> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(take) = self.try_take(member.manifest, price, None) {
                return take;
            }
            changed.await;
        }
    }

    /// A further piece, if one can be had without waiting.
    pub(super) fn take_now(&self, member: &Member<'_>, price: Amount) -> Option<Flight<'_>> {
        match self.try_take(member.manifest, price, None) {
            Some(Take::Piece(flight)) => Some(flight),
            _ => None,
        }
    }

    /// That very piece, if it is waiting to be fetched. It is paid for already.
    pub(super) fn take_paid(&self, member: &Member<'_>, piece: u64, price: Amount) -> Option<Flight<'_>> {
        match self.try_take(member.manifest, price, Some(piece)) {
            Some(Take::Piece(flight)) => Some(flight),
            _ => None,
        }
    }

    fn try_take(&self, manifest: Manifest, price: Amount, paid: Option<u64>) -> Option<Take<'_>> {
        let mut inside = self.inside();
        if inside.stopped.is_some() {
            return Some(Take::Over);
        }
        let spent = inside.spent.unwrap_or(price.currency().zero());
        let Some(active) = inside.active.as_mut().filter(|active| active.manifest == manifest) else {
            return Some(Take::Rejoin);
        };
        if active.missing == 0 {
            return Some(Take::Over);
        }
        let piece = match paid {
            Some(piece) => active.is_waiting(piece).then_some(piece)?,
            None => active.first_waiting()?,
        };
        let basket = active.basket.clone();
        if paid.is_none() {
            let spent = spent.checked_add(price).ok();
            let enough = self.budget.is_none_or(|budget| spent.is_some_and(|spent| fits(spent, budget)));
            if spent.is_none() || !enough {
                // What is under way still lands, and a cheaper seller may go on.
                active.back.insert(piece);
                inside.short = true;
                return Some(Take::Over);
            }
            inside.spent = spent;
        }
        if let Some(active) = &mut inside.active {
            active.flying.insert(piece);
            active.back.remove(&piece);
        }
        let paid = paid.is_some();
        Some(Take::Piece(Flight { pool: self, manifest, basket, piece, price, paid, landed: false }))
    }

    /// How many pieces a visit is begun for: what is missing, shared among the sellers that go by
    /// this size, but not fewer than `least` of it. The wallet's policy counts what a visit is begun
    /// for, so each is not to be begun for everything.
    pub(super) fn share(&self, least: u64) -> u64 {
        let inside = self.inside();
        let (missing, members) = inside.active.as_ref().map_or((1, 1), |active| (active.missing, active.members));
        missing.div_ceil(members.max(1) as u64).max(least).min(missing).max(1)
    }

    /// What so many pieces at `price` may cost within the budget.
    pub(super) fn most(&self, price: Amount, pieces: u64) -> Amount {
        let all = price.checked_mul(pieces).unwrap_or(price);
        let spent = self.inside().spent.unwrap_or(price.currency().zero());
        // The piece that is about to be paid for is among what is spent.
        let left = self.budget.and_then(|budget| budget.checked_sub(spent).ok()?.checked_add(price).ok());
        left.filter(|left| !fits(all, *left)).unwrap_or(all)
    }

    /// Ends the purchase. The first reason stands.
    pub(super) fn stop(&self, why: Stopped) {
        self.inside().stopped.get_or_insert(why);
        self.changed.notify_waiters();
    }

    /// What is left when everybody has gone: the basket of a complete download, and why it is not.
    pub(super) fn close(&self) -> Closed {
        let mut inside = self.inside();
        let otherwise = if inside.short { Stopped::Budget } else { Stopped::NoSeller };
        let stopped = inside.stopped.take().unwrap_or(otherwise);
        match inside.active.take() {
            None => Closed { basket: None, missing: None, before: 0, stopped },
            Some(Active { basket, missing, before, .. }) => {
                Closed { basket: (missing == 0).then_some(basket), missing: Some(missing), before, stopped }
            }
        }
    }

    /// Takes back a payment that never arrived.
    pub(super) fn refund(&self, price: Amount) {
        let mut inside = self.inside();
        inside.spent = inside.spent.and_then(|spent| spent.checked_sub(price).ok());
    }

    fn tell(&self, seller: PeerId, change: impl FnOnce(&mut SellerProgress)) {
        let spent = self.inside().spent;
        self.progress.send_modify(|so_far| {
            so_far.spent = spent;
            let at = so_far.sellers.iter().position(|other| other.seller == seller).unwrap_or_else(|| {
                so_far.sellers.push(SellerProgress { seller, pieces: 0, bytes: 0, spent: None });
                so_far.sellers.len() - 1
            });
            change(&mut so_far.sellers[at]);
        });
    }
}

/// How a pool is left.
pub(super) struct Closed {
    pub(super) basket: Option<Basket>,
    pub(super) missing: Option<u64>,
    pub(super) before: u64,
    pub(super) stopped: Stopped,
}

impl Active {
    fn is_waiting(&self, piece: u64) -> bool {
        let present = usize::try_from(piece).ok().and_then(|at| self.present.get(at));
        present.is_some_and(|present| !present) && !self.flying.contains(&piece)
    }

    fn first_waiting(&mut self) -> Option<u64> {
        if !self.proved {
            let last = self.manifest.pieces().checked_sub(1)?;
            return self.is_waiting(last).then_some(last);
        }
        if let Some(piece) = self.back.first() {
            return Some(*piece);
        }
        while self.next < self.manifest.pieces() {
            let piece = self.next;
            self.next += 1;
            if self.is_waiting(piece) {
                return Some(piece);
            }
        }
        None
    }

    fn bytes_present(&self) -> u64 {
        let present = (0_u64..).zip(&self.present).filter(|(_, present)| **present);
        present.filter_map(|(piece, _)| self.manifest.piece_bytes(piece)).map(|bytes| bytes as u64).sum()
    }
}

impl Flight<'_> {
    pub(super) const fn piece(&self) -> u64 {
        self.piece
    }

    /// Notes that the payment for it may be leaving: from here on the money counts as spent.
    pub(super) fn paid(&mut self, seller: PeerId) {
        self.paid = true;
        let price = self.price;
        self.pool.tell(seller, |so_far| {
            let spent = so_far.spent.unwrap_or(price.currency().zero());
            so_far.spent = spent.checked_add(price).ok();
        });
    }

    /// Notes that it was paid for in an earlier visit.
    pub(super) fn is_paid_already(&mut self) {
        self.paid = true;
        self.pool.refund(self.price);
    }

    /// Notes that the seller did not take the payment.
    pub(super) const fn unpaid(&mut self) {
        self.paid = false;
    }

    /// Proves the piece and puts it in place. Says how many bytes of content it holds.
    pub(super) async fn land(mut self, seller: PeerId, encoded: bytes::Bytes) -> Result<u64, ContentError> {
        if let Err(why) = self.basket.put(self.piece, encoded).await {
            if why.is_the_senders_doing() {
                self.pool.doubt(self.manifest);
            }
            return Err(why);
        }
        self.landed = true;
        let bytes = self.manifest.piece_bytes(self.piece).unwrap_or(0) as u64;
        self.pool.landed(self.manifest, self.piece);
        self.pool.progress.send_modify(|so_far| {
            so_far.pieces += 1;
            so_far.bytes += bytes;
        });
        self.pool.tell(seller, |so_far| {
            so_far.pieces += 1;
            so_far.bytes += bytes;
        });
        Ok(bytes)
    }
}

impl Pool {
    /// A piece is in place.
    fn landed(&self, manifest: Manifest, piece: u64) {
        let mut inside = self.inside();
        if let Some(active) = inside.active.as_mut().filter(|active| active.manifest == manifest) {
            active.flying.remove(&piece);
            if let Some(present) = usize::try_from(piece).ok().and_then(|at| active.present.get_mut(at))
                && !std::mem::replace(present, true)
            {
                active.missing -= 1;
            }
            active.proved |= piece + 1 == manifest.pieces();
        }
        drop(inside);
        self.changed.notify_waiters();
    }

    /// The piece that should prove this size does not: another claim may be tried.
    fn doubt(&self, manifest: Manifest) {
        let mut inside = self.inside();
        if inside.active.as_ref().is_some_and(|active| active.manifest == manifest && !active.proved) {
            inside.active = None;
        }
        drop(inside);
        self.changed.notify_waiters();
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        let mut inside = self.pool.inside();
        if !self.paid {
            inside.spent = inside.spent.and_then(|spent| spent.checked_sub(self.price).ok());
        }
        if let Some(active) = inside.active.as_mut().filter(|active| active.manifest == self.manifest) {
            active.flying.remove(&self.piece);
            active.back.insert(self.piece);
        }
        drop(inside);
        self.pool.changed.notify_waiters();
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        let mut inside = self.pool.inside();
        if let Some(active) = inside.active.as_mut().filter(|active| active.manifest == self.manifest) {
            active.members = active.members.saturating_sub(1);
            // Nobody is left to prove this size: let another be tried.
            if active.members == 0 && !active.proved {
                inside.active = None;
            }
        }
        drop(inside);
        self.pool.changed.notify_waiters();
    }
}

/// Whether `amount` is at most `limit`, in the same currency.
pub(super) fn fits(amount: Amount, limit: Amount) -> bool {
    amount.compare(limit).is_ok_and(core::cmp::Ordering::is_le)
}
