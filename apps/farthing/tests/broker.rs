//! A broker between a gateway and nobody in particular, and a server's papers: the real program.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::town::micros;
use common::{Served, run};

#[test]
fn a_broker_finds_its_sellers_and_stops_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let home = |name: &str| dir.path().join(name);
    run(&home("bank"), &["bank", "init", "--name", "Test bank"]);
    let bank = Served::start(&home("bank"), &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
    for name in ["seller", "broker"] {
        run(&home(name), &["--bank", bank.address(), "wallet", "init", "--fund", "1"]);
    }
    let service = ["gateway", "--upstream", "http://127.0.0.1:9", "--price", "0.0001", "--listen-on", "127.0.0.1:0"];
    let gateway = Served::start(&home("seller"), &service);
    let args = ["broker", "--seller", gateway.address(), "--units", "500", "--listen-on", "127.0.0.1:0"];
    let broker = Served::start(&home("broker"), &args);
    assert!(broker.address().starts_with("http://127.0.0.1:"));
    // It has set aside what it may owe the seller.
    let sessions = run(&home("seller"), &["gateway", "sessions"]);
    assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(1), "{sessions}");
}

/// A bank, a gateway, a stall with two products, and the broker between them and a buyer.
struct Town {
    broker: Option<Served>,
    stall: Option<Served>,
    gateway: Served,
    /// Where the broker finds the stall, if not at its own address.
    way: Option<String>,
    _bank: Served,
    dir: tempfile::TempDir,
}

const EVERY: &str = "200ms";

