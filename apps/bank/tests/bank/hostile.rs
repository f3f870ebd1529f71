use farthing_bank::client::{AskError, BankClient, ConnectError};
use farthing_bank::messages::{Answer, AnswerOutcome, CBOR, OpenAccount, REQUEST_MESSAGE_MAX, StatementOf, kind};
use farthing_core::id::{NetworkId, PeerId, RequestId};
use farthing_core::refusal::{Code, Money};
use farthing_core::seal::{SealKey, SealPublic, seal};
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{SKEW, Span};
use farthing_core::wire;
use farthing_role::{REQUEST_HORIZON, Request, RequestBody};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::town::{Town, key, refused, units};

/// A request's parts, each of which can be made wrong.
struct Forge {
    signer: SecretKey,
    body: RequestBody,
    signed_for: NetworkId,
    sealed_for: NetworkId,
    to: SealPublic,
}

impl Forge {
    /// A good request to open an account.
    fn new(town: &Town, signer: SecretKey) -> Self {
        let message = wire::encode(&OpenAccount { seal: SealKey::from_seed(&[1; 32]).public() });
        let body =
            RequestBody { id: town.id(), to: town.client.bank(), kind: kind::OPEN_ACCOUNT, message, epoch: None };
        let network = town.client.network();
        Self { signer, body, signed_for: network, sealed_for: network, to: town.client.info().body().seal }
    }

    fn bytes(&self) -> Vec<u8> {
        let signed = self.signer.sign(self.signed_for, &self.body);
        self.sealed(&signed)
    }

    fn sealed(&self, signed: &Signed<RequestBody>) -> Vec<u8> {
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        wire::encode(&seal(self.sealed_for, &self.to, signed, &mut rng).unwrap())
    }
}

