//! A seller as a gateway is one, as small as can be: opens sessions, serves each coupon once,
//! answers repeats from what it stored, and takes tokens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use farthing_bank::client::BankClient;
use farthing_core::id::PeerId;
use farthing_core::order::Order;
use farthing_core::seal::SealKey;
use farthing_core::time::Span;
use farthing_core::wire::{self, Bounded};
use farthing_coupon::clearing::Clearings;
use farthing_coupon::messages::{AuthAnswer, Confirm, Initiate, Payment};
use farthing_coupon::micro::{SessionName, TokenPay, micro_order};
use farthing_coupon::secret::Digest;
use farthing_coupon::seller::{Invoiced, Seller, Terms};
use farthing_coupon::session::{PayError, Session};
use farthing_dialects::names::{INITIATE_PATH, OFFER_PATH, OPEN_PATH, PAYMENT_RECEIPT};
use farthing_dialects::quote::request_digest;
use farthing_dialects::service::Offer;
use farthing_dialects::{payment, receipt};
use farthing_driver::{Clock, ManualClock};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::net::TcpListener;

use crate::town::{Town, key, micros};

/// What a shop's unit is worth, in micros.
pub(crate) const UNIT: u64 = 1_000;

#[derive(Default)]
struct Books {
    invoices: BTreeMap<Digest, (Invoiced, Option<Confirm>)>,
    sessions: BTreeMap<SessionName, Session>,
    answers: BTreeMap<(SessionName, u32), (u16, String, String)>,
    served: u32,
    /// So many answers are not given although their coupons were taken.
    mute: u32,
    /// Requests fail and cost nothing.
    broken: bool,
}

struct House {
    seller: Seller,
    order: Order,
    bank: BankClient,
    clock: ManualClock,
    books: Mutex<Books>,
}

pub(crate) struct Shop {
    pub(crate) origin: String,
    house: Arc<House>,
}

impl Shop {
    pub(crate) async fn open(town: &Town, seed: u8) -> Self {
        let seller_key = key(seed);
        town.fund(&seller_key, 0).await;
        let order = Order {
            payee: seller_key.id(),
            content: None,
            size: 0,
            piece: 1,
            price: micros(UNIT),
            description: "items".into(),
            created: town.clock.now(),
            expires: town.clock.now().after(Span::from_days(30)),
            nonce: [seed; 16],
        };
        let (network, bank) = (town.client.network(), town.client.bank());
        let seal = SealKey::from_seed(&[seed; 32]);
        let seller = Seller { key: seller_key, seal, network, bank, terms: Terms::default() };
        let (bank, clock) = (town.client.clone(), town.clock.clone());
        let house = Arc::new(House { seller, order, bank, clock, books: Mutex::default() });
        let router = Router::new()
            .route(OFFER_PATH, get(offer))
            .route(INITIATE_PATH, post(initiate))
            .route(OPEN_PATH, post(open))
            .route("/item/{name}", get(item))
            .with_state(Arc::clone(&house));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { origin, house }
    }

    pub(crate) fn id(&self) -> PeerId {
        self.house.seller.key.id()
    }

    /// Takes the coupons of so many requests and gives no answer.
    pub(crate) fn mute(&self, times: u32) {
        self.house.books.lock().unwrap().mute = times;
    }

    pub(crate) fn set_broken(&self, broken: bool) {
        self.house.books.lock().unwrap().broken = broken;
    }

    /// How many items left the shop.
    pub(crate) fn served(&self) -> u32 {
        self.house.books.lock().unwrap().served
    }

    /// How many units of money it has seen, in all sessions.
    pub(crate) fn earned(&self) -> u32 {
        self.house.books.lock().unwrap().sessions.values().map(Session::through).sum()
    }

    /// Takes a token at the counter.
    pub(crate) fn take_token(&self, session: SessionName, token: &TokenPay, price: u32) -> Result<(), PayError> {
        let mut books = self.house.books.lock().unwrap();
        let session = books.sessions.get_mut(&session).unwrap();
        session.accept_token(self.house.clock.now(), token, price)?;
        books.served += 1;
        Ok(())
    }

