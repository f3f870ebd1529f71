//! The counter where sessions are opened: 3KP over HTTP, from invoice to confirmation.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use farthing_bank::client::{AskError, BankClient};
use farthing_core::amount::Amount;
use farthing_core::chain::CHAIN_LEN_MAX;
use farthing_core::id::{NetworkId, OrderId, PeerId};
use farthing_core::order::{DESCRIPTION_MAX, Order};
use farthing_core::refusal::{Code, Fault, Money, Refusal, Remedy};
use farthing_core::sign::Signed;
use farthing_core::time::{Span, Time};
use farthing_core::wire;
use farthing_coupon::messages::{AuthAnswer, Clear, Confirm, Initiate, Payment};
use farthing_coupon::secret::Digest;
use farthing_coupon::seller::{Invoiced, Seller};
use farthing_dialects::service::Offer;
use farthing_driver::{Clock, DriverHandle, NoReply};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::acquirer::Acquirer;
use crate::book::records::{OPENINGS, ORDER, OnSale, Opening, SINGLES};
use crate::book::{Book, lock};

/// How long an order is on sale; it is renewed when half of that is over.
const ORDER_LIFE: Span = Span::from_days(60);
/// How long an invoice is kept for its payment.
const INVOICE_LIFE: Span = Span::from_secs(600);
/// The most invoices kept: the oldest give way.
const INVOICES_MAX: usize = 16_384;
/// How long a confirmation is kept for buyers that ask again.
const CONFIRM_LIFE: Span = Span::from_days(2);

/// Opens sessions.
pub(crate) struct Counter {
    pub(crate) seller: Seller,
    pub(crate) bank_address: String,
    pub(crate) acquirer: Arc<dyn Acquirer>,
    pub(crate) book: Arc<Book>,
    pub(crate) clock: Arc<dyn Clock>,
    order: Mutex<(Order, OrderId)>,
    invoices: Mutex<Invoices>,
    /// Purchases that the bank is being asked about: one question at a time for each.
    asking: Mutex<HashSet<[u8; 32]>>,
}

/// Invoices that left and were not paid yet. Lost in a crash, they cost a buyer another try.
#[derive(Default)]
struct Invoices {
    by_common: HashMap<[u8; 32], (Invoiced, Time)>,
    in_order: VecDeque<[u8; 32]>,
}

fn dice() -> Result<ChaCha20Rng, Refusal> {
    let mut seed = [0; 32];
    let starved = |_| Refusal::new(Code::State, "no randomness at present; try again").blame(Fault::Us);
    getrandom::fill(&mut seed).map_err(starved)?;
    Ok(ChaCha20Rng::from_seed(seed))
}

impl Counter {
    /// A counter that sells coupons of that value.
    ///
    /// # Errors
    /// [`NoReply`] where the store does not answer.
    pub(crate) async fn new(
        seller: Seller,
        bank_address: String,
        acquirer: Arc<dyn Acquirer>,
        book: Arc<Book>,
        clock: Arc<dyn Clock>,
        sale: (Amount, String),
    ) -> Result<Self, NoReply> {
        let order = on_sale(book.handle(), seller.key.id(), clock.now(), sale).await?;
        Ok(Self {
            seller,
            bank_address,
            acquirer,
            book,
            clock,
            order: Mutex::new(named(order)),
            invoices: Mutex::default(),
            asking: Mutex::default(),
        })
    }

    /// Sells coupons of another value, or renews the order. Sessions opened before go on.
    ///
    /// # Errors
    /// [`NoReply`] where the store does not answer.
    pub(crate) async fn sell(&self, sale: (Amount, String)) -> Result<(), NoReply> {
        let order = on_sale(self.book.handle(), self.me(), self.clock.now(), sale).await?;
        *lock(&self.order) = named(order);
        Ok(())
    }

    pub(crate) fn me(&self) -> PeerId {
        self.seller.key.id()
    }

    pub(crate) const fn network(&self) -> NetworkId {
        self.seller.network
    }

    pub(crate) fn order(&self) -> Order {
        lock(&self.order).0.clone()
    }

    /// What quotes are for, and the value of a coupon.
    pub(crate) fn realm(&self) -> (OrderId, Amount) {
        let order = lock(&self.order);
        (order.1, order.0.price)
    }

    /// What is on sale.
    pub(crate) fn offer(&self) -> Offer {
        Offer {
            order: self.order(),
            network: self.seller.network,
            bank: self.seller.bank,
            bank_address: self.bank_address.clone(),
            life_min_secs: self.seller.terms.life_min.as_millis() / 1_000,
            units_max: CHAIN_LEN_MAX,
        }
    }

