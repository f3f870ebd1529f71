//! A bank, a service, a gateway, and buyers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use farthing_bank::client::AskError;
use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{ChainId, NetworkId, PeerId, RequestId, TransferId};
use farthing_core::seal::SealKey;
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{Span, Time};
use farthing_core::wire::{self, Bounded};
use farthing_coupon::buyer::Buyer;
use farthing_coupon::clearing::{ClearLine, ClearOutcome, ClearReceipt, Clearings};
use farthing_coupon::messages::{Answer, AuthAnswer, AuthRequest, Authorisation, Clear, Confirm};
use farthing_coupon::micro::{Ack, Coupon, micro_order};
use farthing_coupon::spender::Spender;
use farthing_dialects::problem::PaymentProblem;
use farthing_dialects::quote::{Quote, request_digest};
use farthing_dialects::service::Offer;
use farthing_dialects::{names, payment, receipt};
use farthing_driver::{Clock, ManualClock};
use farthing_gateway::acquirer::Acquirer;
use farthing_gateway::{Bank, Config, Control, Gateway, Keys, PriceSource};
use farthing_net::http::client;
use futures::future::BoxFuture;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use reqwest::{Client, Response};
use tokio::sync::oneshot;

pub(crate) const HERE: NetworkId = NetworkId([7; 16]);
pub(crate) const NOW: Time = Time::from_millis(1_800_000_000_000);

pub(crate) fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

/// iKP's acquirer with books of its own.
pub(crate) struct FakeBank {
    key: SecretKey,
    seal: SealKey,
    clock: ManualClock,
    books: Mutex<Books>,
    /// Does what it is asked, and the answer goes missing.
    pub(crate) deaf: AtomicBool,
    pub(crate) says_no: AtomicBool,
    /// How often it was asked for an authorisation.
    pub(crate) asked: AtomicUsize,
}

#[derive(Default)]
struct Books {
    answers: HashMap<RequestId, Signed<Authorisation>>,
    receipts: HashMap<RequestId, ClearReceipt>,
    units: HashMap<ChainId, (Amount, u32)>,
    paid: u64,
    finals: usize,
}

impl FakeBank {
    fn new(clock: ManualClock) -> Arc<Self> {
        Arc::new(Self {
            key: SecretKey::from_seed(&[1; 32]),
            seal: SealKey::from_seed(&[1; 32]),
            clock,
            books: Mutex::default(),
            deaf: AtomicBool::new(false),
            says_no: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        })
    }

    /// What the gateway was paid, in micros, and how many sessions were cleared for good.
    pub(crate) fn paid(&self) -> (u64, usize) {
        let books = self.books.lock().unwrap();
        (books.paid, books.finals)
    }

    /// The bank, as a gateway knows it.
    pub(crate) fn there(self: &Arc<Self>) -> Bank {
        Bank {
            network: HERE,
            key: self.key.id(),
            currency: Currency::XTS,
            address: "http://127.0.0.1:1".into(),
            acquirer: Arc::clone(self) as Arc<dyn Acquirer>,
        }
    }

    fn heard<T>(&self, answer: T) -> Result<T, AskError> {
        if self.deaf.load(Ordering::SeqCst) { Err(AskError::Unknown("lost".into())) } else { Ok(answer) }
    }
}

impl Acquirer for FakeBank {
    fn authorise<'a>(&'a self, id: RequestId, request: &'a AuthRequest) -> BoxFuture<'a, Result<AuthAnswer, AskError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut books = self.books.lock().unwrap();
        let known = books.answers.get(&id).cloned();
        let signed = known.unwrap_or_else(|| {
            let clear: Clear = request.clear.peek().unwrap();
            let slip = self.seal.open(HERE, &request.slip).unwrap().peek().unwrap();
            let chain = slip.header.chain_id(&clear.root);
            books.units.insert(chain, (slip.header.unit, 0));
            let answer = match self.says_no.load(Ordering::SeqCst) {
                true => {
                    Answer::No(farthing_core::refusal::Refusal::new(farthing_core::refusal::Code::Funds, "no money"))
                }
                false => Answer::Yes { hold: TransferId([0; 16]), grace: Span::from_days(2) },
            };
            let body = Authorisation { common: clear.common, chain, answer, time: self.clock.now() };
            self.key.sign(HERE, &body)
        });
        books.answers.insert(id, signed.clone());
        let answer = self.heard(AuthAnswer::Answered(signed));
        Box::pin(async { answer })
    }

    fn clear<'a>(&'a self, id: RequestId, clearings: &'a Clearings) -> BoxFuture<'a, Result<ClearReceipt, AskError>> {
        let mut books = self.books.lock().unwrap();
        let known = books.receipts.get(&id).cloned();
        let receipt = known.unwrap_or_else(|| {
            let mut lines = Vec::new();
            for item in clearings.items.as_slice() {
                let (unit, before) = books.units[&item.chain];
                let through = before.max(item.through);
                let amount = unit.checked_mul(u64::from(through - before)).unwrap();
                books.units.insert(item.chain, (unit, through));
                books.paid += amount.as_micros();
                books.finals += usize::from(item.is_final);
                lines.push(ClearLine { chain: item.chain, outcome: ClearOutcome::Paid { amount, through } });
            }
            ClearReceipt { request: id, lines: Bounded::new(lines).unwrap(), time: self.clock.now() }
        });
        books.receipts.insert(id, receipt.clone());
        let answer = self.heard(receipt);
        Box::pin(async { answer })
    }
}

