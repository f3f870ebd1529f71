//! Requests for payment: what a payee asks for, and the book in which each is paid once.

use farthing_bank::messages::Text;
use farthing_core::amount::Amount;
use farthing_core::id::{OrderId, PeerId};
use farthing_core::order::{DESCRIPTION_MAX, Order};
use farthing_core::refusal::{Code, Money, Refusal, Remedy};
use farthing_core::seal::SealPublic;
use farthing_core::sign::{Signed, Statement};
use farthing_core::time::{SKEW, Span, Time};
use farthing_core::wire::Bounded;
use farthing_role::{Context, Halt, Records, Scan};
use minicbor::{Decode, Encode};

use super::Wallet;
use super::choice::Scheme;
use super::error::WalletError;
use super::home::random;
use super::records::{self, ORDERS};

/// The most requests that are remembered, paid ones included.
pub const ORDERS_MAX: usize = 10_000;

/// The most addresses in a request.
pub const ADDRESSES_MAX: usize = 4;

/// The longest address in a request, in bytes.
const ADDRESS_BYTES_MAX: usize = 256;

/// How long a request is remembered after its time is over.
const KEEP_ORDERS: Span = Span::from_days(35);

/// A payee asks to be paid. Signed by the payee, so that nobody on the way changes where the money
/// goes or to which key a draft is sealed.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PaymentRequest {
    /// Payee, price, note, time and all that makes it one order. A price of nothing leaves the amount
    /// to the payer.
    #[n(0)]
    pub order: Order,
    /// The key to seal drafts to.
    #[n(1)]
    pub seal: SealPublic,
    /// By which schemes it can be paid.
    #[n(2)]
    pub takes: Bounded<Scheme, 4>,
    /// Where the payee can be reached.
    #[n(3)]
    pub addresses: Bounded<Text<ADDRESS_BYTES_MAX>, ADDRESSES_MAX>,
}

impl Statement for PaymentRequest {
    const KIND: u16 = 0x0440;
}

impl PaymentRequest {
    /// What is asked for; nothing where the payer chooses.
    #[must_use]
    pub const fn amount(&self) -> Option<Amount> {
        if self.order.price.is_zero() { None } else { Some(self.order.price) }
    }

    /// Where the payee can be reached.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.addresses.as_slice().iter().map(Text::as_str)
    }
}

/// How a request stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum RequestState {
    /// It waits to be paid.
    #[n(0)]
    Open,
    /// It was paid.
    #[n(1)]
    Paid(#[n(0)] Paid),
    /// It was withdrawn.
    #[n(2)]
    Closed,
}

/// What paid a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Paid {
    /// By which scheme.
    #[n(0)]
    pub scheme: Scheme,
    /// Who: a pseudonym perhaps.
    #[n(1)]
    pub payer: PeerId,
    /// The draft or the authorisation.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub instrument: [u8; 32],
    /// How much.
    #[n(3)]
    pub amount: Amount,
    /// When.
    #[n(4)]
    pub at: Time,
}

/// A request of this wallet's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requested {
    /// As it was signed.
    pub request: Signed<PaymentRequest>,
    /// What it says.
    pub body: PaymentRequest,
    /// How it stands.
    pub state: RequestState,
}

/// The row of a request, under its order.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
struct Row {
    #[n(0)]
    request: Signed<PaymentRequest>,
    #[n(1)]
    state: RequestState,
}

impl Row {
    fn body(&self) -> Result<PaymentRequest, Refusal> {
        Ok(self.request.peek()?)
    }
}

