//! Coupons: sessions with one seller each, opened by 3KP and paid from with one hash per request.
//!
//! The wallet speaks no HTTP. Somebody who does (the paying client) carries the six messages:
//! [`Wallet::coupon_ask`] gives Initiate, [`Asking::on_invoice`] gives Payment, written down before
//! it is returned, and [`Opening::on_confirm`] gives a [`CouponSession`].
//! [`CouponSession::pay`] then reserves units that no other request gets.
//!
//! # What is on the disk
//! A session is written down *ahead*, in blocks of units that count as paid, so that most payments
//! touch no disk, and the policy counts a block when it is written. When the wallet is closed each
//! session is written down as it is, and the policy counts what was charged or not answered: no
//! more. A crash costs at most a block per session, and units that a seller gave back, in these
//! counts and in what can be paid; money comes back all the same, and the counts with it once the
//! session has ended and its seller has cleared ([`Wallet::coupon_settle`]). After it the session goes on above everything
//! that may have been sent, by its own records; what a seller claims is never asked for.
//!
//! # Answers that went missing
//! A payment without an answer stays open. [`CouponSession::pay`] for the very same request gives
//! the same payment again, not another: after a broken connection, and after a restart as far as
//! it was written down.
//!
//! # Who is paid
//! The key under which a site was first paid is written down, and another key in its place is
//! refused until its owner says so ([`Wallet::coupon_trust`]).

mod allowance;
mod books;
mod delegate;
mod opening;
mod rows;
mod session;
mod ticket;
mod upkeep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farthing_core::amount::Amount;
use farthing_core::id::{ChainId, OrderId, PeerId};
use farthing_core::time::{Span, Time};
use farthing_coupon::micro::SessionName;

use super::Wallet;
use super::error::WalletError;
use super::records::{self, Origin};

pub(crate) use books::ENDED;
pub use books::Settled;
pub use delegate::{Delegate, Reclaimed};
pub use opening::{Asking, Opening, Wish};
pub use rows::{SESSIONS_MAX, SITE_MAX};
pub use session::{CouponSession, Spend};
pub use ticket::Ticket;

pub(crate) use rows::{OPENINGS, SESSIONS, SITES};

/// A session must run at least so long for a payment to be made in it.
const PAY_MARGIN: Span = Span::from_secs(5);

/// What coupons keep in memory.
#[derive(Default)]
pub(super) struct Coupons {
    /// Sessions taken up, by number: each is held once, by all who use it.
    open: Mutex<HashMap<u64, Arc<session::Open>>>,
    /// What tools may still spend of what was counted for them.
    allowances: allowance::Allowances,
    /// Whether all that were written down are taken up; held by whoever does it.
    taken: tokio::sync::Mutex<bool>,
}

impl Coupons {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<session::Open>>> {
        // A panic leaves it whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session, for its owner to look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionInfo {
    /// Its chain.
    pub chain: ChainId,
    /// Where its seller is.
    pub site: String,
    /// Who is paid.
    pub seller: PeerId,
    /// What is sold, in the seller's words.
    pub description: String,
    /// What may be bought in it.
    pub realm: OrderId,
    /// What a unit is worth.
    pub unit: Amount,
    /// What the bank has set aside for it.
    pub held: Amount,
    /// Units that can still be paid.
    pub left: u32,
    /// What was paid: charged by the seller, or without its word.
    pub paid: Amount,
    /// Of that, without its word; what a crash counts too much is among it.
    pub unanswered: Amount,
    /// Paid without an answer, or given back: what a dishonest seller could clear for nothing.
    pub at_risk: Amount,
    /// How many requests cost something.
    pub requests: u32,
    /// The last payment that the seller acknowledged, as its receipt names it.
    pub receipt: Option<(SessionName, u32)>,
    /// When it ends, and what was not spent comes back.
    pub not_after: Time,
}

impl Wallet {
    /// The session to pay with: at this site, with this seller, for this realm, at this unit, with
    /// at least so many units left. `None` if one must be opened.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn coupon_session(
        &self,
        site: &str,
        seller: PeerId,
        realm: OrderId,
        unit: Amount,
        units: u32,
    ) -> Result<Option<CouponSession>, WalletError> {
        let now = self.checked_now()?;
        self.make_sure_present().await?;
        for session in self.coupon_take_all().await? {
            let open = session.open();
            let fits = open.site == site && open.seller == seller && open.realm == realm && open.unit == unit;
            if fits && now.after(PAY_MARGIN) < open.not_after && session.left().await >= units {
                return Ok(Some(session));
            }
        }
        Ok(None)
    }