/// What the service saw.
pub(crate) struct Seen {
    pub(crate) calls: AtomicUsize,
    pub(crate) headers: Mutex<Option<HeaderMap>>,
    /// Holds `/slow` back until it is told to go on.
    pub(crate) gate: tokio::sync::Semaphore,
}

impl Seen {
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn service(seen: Arc<Seen>) -> SocketAddr {
    async fn count(
        State(seen): State<Arc<Seen>>,
        request: Request,
        next: axum::middleware::Next,
    ) -> axum::response::Response {
        seen.calls.fetch_add(1, Ordering::SeqCst);
        *seen.headers.lock().unwrap() = Some(request.headers().clone());
        next.run(request).await
    }
    // What was begun leaves before the end comes.
    let broken = || {
        Body::from_stream(futures::stream::unfold(0, |step| async move {
            match step {
                0 => return Some((Ok(Bytes::from_static(b"0123456789")), 1)),
                1 => tokio::task::yield_now().await,
                _ => return None,
            }
            Some((Err(std::io::Error::other("gone")), 2))
        }))
    };
    let router = Router::new()
        .route("/hello", any(async || "hello"))
        .route("/other", any(async || "other"))
        .route("/free", any(async || "free"))
        .route("/echo", any(async |body: Bytes| body))
        .route("/fails", any(async || (StatusCode::INTERNAL_SERVER_ERROR, "broken")))
        .route("/hangs", any(async || std::future::pending::<()>().await))
        .route("/dies", any(async || -> () { std::panic::resume_unwind(Box::new("died")) }))
        .route("/lies", any(async move || ([(CONTENT_LENGTH, "100")], broken())))
        .route("/breaks", any(async move || broken()))
        .route("/large", any(async || vec![b'x'; 100_000]))
        .route(
            "/forever",
            get(async || {
                let chunks = futures::stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'y'; 1_000])));
                Body::from_stream(chunks)
            }),
        )
        .route(
            "/slow",
            any(async |State(seen): State<Arc<Seen>>| {
                seen.gate.acquire().await.unwrap().forget();
                "slow"
            }),
        )
        .route("/socket", any(echo_socket))
        .route("/forges", any(async || ([(names::PAYMENT_RECEIPT, "forged")], "x").into_response()))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&seen), count))
        .with_state(seen);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Changes the protocol to one that repeats all it hears.