/// An address as it is listened on.
fn bare(address: &str) -> String {
    address.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

impl Town {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = |name: &str| dir.path().join(name);
        run(&home("bank"), &["bank", "init", "--name", "Test bank"]);
        let bank = Served::start(&home("bank"), &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
        for name in ["seller", "maker", "broker", "buyer"] {
            run(&home(name), &["--bank", bank.address(), "wallet", "init", "--fund", "1"]);
        }
        // From then on the bank wants to hear from this copy of the wallet and no other.
        run(&home("broker"), &["reconcile"]);
        std::fs::create_dir(home("files")).unwrap();
        std::fs::write(home("files").join("a"), "hello").unwrap();
        let (files, price) = (home("files"), "0.001");
        let args = ["gateway", "--serve", files.to_str().unwrap(), "--price", price, "--listen-on", "127.0.0.1:0"];
        let gateway = Served::start(&home("seller"), &args);
        let mut town = Self { broker: None, stall: None, gateway, way: None, _bank: bank, dir };
        std::fs::write(town.home("song.txt"), "a song").unwrap();
        std::fs::write(town.home("poem.txt"), "a poem").unwrap();
        town.open_stall("127.0.0.1:0");
        town.start_broker("127.0.0.1:0");
        town
    }

    fn home(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn open_stall(&mut self, listen: &str) {
        drop(self.stall.take());
        let key = run(&self.home("broker"), &["wallet", "show"])["peer"].as_str().unwrap().to_owned();
        let files = ["song.txt", "poem.txt"].map(|name| self.home(name).to_str().unwrap().to_owned());
        let [song, poem] = &files;
        let args = ["broker", "offer", song, poem, "--price", "0.002", "--broker", &key, "--listen-on", listen];
        self.stall = Some(Served::start(&self.home("maker"), &[&args[..], &["--every", EVERY]].concat()));
    }

    fn start_broker(&mut self, listen: &str) {
        drop(self.broker.take());
        let stall = self.way.as_deref().unwrap_or_else(|| self.stall.as_ref().unwrap().address());
        let gateway = self.gateway.address();
        let args = ["broker", "--seller", gateway, "--seller", stall, "--units", "400", "--listen-on", listen];
        let args = [&args[..], &["--every", EVERY]].concat();
        self.broker = Some(Served::start(&self.home("broker"), &args));
    }

    fn at_broker(&self) -> String {
        self.broker.as_ref().unwrap().address().to_owned()
    }

    fn buyer(&self, args: &[&str]) -> serde_json::Value {
        run(&self.home("buyer"), &[&["broker"], args].concat())
    }

    fn refused(&self, args: &[&str], code: i32) {
        let output = self.tries(args);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }

    /// What a command says that does not succeed.
    fn fails(&self, args: &[&str]) -> String {
        let output = self.tries(args);
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn tries(&self, args: &[&str]) -> std::process::Output {
        common::at(&self.home("buyer")).arg("broker").args(args).output().unwrap()
    }

    /// What the buyer has spent, in millionths.
    fn spent(&self) -> u64 {
        micros(&run(&self.home("buyer"), &["wallet", "show"]), "spent")
    }
}

#[test]
fn a_small_product_is_found_bought_and_paid_for_through_a_broker() {
    let mut town = Town::new();
    let broker = town.at_broker();
    let sellers = town.buyer(&["sellers", &broker]);
    let names = sellers.to_string();
    assert!(names.contains("song.txt") && names.contains("poem.txt") && names.contains("0.002 XTS"), "{sellers}");

    let song = town.buyer(&["buy", &broker, "song.txt"]);
    assert_eq!((&song["body"], &song["cost"]), (&"a song".into(), &"0.002 XTS".into()), "{song}");
    let file = town.home("poem");
    town.buyer(&["buy", &broker, "poem.txt", "-o", file.to_str().unwrap(), "--max", "0.002"]);
    assert_eq!(std::fs::read(&file).unwrap(), b"a poem");

    town.refused(&["buy", &broker, "noise.txt"], 2);
    town.refused(&["buy", &broker, "song.txt", "--max", "0.001"], 6);

    // The stall is gone: nothing is bought, and the coupon is good again.
    let listen = bare(&broker);
    let at = bare(town.stall.take().unwrap().address());
    assert!(town.fails(&["buy", &broker, "song.txt"]).contains("unmoved"));
    // Stall and broker are started again, and go on.
    town.open_stall(&at);
    town.start_broker(&listen);
    let song = town.buyer(&["buy", &town.at_broker(), "song.txt"]);
    assert_eq!(song["body"], "a song");
    assert_eq!(town.buyer(&["close", &town.at_broker()])["closed"], 1);
}

#[test]
fn a_request_goes_through_the_broker_and_tokens_are_spent_without_it() {
    let town = Town::new();
    let (broker, url) = (town.at_broker(), format!("{}/a?b=c", town.gateway.address().trim_end_matches('/')));
    let answer = town.buyer(&["get", &broker, &url]);
    assert_eq!((&answer["body"], &answer["cost"]), (&"hello".into(), &"0.001 XTS".into()), "{answer}");
    town.refused(&["get", &broker, &url, "--max", "0.0001"], 6);

    let got = town.buyer(&["prefetch", &broker, town.gateway.address(), "--price", "0.001", "--count", "2"]);
    assert_eq!((&got["tokens"], &got["cost"]), (&2.into(), &"0.002 XTS".into()), "{got}");
    assert_eq!(town.buyer(&["tokens"])["tokens"].as_array().unwrap().len(), 2);
    for left in [1, 0] {
        let spent = town.buyer(&["spend", &url]);
        assert_eq!((&spent["body"], &spent["spent"]), (&"hello".into(), &"0.001 XTS".into()), "{spent}");
        assert_eq!(town.buyer(&["tokens"])["tokens"].as_array().unwrap().len(), left);
    }
    town.refused(&["spend", &url], 6);
}

#[test]
fn a_seller_that_puts_something_else_behind_a_name_gets_nothing_and_the_coupon_is_good_again() {
    let mut town = Town::new();
    let (broker, at) = (town.at_broker(), bare(town.stall.as_ref().unwrap().address()));
    // The broker has seen the shelf with the song on it.
    town.buyer(&["sellers", &broker]);
    std::fs::write(town.home("song.txt"), "noise").unwrap();
    town.open_stall(&at);
    let told = town.fails(&["buy", &broker, "song.txt"]);
    assert!(told.contains("unmoved") && town.spent() == 0, "{told}");
    std::fs::write(town.home("song.txt"), "a song").unwrap();
    town.open_stall(&at);
    assert_eq!(town.buyer(&["buy", &broker, "song.txt"])["body"], "a song");
    assert_eq!(town.spent(), 2_000);
}

#[test]
fn a_broker_killed_in_the_middle_of_an_exchange_costs_nobody_a_second_coupon() {
    let mut town = Town::new();
    let way = Way::to(bare(town.stall.as_ref().unwrap().address()));
    town.way = Some(way.address.clone());
    // The session goes on although the seller is found at another address.
    town.start_broker("127.0.0.1:0");
    let (broker, listen) = (town.at_broker(), bare(&town.at_broker()));
    for (nth, path) in (1..).zip(["/v1/goods", "/v1/pay"]) {
        *way.hang.lock().unwrap() = Some(path);
        let process = town.broker.take().unwrap();
        std::thread::scope(|scope| {
            let buying = scope.spawn(|| town.tries(&["buy", &broker, "song.txt"]));
            way.hangs.recv_timeout(Duration::from_secs(60)).unwrap();
            // What the stall was told, the broker never hears an answer to.
            process.kill();
            let output = buying.join().unwrap();
            assert!(!output.status.success(), "{output:?}");
        });
        town.start_broker(&listen);
        let song = town.buyer(&["buy", &broker, "song.txt"]);
        assert_eq!((&song["body"], town.spent()), (&"a song".into(), nth * 2_000), "{path}: {song}");
    }
}

/// The way from broker to stall, on which an answer may get lost.
struct Way {
    address: String,
    /// The answer to the next request for this never comes back.
    hang: Arc<Mutex<Option<&'static str>>>,
    hangs: Receiver<()>,
}

impl Way {
    fn to(stall: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (hang, (told, hangs)) = (Arc::new(Mutex::default()), channel());
        let wanted = Arc::clone(&hang);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (stall, wanted, told) = (stall.clone(), Arc::clone(&wanted), told.clone());
                std::thread::spawn(move || carry(&client, &stall, &wanted, &told));
            }
        });
        Self { address, hang, hangs }
    }
}