/// Sends bytes as they are.
async fn send(town: &Town, bytes: Vec<u8>, kind: &str) -> (u16, Vec<u8>) {
    let url = town.client.address().endpoint().url("/v1/messages");
    let answer = reqwest::Client::new().post(url).header("content-type", kind).body(bytes).send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

/// The code in an unsigned refusal.
async fn code(town: &Town, bytes: Vec<u8>) -> String {
    let (status, body) = send(town, bytes, CBOR).await;
    assert!((400..500).contains(&status), "{status}");
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["money"], "unmoved");
    problem["code"].as_str().unwrap_or("none").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_refuses_rubbish_at_a_cost_and_size_that_do_not_depend_on_it() {
    let town = Town::new().await;
    assert_eq!(code(&town, Vec::new()).await, "malformed");
    let (_, short) = send(&town, b"rubbish".to_vec(), CBOR).await;
    let (_, long) = send(&town, vec![0xff; 100_000], CBOR).await;
    assert_eq!(short, long);
    let (status, _) = send(&town, vec![0; REQUEST_MESSAGE_MAX * 4], CBOR).await;
    assert_eq!(status, 413);
    let good = Forge::new(&town, key(1)).bytes();
    assert_eq!(send(&town, good.clone(), "application/json").await.0, 415);
    assert_eq!(send(&town, good, CBOR).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_refuses_every_truncation_and_every_flipped_byte() {
    let town = Town::new().await;
    let good = Forge::new(&town, key(1)).bytes();
    for length in (0..good.len()).step_by(7) {
        code(&town, good[..length].to_vec()).await;
    }
    for at in (0..good.len()).step_by(3) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        code(&town, bad).await;
    }
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(code(&town, longer).await, "malformed");
    // None of them opened an account, and the good one still does.
    assert_eq!(refused(town.client.statement(&key(1), town.id(), None, 1).await), Code::Unknown);
    assert_eq!(send(&town, good, CBOR).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_refuses_what_is_meant_for_another_bank_network_or_signed_by_another() {
    let (town, other) = (Town::new().await, Town::new().await);
    let elsewhere = other.client.info().body();
    let forge = |change: fn(&mut Forge, &farthing_bank::messages::BankInfo)| {
        let mut forge = Forge::new(&town, key(1));
        change(&mut forge, elsewhere);
        forge.bytes()
    };
    assert_eq!(code(&town, forge(|f, there| f.to = there.seal)).await, "decrypt");
    assert_eq!(code(&town, forge(|f, there| f.body.to = there.bank)).await, "decrypt");
    assert_eq!(code(&town, forge(|f, there| f.sealed_for = there.network)).await, "decrypt");
    assert_eq!(code(&town, forge(|f, there| f.signed_for = there.network)).await, "signature");
    // A request another has signed, with this sender's name over it.
    let honest = Forge::new(&town, key(1));
    let mut bytes = wire::encode(&key(2).sign(town.client.network(), &honest.body));
    let name = bytes.windows(32).position(|part| part == key(2).id().0).unwrap();
    bytes[name..name + 32].copy_from_slice(&key(1).id().0);
    assert_eq!(code(&town, honest.sealed(&wire::decode(&bytes).unwrap())).await, "signature");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_replayed_by_a_listener_changes_nothing_and_gets_the_same_bytes() {
    let mut town = Town::new().await;
    let peer = town.customer(1, 0).await;
    let mut forge = Forge::new(&town, key(1));
    let fund = farthing_bank::messages::Fund { amount: units(3), note: Default::default() };
    (forge.body.kind, forge.body.message) = (kind::FUND, wire::encode(&fund));
    let bytes = forge.bytes();
    let first = send(&town, bytes.clone(), CBOR).await;
    assert_eq!(first.0, 200);
    for _ in 0..3 {
        assert_eq!(send(&town, bytes.clone(), CBOR).await, first);
    }
    town.restart().await;
    assert_eq!(send(&town, bytes, CBOR).await, first);
    assert_eq!(town.balance(&peer).await, 3_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_signed_names_its_request_and_refuses_unknown_kinds_and_bad_messages() {
    let town = Town::new().await;
    town.customer(1, 0).await;
    for (kind, message, expected) in [
        (0x0fff, vec![], Code::Version),
        (kind::FUND, b"rubbish".to_vec(), Code::Malformed),
        (farthing_netpay::messages::kind::CLAIM, b"rubbish".to_vec(), Code::Malformed),
        (kind::CASES, vec![0], Code::Malformed),
    ] {
        let mut forge = Forge::new(&town, key(1));
        (forge.body.kind, forge.body.message) = (kind, message);
        let (status, body) = send(&town, forge.bytes(), CBOR).await;
        assert_eq!(status, 200);
        let signed: Signed<Answer> = wire::decode(&body).unwrap();
        let answer = signed.verify_by(town.client.network(), town.client.bank()).unwrap();
        let RequestBody { id, kind, message, .. } = forge.body;
        assert_eq!(answer.body().request, Request::unsigned(key(1).id(), id, kind, message).digest());
        let AnswerOutcome::Refused(refusal) = &answer.body().outcome else { panic!("{kind} was done") };
        assert_eq!((refusal.code, refusal.money), (expected, Money::Unmoved));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_refuses_requests_too_old_or_from_the_future() {
    let town = Town::new().await;
    let peer = town.customer(1, 0).await;
    let seal = SealKey::from_seed(&[1; 32]).public();
    let early: RequestId = BankClient::new_id(town.now().after(SKEW).after(Span::from_secs(1))).unwrap();
    assert_eq!(refused(town.client.open_account(&peer, early, seal).await), Code::NotYet);
    let old: RequestId = BankClient::new_id(town.now().before(REQUEST_HORIZON)).unwrap();
    assert_eq!(refused(town.client.open_account(&peer, old, seal).await), Code::Expired);
    assert_eq!(refused(town.client.statement(&peer, old, None, 1).await), Code::Expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_slows_down_a_customer_that_asks_too_fast_and_no_other() {
    let town = Town::with(|config| config.limits.requests_per_second = 1).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let mut forge = Forge::new(&town, key(1));
        forge.body.kind = kind::STATEMENT;
        forge.body.message = wire::encode(&StatementOf { after: None, limit: 1 });
        statuses.push(send(&town, forge.bytes(), CBOR).await.0);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(send(&town, Forge::new(&town, key(2)).bytes(), CBOR).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn wallet_refuses_a_bank_with_another_key_and_says_when_nothing_was_sent() {
    let mut town = Town::new().await;
    let address = town.client.address().clone();
    let pinned = address.clone().pinned(PeerId([9; 32]));
    assert!(matches!(BankClient::connect(pinned).await, Err(ConnectError::Impostor(_))));
    let info = town.client.info().signed().clone();
    town.stop().await;
    assert!(matches!(BankClient::connect(address.clone()).await, Err(ConnectError::Unreachable(_))));
    // Known from before, the bank can be named while it is away.
    let client = BankClient::known(address, info).unwrap();
    let answer = client.cases(&key(1), town.id()).await;
    assert!(matches!(answer, Err(AskError::NotSent(_))), "{answer:?}");
}
