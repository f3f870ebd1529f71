//! One wallet and several commands: they wait their turn, or ask whoever has the wallet; and what a
//! command cannot finish it says the price of.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use common::{Served, at, run};
use serde_json::Value;

/// A service that answers `/events` with events without end, `/order` never, and all else with its
/// path; and what tells of each order.
fn upstream() -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (order, orders) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let order = order.clone();
            std::thread::spawn(move || serve(&stream, &order));
        }
    });
    (format!("http://{address}"), orders)
}

fn serve(mut stream: &TcpStream, order: &Sender<()>) -> Option<()> {
    let mut head = BufReader::new(stream).lines();
    let asked = head.next()?.ok()?;
    head.find(|line| line.as_ref().is_ok_and(String::is_empty))?.ok()?;
    let path = asked.split(' ').nth(1)?;
    if path == "/order" {
        order.send(()).ok()?;
        // Until the gateway goes away.
        return stream.read(&mut [0]).ok().map(drop);
    }
    if path != "/events" {
        let length = path.len();
        return write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{path}").ok();
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").ok()?;
    for number in 0..10_000 {
        stream.write_all(format!("data: {number}\n\n").as_bytes()).ok()?;
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    None
}

const PRICES: &str = r#"
price = "0.001 XTS"
coupon = "0.0001 XTS"
[[route]]
path = "/events"
unit = "second"
price = "0.0001 XTS"
max = "0.02 XTS"
"#;

struct Town {
    dir: tempfile::TempDir,
    gateway: Option<Served>,
    site: String,
    gateway_args: Vec<String>,
    orders: Receiver<()>,
    bank: Served,
}

impl Town {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = |name: &str| dir.path().join(name);
        run(&home("bank"), &["bank", "init", "--name", "Test bank"]);
        let bank = Served::start(&home("bank"), &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
        for name in ["seller", "buyer"] {
            run(&home(name), &["--bank", bank.address(), "wallet", "init", "--fund", "2"]);
        }
        std::fs::write(home("prices.toml"), PRICES).unwrap();
        let ((from, orders), file) = (upstream(), home("prices.toml"));
        let args = ["gateway", "--upstream", &from, "--prices", file.to_str().unwrap(), "--listen-on"];
        let gateway = Served::start(&home("seller"), &[&args[..], &["127.0.0.1:0"]].concat());
        let site = gateway.address().trim_end_matches('/').to_owned();
        let gateway_args = args.map(str::to_owned).to_vec();
        Self { dir, gateway: Some(gateway), site, gateway_args, orders, bank }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn buyer(&self) -> PathBuf {
        self.at("buyer")
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.site)
    }

    fn get(&self, path: &str, more: &[&str]) -> Output {
        at(&self.buyer()).args(["get", &self.url(path)]).args(more).output().unwrap()
    }

    /// An answer that goes on, once it has begun.
    fn streaming(&self) -> Streaming {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command.arg("--home").arg(self.buyer()).args(["--yes", "--insecure-no-passphrase", "get"]);
        let piped = command.arg(self.url("/events")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "data: 0\n");
        Streaming(child, out)
    }

    /// Kills the gateway.
    fn kill_gateway(&mut self) {
        self.gateway.take().unwrap().kill();
    }

    /// Starts it again where it was.
    fn restart_gateway(&mut self) {
        let at = self.site.trim_start_matches("http://");
        let args: Vec<&str> = self.gateway_args.iter().map(String::as_str).chain([at]).collect();
        self.gateway = Some(Served::start(&self.at("seller"), &args));
    }

    fn spent(&self) -> Value {
        run(&self.buyer(), &["wallet", "show"])["spent"].clone()
    }
}

struct Streaming(std::process::Child, BufReader<std::process::ChildStdout>);

impl Streaming {
    /// Stops it as Ctrl-C does; what it says then.
    fn interrupt(mut self) -> (Option<i32>, String) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        drop(self.1);
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap().code(), said)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn requests_side_by_side_from_one_wallet_and_from_one_delegate_all_get_their_answers() {
    let town = Town::new();
    let file = town.at("tool");
    let file = file.to_str().unwrap();
    run(&town.buyer(), &["wallet", "delegate", "--max", "0.1", "--out", file]);
    for more in [&[][..], &["--wallet", file]] {
        let outputs: Vec<Output> = std::thread::scope(|all| {
            let asks: Vec<_> = (0..10)
                .map(|n| {
                    let (mut ask, url) = (at(&town.buyer()), town.url(&format!("/{n}")));
                    ask.args(["get", &url]).args(more);
                    all.spawn(move || ask.output().unwrap())
                })
                .collect();
            asks.into_iter().map(|ask| ask.join().unwrap()).collect()
        });
        for output in outputs {
            assert!(output.status.success(), "{}", said(&output));
        }
    }
    let impatient = ["--wait", "0s", "--dry-run"];
    let held = town.streaming();
    let output = town.get("/a", &impatient);
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    held.interrupt();
}

#[test]
fn the_wallet_of_a_stream_and_of_a_proxy_answers_other_commands() {
    let town = Town::new();
    let buyer = town.buyer();
    let looks: [&[&str]; 3] = [&["wallet", "show"], &["history"], &["wallet", "exposure"]];
    let stream = town.streaming();
    for look in looks {
        run(&buyer, look);
    }
    stream.interrupt();
    let upstream = town.url("");
    let args = ["proxy", "--upstream", &upstream, "--listen-on", "127.0.0.1:0", "--max-per-hour", "1"];
    let proxy = Served::start(&buyer, &args);
    for look in looks {
        run(&buyer, look);
    }
    let closed = run(&buyer, &["get", &town.url("/"), "--close"]);
    assert_eq!(closed["closed"], 1, "{closed}");
    drop(proxy);
    run(&buyer, &["wallet", "show"]);
}

#[test]
fn whoever_stops_an_answer_is_told_what_it_cost_and_the_books_say_the_same() {
    let town = Town::new();
    let (code, said) = town.streaming().interrupt();
    assert!(code == Some(1) && said.contains("stopped before the answer's end") && said.contains("charged"), "{said}");
    let history = run(&town.buyer(), &["history"]);
    let last = history["lines"].as_array().unwrap().last().unwrap();
    assert_eq!(last["amount"], town.spent(), "{history}");
}

#[test]
fn after_a_kill_the_bank_s_clearing_gives_the_policy_its_money_back() {
    let town = Town::new();
    let mut stream = town.streaming();
    stream.0.kill().unwrap();
    stream.0.wait().unwrap();
    assert!(town.get("/a", &["--max", "0.001"]).status.success());
    let before = town.spent();
    assert_eq!(before, "0.021 XTS", "a stream is counted at its most, and nobody has said what it cost");
    let reconciled = run(&town.buyer(), &["wallet", "reconcile"]);
    let (after, revenue) = (town.spent(), run(&town.at("seller"), &["gateway", "revenue"]));
    let micros = |amount: &Value| {
        let number: f64 = amount.as_str().unwrap().trim_end_matches(" XTS").parse().unwrap();
        (number * 1e6).round()
    };
    assert_eq!(micros(&after), revenue["revenue"]["paid_micros"].as_f64().unwrap(), "{reconciled} {revenue}");
    let history = run(&town.buyer(), &["history"]);
    let paid = history["lines"].as_array().unwrap().iter().find(|line| line["what"] == "paid").unwrap();
    assert_eq!(paid["amount"], after, "{history}");
}

/// Somebody between a buyer and a gateway who keeps each answer that was paid for, and says 402.
fn taker(gateway: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let gateway = gateway.clone();
            std::thread::spawn(move || take(client, &gateway));
        }
    });
    format!("http://{address}")
}

