//! A way to a bank on which answers to payments can be harmed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What becomes of answers to payments by online clearing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Nothing.
    None,
    /// They are lost.
    Drops,
    /// Their last byte is another one.
    Forges,
}

/// The way; there for as long as the test runs.
pub struct Way {
    /// Where it begins.
    pub address: String,
    harm: Arc<Mutex<Harm>>,
}

impl Way {
    /// A way to whoever listens at an address.
    pub fn to(bank: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self { address: listener.local_addr().unwrap().to_string(), harm: Arc::new(Mutex::new(Harm::None)) };
        let (bank, harm) = (bank.to_owned(), Arc::clone(&way.harm));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (bank, harm) = (bank.clone(), Arc::clone(&harm));
                std::thread::spawn(move || carry(stream, &bank, &harm));
            }
        });
        way
    }

    /// From now on.
    pub fn set(&self, harm: Harm) {
        *self.harm.lock().unwrap() = harm;
    }
}

/// Carries one question there and its answer back; the next one comes on a line of its own.
fn carry(mut from: TcpStream, bank: &str, harm: &Mutex<Harm>) -> Option<()> {
    let mut reader = BufReader::new(from.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(bytes) = line.to_lowercase().strip_prefix("content-length:") {
            length = bytes.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
        if !line.to_lowercase().starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut to = TcpStream::connect(bank).ok()?;
    to.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).ok()?;
    to.write_all(&body).ok()?;
    let mut answer = Vec::new();
    to.read_to_end(&mut answer).ok()?;
    let harm = *harm.lock().ok()?;
    match harm {
        Harm::Drops if head.starts_with("POST /clearing") => return None,
        Harm::Forges if head.starts_with("POST /clearing") => *answer.last_mut()? ^= 1,
        _ => {}
    }
    from.write_all(&answer).ok()
}
