//! A line between a customer and its bank that can lose answers.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The beginning of a request that may move money.
const ASKS: &[u8] = b"POST /v1/messages";

/// Passes everything on in both directions. While it swallows, requests that may move money reach
/// the bank and their answers reach nobody.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) at: SocketAddr,
    swallows: Arc<AtomicBool>,
}

impl Proxy {
    /// In front of a server.
    pub(crate) fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let swallows = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&swallows);
        // It ends with the test's process.
        thread::spawn(move || {
            for customer in listener.incoming().flatten() {
                let Ok(bank) = TcpStream::connect(&server) else { continue };
                pass(&customer, &bank, &shared);
            }
        });
        Self { at, swallows }
    }

    /// From now on answers get lost, or no more.
    pub(crate) fn swallow(&self, swallows: bool) {
        self.swallows.store(swallows, Ordering::SeqCst);
    }
}

fn pass(customer: &TcpStream, bank: &TcpStream, swallows: &Arc<AtomicBool>) {
    let asked = Arc::new(AtomicBool::new(false));
    let (mut from, mut to) = (customer.try_clone().unwrap(), bank.try_clone().unwrap());
    let asks = Arc::clone(&asked);
    thread::spawn(move || {
        let mut some = [0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut some) {
            if some[..read].windows(ASKS.len()).any(|at| at == ASKS) {
                asks.store(true, Ordering::SeqCst);
            }
            if to.write_all(&some[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
    let (mut from, mut to, swallows) = (bank.try_clone().unwrap(), customer.try_clone().unwrap(), Arc::clone(swallows));
    thread::spawn(move || {
        let mut some = [0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut some) {
            let lost = swallows.load(Ordering::SeqCst) && asked.load(Ordering::SeqCst);
            if lost || to.write_all(&some[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