impl Wallet {
    /// Asks to be paid: makes the order, writes it down and signs it. Without an amount the payer
    /// chooses one.
    ///
    /// # Errors
    /// [`WalletError`]: too many requests are open, or the note or an address is too long.
    pub async fn request_payment(
        &self,
        amount: Option<Amount>,
        note: &str,
        takes: &[Scheme],
        addresses: &[String],
        life: Span,
    ) -> Result<Signed<PaymentRequest>, WalletError> {
        let now = self.checked_now()?;
        let currency = self.inner.settings.currency();
        if amount.is_some_and(|amount| amount.is_zero() || amount.currency() != currency) {
            return Err(WalletError::Order("over nothing, or in another currency than the bank's"));
        }
        let note = Text::<DESCRIPTION_MAX>::new(note).ok_or(WalletError::Order("with too long or deceptive a note"))?;
        let long = || WalletError::Order("with too many or too long addresses");
        let addresses = addresses.iter().map(Text::new).collect::<Option<Vec<_>>>().ok_or_else(long)?;
        let order = Order {
            payee: self.me(),
            content: None,
            size: 1,
            piece: 1,
            price: amount.unwrap_or(currency.zero()),
            description: note.as_str().to_owned(),
            created: now,
            expires: now.after(life),
            nonce: random()?,
        };
        let id = order.id();
        let mut takes = takes.to_vec();
        takes.sort_unstable();
        takes.dedup();
        let request = PaymentRequest {
            order,
            seal: self.inner.seed.seal(0).public(),
            takes: Bounded::new(takes).ok_or(WalletError::Order("by too many schemes"))?,
            addresses: Bounded::new(addresses).ok_or_else(long)?,
        };
        let request = self.inner.key.sign(self.network(), &request);
        let row = Row { request: request.clone(), state: RequestState::Open };
        let written = move |cx: &mut Context<'_>| {
            if cx.tx.scan(ORDERS, Scan { prefix: &[], after: None, limit: ORDERS_MAX })?.len() >= ORDERS_MAX {
                return Err(Refusal::new(Code::Limit, "too many requests for payment are remembered").into());
            }
            records::put(cx.tx, ORDERS, &id.0, &row);
            Ok(())
        };
        self.inner.handle.transact(written).await?;
        Ok(request)
    }

    /// Reads somebody's request for payment: signed by whom it pays, at this bank, and still good.
    ///
    /// # Errors
    /// [`WalletError`]; nothing was paid.
    pub fn read_request(&self, request: Signed<PaymentRequest>) -> Result<PaymentRequest, WalletError> {
        let now = self.checked_now()?;
        let payee = request.claimed_signer();
        let verified = request.verify_by(self.network(), payee).map_err(|_| {
            WalletError::Order("not signed by whom it pays, or for another bank: ask the payee for another one")
        })?;
        let body = verified.body();
        if body.order.payee != payee {
            return Err(WalletError::Order("not signed by whom it pays: ask the payee for another one"));
        }
        if body.order.expires <= now {
            return Err(WalletError::Order("over: ask for a new one"));
        }
        if body.order.price.currency() != self.inner.settings.currency() {
            return Err(WalletError::Order("in another currency than the bank's"));
        }
        Ok(body.clone())
    }

    /// The requests of this wallet that are remembered.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn requested(&self) -> Result<Vec<Requested>, WalletError> {
        let rows = self.inner.handle.read(|reader| {
            let rows = reader.scan(ORDERS, Scan { prefix: &[], after: None, limit: ORDERS_MAX })?;
            rows.into_iter().map(|(_, value)| records::read(ORDERS, &value)).collect::<Result<Vec<Row>, _>>()
        });
        let mut all = rows.await??.into_iter().map(Requested::of).collect::<Result<Vec<_>, _>>()?;
        all.sort_by_key(|one| one.body.order.created);
        Ok(all)
    }

    /// A request of this wallet, by its order.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn requested_by(&self, order: OrderId) -> Result<Option<Requested>, WalletError> {
        let row: Option<Row> = self.inner.handle.read(|reader| records::look(reader, ORDERS, &order.0)).await??;
        row.map(Requested::of).transpose()
    }

    /// Withdraws a request that nobody has paid.
    ///
    /// # Errors
    /// [`WalletError`]: no such request, or it was paid.
    pub async fn close_request(&self, order: OrderId) -> Result<(), WalletError> {
        let close = move |cx: &mut Context<'_>| {
            let row = find(&*cx.tx, order)?.ok_or_else(|| Refusal::new(Code::Unknown, "there is no such request"))?;
            if matches!(row.state, RequestState::Paid(_)) {
                return Err(Refusal::new(Code::State, "that request was paid").into());
            }
            records::put(cx.tx, ORDERS, &order.0, &Row { state: RequestState::Closed, ..row });
            Ok(())
        };
        Ok(self.inner.handle.transact(close).await?)
    }

    /// Forgets requests whose time is long over.
    pub(crate) async fn forget_orders(&self, now: Time) -> Result<(), WalletError> {
        let tidy = move |cx: &mut Context<'_>| {
            for (key, value) in cx.tx.scan(ORDERS, Scan { prefix: &[], after: None, limit: ORDERS_MAX })? {
                let row: Row = records::read(ORDERS, &value)?;
                if row.body()?.order.expires.after(KEEP_ORDERS) <= now {
                    cx.tx.delete(ORDERS, &key);
                }
            }
            Ok(())
        };
        Ok(self.inner.handle.transact(tidy).await?)
    }
}