fn take(mut client: TcpStream, gateway: &str) -> Option<()> {
    let mut there = TcpStream::connect(gateway).ok()?;
    let (mut back, mut to_client) = (there.try_clone().ok()?, client.try_clone().ok()?);
    let (mut head, mut buffer) = (Vec::new(), [0; 4_096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let more = client.read(&mut buffer).ok().filter(|more| *more > 0)?;
        head.extend_from_slice(&buffer[..more]);
    }
    // One request for each connection, so that each is seen here.
    let first_line = head.windows(2).position(|end| end == b"\r\n")?;
    there.write_all(&head[..first_line]).ok()?;
    there.write_all(b"\r\nconnection: close").ok()?;
    there.write_all(&head[first_line..]).ok()?;
    if String::from_utf8_lossy(&head).to_lowercase().contains("\r\nauthorization: payment") {
        back.read(&mut buffer).ok().filter(|answered| *answered > 0)?;
        let no = b"HTTP/1.1 402 Payment Required\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        return client.write_all(no).ok();
    }
    std::thread::spawn(move || std::io::copy(&mut back, &mut to_client));
    std::io::copy(&mut client, &mut there).ok().map(drop)
}

#[test]
fn a_server_that_takes_a_payment_and_says_402_is_found_out_by_what_the_bank_paid_it() {
    let mut town = Town::new();
    town.site = taker(town.site.trim_start_matches("http://").to_owned());
    let denied = town.get("/a", &["--max", "0.001"]);
    assert!(!denied.status.success() && said(&denied).contains("may have been paid"), "{}", said(&denied));
    town.get("/a", &["--close"]);
    run(&town.at("seller"), &["gateway", "clear"]);
    let reconciled = run(&town.buyer(), &["wallet", "reconcile"]);
    let revenue = run(&town.at("seller"), &["gateway", "revenue"]);
    assert_eq!(revenue["revenue"]["paid_micros"], 1_000, "{revenue}");
    assert_eq!(town.spent(), "0.001 XTS", "{reconciled}");
}

#[test]
fn an_order_at_a_gateway_that_was_killed_is_never_paid_nor_carried_out_again_by_itself() {
    let mut town = Town::new();
    let (home, url) = (town.buyer(), town.url("/order"));
    let order = ["get", &url, "-X", "POST", "-d", "order", "--max", "0.001"];
    let first = std::thread::scope(|both| {
        let asking = both.spawn(|| at(&home).args(order).output().unwrap());
        town.orders.recv().unwrap();
        town.kill_gateway();
        asking.join().unwrap()
    });
    assert_eq!(first.status.code(), Some(4), "{}", said(&first));
    town.restart_gateway();
    let again = at(&home).args(order).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    assert!(said(&again).contains("0.001 XTS was paid"), "{}", said(&again));
    assert!(town.orders.try_recv().is_err(), "it was carried out twice");
    let revenue = run(&town.at("seller"), &["gateway", "revenue"]);
    assert_eq!(revenue["revenue"]["paid_micros"], 1_000, "{revenue}");
}

#[test]
fn an_answer_that_cannot_be_written_is_not_paid_for_or_its_price_is_told() {
    let town = Town::new();
    for nowhere in [town.at("no/such/file"), town.at("buyer")] {
        let output = town.get("/a", &["-o", nowhere.to_str().unwrap()]);
        assert!(!output.status.success() && said(&output).contains("nothing was paid"), "{}", said(&output));
    }
    assert_eq!(town.spent(), "0.00 XTS");
    if Path::new("/dev/full").exists() {
        let output = town.get("/a", &["-o", "/dev/full"]);
        assert!(!output.status.success() && said(&output).contains("0.001 XTS was charged"), "{}", said(&output));
    }
    let kept = town.at("kept");
    std::fs::write(&kept, "what was there before").unwrap();
    let refused = town.get("/a", &["--max", "0.0001", "-o", kept.to_str().unwrap()]);
    assert!(!refused.status.success());
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "what was there before", "no answer came");
    assert!(town.get("/a", &["-o", kept.to_str().unwrap()]).status.success());
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "/a");
}

