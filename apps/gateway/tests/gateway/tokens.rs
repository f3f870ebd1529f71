//! Tokens that a broker drew on its own session, spent at the gateway by those who prefetched them.

use farthing_core::id::{PeerId, RequestId, timed};
use farthing_core::order::Order;
use farthing_core::seal::SealKey;
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_coupon::broker::{Broker, Drawn, Form, Want};
use farthing_coupon::buyer::Buyer;
use farthing_coupon::messages::AuthAnswer;
use farthing_coupon::micro::Token;
use farthing_coupon::secret::Digest;
use farthing_coupon::seller::{Seller, Terms};
use farthing_coupon::session::Session;
use farthing_coupon::spender::Spender;
use farthing_dialects::quote::request_digest;
use farthing_dialects::{names, payment, problem};
use farthing_gateway::acquirer::Acquirer;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use reqwest::Response;

use crate::town::{HERE, NOW, Town, micros, problem as read_problem, seller};

const ENDS: Time = NOW.after(Span::from_secs(3_600));

/// A broker with a session at the town's gateway, and a buyer with one at the broker.
struct Trade {
    broker: Broker,
    buyer: Spender,
    gateway: PeerId,
}

impl Trade {
    async fn at(town: &Town) -> Self {
        let (buyer, session) = with_broker(town).await;
        let drawn_on = town.buyer(3, 10_000).await.spender;
        let broker = Broker::new(key(), HERE, 0, vec![session], vec![drawn_on], Vec::new());
        Self { broker, buyer, gateway: seller(town) }
    }

    fn token(&mut self, units: u32, holder: u8) -> Token {
        let form = Form::Prefetch { holder: Digest([holder; 32]), expires: ENDS };
        let want = Want { seller: self.gateway, units, request: [holder; 32], form };
        let pay = self.buyer.pay(units, want.order(self.buyer.realm())).unwrap();
        match self.broker.translate(NOW, self.buyer.chain(), &pay, &want).unwrap() {
            Drawn::Token(token) => token,
            other => panic!("{other:?}"),
        }
    }
}

fn key() -> SecretKey {
    SecretKey::from_seed(&[40; 32])
}

/// 3KP between a buyer and the broker.
async fn with_broker(town: &Town) -> (Spender, Session) {
    let (account, pseudonym) = (SecretKey::from_seed(&[41; 32]), SecretKey::from_seed(&[42; 32]));
    let (bank, bank_seal) = (town.offer().await.bank, SealKey::from_seed(&[1; 32]).public());
    let buyer = Buyer { account: &account, pseudonym: &pseudonym, network: HERE, bank, bank_seal };
    let seal = SealKey::from_seed(&[40; 32]);
    let broker = Seller { key: key(), seal, network: HERE, bank, terms: Terms::default() };
    let order = Order {
        payee: key().id(),
        content: None,
        size: 0,
        piece: 0,
        price: micros(100),
        description: "translations".into(),
        created: NOW,
        expires: NOW.after(Span::from_days(7)),
        nonce: [1; 16],
    };
    let mut rng = ChaCha20Rng::from_seed([43; 32]);
    let until = NOW.after(Span::from_days(1));
    let (asked, initiate) = buyer.initiate(&order, 10_000, until, [43; 32], &mut rng).unwrap();
    let (invoiced, invoice) = broker.invoice(NOW, &order, &initiate, &mut rng).unwrap();
    let (pending, purchase) = buyer.on_invoice(NOW, asked, invoice, &mut rng).unwrap();
    let committed = broker.on_payment(&invoiced, pending.payment().clone()).unwrap();
    let id = RequestId(timed(NOW, &[44; 32]));
    let AuthAnswer::Answered(answer) = town.bank.authorise(id, committed.request()).await.unwrap() else {
        panic!("a conflict");
    };
    let (session, confirm) = broker.on_authorisation(&committed, answer).unwrap();
    let spender = purchase.on_confirm(&buyer, confirm).map_err(|refused| refused.1).unwrap();
    (spender, session)
}

fn credential(token: &Token, path: &str, turn: u32) -> String {
    let (coupon, bearer) = token.spend(&request_digest("GET", path, b""), turn).coupon(token.chain);
    payment::token(&coupon, &bearer)
}

async fn spend(town: &Town, token: &Token, path: &str) -> Response {
    send(town, path, &credential(token, path, 0)).await
}