impl Requested {
    fn of(row: Row) -> Result<Self, WalletError> {
        let body = row.body()?;
        Ok(Self { body, request: row.request, state: row.state })
    }
}

fn find(tx: &(impl Records + ?Sized), order: OrderId) -> Result<Option<Row>, Halt> {
    Ok(tx.get(ORDERS, &order.0)?.map(|bytes| records::read(ORDERS, &bytes)).transpose()?)
}

/// What a payment for an order of this wallet's must come to: its price, or what the payer gives
/// where it chooses. Refuses what nobody asked for, what is paid, and what came too late.
pub(crate) fn expect(cx: &Context<'_>, order: OrderId, given: Amount) -> Result<Amount, Halt> {
    let no_order = || Refusal::new(Code::Order, "no such request is open here: ask for a new one").remedy(Remedy::Mend);
    let row = find(&*cx.tx, order)?.ok_or_else(no_order)?;
    match row.state {
        RequestState::Open => {}
        RequestState::Paid(_) => {
            let why = "that request is paid already: this payment was not taken";
            return Err(Refusal::new(Code::Spent, why).money(Money::Unmoved).into());
        }
        RequestState::Closed => return Err(no_order().into()),
    }
    let order = row.body()?.order;
    if order.expires.after(SKEW) <= cx.now {
        return Err(Refusal::new(Code::Expired, "that request is over: ask for a new one").remedy(Remedy::Mend).into());
    }
    Ok(if order.price.is_zero() { given } else { order.price })
}

/// Notes that a request of this wallet's is paid; gives its note. What is no request of this wallet's
/// is somebody else's to match.
pub(crate) fn paid(cx: &mut Context<'_>, order: OrderId, paid: Paid) -> Result<Option<String>, Halt> {
    let Some(row) = find(&*cx.tx, order)? else { return Ok(None) };
    let note = row.body()?.order.description;
    if row.state == RequestState::Open {
        records::put(cx.tx, ORDERS, &order.0, &Row { state: RequestState::Paid(paid), ..row });
    }
    Ok(Some(note))
}

/// A draft that paid a request was given back: the request is open again.
pub(crate) fn unpaid(cx: &mut Context<'_>, order: OrderId, instrument: [u8; 32]) -> Result<(), Halt> {
    let Some(row) = find(&*cx.tx, order)? else { return Ok(()) };
    if matches!(&row.state, RequestState::Paid(paid) if paid.instrument == instrument) {
        records::put(cx.tx, ORDERS, &order.0, &Row { state: RequestState::Open, ..row });
    }
    Ok(())
}
