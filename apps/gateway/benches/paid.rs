//! Paid against unpaid through one gateway.
//!
//! Everything runs in one process over loopback, so absolute numbers mean little: read the ratios.
//! Coupons are drawn before the clock starts.

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/gateway/town.rs"]
mod town;

use std::time::{Duration, Instant};

use farthing_dialects::payment;
use farthing_gateway::Durability;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use town::{PRICES, Town};

/// Connections, each with a session of its own.
const CONNECTIONS: u8 = 64;
/// Requests on each in a round.
const REQUESTS: u32 = 400;
/// Rounds; the median counts.
const ROUNDS: u32 = 5;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        compare("durable before the service is asked", Durability::Each).await;
        compare("durable 1 ms later at most", Durability::Every(Duration::from_millis(1))).await;
        alone().await;
    });
}

async fn compare(what: &str, durability: Durability) {
    let town = Town::with(PRICES, |config| config.durability = durability).await;
    let mut buyers = Vec::new();
    for seed in 0..CONNECTIONS {
        buyers.push(town.buyer(seed, REQUESTS * ROUNDS).await);
    }
    let address = town.base.trim_start_matches("http://").to_owned();
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let free: Vec<_> = (0..CONNECTIONS).map(|_| vec![request("/free", ""); REQUESTS as usize]).collect();
        let paid: Vec<_> = buyers
            .iter_mut()
            .map(|buyer| {
                let mut draw = || {
                    let coupon = buyer.coupon("GET", "/hello", b"", 1);
                    buyer.spender.give_up(coupon.index).unwrap();
                    request("/hello", &format!("authorization: {}\r\n", payment::compact(&coupon)))
                };
                (0..REQUESTS).map(|_| draw()).collect()
            })
            .collect();
        let unpaid = rate(&address, free).await;
        let paid = rate(&address, paid).await;
        println!("  unpaid {unpaid:>8.0}/s   paid {paid:>8.0}/s   paid / unpaid {:.2}", paid / unpaid);
        ratios.push(paid / unpaid);
    }
    ratios.sort_by(f64::total_cmp);
    println!("{what}: paid / unpaid {:.2} (median of {ROUNDS})", ratios[ratios.len() / 2]);
}

/// Latency on one connection.
async fn alone() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 2_000).await;
    let address = town.base.trim_start_matches("http://").to_owned();
    let mut socket = connect(&address).await;
    let (mut free, mut paid) = (Vec::new(), Vec::new());
    for _ in 0..2_000 {
        let coupon = buyer.coupon("GET", "/hello", b"", 1);
        buyer.spender.give_up(coupon.index).unwrap();
        let priced = request("/hello", &format!("authorization: {}\r\n", payment::compact(&coupon)));
        for (request, times) in [(request("/free", ""), &mut free), (priced, &mut paid)] {
            let begun = Instant::now();
            exchange(&mut socket, &request).await;
            times.push(begun.elapsed());
        }
    }
    let at = |times: &mut Vec<Duration>, share: f64| {
        times.sort_unstable();
        times[(times.len() as f64 * share) as usize]
    };
    for share in [0.5, 0.99] {
        let (free, paid) = (at(&mut free, share), at(&mut paid, share));
        println!(
            "one connection, p{:.0}: unpaid {free:?}, paid {paid:?}, added {:?}",
            share * 100.0,
            paid.saturating_sub(free)
        );
    }
}

fn request(path: &str, header: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{header}\r\n").into_bytes()
}

async fn connect(address: &str) -> TcpStream {
    let socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

async fn rate(address: &str, work: Vec<Vec<Vec<u8>>>) -> f64 {
    let count: usize = work.iter().map(Vec::len).sum();
    let mut sockets = Vec::new();
    for requests in work {
        sockets.push((connect(address).await, requests));
    }
    let begun = Instant::now();
    let all: Vec<_> = sockets
        .into_iter()
        .map(|(mut socket, requests)| {
            tokio::spawn(async move {
                for request in requests {
                    exchange(&mut socket, &request).await;
                }
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// One request and its whole answer, which has a length.
async fn exchange(socket: &mut TcpStream, request: &[u8]) {
    socket.write_all(request).await.unwrap();
    let mut answer = Vec::with_capacity(1_024);
    loop {
        assert!(socket.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            return;
        }
    }
}