    /// Initiate, answered by Invoice.
    pub(crate) fn invoice(&self, initiate: &Initiate) -> Result<Signed<Clear>, Refusal> {
        let now = self.clock.now();
        let (invoiced, signed) = self.seller.invoice(now, &self.order(), initiate, &mut dice()?)?;
        let common = signed.peek().map_err(|_| Refusal::new(Code::State, "our own invoice does not read"))?.common;
        lock(&self.invoices).keep(common.0, invoiced, now);
        Ok(signed)
    }

    /// Payment, answered by Confirm once the bank has said yes. The same payment again is answered
    /// alike, also after a crash.
    pub(crate) async fn pay(&self, payment: Payment) -> Result<Confirm, Refusal> {
        let unreadable = |_| Refusal::new(Code::Malformed, "the buyer's consent does not read");
        let common = payment.consent.peek().map_err(unreadable)?.common;
        let _asking = self.ask_alone(common)?;
        let opening = match self.find(common).await? {
            Some(opening) => {
                self.same_buyer(&opening, &payment)?;
                opening
            }
            None => self.commit(common, payment).await?,
        };
        if let Some(confirm) = opening.confirm {
            return Ok(confirm);
        }
        self.authorise(common, opening).await
    }

    /// Whoever holds what this gives is the only one to ask the bank about a purchase.
    fn ask_alone(&self, common: Digest) -> Result<Asking<'_>, Refusal> {
        if lock(&self.asking).insert(common.0) {
            return Ok(Asking { counter: self, common: common.0 });
        }
        let detail = "the bank is being asked about this purchase: send the very same payment again in a moment";
        Err(Refusal::new(Code::State, detail).money(Money::Unknown).remedy(Remedy::Again))
    }

    async fn find(&self, common: Digest) -> Result<Option<Opening>, Refusal> {
        let found = self.book.handle().read(|store| store.get(OPENINGS, &common.0)).await;
        let found = found.map_err(NoReply::into_refusal)?.map_err(|_| NoReply::Down.into_refusal())?;
        Ok(found.and_then(|bytes| wire::decode(&bytes).ok()))
    }

    /// The confirmation goes to whoever sends what was sent before, byte by byte.
    fn same_buyer(&self, opening: &Opening, payment: &Payment) -> Result<(), Refusal> {
        let request = opening.committed.request();
        if request.slip == payment.slip && request.consent == payment.consent {
            return Ok(());
        }
        Err(Refusal::new(Code::Conflict, "another payment came for this invoice before"))
    }

    /// What the buyer signed is written down before the bank is asked.
    async fn commit(&self, common: Digest, payment: Payment) -> Result<Opening, Refusal> {
        let now = self.clock.now();
        let invoiced = lock(&self.invoices).find(common.0, now);
        let unknown =
            || Refusal::new(Code::Unknown, "no such invoice, or it is too old: ask for another").remedy(Remedy::Mend);
        let committed = self.seller.on_payment(&invoiced.ok_or_else(unknown)?, payment)?;
        let request = BankClient::new_id(now).map_err(not_asked)?;
        let opening = Opening { committed, request, confirm: None, until: now.after(CONFIRM_LIFE) };
        let row = wire::encode(&opening);
        let written = self.book.handle().transact(move |cx| {
            cx.tx.put(OPENINGS, &common.0, row);
            Ok(())
        });
        written.await.map_err(NoReply::into_refusal)?;
        lock(&self.invoices).by_common.remove(&common.0);
        Ok(opening)
    }

    /// Asks the bank. A purchase to which it says no is over and forgotten, so that an account with
    /// nothing in it leaves nothing here to be asked about again and again.
    async fn authorise(&self, common: Digest, opening: Opening) -> Result<Confirm, Refusal> {
        let asked = self.acquirer.authorise(opening.request, opening.committed.request()).await;
        let authorised = match asked {
            Ok(AuthAnswer::Answered(authorisation)) => self.seller.on_authorisation(&opening.committed, authorisation),
            Ok(AuthAnswer::Conflict { .. }) => {
                Err(Refusal::new(Code::Conflict, "the bank knows another purchase of this number").blame(Fault::Us))
            }
            Err(why) => Err(not_asked(why)),
        };
        let (session, confirm) = match authorised {
            Ok(authorised) => authorised,
            Err(why) => {
                if why.money == Money::Unmoved && why.remedy != Remedy::Again {
                    self.forget(common.0.to_vec()).await.map_err(NoReply::into_refusal)?;
                }
                return Err(why);
            }
        };
        let row = wire::encode(&Opening { confirm: Some(confirm.clone()), ..opening });
        let opened = self.book.open(session, move |cx| {
            cx.tx.put(OPENINGS, &common.0, row);
            Ok(())
        });
        opened.await.map_err(NoReply::into_refusal)?;
        metrics::counter!("farthing_gateway_sessions_opened_total").increment(1);
        Ok(confirm)
    }

    /// Forgets a purchase.
    async fn forget(&self, key: Vec<u8>) -> Result<(), NoReply> {
        let gone = self.book.handle().transact(move |cx| {
            cx.tx.delete(OPENINGS, &key);
            Ok(())
        });
        gone.await
    }

    /// Asks the bank again about purchases whose answer was lost in a crash, and forgets old ones.
    pub(crate) async fn tidy(&self) -> Result<(), NoReply> {
        let now = self.clock.now();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = farthing_role::Scan { prefix: b"", after: after.as_deref(), limit: PAGE };
            let rows = self.book.handle().read(|store| store.scan(OPENINGS, page)).await?;
            let rows = rows.map_err(|_| NoReply::Down)?;
            for (key, row) in &rows {
                let Ok(opening) = wire::decode::<Opening>(row) else { continue };
                let Ok(common) = <[u8; 32]>::try_from(&key[..]) else { continue };
                if opening.until <= now {
                    self.forget(key.clone()).await?;
                } else if opening.confirm.is_none() {
                    let Ok(_asking) = self.ask_alone(Digest(common)) else { continue };
                    if let Err(why) = self.authorise(Digest(common), opening).await {
                        tracing::info!(%why, "a purchase that was in progress is not authorised");
                    }
                }
            }
            match rows.last() {
                Some((last, _)) if rows.len() == PAGE => after = Some(last.clone()),
                _ => return Ok(()),
            }
        }
    }
}

