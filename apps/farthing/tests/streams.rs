//! Answers that are paid for as they go on, and gateways without a service, over the real program.
//!
//! The gateway waits an hour for more money, so that whoever waits for its patience to end waits in
//! vain: it is the buyer who ends what it will not pay for.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use common::{Served, at, run};
use serde_json::Value;

/// A service that answers `/bytes/N` with so many bytes, and all else with events without end.
fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(&stream));
        }
    });
    format!("http://{address}")
}

fn serve(mut stream: &TcpStream) -> Option<()> {
    let mut head = BufReader::new(stream).lines();
    let asked = head.next()?.ok()?;
    head.find(|line| line.as_ref().is_ok_and(String::is_empty))?.ok()?;
    let length = asked.strip_prefix("GET /bytes/").and_then(|rest| rest.split(' ').next()?.parse().ok());
    if let Some(length) = length {
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).ok()?;
        return stream.write_all(&vec![b'x'; length]).ok();
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").ok()?;
    for number in 0.. {
        stream.write_all(format!("data: {number}\n\n").as_bytes()).ok()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

const PRICES: &str = r#"
price = "0.001 XTS"
coupon = "0.0001 XTS"
[[route]]
path = "/bytes/*"
unit = "byte"
price = "0.0001 XTS"
per = 100
max = "0.01 XTS"
[[route]]
path = "/events"
unit = "second"
price = "0.0001 XTS"
max = "0.0001 XTS"
"#;

/// A bank, a seller who serves something, and a buyer with some money.
struct Town {
    dir: tempfile::TempDir,
    gateway: Served,
    _bank: Served,
}

impl Town {
    /// `prepare` fills the folder of the town and says what the gateway is told beside.
    fn new(prices: &str, prepare: impl FnOnce(PathBuf) -> Vec<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = |name: &str| dir.path().join(name);
        run(&home("bank"), &["bank", "init", "--name", "Test bank"]);
        let bank = Served::start(&home("bank"), &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
        for name in ["seller", "buyer"] {
            run(&home(name), &["--bank", bank.address(), "wallet", "init", "--fund", "2"]);
        }
        std::fs::write(home("prices.toml"), prices).unwrap();
        let (more, file) = (prepare(home("files")), home("prices.toml"));
        let usual = ["gateway", "--prices", file.to_str().unwrap(), "--listen-on", "127.0.0.1:0", "--money-time", "1h"];
        let args: Vec<&str> = usual.into_iter().chain(more.iter().map(String::as_str)).collect();
        let gateway = Served::start(&home("seller"), &args);
        Self { gateway, _bank: bank, dir }
    }

    fn streams() -> Self {
        Self::new(PRICES, |_| vec!["--upstream".into(), upstream()])
    }

    /// What `farthing get` says, on both of its ways.
    fn get(&self, path: &str, more: &[&str]) -> (Output, Value) {
        let url = format!("{}{path}", self.gateway.address().trim_end_matches('/'));
        let output = at(&self.dir.path().join("buyer")).args(["get", &url]).args(more).output().unwrap();
        // What came, and after it what is the matter, if anything is.
        let mut said = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
        let result = said.next().and_then(Result::ok).unwrap_or_default();
        (output, result)
    }
}

fn length(result: &Value) -> Option<usize> {
    result["body"].as_str().map(str::len)
}

#[test]
fn an_answer_longer_than_a_route_s_maximum_is_topped_up_as_far_as_the_buyer_allows() {
    let town = Town::streams();
    let (output, paid) = town.get("/bytes/45000", &["--max", "0.1"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        (length(&paid), &paid["cost"], &paid["receipt"]),
        (Some(45_000), &"0.045 XTS".into(), &"checked".into())
    );

    // Exactly what is allowed is an answer and no end.
    let (output, paid) = town.get("/bytes/20000", &["--max", "0.02"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((length(&paid), &paid["cost"]), (Some(20_000), &"0.02 XTS".into()));

    let (output, paid) = town.get("/bytes/45000", &["--max", "0.02"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{output:?}");
    assert_eq!((length(&paid), &paid["cost"]), (Some(20_000), &"0.02 XTS".into()), "{said}");
    assert!(said.contains("ran out after 20000 bytes: one request may cost 0.02 XTS"), "{said}");

    // Without a cap of its own a request costs what the price said, and no more.
    let (output, paid) = town.get("/bytes/45000", &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.success(), length(&paid), &paid["cost"]), (false, Some(10_000), &"0.01 XTS".into()));
    assert!(said.contains("one request may cost 0.01 XTS"), "{said}");
}

#[test]
fn one_answer_may_cost_more_coupons_than_a_session_may_have_open() {
    let town = Town::streams();
    let (output, paid) = town.get("/bytes/240000", &["--max", "0.5"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        (length(&paid), &paid["cost"], &paid["receipt"]),
        (Some(240_000), &"0.24 XTS".into(), &"checked".into())
    );
}

#[test]
fn a_stream_of_events_is_paid_by_the_second_and_ends_with_a_word_where_the_money_does() {
    let town = Town::streams();
    let (output, paid) = town.get("/events", &["--max", "0.0003"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{output:?}");
    assert!(said.contains("the money for the answer ran out") && said.contains("0.0003 XTS"), "{said}");
    assert_eq!(paid["cost"], "0.0003 XTS", "{said}");
    assert!(paid["body"].as_str().is_some_and(|body| body.starts_with("data: 0\n\ndata: 1\n\n")), "{paid}");
}

#[test]
fn a_folder_is_sold_by_the_byte_and_a_text_by_the_request_without_a_service() {
    let town = Town::new(PRICES, |files| {
        std::fs::create_dir_all(files.join("bytes")).unwrap();
        std::fs::write(files.join("bytes/poem.txt"), "x".repeat(1_050)).unwrap();
        std::fs::write(files.join("bytes/.secret"), "secret").unwrap();
        vec!["--serve".into(), files.to_str().unwrap().into()]
    });
    let (_, paid) = town.get("/bytes/poem.txt", &["--max", "0.1"]);
    assert_eq!((length(&paid), &paid["cost"]), (Some(1_050), &"0.0011 XTS".into()), "{paid}");
    let (_, part) = town.get("/bytes/poem.txt", &["--max", "0.1", "-H", "range: bytes=0-199"]);
    assert_eq!(
        (length(&part), &part["status"], &part["cost"]),
        (Some(200), &206.into(), &"0.0002 XTS".into()),
        "{part}"
    );
    let (_, hidden) = town.get("/bytes/.secret", &["--max", "0.1"]);
    assert_eq!(hidden["status"], 404, "{hidden}");

    let town = Town::new("[[route]]\npath = \"/**\"\nprice = \"0.001 XTS\"\nanswer = \"hello\"\n", |_| Vec::new());
    let (_, paid) = town.get("/anything", &["--max", "0.1"]);
    assert_eq!((&paid["body"], &paid["cost"]), (&"hello".into(), &"0.001 XTS".into()), "{paid}");
}