    /// Every open session at a site, to be ended.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn coupon_sessions_at(&self, site: &str) -> Result<Vec<CouponSession>, WalletError> {
        let mut all = self.coupon_take_all().await?;
        all.retain(|session| session.open().site == site);
        Ok(all)
    }

    /// Every open session.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn coupon_sessions(&self) -> Result<Vec<SessionInfo>, WalletError> {
        let mut all = Vec::new();
        for session in self.coupon_take_all().await? {
            all.push(session.info().await?);
        }
        Ok(all)
    }

    /// Pays this key at this site from now on, in place of the one that was known.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn coupon_trust(&self, site: &str, seller: PeerId) -> Result<(), WalletError> {
        let site = checked_site(site)?.to_owned();
        let known = move |cx: &mut farthing_role::Context<'_>| {
            records::put(cx.tx, SITES, site.as_bytes(), &seller);
            Ok(())
        };
        Ok(self.inner.handle.transact(known).await?)
    }

    /// Whom this wallet knows at a site.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn coupon_known(&self, site: &str) -> Result<Option<PeerId>, WalletError> {
        let key = site.as_bytes().to_vec();
        Ok(self.inner.handle.read(move |reader| records::look(reader, SITES, &key)).await??)
    }

    /// Takes up every session of this epoch that is written down.
    async fn coupon_take_all(&self) -> Result<Vec<CouponSession>, WalletError> {
        let coupons = &self.inner.coupons;
        let mut taken = coupons.taken.lock().await;
        if !*taken {
            let meta = self.inner.meta().clone();
            for row in self.inner.handle.read(rows::sessions).await?? {
                let index = row.origin.index;
                if row.origin.is_current(&meta) && !coupons.open().contains_key(&index) {
                    let words = words(self, &row.origin);
                    let open = tokio::task::spawn_blocking(move || session::Open::resume(row, words)).await;
                    let open = open.map_err(|_| WalletError::Records("the program is stopping".into()))??;
                    coupons.open().insert(index, Arc::new(open));
                }
            }
            *taken = true;
        }
        drop(taken);
        let mut open: Vec<_> = coupons.open().values().map(Arc::clone).collect();
        open.sort_by_key(|open| open.not_after);
        Ok(open.into_iter().map(|open| CouponSession::new(self.clone(), open)).collect())
    }
}

/// What the bank may have set aside for sessions that were signed for and not confirmed.
pub(crate) async fn openings_at_most(wallet: &Wallet) -> Result<Amount, WalletError> {
    let openings = wallet.inner.handle.read(rows::openings).await??;
    let zero = wallet.inner.settings.currency().zero();
    Ok(openings.iter().filter_map(|row| row.at_most).try_fold(zero, Amount::checked_add)?)
}

/// The seed of a session's chain.
fn words(wallet: &Wallet, origin: &Origin) -> [u8; 32] {
    super::chains::secrets(&wallet.inner.seed, origin).0
}

fn checked_site(site: &str) -> Result<&str, WalletError> {
    if site.is_empty() || site.len() > SITE_MAX {
        return Err(WalletError::Order("from a site without a name, or with too long a one"));
    }
    Ok(site)
}
