//! Opening a session: the buyer's half of 3KP, written down before anything that is signed leaves.

use farthing_core::amount::Amount;
use farthing_core::order::Order;
use farthing_core::seal::SealPublic;
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{Span, Time};
use farthing_core::wire;
use farthing_coupon::buyer::{Asked, Buyer, Purchase};
use farthing_coupon::messages::{Answer, Authorisation, Clear, Confirm, Initiate, Payment, kind};
use farthing_coupon::spender::Spender;
use farthing_role::Context;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::rows::{self, OPENINGS, OpeningRow, SESSIONS, SESSIONS_MAX, SITES, SessionRow, Tally};
use super::session::{CouponSession, Open};
use super::{checked_site, words};
use crate::wallet::chains::{UNITS_MAX, secrets};
use crate::wallet::error::WalletError;
use crate::wallet::home::random;
use crate::wallet::policy::{self, Approval, PolicyRefusal};
use crate::wallet::records::{self, Origin, What};
use crate::wallet::{Wallet, means, start};

/// How long a session runs unless the wish says otherwise.
const LIFE: Span = Span::from_hours(24);

/// The shortest life worth asking for.
const LIFE_MIN: Span = Span::from_secs(120);

/// What a session is wanted for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Where the seller is: scheme, host and port of an HTTP server, or another name that no two
    /// sellers share.
    pub site: String,
    /// What is offered: the payee, and the price of a unit.
    pub order: Order,
    /// How many units are needed at once.
    pub units: u32,
    /// What may be set aside at the most; what the settings say if nothing.
    pub at_most: Option<Amount>,
    /// When it is to end; in a day if nothing.
    pub not_after: Option<Time>,
}

/// A session that was asked for; nothing is signed, and nothing can be lost.
pub struct Asking {
    wallet: Wallet,
    asked: Asked,
    origin: Origin,
    wish: Wish,
    slips: SealPublic,
    not_after: Time,
    at_most: Amount,
}

/// A session that was signed for. The bank sets money aside once the seller has asked it to, and
/// gives it back when the session ends if it never opened.
#[derive(Debug)]
pub struct Opening {
    wallet: Wallet,
    row: OpeningRow,
    purchase: Purchase,
}

impl Wallet {
    /// Asks for a session: policy and owner agree, the seller is the one known at the site, and a
    /// chain is drawn. Give [`Initiate`] to the seller.
    ///
    /// # Errors
    /// [`WalletError`]; nothing was signed.
    pub async fn coupon_ask(&self, wish: Wish) -> Result<(Asking, Initiate), WalletError> {
        let now = self.checked_now()?;
        self.make_sure_present().await?;
        checked_site(&wish.site)?;
        let (seller, unit) = (wish.order.payee, wish.order.price);
        if wish.order.expires <= now {
            return Err(WalletError::Order("over: ask for a new one"));
        }
        if unit.is_zero() || unit.currency() != self.inner.settings.currency() {
            return Err(WalletError::Price(unit, 1));
        }
        if let Some(known) = self.coupon_known(&wish.site).await?.filter(|known| *known != seller) {
            return Err(WalletError::SellerChanged { site: wish.site, known, shown: seller });
        }
        let not_after = wish.not_after.unwrap_or_else(|| now.after(LIFE));
        if not_after < now.after(LIFE_MIN) {
            return Err(WalletError::Order("for a session that would end too soon"));
        }
        let units = self.session_units(&wish, now).await?;
        let slips = self.desk().await?.slips().ok_or(WalletError::FalseAnswer("the bank names no key for slips"))?;
        let (copy, epoch, index) = {
            let meta = self.inner.meta();
            (meta.copy, meta.epoch, meta.next_chain)
        };
        let origin = Origin { copy, epoch, index, salt: random()? };
        self.change_meta(move |meta| meta.next_chain = meta.next_chain.max(index + 1)).await?;
        let mut rng = ChaCha20Rng::from_seed(random()?);
        let pseudonym = pseudonym(self, &origin);
        let buyer = buyer(self, &pseudonym, slips);
        let (asked, initiate) = buyer.initiate(&wish.order, units, not_after, words(self, &origin), &mut rng)?;
        let at_most = unit.checked_mul(units.into())?;
        Ok((Asking { wallet: self.clone(), asked, origin, wish, slips, not_after, at_most }, initiate))
    }

    /// Sessions at a site that were signed for and never confirmed: give each [`Payment`] to the
    /// seller again, or ask the bank by [`Opening::inquire`].
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn coupon_openings(&self, site: &str) -> Result<Vec<Opening>, WalletError> {
        let now = self.checked_now()?;
        let meta = self.inner.meta().clone();
        let mut all = self.inner.handle.read(rows::openings).await??;
        all.retain(|row| row.site == site && row.origin.is_current(&meta) && now < row.not_after);
        let resumed = all.into_iter().map(|row| {
            let purchase = Purchase::resume(row.pending.clone(), words(self, &row.origin))?;
            Ok(Opening { wallet: self.clone(), row, purchase })
        });
        resumed.collect()
    }

