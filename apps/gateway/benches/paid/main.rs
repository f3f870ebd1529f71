//! What it costs to be paid, and what the gateway costs beside what an operator would run otherwise.
//!
//! Gateway, origin and load generator have a thread of their own each, over loopback in one process;
//! baselines run in the very same place. Absolute figures mean little: read the ratios, each the
//! median of rounds in turn. `CPU` is what the serving threads used for a request, which other
//! programs on the machine disturb less than a rate. Coupons are drawn before the clock starts.
//!
//! `cargo bench -p farthing-gateway --bench paid -- nginx memory` runs only these parts.

mod alone;
mod hello;
mod load;
mod memory;
mod nginx;
mod place;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/gateway/town.rs"]
mod town;

use std::time::Duration;

use farthing_gateway::Durability;
use load::Side;
use place::Place;

/// At most so much later a payment is on disk, where it is not waited for.
const LATER: Durability = Durability::Every(Duration::from_millis(1));

fn main() {
    let parts: [(&str, fn()); 6] = [
        ("each", || paid("durable before the service is asked", Durability::Each, 0.90)),
        ("later", || paid("durable 1 ms later at most", LATER, 0.90)),
        ("alone", alone::run),
        ("hello", against_hello),
        ("nginx", against_nginx),
        ("memory", memory::run),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("{name}");
            part();
        }
    }
}

/// Paid against unpaid, through one gateway to the same origin.
fn paid(what: &str, durability: Durability, goal: f64) {
    let place = Place::new(durability, None);
    let mut buyers = place.buyers();
    let (unpaid, paid) =
        (Side::new("unpaid", place.address, place::SERVING), Side::new("paid", place.address, place::SERVING));
    let ratio = load::compare(&paid, || buyers.draw("/hello"), &unpaid, || load::plain("/free"));
    ratio.print(what, goal);
}

/// The gateway answering by itself against the same HTTP library saying hello.
fn against_hello() {
    let place = Place::new(LATER, Some(place::ANSWERS));
    let hello = hello::Hello::start("hello");
    let mut buyers = place.buyers();
    let (baseline, paid) =
        (Side::new("hello", hello.address, &["hello"]), Side::new("paid", place.address, place::SERVING));
    let ratio = load::compare(&paid, || buyers.draw("/hello"), &baseline, || load::plain("/hello"));
    ratio.print("answering by itself, paid / hyper's hello", 0.80);
}

/// The gateway before an origin against nginx as a bare reverse proxy before the same.
fn against_nginx() {
    let place = Place::new(LATER, None);
    let Some(nginx) = nginx::Nginx::start(place.origin) else { return println!("  nginx not found: skipped") };
    let mut buyers = place.buyers();
    let baseline = Side::new("nginx", nginx.address, &[]).of_process(nginx.pid());
    let paid = Side::new("paid", place.address, place::SERVING);
    let ratio = load::compare(&paid, || buyers.draw("/hello"), &baseline, || load::plain("/hello"));
    ratio.print("before an origin, paid / nginx unpaid", 0.90);
}