#[test]
fn an_answer_that_runs_out_is_one_result_with_its_price_and_the_next_step() {
    let town = Town::new();
    let output = town.get("/events", &["--max", "0.0001"]);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {output:?}"));
    assert_eq!((&result["cost"], &result["error"]["exit_code"]), (&"0.0001 XTS".into(), &1.into()), "{result}");
    assert!(result["error"]["next"].is_string(), "{result}");
}

#[test]
fn a_server_that_takes_the_request_and_says_nothing_is_left_in_time() {
    let town = Town::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let output = at(&town.buyer()).args(["get", &url, "--timeout", "1s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("nothing was paid"), "{}", said(&output));
}

#[test]
fn a_delegate_that_could_open_no_session_is_refused_before_money_moves() {
    let town = Town::new();
    let (buyer, file) = (town.buyer(), town.at("brief"));
    let made = ["wallet", "delegate", "--max", "0.1", "--expires", "0h", "--out", file.to_str().unwrap()];
    let output = at(&buyer).args(made).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(!file.exists());
    assert_eq!(town.spent(), "0.00 XTS");
}

#[test]
fn a_seller_sees_what_its_gateway_took_and_a_buyer_exports_what_it_paid_in_sessions() {
    let town = Town::new();
    assert!(town.get("/a", &[]).status.success());
    let seller = town.at("seller");
    let earnings = run(&seller, &["earnings"]);
    assert_eq!(earnings["by_gateway"], "0.001 XTS", "{earnings}");
    let history = run(&seller, &["history"]);
    let line = history["lines"].as_array().unwrap().last().unwrap();
    assert_eq!((&line["what"], &line["amount"]), (&"sold so far".into(), &"0.001 XTS".into()), "{history}");
    let file = town.at("receipts.json");
    run(&town.buyer(), &["receipts", "export", file.to_str().unwrap()]);
    let exported: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let session = &exported["sessions"][0];
    assert_eq!((&session["paid"], &session["requests"]), (&"0.001 XTS".into(), &1.into()), "{exported}");
    assert!(session["receipt"].is_string(), "{exported}");
}

#[test]
fn an_account_with_little_money_free_opens_a_smaller_session_and_one_without_says_where_it_is() {
    let town = Town::new();
    for (name, fund, held) in [("poor", "0.6", Some("0.0625 XTS")), ("locked", "0.5", None)] {
        let home = town.at(name);
        run(&home, &["--bank", town.bank.address(), "wallet", "init", "--fund", fund]);
        let output = at(&home).args(["get", &town.url("/a")]).output().unwrap();
        assert_eq!(output.status.success(), held.is_some(), "{}", said(&output));
        if let Some(held) = held {
            let exposure = run(&home, &["wallet", "exposure"]);
            assert_eq!(exposure["sessions"][0]["held"], held, "{exposure}");
        } else {
            let said = said(&output);
            assert!(said.contains("0.00 XTS is free in the account, and 0.50 XTS more is set aside"), "{said}");
        }
    }
}
