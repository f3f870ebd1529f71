//! A seller over HTTP, as small as can be, that can be told to misbehave.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use farthing_core::amount::Rate;
use farthing_core::id::{ChainId, PeerId, TransferId};
use farthing_core::order::Order;
use farthing_core::seal::SealKey;
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{Span, Time};
use farthing_core::wire;
use farthing_coupon::messages::{Answer, Authorisation, Initiate, Payment};
use farthing_coupon::micro::{Ack, SessionName, micro_order};
use farthing_coupon::secret::{Digest, Mac};
use farthing_coupon::seller::{Invoiced, Seller, Terms};
use farthing_coupon::session::{PayError, Session};
use farthing_dialects::credential::{self, Form};
use farthing_dialects::names::{
    CLOSE_PATH, INITIATE_PATH, OFFER_PATH, OPEN_PATH, PAYMENT_RECEIPT, PAYMENT_REQUIRED, PAYMENT_RESPONSE, SESSION,
};
use farthing_dialects::payment::Challenge;
use farthing_dialects::problem::{self, Kind, PaymentProblem};
use farthing_dialects::quote::{ChallengeKey, Quote, ResponseDigest, UnitKind, request_digest};
use farthing_dialects::receipt;
use farthing_dialects::service::{CloseSession, Offer, SessionView};
use farthing_dialects::x402::{PaymentRequired, PaymentRequirements, SettleResponse};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::world::{NETWORK, bank_id, bank_key, micros};

/// What a coupon is worth, in micros.
pub(super) const UNIT: u64 = 100;

/// How the seller misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Quirk {
    Honest,
    /// Takes every so-many-th payment and hangs up.
    HangUp(u32),
    /// Takes every payment and hangs up, for ever.
    HangUpAlways,
    /// Acknowledges another payment than it got.
    OtherIndex,
    /// Acknowledges with a binding that does not fit.
    BadMac,
    /// Delivers something else than it acknowledges.
    OtherAnswer,
    /// Gives no receipt.
    NoReceipt,
    /// Knows no session.
    NoSession,
    /// Says that every coupon was used before.
    SaysUsed,
    /// Asks one unit more each time.
    Dearer,
    /// Quotes the price of another request.
    OtherRequest,
    /// Takes every payment, hangs up, and says afterwards that it was used: as a gateway does that was
    /// killed while its service was at work.
    Forgets,
    /// The same, and its sessions are gone too.
    ForgetsSessions,
    /// Takes every payment and asks to be paid.
    Denies,
    /// Takes every payment and never answers.
    Silent,
    /// Never answers whom it has met, nor anybody else.
    Mute,
    /// Says of every session that so many units were paid in it.
    LiesOnTip(u32),
}

/// What was delivered for a payment.
#[derive(Clone)]
struct Delivered {
    order: Digest,
    ack: Ack,
    body: String,
}

pub(super) struct Shop {
    seller: Seller,
    order: Order,
    challenges: ChallengeKey,
    invoiced: Vec<(Invoiced, ChainId)>,
    sessions: HashMap<SessionName, Session>,
    delivered: HashMap<(SessionName, u32), Delivered>,
    pub(super) price: u32,
    pub(super) quirk: Quirk,
    /// Requests carried out.
    pub(super) deliveries: u32,
    /// Requests that came with a payment.
    pub(super) payments: u32,
    /// The highest unit of each payment, in the order of arrival.
    pub(super) indices: Vec<u32>,
    /// The longest header with a payment in it.
    pub(super) header_max: usize,
}

impl Shop {
    /// Units that can be cleared, over all sessions.
    pub(super) fn earned(&self) -> u32 {
        self.sessions.values().map(Session::through).sum()
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn forget_sessions(&mut self) {
        self.sessions.clear();
    }
}

/// A running shop.
#[derive(Clone)]
pub(super) struct Server {
    shop: Arc<Mutex<Shop>>,
    pub(super) address: SocketAddr,
}

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time::from_millis(since.as_millis().try_into().unwrap())
}

impl Server {
    pub(super) async fn start(price: u32, quirk: Quirk) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, 2, price, quirk)
    }

    pub(super) fn serve(listener: tokio::net::TcpListener, key: u8, price: u32, quirk: Quirk) -> Self {
        let key = SecretKey::from_seed(&[key; 32]);
        let order = order(key.id());
        let seal = SealKey::from_seed(&[3; 32]);
        let seller = Seller { key, seal, network: NETWORK, bank: bank_id(), terms: Terms::default() };
        let shop = Shop {
            seller,
            order,
            challenges: ChallengeKey::derive(&[5; 32]),
            invoiced: Vec::new(),
            sessions: HashMap::new(),
            delivered: HashMap::new(),
            price,
            quirk,
            deliveries: 0,
            payments: 0,
            indices: Vec::new(),
            header_max: 0,
        };
        let server = Self { shop: Arc::new(Mutex::new(shop)), address: listener.local_addr().unwrap() };
        let router = Router::new()
            .route(OFFER_PATH, get(offer))
            .route(INITIATE_PATH, post(initiate))
            .route(OPEN_PATH, post(open))
            .route(CLOSE_PATH, post(close))
            .route("/free", get(|| async { "free" }))
            .fallback(paid)
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(super) fn shop(&self) -> MutexGuard<'_, Shop> {
        self.shop.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn request(&self, path: &str) -> reqwest::Request {
        let url = format!("http://{}{path}", self.address).parse().unwrap();
        reqwest::Request::new(reqwest::Method::GET, url)
    }
}