    /// How many units to set aside: what the settings keep in a session, no more than every cap
    /// leaves, and no less than is needed now.
    async fn session_units(&self, wish: &Wish, now: Time) -> Result<u32, WalletError> {
        let (seller, unit) = (wish.order.payee, wish.order.price);
        let (policy, currency) = (self.inner.settings.policy, self.inner.settings.currency());
        let need = unit.checked_mul(wish.units.max(1).into())?;
        let usual = wish.at_most.map_or(self.inner.settings.chains.value_micros, |most| most.as_micros());
        if let Some(most) = wish.at_most
            && need.compare(most)?.is_gt()
        {
            return Err(PolicyRefusal::Visit { left: most, asked: need }.into());
        }
        let hour = policy::hour_of(now);
        // Counted and given back at once: the refusal is what is wanted of it.
        let asked = move |cx: &mut Context<'_>| {
            let answer = policy.charge(cx.tx, &seller, hour, need)?;
            if answer.is_ok() {
                policy::give_back(cx.tx, &seller, hour, need)?;
            }
            Ok(answer)
        };
        self.inner.handle.transact(asked).await??;
        let budget = self.inner.handle.read(|reader| policy.budget(reader, currency, &seller, now)).await??;
        let caps = [budget.per_payee, budget.per_hour, budget.total, policy.approve_above];
        let room = caps.into_iter().flatten().map(Amount::as_micros).fold(usual, u64::min).max(need.as_micros());
        let units = (room / unit.as_micros().max(1)).clamp(wish.units.max(1).into(), UNITS_MAX.into());
        if let Some(above) = policy.approve_above.filter(|above| need.compare(*above).map_or(true, |o| o.is_gt())) {
            let description = wish.order.description.clone();
            let ask = Approval { payee: seller, order: wish.order.id(), description, at_most: need };
            if !self.inner.approver.approve(&ask).await {
                return Err(PolicyRefusal::NotApproved { asked: need, above }.into());
            }
        }
        u32::try_from(units).map_err(|_| WalletError::Price(unit, 1))
    }
}

impl Asking {
    /// Takes Invoice. On return the purchase is signed, and written down: give
    /// [`payment`](Opening::payment) to the seller, and again until it confirms.
    ///
    /// # Errors
    /// [`WalletError`]; nothing was signed.
    pub async fn on_invoice(self, invoice: Signed<Clear>) -> Result<Opening, WalletError> {
        let Self { wallet, asked, origin, wish, slips, not_after, at_most } = self;
        let now = wallet.checked_now()?;
        let mut rng = ChaCha20Rng::from_seed(random()?);
        let pseudonym = pseudonym(&wallet, &origin);
        let epoch = wallet.inner.meta().presence;
        let buyer = buyer(&wallet, &pseudonym, slips);
        let (pending, purchase) = buyer.on_invoice_as(now, asked, invoice, epoch, &mut rng)?;
        let Wish { site, order, .. } = wish;
        let seller = order.payee;
        let row = OpeningRow {
            origin,
            site,
            description: order.description,
            seller,
            pending,
            not_after,
            at_most: Some(at_most),
        };
        let written = row.clone();
        let fits = move |cx: &mut Context<'_>| {
            let known: Option<farthing_core::id::PeerId> = records::get(&*cx.tx, SITES, written.site.as_bytes())?;
            if known.is_some_and(|known| known != seller) {
                return Ok(false);
            }
            let count = |table| {
                let scan = farthing_role::Scan { prefix: &[], after: None, limit: SESSIONS_MAX };
                cx.tx.scan(table, scan).map(|rows| rows.len())
            };
            if count(OPENINGS)? + count(SESSIONS)? >= SESSIONS_MAX {
                return Ok(false);
            }
            means::take_out(cx, at_most)?;
            records::put(cx.tx, SITES, written.site.as_bytes(), &seller);
            records::put(cx.tx, OPENINGS, &written.origin.index.to_be_bytes(), &written);
            Ok(true)
        };
        if !wallet.inner.handle.transact(fits).await? {
            return Err(WalletError::Order("one session too many, or of a seller that has changed"));
        }
        Ok(Opening { wallet, row, purchase })
    }
}

impl Opening {
    /// Payment, for the seller; the same bytes at every repeat.
    #[must_use]
    pub const fn payment(&self) -> &Payment {
        self.row.pending.payment()
    }

