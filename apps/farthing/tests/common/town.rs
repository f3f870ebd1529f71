//! A bank, sellers behind gateways, and buyers: all the real program.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use super::{Served, farthing, run};

/// What a request costs at every seller.
pub const PRICE: &str = "0.001 XTS";

/// A web service that knows nothing of money: repeats the path, knows no `/missing`, fails at
/// `/broken`.
pub fn upstream() -> String {
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
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).ok()? == 0 {
            return None;
        }
        let mut line = String::new();
        while reader.read_line(&mut line).ok()? > 2 {
            line.clear();
        }
        let path = first.split(' ').nth(1)?;
        let status = match path {
            "/missing" => "404 Not Found",
            "/broken" => "500 Internal Server Error",
            _ => "200 OK",
        };
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{path}", path.len()).ok()?;
    }
}

/// The town.
pub struct Town {
    dir: tempfile::TempDir,
    /// The bank.
    pub bank: Served,
}

impl Town {
    /// With a bank, and nobody else.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(&dir.path().join("bank"), &["bank", "init", "--name", "Test bank"]);
        let bank = Served::start(&dir.path().join("bank"), &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
        Self { dir, bank }
    }

    /// Somebody's home, or a file.
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Somebody with one XTS, half of it in chains for files.
    pub fn person(&self, name: &str) -> PathBuf {
        let home = self.at(name);
        run(&home, &["--bank", self.bank.address(), "wallet", "init", "--fund", "1"]);
        home
    }

    /// A seller, and its gateway's address without a slash at the end.
    pub fn seller(&self, name: &str) -> (Served, String) {
        let (home, from) = (self.person(name), upstream());
        let args = ["gateway", "--upstream", &from, "--price", PRICE, "--listen-on", "127.0.0.1:0"];
        let gateway = Served::start(&home, &args);
        let url = gateway.address().trim_end_matches('/').to_owned();
        (gateway, url)
    }
}

/// Runs a command as people do: in words, and not agreeing to anything beforehand.
pub fn in_words(home: &Path, args: &[&str]) -> Output {
    farthing().arg("--home").arg(home).arg("--insecure-no-passphrase").args(args).output().unwrap()
}

/// What a command said on standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The code it ended with.
pub fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// An amount in a result, in millionths.
pub fn micros(of: &Value, name: &str) -> u64 {
    let text = of[name].as_str().unwrap_or_else(|| panic!("no {name} in {of}"));
    let amount: farthing_core::amount::Amount = text.parse().unwrap();
    amount.as_micros()
}
