//! One connection, one request at a time: what paying adds to the time of an answer, and its bytes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use farthing_gateway::Durability;

use crate::load::request;
use crate::place::{Place, paid};

/// Requests of each kind.
const REQUESTS: u32 = 4_000;
/// How an answer ends.
const END: &[u8] = b"\r\n\r\nhello";

pub(crate) fn run() {
    let place = Place::new(Durability::Each, None);
    let mut buyer = place.runtime.block_on(place.town.buyer(1, REQUESTS));
    let priced: Vec<_> = (0..REQUESTS).map(|_| paid(&mut buyer, "/hello")).collect();
    let free = request("/free", "");
    let mut socket = TcpStream::connect(place.address).unwrap();
    socket.set_nodelay(true).unwrap();
    let (mut unpaid, mut paid, mut bytes) = (Vec::new(), Vec::new(), (0, 0));
    for priced in &priced {
        let (time, plain) = exchange(&mut socket, &free);
        unpaid.push(time);
        let (time, receipted) = exchange(&mut socket, priced);
        paid.push(time);
        bytes = (priced.len() - request("/hello", "").len(), receipted - plain);
    }
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let (unpaid, paid) = (at(&mut unpaid, share), at(&mut paid, share));
        println!("one connection, {name}: unpaid {unpaid:?}, paid {paid:?}, added {:?}", paid.saturating_sub(unpaid));
    }
    println!("header bytes of a payment {}, about {} of its receipt", bytes.0, bytes.1);
}

fn at(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[(times.len() as f64 * share) as usize]
}

/// The time until the whole answer is there, and how many bytes it has.
fn exchange(socket: &mut TcpStream, request: &[u8]) -> (Duration, usize) {
    let (begun, mut answer, mut have) = (Instant::now(), [0; 4_096], 0);
    socket.write_all(request).unwrap();
    while !answer[..have].ends_with(END) {
        have += socket.read(&mut answer[have..]).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..have]));
    }
    (begun.elapsed(), have)
}