    /// Who sells.
    #[must_use]
    pub const fn seller(&self) -> farthing_core::id::PeerId {
        self.row.seller
    }

    /// What may be bought in the session once it is open.
    #[must_use]
    pub const fn realm(&self) -> farthing_core::id::OrderId {
        self.row.pending.description().0
    }

    /// Takes Confirm: the session is open, and written down.
    ///
    /// # Errors
    /// [`WalletError`] where the confirmation is not believed: the purchase stands as it stood,
    /// among [`Wallet::coupon_openings`].
    pub async fn on_confirm(self, confirm: Confirm) -> Result<CouponSession, WalletError> {
        let Self { wallet, row, purchase } = self;
        let pseudonym = pseudonym(&wallet, &row.origin);
        // Nothing is sealed any more: any key will do, and the bank need not be asked for its own.
        let nobody = wallet.inner.seed.seal(0).public();
        let opened = purchase.on_confirm(&buyer(&wallet, &pseudonym, nobody), confirm);
        let spender = opened.map_err(|refused| refused.1)?;
        wallet.raise_floor(bank_time(&wallet, spender.authorisation())?).await?;
        let OpeningRow { origin, site, description, .. } = row;
        let hour = policy::hour_of(wallet.now());
        let state = spender.state().clone();
        let row = SessionRow { origin, site, description, state, hour, tally: Some(Tally::default()) };
        let written = row.clone();
        let what = opened_line(&row.site, &spender)?;
        let done = move |cx: &mut Context<'_>| {
            let key = written.origin.index.to_be_bytes();
            cx.tx.delete(OPENINGS, &key);
            records::put(cx.tx, SESSIONS, &key, &written);
            start::note(cx, what);
            Ok(())
        };
        wallet.inner.handle.transact(done).await?;
        let open = std::sync::Arc::new(Open::new(row, spender)?);
        wallet.inner.coupons.open().insert(origin.index, std::sync::Arc::clone(&open));
        Ok(CouponSession::new(wallet, open))
    }

    /// Asks the bank what it told the seller. `None` if it said no: nothing is set aside, and the
    /// purchase is forgotten. Given back if it said yes: repeat [`payment`](Self::payment) until the
    /// seller confirms, or let the session end, and the money comes back.
    ///
    /// # Errors
    /// [`WalletError`]; [`WalletError::Bank`] also where the bank was never asked by the seller.
    pub async fn inquire(self) -> Result<Option<Self>, WalletError> {
        let desk = self.wallet.desk().await?;
        let message = wire::encode(&self.row.pending.inquiry());
        let reply = self.wallet.look_up(&*desk, kind::INQUIRE, message).await?;
        let signed: Signed<Authorisation> =
            wire::decode(&reply).map_err(|_| WalletError::FalseAnswer("it is no authorisation"))?;
        let pseudonym = pseudonym(&self.wallet, &self.row.origin);
        let nobody = self.wallet.inner.seed.seal(0).public();
        let said = self.purchase.on_answer(&buyer(&self.wallet, &pseudonym, nobody), signed)?;
        match said.answer {
            Answer::Yes { .. } => Ok(Some(self)),
            Answer::No(_) => self.abandon().await.map(|()| None),
        }
    }

    /// Forgets the purchase: its seller will not confirm it. Should the bank have set money aside
    /// for it, that comes back when the session would have ended.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn abandon(self) -> Result<(), WalletError> {
        let key = self.row.origin.index.to_be_bytes();
        let gone = move |cx: &mut Context<'_>| {
            cx.tx.delete(OPENINGS, &key);
            Ok(())
        };
        Ok(self.wallet.inner.handle.transact(gone).await?)
    }
}

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asking at {}", self.wish.site)
    }
}

/// The key that signs for a session in place of the account's.
fn pseudonym(wallet: &Wallet, origin: &Origin) -> SecretKey {
    secrets(&wallet.inner.seed, origin).1
}

fn buyer<'a>(wallet: &'a Wallet, pseudonym: &'a SecretKey, slips: SealPublic) -> Buyer<'a> {
    let (network, bank) = (wallet.network(), wallet.bank());
    Buyer { account: &wallet.inner.key, pseudonym, network, bank, bank_seal: slips }
}

fn bank_time(wallet: &Wallet, signed: &Signed<Authorisation>) -> Result<Time, WalletError> {
    let verified = signed.clone().verify_by(wallet.network(), wallet.bank());
    Ok(verified.map_err(|_| WalletError::FalseAnswer("it is not signed by the bank"))?.body().time)
}

fn opened_line(site: &str, spender: &Spender) -> Result<What, WalletError> {
    let held = spender.unit().checked_mul(spender.units().into())?;
    Ok(What::SessionOpened { site: site.to_owned(), held, not_after: spender.not_after() })
}