fn named(order: Order) -> (Order, OrderId) {
    let id = order.id();
    (order, id)
}

/// How many records are read at once.
pub(crate) const PAGE: usize = 256;

/// A purchase that the bank is being asked about.
struct Asking<'a> {
    counter: &'a Counter,
    common: [u8; 32],
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        lock(&self.counter.asking).remove(&self.common);
    }
}

/// The bank did not answer the question; the buyer may send the same again.
fn not_asked(why: AskError) -> Refusal {
    match why {
        AskError::Refused { refusal, .. } => refusal,
        why => {
            let money = why.money();
            let refusal = Refusal::new(Code::State, "the bank does not answer; send the very same payment again");
            refusal.blame(Fault::Third).money(money).remedy(Remedy::Again)
        }
    }
}

impl Invoices {
    fn keep(&mut self, common: [u8; 32], invoiced: Invoiced, now: Time) {
        while self.in_order.len() >= INVOICES_MAX {
            if let Some(oldest) = self.in_order.pop_front() {
                self.by_common.remove(&oldest);
            }
        }
        self.by_common.insert(common, (invoiced, now.after(INVOICE_LIFE)));
        self.in_order.push_back(common);
    }

    fn find(&self, common: [u8; 32], now: Time) -> Option<Invoiced> {
        let (invoiced, until) = self.by_common.get(&common)?;
        (now < *until).then(|| invoiced.clone())
    }
}

/// The order on sale: the one written down if it is still right, or else a new one.
async fn on_sale(
    handle: &DriverHandle,
    me: PeerId,
    now: Time,
    (coupon, words): (Amount, String),
) -> Result<Order, NoReply> {
    let mut words = words;
    while words.len() > DESCRIPTION_MAX {
        words.pop();
    }
    handle
        .transact(move |cx| {
            let known = cx.tx.get(SINGLES, ORDER)?.and_then(|row| wire::decode::<OnSale>(&row).ok());
            if let Some(OnSale(order)) = known
                && (order.price, &order.description, order.payee) == (coupon, &words, me)
                && now.after(Span::from_millis(ORDER_LIFE.as_millis() / 2)) < order.expires
            {
                return Ok(order);
            }
            let mut nonce = [0; 16];
            nonce.copy_from_slice(&cx.dice[..16]);
            let order = Order {
                payee: me,
                content: None,
                size: 0,
                piece: 0,
                price: coupon,
                description: words,
                created: now,
                expires: now.after(ORDER_LIFE),
                nonce,
            };
            cx.tx.put(SINGLES, ORDER, wire::encode(&OnSale(order.clone())));
            Ok(order)
        })
        .await
}
