//! Servers that keep no sessions and settle through the bank, as stock x402 software does: paid by
//! the real program.
//!
//! Version 2 is tested against the stock Express middleware, where `checks/x402/install` has put it;
//! version 1 against a server that does what such a middleware does, and fails when told to.

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use common::run;
use common::town::{Town, code, in_words, micros, said};
use serde_json::{Value, json};

/// The stock Express server.
struct Express {
    child: Child,
    url: String,
}

impl Express {
    /// Nothing where the packages are not installed.
    fn start(pass: &Value) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let tools = root.join("target/tools/x402/js");
        if !tools.join(".installed").exists() {
            println!("skipped: run checks/x402/install, with npm there, to test with stock JavaScript packages");
            return None;
        }
        // Node looks for packages beside the file.
        let place = |file: &str| -> PathBuf {
            let (new, at) = (tools.join(format!("{file}.{}", std::process::id())), tools.join(file));
            std::fs::copy(root.join("checks/x402/js").join(file), &new).unwrap();
            std::fs::rename(new, &at).unwrap();
            at
        };
        place("farthing.mjs");
        let mut node = Command::new("node");
        node.arg(place("server.mjs"));
        for name in ["facilitator", "network", "currency", "pay_to", "pass"] {
            node.arg(pass[name].as_str().unwrap());
        }
        let mut child = node.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Some(Self { child, url: url.trim().to_owned() })
    }
}

impl Drop for Express {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn get_pays_a_stock_express_server_within_its_limits() {
    let town = Town::new();
    let (shop, buyer) = (town.person("shop"), town.person("buyer"));
    let Some(server) = Express::start(&run(&shop, &["facilitator"])) else { return };
    let at = |path: &str| format!("{}{path}", server.url);
    let quote = run(&buyer, &["get", &at("/weather"), "--dry-run"]);
    assert_eq!(quote["price"]["at_most"], "0.0003 XTS", "{quote}");
    for (path, cost) in [("/weather", "0.0003 XTS"), ("/report", "0.001 XTS"), ("/weather", "0.0003 XTS")] {
        let paid = run(&buyer, &["get", &at(path)]);
        assert_eq!((&paid["status"], &paid["cost"], &paid["receipt"]), (&200.into(), &cost.into(), &"settled".into()));
    }
    let dear = in_words(&buyer, &["get", &at("/report"), "--max", "0.0005"]);
    assert_eq!(code(&dear), Some(6), "{dear:?}");
    let broken = in_words(&buyer, &["get", &at("/broken")]);
    assert_eq!(code(&broken), Some(8), "{broken:?}");
    assert!(said(&broken).contains("nothing was charged"), "{broken:?}");
    let served = run(&buyer, &["get", &at("/served")]);
    assert_eq!((&served["cost"], &served["body"]), (&Value::Null, &"{\"served\":3}".into()), "{served}");
    // One session with the bank for every such server.
    let exposure = run(&buyer, &["wallet", "exposure"]);
    let session = &exposure["sessions"][0];
    assert!(town.bank.address().starts_with(session["site"].as_str().unwrap()), "{exposure}");
    assert_eq!(session["requests"], 3);

    run(&buyer, &["wallet", "policy", "--total", "0.003"]);
    let over = (0..10).map(|_| in_words(&buyer, &["get", &at("/report")])).find(|answer| !answer.status.success());
    assert_eq!(code(&over.expect("the policy does not bind")), Some(6));
}

#[test]
fn the_proxy_pays_a_stock_express_server() {
    let town = Town::new();
    let (shop, buyer) = (town.person("shop"), town.person("buyer"));
    let Some(server) = Express::start(&run(&shop, &["facilitator"])) else { return };
    let args = ["proxy", "--upstream", &server.url, "--listen-on", "127.0.0.1:0", "--max-per-hour", "0.0007"];
    let proxy = common::Served::start(&buyer, &args);
    let weather = format!("{}/weather", proxy.address().trim_end_matches('/'));
    let answers: Vec<_> = (0..3).map(|_| in_words(&town.person("other"), &["get", &weather])).collect();
    assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), [Some(0), Some(0), Some(8)], "{answers:?}");
}

/// A server that speaks version 1 and asks the bank before and after its work.
struct Old {
    facilitator: String,
    wants: Value,
    /// Requests carried out.
    served: AtomicU32,
    /// Payments that arrived, in the order of arrival.
    payments: Mutex<Vec<String>>,
}