fn order(payee: PeerId) -> Order {
    let created = Time::from_millis(now().as_millis() / 1_000 * 1_000);
    Order {
        payee,
        content: None,
        size: 0,
        piece: 1,
        price: micros(UNIT),
        description: "answers".into(),
        created,
        expires: created.after(Span::from_hours(1)),
        nonce: [0; 16],
    }
}

async fn offer(State(server): State<Server>) -> Vec<u8> {
    let shop = server.shop();
    wire::encode(&Offer {
        order: shop.order.clone(),
        network: NETWORK,
        bank: bank_id(),
        bank_address: String::new(),
        life_min_secs: 60,
        units_max: 10_000,
    })
}

async fn initiate(State(server): State<Server>, body: axum::body::Bytes) -> Vec<u8> {
    let mut shop = server.shop();
    let initiate: Initiate = wire::decode(&body).unwrap();
    let dice = u8::try_from(shop.invoiced.len()).unwrap();
    let mut rng = ChaCha20Rng::from_seed([dice; 32]);
    let (invoiced, invoice) = shop.seller.invoice(now(), &shop.order, &initiate, &mut rng).unwrap();
    let chain = initiate.header.chain_id(&initiate.root);
    shop.invoiced.push((invoiced, chain));
    wire::encode(&invoice)
}

async fn open(State(server): State<Server>, body: axum::body::Bytes) -> Response {
    let mut shop = server.shop();
    let payment: Payment = wire::decode(&body).unwrap();
    let fits = |(it, chain): &(Invoiced, ChainId)| Some((shop.seller.on_payment(it, payment.clone()).ok()?, *chain));
    let Some((committed, chain)) = shop.invoiced.iter().find_map(fits) else { return StatusCode::GONE.into_response() };
    let common = committed.request().clear.peek().unwrap().common;
    let answer = Answer::Yes { hold: TransferId([1; 16]), grace: Span::from_hours(48) };
    let signed = bank_key().sign(NETWORK, &Authorisation { common, chain, answer, time: now() });
    let (session, confirm) = shop.seller.on_authorisation(&committed, signed).unwrap();
    shop.sessions.entry(SessionName::of(session.chain())).or_insert(session);
    wire::encode(&confirm).into_response()
}

async fn close(State(server): State<Server>, body: axum::body::Bytes) -> Vec<u8> {
    let mut shop = server.shop();
    let said: Signed<CloseSession> = wire::decode(&body).unwrap();
    let chain = said.peek().unwrap().chain;
    let session = shop.sessions.remove(&SessionName::of(chain)).unwrap();
    let through = if let Quirk::LiesOnTip(tip) = shop.quirk { tip } else { session.through() };
    wire::encode(&SessionView { chain, units: session.units(), through, cleared: through, closed: true })
}

async fn paid(State(server): State<Server>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let target = parts.uri.path_and_query().unwrap().as_str();
    let digest = request_digest(parts.method.as_str(), target, &body);
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let credential = credential::find(headers).unwrap();
    let quirk = server.shop().quirk;
    let answer = server.answer(&digest, target, credential.as_ref(), &parts.headers);
    if quirk == Quirk::Mute || quirk == Quirk::Silent && credential.is_some() {
        std::future::pending::<()>().await;
    }
    answer
}

impl Server {
    fn answer(
        &self,
        digest: &[u8; 32],
        target: &str,
        credential: Option<&credential::Credential>,
        headers: &HeaderMap,
    ) -> Response {
        let mut shop = self.shop();
        let Some(credential) = credential else { return shop.demand(digest, None) };
        let longest = ["authorization", "payment-signature"].into_iter().filter_map(|name| headers.get(name));
        shop.header_max = shop.header_max.max(longest.map(|value| value.len()).max().unwrap_or(0));
        shop.payments += 1;
        shop.take(digest, target, credential)
    }
}

impl Shop {
    fn quote(&self, digest: &[u8; 32]) -> Quote {
        let request = if self.quirk == Quirk::OtherRequest { [0; 32] } else { *digest };
        Quote {
            network: NETWORK,
            seller: self.seller.key.id(),
            realm: self.order.id(),
            coupon: micros(UNIT),
            units: self.price,
            kind: UnitKind::Request,
            rate: Rate { price: micros(UNIT * u64::from(self.price)), per: 1 },
            expires: Time::from_millis(now().after(Span::from_secs(60)).as_millis() / 1_000 * 1_000),
            request,
        }
    }