/// Carries requests and answers, one after the other, until one side is gone.
fn carry(mut client: &TcpStream, stall: &str, hang: &Mutex<Option<&'static str>>, told: &Sender<()>) -> Option<()> {
    let mut server = TcpStream::connect(stall).ok()?;
    let (mut back, mut to) = (server.try_clone().ok()?, client.try_clone().ok()?);
    let lost = Arc::new(AtomicBool::new(false));
    let (losing, told) = (Arc::clone(&lost), told.clone());
    std::thread::spawn(move || {
        let mut chunk = [0; 16 << 10];
        while let Ok(read @ 1..) = back.read(&mut chunk) {
            if losing.load(Ordering::SeqCst) {
                let _ = told.send(());
            } else if to.write_all(&chunk[..read]).is_err() {
                return;
            }
        }
    });
    let mut chunk = [0; 16 << 10];
    while let Ok(read @ 1..) = client.read(&mut chunk) {
        let asked = String::from_utf8_lossy(&chunk[..read]).into_owned();
        let mut wanted = hang.lock().unwrap();
        if wanted.is_some_and(|path| asked.contains(path)) {
            *wanted = None;
            lost.store(true, Ordering::SeqCst);
        }
        drop(wanted);
        server.write_all(&chunk[..read]).ok()?;
    }
    let _ = server.shutdown(Shutdown::Both);
    None
}

/// A service that fails at /die and /half, and answers elsewhere.
fn failing_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut head, mut chunk) = (Vec::new(), [0; 4 << 10]);
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    match client.read(&mut chunk) {
                        Ok(read @ 1..) => head.extend_from_slice(&chunk[..read]),
                        _ => return,
                    }
                }
                let answer: &[u8] = match String::from_utf8_lossy(&head).split(' ').nth(1) {
                    Some("/die") => b"",
                    Some("/half") => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                    _ => b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
                };
                // Whoever asked may be gone.
                let _ = client.write_all(answer);
            });
        }
    });
    address
}

