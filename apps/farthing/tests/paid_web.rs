//! A web service that is paid for: bank, gateway, buyer, delegate and proxy, all the real program.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use common::{Served, at, json, run};
use serde_json::Value;

/// A web service that knows nothing of money: answers with what it was asked.
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

fn serve(stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first).ok()? == 0 {
            return None;
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let asked = first.trim().trim_end_matches(" HTTP/1.1");
        if asked == "GET /slow" {
            return drip(stream);
        }
        let answer = match asked.strip_prefix("GET /bytes/").and_then(|length| length.parse().ok()) {
            Some(length) => "x".repeat(length),
            None => format!("{asked} {}", String::from_utf8_lossy(&body)),
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
        let mut stream = stream;
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(answer.as_bytes())).ok()?;
    }
}

/// Answers with a letter now and then, for about two seconds.
fn drip(mut stream: &TcpStream) -> Option<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").ok()?;
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        stream.write_all(b".").ok()?;
    }
    None
}

/// What the gateway asks.
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
path = "/slow"
unit = "second"
price = "0.001 XTS"
max = "0.001 XTS"
"#;

/// A town with a bank, a gateway in front of a service, and a buyer with some money.
struct Town {
    dir: tempfile::TempDir,
    gateway: Served,
    _bank: Served,
}

impl Town {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = |name: &str| dir.path().join(name);
        run(&home("bank"), &["bank", "init", "--name", "Test bank"]);
        let bank = Served::start(&home("bank"), &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
        for name in ["seller", "buyer"] {
            run(&home(name), &["--bank", bank.address(), "wallet", "init", "--fund", "1"]);
        }
        let (from, prices) = (upstream(), home("prices.toml"));
        std::fs::write(&prices, PRICES).unwrap();
        let prices = prices.to_str().unwrap();
        let args = ["gateway", "--upstream", &from, "--prices", prices, "--listen-on", "127.0.0.1:0"];
        let gateway = Served::start(&home("seller"), &args);
        Self { gateway, _bank: bank, dir }
    }

    fn home(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.gateway.address().trim_end_matches('/'))
    }

    fn get(&self, home: &Path, args: &[&str]) -> Value {
        run(home, &[&["get"], args].concat())
    }
}

#[test]
fn a_service_is_paid_for_by_command_by_delegate_and_by_proxy() {
    let town = Town::new();
    let buyer = town.home("buyer");
    let url = town.url("/a?b=c");

    let quote = town.get(&buyer, &[&url, "--dry-run"]);
    assert_eq!(quote["price"]["at_most"], "0.001 XTS", "{quote}");

    for _ in 0..3 {
        let paid = town.get(&buyer, &[&url, "--max", "0.001"]);
        assert_eq!((&paid["status"], &paid["cost"]), (&200.into(), &"0.001 XTS".into()), "{paid}");
        assert_eq!((&paid["body"], &paid["receipt"]), (&"GET /a?b=c ".into(), &"checked".into()), "{paid}");
    }
    let posted = town.get(&buyer, &[&url, "-d", "hello", "-H", "x-mine: 1"]);
    assert_eq!(posted["body"], "POST /a?b=c hello");

    // Plain output is the body and nothing else; the cost is on standard error.
    let plain = common::farthing().arg("--home").arg(&buyer).args(["--insecure-no-passphrase", "get", &url]).output();
    let plain = plain.unwrap();
    assert_eq!(String::from_utf8_lossy(&plain.stdout), "GET /a?b=c ");
    assert!(String::from_utf8_lossy(&plain.stderr).contains("cost 0.001 XTS"), "{plain:?}");

    let dear = at(&buyer).args(["get", &url, "--max", "0.0005"]).output().unwrap();
    assert_eq!(dear.status.code(), Some(6), "{dear:?}");

    let file = town.home("tool");
    let file = file.to_str().unwrap();
    let made = run(&buyer, &["wallet", "delegate", "--max", "0.002", "--expires", "1h", "--out", file]);
    assert_eq!(made["max"], "0.002 XTS");
    // The program has another home, with nothing in it.
    let elsewhere = town.home("elsewhere");
    for _ in 0..2 {
        let paid = town.get(&elsewhere, &[&url, "--wallet", file]);
        assert_eq!(paid["cost"], "0.001 XTS", "{paid}");
    }
    let over = at(&elsewhere).args(["get", &url, "--wallet", file]).output().unwrap();
    assert!(!over.status.success(), "the delegate spent more than its cap");

    let upstream = town.gateway.address().trim_end_matches('/').to_owned();
    let args = ["proxy", "--upstream", &upstream, "--listen-on", "127.0.0.1:0", "--max-per-hour", "0.002"];
    let proxy = Served::start(&buyer, &args);
    let through = |n: u32| {
        let mut stream = TcpStream::connect(proxy.address().trim_start_matches("http://")).unwrap();
        write!(stream, "GET /{n} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for n in 0..2 {
        let answer = through(n);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("farthing-cost: 0.001 XTS"), "{answer}");
    }
    assert!(through(2).starts_with("HTTP/1.1 403"), "the proxy spent more than its cap");
    drop(proxy);

    let back = run(&buyer, &["wallet", "delegate", "--reclaim", file]);
    assert_eq!(back["reclaimed"], "0.00 XTS", "all of it was set aside for the session: {back}");
    let standing = run(&buyer, &["wallet", "show"]);
    assert_eq!(standing["restored"], false);
    let _ = json(&at(&buyer).args(["wallet", "exposure"]).output().unwrap());
}