async fn echo_socket(mut request: Request) -> axum::response::Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut from, mut to) = tokio::io::split(hyper_util::rt::TokioIo::new(upgrade.await.unwrap()));
        let _ = tokio::io::copy(&mut from, &mut to).await;
    });
    let headers = [("connection", "upgrade"), ("upgrade", "echo")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// A gateway that runs, and all around it.
pub(crate) struct Town {
    pub(crate) bank: Arc<FakeBank>,
    pub(crate) clock: ManualClock,
    pub(crate) seen: Arc<Seen>,
    pub(crate) base: String,
    pub(crate) http: Client,
    pub(crate) control: Control,
    pub(crate) ops: Option<SocketAddr>,
    pub(crate) home: Arc<tempfile::TempDir>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<tokio::task::JoinHandle<()>>,
    service: SocketAddr,
    keys: [u8; 32],
}

pub(crate) const PRICES: &str = r#"
price = "0.0001 XTS"
coupon = "0.0001 XTS"
[[route]]
path = "/free"
free = true
[[route]]
path = "/tier"
price = "0.0001 XTS"
free_tier = 2
[[route]]
path = "/limited"
price = "0.0001 XTS"
rate = 1
[[route]]
path = "/other"
price = "0.0003 XTS"
[[route]]
path = "/bytes/**"
price = "0.0001 XTS"
unit = "byte"
per = 1000
max = "0.0100 XTS"
[[route]]
path = "/forever"
price = "0.0001 XTS"
unit = "byte"
per = 1000
max = "0.0100 XTS"
[[route]]
path = "/large"
price = "0.0001 XTS"
unit = "byte"
per = 1000
max = "0.2000 XTS"
[[route]]
path = "/socket"
price = "0.0001 XTS"
unit = "byte"
per = 10
max = "0.0100 XTS"
"#;

impl Town {
    pub(crate) async fn new() -> Self {
        Self::with(PRICES, |_| {}).await
    }

    pub(crate) async fn with(prices: &str, change: impl FnOnce(&mut Config)) -> Self {
        let seen = Seen { calls: AtomicUsize::new(0), headers: Mutex::default(), gate: tokio::sync::Semaphore::new(0) };
        let seen = Arc::new(seen);
        let service = service(Arc::clone(&seen)).await;
        let clock = ManualClock::at(NOW);
        let home = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(home.path().join("prices.toml"), prices).unwrap();
        let bank = FakeBank::new(clock.clone());
        Self::open(home, bank, clock, seen, service, [9; 32], change).await
    }

    /// Another gateway before the same service, with another key.
    pub(crate) async fn neighbour(&self) -> Self {
        let home = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(home.path().join("prices.toml"), PRICES).unwrap();
        let (bank, clock) = (Arc::clone(&self.bank), self.clock.clone());
        Self::open(home, bank, clock, Arc::clone(&self.seen), self.service, [8; 32], |_| {}).await
    }

    async fn open(
        home: Arc<tempfile::TempDir>,
        bank: Arc<FakeBank>,
        clock: ManualClock,
        seen: Arc<Seen>,
        service: SocketAddr,
        keys: [u8; 32],
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let prices = PriceSource::File(home.path().join("prices.toml"));
        let listen = "127.0.0.1:0".parse().unwrap();
        let mut config = Config::new(format!("http://{service}"), listen, home.path().join("records"), prices);
        config.patience = Duration::from_secs(2);
        config.clear.every = Duration::from_secs(3_600);
        change(&mut config);
        let there = bank.there();
        let keys_here = Keys::of(keys.into());
        let gateway = Gateway::start(config, &keys_here, there, Arc::new(clock.clone())).await.unwrap();
        let (base, control, ops) = (gateway.endpoint().unwrap().to_string(), gateway.control(), gateway.ops_address());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(gateway.run(async { drop(stopped.await) }));
        let http = client::client(&base.parse().unwrap()).unwrap();
        let (stop, running) = (Some(stop), Some(running));
        Self { bank, clock, seen, base, http, control, ops, home, stop, running, service, keys }
    }

    /// Stops the gateway and starts it again on the same records.
    pub(crate) async fn restart(mut self) -> Self {
        self.stop().await;
        let parts = (Arc::clone(&self.home), Arc::clone(&self.bank), self.clock.clone(), Arc::clone(&self.seen));
        Self::open(parts.0, parts.1, parts.2, parts.3, self.service, self.keys, |_| {}).await
    }

    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        self.running.take().unwrap().await.unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Waits until the service has been asked so often.
    pub(crate) async fn reached(&self, calls: usize) {
        while self.seen.calls() < calls {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    pub(crate) async fn post<T: wire::Wire>(
        &self,
        path: &str,
        body: &impl minicbor::Encode<()>,
    ) -> Result<T, (u16, String)> {
        let answer = self.http.post(self.url(path)).body(wire::encode(body)).send().await.unwrap();
        let (status, bytes) = (answer.status().as_u16(), answer.bytes().await.unwrap());
        if status == 200 {
            Ok(wire::decode(&bytes).unwrap())
        } else {
            Err((status, String::from_utf8_lossy(&bytes).into()))
        }
    }

    pub(crate) async fn offer(&self) -> Offer {
        wire::decode(&self.get(names::OFFER_PATH).await.bytes().await.unwrap()).unwrap()
    }

    /// A buyer with a session of so many units.
    pub(crate) async fn buyer(&self, seed: u8, units: u32) -> Customer<'_> {
        self.try_buyer(seed, units).await.unwrap()
    }

    pub(crate) async fn try_buyer(&self, seed: u8, units: u32) -> Result<Customer<'_>, (u16, String)> {
        let (account, pseudonym) = (SecretKey::from_seed(&[seed; 32]), SecretKey::from_seed(&[!seed; 32]));
        let buyer = Buyer {
            account: &account,
            pseudonym: &pseudonym,
            network: HERE,
            bank: self.bank.key.id(),
            bank_seal: self.bank.seal.public(),
        };
        let offer = self.offer().await;
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let until = self.clock.now().after(Span::from_days(1));
        let (asked, initiate) = buyer.initiate(&offer.order, units, until, [seed; 32], &mut rng).unwrap();
        let invoice: Signed<Clear> = self.post(names::INITIATE_PATH, &initiate).await?;
        let (pending, purchase) = buyer.on_invoice(self.clock.now(), asked, invoice, &mut rng).unwrap();
        let confirm: Confirm = match self.post(names::OPEN_PATH, pending.payment()).await {
            Ok(confirm) => confirm,
            Err(_) if self.bank.deaf.swap(false, Ordering::SeqCst) => {
                self.post(names::OPEN_PATH, pending.payment()).await?
            }
            Err(why) => return Err(why),
        };
        let again: Confirm = self.post(names::OPEN_PATH, pending.payment()).await.unwrap();
        assert_eq!(again, confirm, "the same payment is answered alike");
        let spender = purchase.on_confirm(&buyer, confirm).unwrap();
        Ok(Customer { town: self, spender, pseudonym })
    }

    /// The first challenge of a 402.
    pub(crate) async fn challenge(&self, path: &str) -> (payment::Challenge, Quote) {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 402);
        let header = answer.headers()["www-authenticate"].to_str().unwrap();
        let challenge = payment::Challenge::read_all(header).unwrap().remove(0);
        let quote = challenge.quote().unwrap();
        (challenge, quote)
    }

    pub(crate) fn records(&self) -> std::path::PathBuf {
        Path::join(self.home.path(), "records")
    }
}