    pub(crate) async fn clear(&self) {
        let items: Vec<_> = {
            let books = self.house.books.lock().unwrap();
            books.sessions.values().filter(|s| s.uncleared() > 0).map(|s| s.clearing(false)).collect()
        };
        let id = BankClient::new_id(self.house.clock.now()).unwrap();
        let clearings = Clearings { items: Bounded::new(items).unwrap() };
        let receipt = self.house.bank.clear(&self.house.seller.key, id, &clearings).await.unwrap();
        let mut books = self.house.books.lock().unwrap();
        for line in receipt.body().lines.as_slice() {
            books.sessions.get_mut(&SessionName::of(line.chain)).unwrap().on_cleared(line);
        }
    }
}

async fn offer(State(house): State<Arc<House>>) -> Vec<u8> {
    wire::encode(&Offer {
        order: house.order.clone(),
        network: house.bank.network(),
        bank: house.bank.bank(),
        bank_address: house.bank.address().to_string(),
        life_min_secs: 60,
        units_max: 1_000,
    })
}

async fn initiate(State(house): State<Arc<House>>, body: Bytes) -> Vec<u8> {
    let initiate: Initiate = wire::decode(&body).unwrap();
    let mut books = house.books.lock().unwrap();
    let mut dice = ChaCha20Rng::from_seed([u8::try_from(books.invoices.len()).unwrap(); 32]);
    let (invoiced, invoice) = house.seller.invoice(house.clock.now(), &house.order, &initiate, &mut dice).unwrap();
    books.invoices.insert(invoice.peek().unwrap().common, (invoiced, None));
    wire::encode(&invoice)
}

async fn open(State(house): State<Arc<House>>, body: Bytes) -> Vec<u8> {
    let payment: Payment = wire::decode(&body).unwrap();
    let common = payment.consent.peek().unwrap().common;
    let (invoiced, confirm) = house.books.lock().unwrap().invoices[&common].clone();
    if let Some(confirm) = confirm {
        return wire::encode(&confirm);
    }
    let committed = house.seller.on_payment(&invoiced, payment).unwrap();
    let id = BankClient::new_id(house.clock.now()).unwrap();
    let answer = house.bank.authorise(&house.seller.key, id, committed.request()).await.unwrap();
    let AuthAnswer::Answered(signed) = answer else { panic!("a conflict") };
    let (session, confirm) = house.seller.on_authorisation(&committed, signed).unwrap();
    let mut books = house.books.lock().unwrap();
    books.sessions.insert(SessionName::of(session.chain()), session);
    books.invoices.insert(common, (invoiced, Some(confirm.clone())));
    wire::encode(&confirm)
}

async fn item(State(house): State<Arc<House>>, Path(name): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    let Some(value) = headers.get("authorization") else { return StatusCode::PAYMENT_REQUIRED.into_response() };
    let coupon = payment::read_credential(value.to_str().unwrap()).unwrap().coupon;
    let mut books = house.books.lock().unwrap();
    let books = &mut *books;
    let place = (coupon.session, coupon.index);
    let Some(session) = books.sessions.get_mut(&coupon.session) else {
        return StatusCode::PAYMENT_REQUIRED.into_response();
    };
    let request = request_digest("GET", uri.path_and_query().unwrap().as_str(), b"");
    let pay = coupon.about(micro_order(session.realm(), &request));
    if !books.answers.contains_key(&place) {
        match session.accept(house.clock.now(), &pay, coupon.units) {
            Ok(accepted) => {
                let charged = if books.broken { 0 } else { coupon.units };
                session.give_back(&accepted.entry, charged);
                let ack = session.ack(&accepted.entry, charged, Digest([1; 32]));
                let status = if books.broken { 500 } else { 200 };
                books.served += u32::from(!books.broken);
                books.answers.insert(place, (status, format!("item {name}"), receipt::compact(&ack)));
            }
            Err(why) => return (StatusCode::PAYMENT_REQUIRED, why.to_string()).into_response(),
        }
    }
    if books.mute > 0 {
        books.mute -= 1;
        // What comes to the broker is no answer of ours.
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let (status, body, receipt) = books.answers[&place].clone();
    if status == 500 {
        // Its units may come again for something else.
        books.answers.remove(&place);
    }
    (StatusCode::from_u16(status).unwrap(), [(PAYMENT_RECEIPT, receipt)], body).into_response()
}