#[test]
fn what_is_measured_costs_what_it_came_to_and_a_stream_is_paid_for_as_it_goes_on() {
    let town = Town::new();
    let buyer = town.home("buyer");
    let paid = town.get(&buyer, &[&town.url("/bytes/5050")]);
    assert_eq!((&paid["cost"], &paid["receipt"]), (&"0.0051 XTS".into(), &"checked".into()), "{paid}");
    assert_eq!(paid["body"].as_str().map(str::len), Some(5_050));

    let slow = town.get(&buyer, &[&town.url("/slow"), "--max", "0.02"]);
    assert_eq!((&slow["body"], &slow["receipt"]), (&".".repeat(20).into(), &"checked".into()), "{slow}");
    let cost: f64 = slow["cost"].as_str().unwrap().trim_end_matches(" XTS").parse().unwrap();
    assert!(cost > 0.001, "one second was paid for, and it took longer: {slow}");

    let held = |of: &Value| of["held"].as_str().unwrap().to_owned();
    assert_ne!(held(&run(&buyer, &["wallet", "show"])), "0.00 XTS");
    let closed = town.get(&buyer, &[&town.url("/"), "--close"]);
    assert_eq!(closed["closed"], 1, "{closed}");
    let again = town.get(&buyer, &[&town.url("/a")]);
    assert_eq!(again["cost"], "0.001 XTS", "another session is opened");
}

#[test]
fn a_service_is_found_by_search_which_says_how_to_pay_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let home = |name: &str| dir.path().join(name);
    run(&home("bank"), &["bank", "init", "--name", "Test bank"]);
    let bank = Served::start(&home("bank"), &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
    let serve = ["index", "serve", "--listen-on", "127.0.0.1:0", "--bank", bank.address()];
    let index = Served::start(&home("index"), &serve);
    run(&home("seller"), &["--bank", bank.address(), "wallet", "init"]);
    let prices = home("prices.toml");
    std::fs::write(&prices, "name = \"The weather\"\nprice = \"0.001 XTS\"\n").unwrap();
    let (from, prices) = (upstream(), prices.to_str().unwrap());
    let args = ["--index", index.address(), "gateway", "--upstream", &from, "--prices", prices];
    let gateway = Served::start(&home("seller"), &[&args[..], &["--listen-on", "127.0.0.1:0"]].concat());

    let seen = ["--bank", bank.address(), "--index", index.address()];
    let hit = loop {
        let found = run(&home("buyer"), &[&seen[..], &["search", "weather"]].concat());
        if let Some(hit) = found["hits"].as_array().and_then(|hits| hits.first()) {
            break hit.clone();
        }
    };
    assert_eq!((&hit["title"], &hit["total"]), (&"The weather".into(), &"0.001 XTS".into()), "{hit}");
    assert_eq!(hit["service"], gateway.address(), "{hit}");
    let mut shown = common::farthing();
    let shown = shown.arg("--home").arg(home("buyer")).args(seen).args(["search", "weather"]).output().unwrap();
    let words = format!("1: farthing get '{}'", gateway.address());
    assert!(String::from_utf8_lossy(&shown.stdout).contains(&words), "{shown:?}");
    let bought = at(&home("buyer")).args(seen).args(["buy", "1"]).output().unwrap();
    assert_eq!(bought.status.code(), Some(2), "{bought:?}");
    drop(gateway);
    let found = run(&home("buyer"), &[&seen[..], &["search", "weather"]].concat());
    assert_eq!(found["hits"], Value::Array(Vec::new()));
}