/// A buyer with an open session.
pub(crate) struct Customer<'a> {
    pub(crate) town: &'a Town,
    pub(crate) spender: Spender,
    pub(crate) pseudonym: SecretKey,
}

impl Customer<'_> {
    pub(crate) fn coupon(&mut self, method: &str, path: &str, body: &[u8], units: u32) -> Coupon {
        let order = micro_order(self.spender.realm(), &request_digest(method, path, body));
        let chain = self.spender.chain();
        self.spender.pay(units, order).unwrap().coupon(chain)
    }

    /// Pays for a request and gives the answer.
    pub(crate) async fn get(&mut self, path: &str, units: u32) -> Response {
        let coupon = self.coupon("GET", path, b"", units);
        self.send(path, &coupon).await
    }

    pub(crate) async fn send(&self, path: &str, coupon: &Coupon) -> Response {
        send(self.town, path, coupon).await
    }

    /// Takes the receipt on an answer: how much it says was charged.
    pub(crate) fn charged(&mut self, answer: &Response) -> u32 {
        let ack = receipt::read(answer.headers()[names::PAYMENT_RECEIPT].to_str().unwrap()).unwrap();
        self.spender.on_ack(&ack).unwrap()
    }

    /// Takes the seller's word on a refused payment.
    pub(crate) fn refused(&mut self, problem: &PaymentProblem) -> Option<u32> {
        let ack = problem.ack().unwrap()?;
        Some(self.spender.on_ack(&ack).unwrap())
    }
}

pub(crate) async fn send(town: &Town, path: &str, coupon: &Coupon) -> Response {
    town.http.get(town.url(path)).header("authorization", payment::compact(coupon)).send().await.unwrap()
}

pub(crate) async fn problem(answer: Response) -> PaymentProblem {
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let status = answer.status().as_u16();
    let problem: PaymentProblem = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(problem.status, status);
    problem
}

/// The receipts of a streamed answer, once it has ended.
pub(crate) async fn receipts(town: &Town, stream: &str) -> Vec<Ack> {
    loop {
        let answer = town.get(&names::receipt_path(stream)).await;
        if answer.status() == 200 {
            let acks: Bounded<Ack> = wire::decode(&answer.bytes().await.unwrap()).unwrap();
            return acks.into_vec();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn seller(town: &Town) -> PeerId {
    SecretKey::from_seed(&town.keys).id()
}