/// A bank, a gateway at 0.001 in front of a service, a broker with so much and so many units, and a buyer.
fn small_town(fund: [&str; 2], units: &str) -> (tempfile::TempDir, [Served; 3]) {
    let dir = tempfile::tempdir().unwrap();
    let home = |name: &str| dir.path().join(name);
    run(&home("bank"), &["bank", "init", "--name", "Test bank"]);
    let bank = Served::start(&home("bank"), &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
    for (name, fund) in [("seller", "0.1"), ("broker", fund[0]), ("buyer", fund[1])] {
        run(&home(name), &["--bank", bank.address(), "wallet", "init", "--fund", fund]);
    }
    let service = failing_service();
    let args = ["gateway", "--upstream", &service, "--price", "0.001", "--listen-on", "127.0.0.1:0"];
    let gateway = Served::start(&home("seller"), &args);
    let args = ["broker", "--seller", gateway.address(), "--units", units, "--listen-on", "127.0.0.1:0"];
    let broker = Served::start(&home("broker"), &args);
    (dir, [bank, gateway, broker])
}

#[test]
fn what_failed_at_the_seller_costs_neither_coupon_nor_token_and_no_error_counts_as_success() {
    let (dir, [_bank, gateway, broker]) = small_town(["2", "1"], "100");
    let buyer = dir.path().join("buyer");
    let tries = |args: &[&str]| common::at(&buyer).arg("broker").args(args).output().unwrap();
    let url = |path: &str| format!("{}{path}", gateway.address().trim_end_matches('/'));
    let at = broker.address();
    for path in ["/die", "/half", "/half"] {
        let output = tries(&["get", at, &url(path)]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(8), "{path}: {told}");
        assert!(told.contains(r#""cost": "0.00 XTS""#), "{path}: {told}");
    }
    assert_eq!(micros(&run(&buyer, &["wallet", "show"]), "spent"), 0);

    // A token is worth whole coupons of the seller's, and is not rounded up without a word.
    let odd = ["prefetch", at, gateway.address(), "--price", "0.0015"];
    let output = tries(&odd);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("0.002 XTS"), "{output:?}");

    run(&buyer, &["broker", "prefetch", at, gateway.address(), "--price", "0.001", "--count", "2"]);
    for path in ["/die", "/half", "/half", "/die"] {
        let output = tries(&["spend", &url(path)]);
        assert_eq!(output.status.code(), Some(8), "{path}: {output:?}");
        let tokens = run(&buyer, &["broker", "tokens"]);
        let good = tokens["tokens"].as_array().unwrap().iter().filter(|token| token["state"] == "good").count();
        assert_eq!(good, 2, "{path}: {tokens}");
    }
    // What cannot be written to is found out before anything is spent.
    let nowhere = dir.path().join("nowhere/x");
    let output = tries(&["spend", &url("/a"), "-o", nowhere.to_str().unwrap()]);
    assert!(!output.status.success());
    let spent = run(&buyer, &["broker", "spend", &url("/a")]);
    assert_eq!((&spent["body"], &spent["spent"]), (&"hello".into(), &"0.001 XTS".into()), "{spent}");

    // What was paid for and lies in the file of tokens is not forgotten.
    let closed = run(&buyer, &["broker", "close", at]);
    assert_eq!((&closed["tokens"], &closed["worth"]), (&1.into(), &"0.001 XTS".into()), "{closed}");
}

#[test]
fn a_broker_that_cannot_pay_a_seller_says_so_to_its_buyers() {
    let (dir, [_bank, gateway, broker]) = small_town(["1", "1"], "2000000");
    let buyer = dir.path().join("buyer");
    let sellers = run(&buyer, &["broker", "sellers", broker.address()]);
    assert_eq!(sellers["waiting"].as_array().map(Vec::len), Some(1), "{sellers}");
    for args in [["get", "/a"], ["prefetch", ""]] {
        let url = format!("{}{}", gateway.address().trim_end_matches('/'), args[1]);
        let args = [args[0], broker.address(), &url];
        let more: &[&str] = if args[0] == "get" { &[] } else { &["--price", "0.001"] };
        let output = common::at(&buyer).arg("broker").args(args).args(more).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains("no session there at present"), "{told}");
    }
}

#[test]
fn a_buyer_with_little_money_gets_a_smaller_session_with_a_broker() {
    let (dir, [_bank, gateway, broker]) = small_town(["2", "0.02"], "100");
    let buyer = dir.path().join("buyer");
    let url = format!("{}/a", gateway.address().trim_end_matches('/'));
    for _ in 0..2 {
        let answer = run(&buyer, &["broker", "get", broker.address(), &url]);
        assert_eq!(answer["body"], "hello", "{answer}");
    }
    // One session was enough for both.
    assert_eq!(run(&buyer, &["broker", "close", broker.address()])["closed"], 1);
    // And where there is nothing, the sum is named.
    let (dir, [_bank, gateway, broker]) = small_town(["2", "0.0005"], "100");
    let url = format!("{}/a", gateway.address().trim_end_matches('/'));
    let buyer = dir.path().join("buyer");
    let output = common::at(&buyer).args(["broker", "get", broker.address(), &url]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(6), "{told}");
    assert!(told.contains("0.001 XTS cannot be set aside"), "{told}");
}

#[test]
fn rubbish_is_no_evidence_and_nobody_is_convicted_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let home = |name: &str| dir.path().join(name);
    run(&home("bank"), &["bank", "init", "--name", "Test bank"]);
    let bank = Served::start(&home("bank"), &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
    run(&home("buyer"), &["--bank", bank.address(), "wallet", "init"]);
    let file = home("rubbish");
    std::fs::write(&file, b"rubbish").unwrap();
    let output = common::at(&home("buyer")).args(["broker", "judge", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn a_server_learns_what_its_x402_software_is_configured_with() {
    let dir = tempfile::tempdir().unwrap();
    let home = |name: &str| dir.path().join(name);
    run(&home("bank"), &["bank", "init", "--name", "Test bank"]);
    let bank = Served::start(&home("bank"), &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
    run(&home("shop"), &["--bank", bank.address(), "wallet", "init"]);
    let papers = run(&home("shop"), &["facilitator", "--for", "1h"]);
    assert!(papers["network"].as_str().unwrap().starts_with("farthing:net1"), "{papers}");
    assert!(papers["pay_to"].as_str().unwrap().starts_with("peer1"), "{papers}");
    assert!(papers["pass"].as_str().unwrap().len() > 100, "{papers}");
}
