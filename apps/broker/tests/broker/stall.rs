//! A stall of small products, and a way to it on which things go wrong.

use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::any};
use farthing_broker::messages::{GOODS_PATH, PAY_PATH};
use farthing_broker::server::{BrokerServer, Setup, Shelved, Terms};
use farthing_core::id::PeerId;
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::Span;
use farthing_core::wire;
use farthing_coupon::exchange::stall::AskGoods;
use farthing_coupon::exchange::{Goods, Promise, request_of};
use farthing_coupon::micro::micro_order;
use farthing_driver::Clock;
use farthing_net::http::client::client;
use farthing_net::http::server::{Limits, ServerConfig, Tls};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::town::{Town, key, micros};

pub(crate) const SELLER: u8 = 30;
/// What a product costs, in the stall's units of ten micros.
pub(crate) const UNITS: u32 = 200;

/// What happens on the way between broker and stall, once for each that is planned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    /// The message never arrives.
    Unheard(&'static str),
    /// The answer never arrives.
    Unanswered(&'static str),
    /// The answer hangs until the broker is gone.
    Hanging(&'static str),
    /// The seller seals noise and swears that it is the product.
    Lie,
    /// The seller sends something that is no goods.
    Rubbish,
}

pub(crate) struct Stall {
    pub(crate) server: Option<BrokerServer>,
    way: Arc<Way>,
    pub(crate) origin: String,
}

struct Way {
    to: Mutex<String>,
    trouble: Mutex<Vec<Trouble>>,
    hangs: Notify,
    key: SecretKey,
    town: farthing_bank::client::BankClient,
    clock: farthing_driver::ManualClock,
    realm: Mutex<Option<farthing_core::id::OrderId>>,
}

impl Stall {
    /// Opens a stall that sells through the town's broker.
    pub(crate) async fn open(town: &Town, products: &[(&str, &[u8])]) -> Self {
        town.fund(&key(SELLER), 0).await;
        let way = Arc::new(Way {
            to: Mutex::default(),
            trouble: Mutex::default(),
            hangs: Notify::new(),
            key: key(SELLER),
            town: town.client.clone(),
            clock: town.clock.clone(),
            realm: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(any(pass)).with_state(Arc::clone(&way));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut stall = Self { server: None, way, origin };
        stall.start(town, products).await;
        stall
    }

    /// Starts it, or starts it again with this on its shelf.
    pub(crate) async fn start(&mut self, town: &Town, products: &[(&str, &[u8])]) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        let products = products.iter().map(|(name, product)| ((*name).to_owned(), product.to_vec(), UNITS)).collect();
        let stall = Shelved { brokers: [town.broker_key().id()].into(), products };
        let setup = Setup {
            records: town.path("stall.db"),
            identity: [SELLER; 32].into(),
            bank: town.client.clone(),
            terms: Terms { stall: Some(stall), ..Terms::new(micros(10), Vec::new()) },
            server: ServerConfig {
                listen: "127.0.0.1:0".parse().unwrap(),
                tls: Tls::PlainLoopbackOnly,
                limits: Limits::default(),
            },
            clock: Arc::new(town.clock.clone()),
            every: None,
        };
        let server = BrokerServer::start(setup).await.unwrap();
        *self.way.to.lock().unwrap() = format!("http://{}", server.address());
        self.server = Some(server);
    }

    pub(crate) fn close(&mut self) {
        drop(self.server.take());
        "http://127.0.0.1:9".clone_into(&mut self.way.to.lock().unwrap());
    }

    pub(crate) fn id(&self) -> PeerId {
        key(SELLER).id()
    }

    /// Plans what goes wrong next.
    pub(crate) fn plan(&self, trouble: Trouble) {
        self.way.trouble.lock().unwrap().push(trouble);
    }

    /// Waits until an answer hangs.
    pub(crate) async fn hangs(&self) {
        self.way.hangs.notified().await;
    }

    pub(crate) fn know_realm(&self, realm: farthing_core::id::OrderId) {
        *self.way.realm.lock().unwrap() = Some(realm);
    }
}

impl Way {
    /// The trouble planned for a path, if it is its turn.
    fn meets(&self, path: &str) -> Option<Trouble> {
        let mut planned = self.trouble.lock().unwrap();
        let at = planned.iter().position(|trouble| match trouble {
            Trouble::Unheard(of) | Trouble::Unanswered(of) | Trouble::Hanging(of) => *of == path,
            Trouble::Lie | Trouble::Rubbish => path == GOODS_PATH,
        });
        at.map(|at| planned.remove(at))
    }

    /// Noise under the promise of a song.
    fn lie(&self, ask: &[u8]) -> Goods {
        let ask: Signed<AskGoods> = wire::decode(ask).unwrap();
        let product = ask.peek().unwrap().shown.product;
        let order = micro_order(self.realm.lock().unwrap().unwrap(), &request_of(product));
        let (network, ends) = (self.town.network(), self.clock.now().after(Span::from_hours(1)));
        let mut dice = ChaCha20Rng::from_seed([3; 32]);
        let goods = Goods::seal(&self.key, network, order, b"noise", ends, &mut dice).unwrap();
        let promise = Promise { product, ..goods.promise.peek().unwrap() };
        Goods { promise: self.key.sign(network, &promise), ..goods }
    }
}

async fn pass(State(way): State<Arc<Way>>, request: Request) -> Response {
    let lost = || StatusCode::BAD_GATEWAY.into_response();
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    match way.meets(&path) {
        None => forward(&way, parts.method, &parts.uri, &parts.headers, body).await.unwrap_or_else(lost),
        Some(Trouble::Unheard(_)) => lost(),
        Some(Trouble::Unanswered(_)) => {
            forward(&way, parts.method, &parts.uri, &parts.headers, body).await.unwrap();
            lost()
        }
        Some(Trouble::Hanging(_)) => {
            forward(&way, parts.method, &parts.uri, &parts.headers, body).await.unwrap();
            way.hangs.notify_one();
            std::future::pending().await
        }
        Some(Trouble::Lie) => wire::encode(&way.lie(&body)).into_response(),
        Some(Trouble::Rubbish) => vec![0_u8; 300_000].into_response(),
    }
}

async fn forward(way: &Way, method: Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Option<Response> {
    let to = way.to.lock().unwrap().clone();
    let http = client(&to.parse().unwrap()).unwrap();
    let mut request = http.request(method, format!("{to}{}", uri.path())).body(body);
    if let Some(kind) = headers.get("content-type") {
        request = request.header("content-type", kind);
    }
    let answer = request.send().await.ok()?;
    let mut response = Response::builder().status(answer.status());
    if let Some(kind) = answer.headers().get("content-type") {
        response = response.header("content-type", kind);
    }
    Some(response.body(Body::from(answer.bytes().await.ok()?)).unwrap())
}

/// Every point at which something can be lost between broker and stall.
pub(crate) const TROUBLES: [Trouble; 6] = [
    Trouble::Unheard(GOODS_PATH),
    Trouble::Unanswered(GOODS_PATH),
    Trouble::Hanging(GOODS_PATH),
    Trouble::Unheard(PAY_PATH),
    Trouble::Unanswered(PAY_PATH),
    Trouble::Hanging(PAY_PATH),
];