impl Old {
    async fn start(pass: &Value) -> (Arc<Self>, String) {
        farthing_net::http::tls::install_default();
        let facilitator = pass["facilitator"].as_str().unwrap().to_owned();
        let supported: Value = reqwest::get(format!("{facilitator}/supported")).await.unwrap().json().await.unwrap();
        let kinds = supported["kinds"].as_array().unwrap();
        let extra = &kinds.iter().find(|kind| kind["x402Version"] == 1).unwrap()["extra"];
        let wants = json!({
            "scheme": pass["scheme"], "network": pass["network"], "asset": pass["currency"],
            "maxAmountRequired": "700", "payTo": pass["pay_to"], "maxTimeoutSeconds": 2,
            "resource": "", "description": "", "mimeType": "", "extra": extra,
        });
        let old = Arc::new(Self { facilitator, wants, served: AtomicU32::new(0), payments: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&old));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (old, url)
    }

    async fn ask(&self, what: &str, payment: &str, wants: &Value) -> Value {
        let payload: Value = serde_json::from_slice(&BASE64_STANDARD.decode(payment).unwrap()).unwrap();
        let body = json!({ "x402Version": 1, "paymentPayload": payload, "paymentRequirements": wants });
        let request = reqwest::Client::new().post(format!("{}{what}", self.facilitator)).json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }

    fn payments(&self) -> Vec<String> {
        self.payments.lock().unwrap().clone()
    }
}

/// Ends the connection without an answer, and without a word on the test's output.
fn hang_up() -> Response {
    std::panic::resume_unwind(Box::new(()))
}

async fn answer(State(old): State<Arc<Old>>, request: Request) -> Response {
    let mut wants = old.wants.clone();
    wants["resource"] = request.uri().path().into();
    let demand = |error: &str| {
        let body = json!({ "x402Version": 1, "error": error, "accepts": [wants] });
        (StatusCode::PAYMENT_REQUIRED, axum::Json(body)).into_response()
    };
    let Some(payment) = request.headers().get("x-payment") else { return demand("pay first") };
    let payment = payment.to_str().unwrap().to_owned();
    let before = old.payments().len();
    old.payments.lock().unwrap().push(payment.clone());
    if request.uri().path() == "/hangs-up-first" && before == 0 {
        return hang_up();
    }
    let verified = old.ask("/verify", &payment, &wants).await;
    if verified["isValid"] != true {
        return demand(verified["invalidReason"].as_str().unwrap());
    }
    old.served.fetch_add(1, Ordering::SeqCst);
    let settled = old.ask("/settle", &payment, &wants).await;
    assert_eq!(settled["success"], true, "{settled}");
    if request.uri().path() == "/hangs-up-afterwards" {
        return hang_up();
    }
    ([("x-payment-response", BASE64_STANDARD.encode(settled.to_string()))], "fair").into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn get_pays_a_server_of_version_1_and_sends_a_lost_payment_again() {
    let town = Town::new();
    let (shop, buyer) = (town.person("shop"), town.person("buyer"));
    let (old, url) = Old::start(&run(&shop, &["facilitator"])).await;
    for path in ["/hangs-up-first", "/other"] {
        let paid = run(&buyer, &["get", &format!("{url}{path}")]);
        assert_eq!((&paid["cost"], &paid["body"]), (&"0.0007 XTS".into(), &"fair".into()), "{paid}");
    }
    let payments = old.payments();
    assert_eq!((payments.len(), old.served.load(Ordering::SeqCst)), (3, 2));
    assert_eq!(payments[0], payments[1], "another payment was made for a request whose answer went missing");
    assert_ne!(payments[1], payments[2]);
    assert_eq!(micros(&run(&buyer, &["wallet", "show"]), "spent"), 1_400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_settled_and_lost_is_paid_once_and_said_to_be_lost() {
    let town = Town::new();
    let (shop, buyer) = (town.person("shop"), town.person("buyer"));
    let (old, url) = Old::start(&run(&shop, &["facilitator"])).await;
    let lost = in_words(&buyer, &["get", &format!("{url}/hangs-up-afterwards")]);
    assert_eq!(code(&lost), Some(1), "{lost:?}");
    let words = said(&lost);
    assert!(words.contains("settled before") && words.contains("0.0007 XTS"), "{words}");
    let payments = old.payments();
    assert!(payments.len() > 1 && payments.iter().all(|payment| *payment == payments[0]), "{payments:?}");
    assert_eq!(old.served.load(Ordering::SeqCst), 1);
    assert_eq!(micros(&run(&buyer, &["wallet", "show"]), "spent"), 700);
}