async fn send(town: &Town, path: &str, credential: &str) -> Response {
    town.http.get(town.url(path)).header("authorization", credential).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_broker_buy_requests_out_of_order_and_late_and_none_buys_twice() {
    let town = Town::new().await;
    let mut trade = Trade::at(&town).await;
    let tokens: Vec<Token> = (1..=3).map(|holder| trade.token(1, holder)).collect();
    let dear = trade.token(3, 4);
    assert_eq!(spend(&town, &dear, "/other").await.status(), 200, "the last one first");
    for token in tokens.iter().rev() {
        let answer = spend(&town, token, "/hello").await;
        assert!(answer.headers().contains_key(names::PAYMENT_RECEIPT));
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (200, "hello".into()));
    }
    assert_eq!(town.seen.calls(), 4);
    // The same again is the stored answer; for another request it is nothing.
    let again = spend(&town, &tokens[0], "/hello").await;
    assert_eq!((again.status().as_u16(), &again.headers()[names::REPEATED]), (200, &"true".parse().unwrap()));
    assert!(read_problem(spend(&town, &tokens[0], "/hello?x").await).await.is(problem::REPLAYED));
    assert_eq!(town.seen.calls(), 4);
    town.control.clear().await.unwrap();
    assert_eq!(town.bank.paid(), (600, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_refuses_a_token_of_another_holder_with_a_longer_life_past_its_end_or_stolen_on_the_way() {
    let town = Town::new().await;
    let mut trade = Trade::at(&town).await;
    let (_, token) = (trade.token(3, 7), trade.token(1, 1));
    let mut stolen = token.clone();
    stolen.terms.holder = Digest([9; 32]);
    let mut longer = token.clone();
    longer.terms.expires = ENDS.after(Span::from_days(1));
    let mut more = token.clone();
    more.terms.units = 3;
    for (bad, path) in [(&stolen, "/hello"), (&longer, "/hello"), (&more, "/other")] {
        assert!(read_problem(spend(&town, bad, path).await).await.is(problem::VERIFICATION_FAILED), "{path}");
    }
    // Seen on the wire, and turned to another request.
    let seen = credential(&token, "/hello", 0);
    assert!(read_problem(send(&town, "/hello?x", &seen).await).await.is(problem::VERIFICATION_FAILED));
    // Without its bearer it is a coupon whose binding does not fit.
    let (coupon, _) = token.spend(&request_digest("GET", "/hello", b""), 0).coupon(token.chain);
    let bare = payment::compact(&coupon);
    assert!(read_problem(send(&town, "/hello", &bare).await).await.is(problem::VERIFICATION_FAILED));
    assert_eq!(town.seen.calls(), 0);
    assert_eq!(spend(&town, &token, "/hello").await.status(), 200);
    let late = trade.token(1, 2);
    town.clock.set(ENDS);
    assert!(read_problem(spend(&town, &late, "/hello").await).await.is(problem::EXPIRED));
    assert_eq!(town.seen.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_whose_request_failed_is_spent_once_more_and_its_copy_buys_nothing() {
    let town = Town::new().await;
    let mut trade = Trade::at(&town).await;
    let token = trade.token(1, 1);
    let failed = credential(&token, "/fails", 0);
    assert_eq!(send(&town, "/fails", &failed).await.status(), 500);
    let stale = read_problem(spend(&town, &token, "/hello").await).await;
    let turn = stale.ack().unwrap().unwrap().turn;
    assert!(stale.is(problem::REPLAYED) && turn == 1, "it says how to make it anew");
    let answer = send(&town, "/hello", &credential(&token, "/hello", turn)).await;
    assert_eq!(answer.status(), 200);
    let copy = send(&town, "/fails", &failed).await;
    assert!(copy.status() != 200 && town.seen.calls() == 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn holders_of_tokens_on_one_session_do_not_get_each_other_s_answers_by_an_idempotency_key() {
    let town = Town::new().await;
    let mut trade = Trade::at(&town).await;
    let (one, two) = (trade.token(1, 1), trade.token(1, 2));
    for token in [&one, &two] {
        let request = town.http.get(town.url("/hello")).header("authorization", credential(token, "/hello", 0));
        let answer = request.header(names::IDEMPOTENCY_KEY, "order-1").send().await.unwrap();
        assert!(answer.status() == 200 && !answer.headers().contains_key(names::REPEATED));
    }
    assert_eq!(town.seen.calls(), 2);
}