    fn demand(&self, digest: &[u8; 32], problem: Option<PaymentProblem>) -> Response {
        let quote = self.quote(digest);
        let challenge = Challenge::new(&self.challenges, &quote, "shop", SESSION).header();
        let accepts = PaymentRequirements::new(&self.challenges, &quote, now(), "shop");
        let problem = problem.unwrap_or_else(|| PaymentProblem::new(problem::PAYMENT_REQUIRED, "pay first"));
        let mut response = refuse(&problem);
        response.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
        let required = PaymentRequired::new(accepts, "http://shop/").header();
        response.headers_mut().insert(PAYMENT_REQUIRED, required.parse().unwrap());
        response
    }

    /// A price, and not a word on a payment.
    fn bare_demand(&self, digest: &[u8; 32]) -> Response {
        let mut response = self.demand(digest, None);
        response.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        response
    }

    fn take(&mut self, digest: &[u8; 32], target: &str, credential: &credential::Credential) -> Response {
        let (coupon, quirk, price) = (credential.coupon, self.quirk, self.price);
        self.indices.push(coupon.index);
        let said = |kind: Kind| PaymentProblem::new(kind, "no");
        if quirk == Quirk::Denies && self.deliveries > 0 {
            return self.bare_demand(digest);
        }
        if quirk == Quirk::SaysUsed {
            return refuse(&said(problem::REPLAYED));
        }
        let key = (coupon.session, coupon.index);
        let Some(session) = self.sessions.get_mut(&coupon.session).filter(|_| quirk != Quirk::NoSession) else {
            return refuse(&said(problem::SESSION_UNKNOWN));
        };
        let order = micro_order(session.realm(), digest);
        if let Some(before) = self.delivered.get(&key).filter(|before| before.order == order).cloned() {
            return self.answer(&before, credential);
        }
        if quirk == Quirk::Dearer {
            self.price += 1;
            return self.demand(digest, Some(said(problem::INSUFFICIENT)));
        }
        let accepted = match session.accept(now(), &coupon.about(order), price) {
            Ok(accepted) => accepted,
            Err(PayError::Price { .. }) => return self.demand(digest, Some(said(problem::INSUFFICIENT))),
            Err(PayError::Served { .. }) => return refuse(&said(problem::REPLAYED)),
            Err(PayError::Ended) => return refuse(&said(problem::SESSION_CLOSED)),
            Err(_) => return self.demand(digest, Some(said(problem::VERIFICATION_FAILED))),
        };
        self.deliveries += 1;
        let body = format!("{target} for {price}");
        let mut response = ResponseDigest::new(200);
        response.update(body.as_bytes());
        let ack = session.ack(&accepted.entry, coupon.units, response.finish());
        let delivered = Delivered { order, ack, body };
        match quirk {
            Quirk::Forgets => std::panic::resume_unwind(Box::new(())),
            Quirk::ForgetsSessions => {
                self.sessions.clear();
                std::panic::resume_unwind(Box::new(()));
            }
            Quirk::Denies => return self.bare_demand(digest),
            _ => _ = self.delivered.insert(key, delivered.clone()),
        }
        let hangs_up = match quirk {
            Quirk::HangUp(every) => self.deliveries.is_multiple_of(every),
            Quirk::HangUpAlways => true,
            _ => false,
        };
        if hangs_up {
            // Ends the connection without an answer, and without a word on the test's output.
            std::panic::resume_unwind(Box::new(()));
        }
        self.answer(&delivered, credential)
    }

    fn answer(&self, delivered: &Delivered, credential: &credential::Credential) -> Response {
        if self.quirk == Quirk::HangUpAlways {
            std::panic::resume_unwind(Box::new(()));
        }
        let mut ack = delivered.ack;
        match self.quirk {
            Quirk::OtherIndex => ack.index += 500,
            Quirk::BadMac => ack.mac = Mac([0; 16]),
            _ => {}
        }
        let mut headers = HeaderMap::new();
        let session = credential.coupon.session;
        let (name, value) = match credential.form {
            Form::Compact => (PAYMENT_RECEIPT, receipt::compact(&ack)),
            Form::Full(_) => {
                (PAYMENT_RECEIPT, receipt::full(session, &ack, micros(UNIT * u64::from(ack.charged)), now()))
            }
            Form::X402V2(_) | Form::X402V1 => {
                (PAYMENT_RESPONSE, SettleResponse::settled(NETWORK, session, &ack, UNIT).header())
            }
        };
        if self.quirk != Quirk::NoReceipt {
            headers.insert(name, value.parse().unwrap());
        }
        let body = if self.quirk == Quirk::OtherAnswer { "another".to_owned() } else { delivered.body.clone() };
        (headers, body).into_response()
    }
}

fn refuse(problem: &PaymentProblem) -> Response {
    let body = Body::from(serde_json::to_vec(problem).unwrap());
    let status = StatusCode::from_u16(problem.status).unwrap();
    (status, [("content-type", "application/problem+json")], body).into_response()
}
