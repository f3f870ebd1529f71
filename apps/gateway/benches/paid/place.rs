//! A gateway with one worker, an origin behind it, and buyers with sessions.

use std::net::SocketAddr;
use std::time::Duration;

use farthing_dialects::payment;
use farthing_gateway::{Behind, Durability};
use tokio::runtime::{Builder, Runtime};

use crate::hello::Hello;
use crate::load::{CONNECTIONS, REQUESTS, ROUNDS};
use crate::town::{Customer, PRICES, Town};

/// The threads that serve: the gateway's worker, and the one that writes its records.
pub(crate) const SERVING: &[&str] = &["gateway", "writer"];

/// However busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prices of a gateway that needs no service.
pub(crate) const ANSWERS: &str = r#"
coupon = "0.0001 XTS"
[[route]]
path = "/hello"
price = "0.0001 XTS"
answer = "hello"
[[route]]
path = "/**"
price = "0.0001 XTS"
answer = "nothing here"
"#;

/// A runtime with one worker of that name.
pub(crate) fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build().unwrap()
}

pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) origin: SocketAddr,
    pub(crate) town: Town,
    // Dropped last: the others live on it.
    pub(crate) runtime: Runtime,
    _origin: Hello,
}

impl Place {
    pub(crate) fn new(durability: Durability, answers: Option<&str>) -> Self {
        let (runtime, origin) = (runtime("gateway"), Hello::start("origin"));
        let town = runtime.block_on(Town::with(answers.unwrap_or(PRICES), |config| {
            config.durability = durability;
            config.behind = match answers {
                Some(_) => Behind::Nothing,
                None => Behind::Service(format!("http://{}", origin.address)),
            };
            config.wait_for_upstream(PATIENCE);
        }));
        let address = town.base.trim_start_matches("http://").parse().unwrap();
        Self { address, origin: origin.address, town, runtime, _origin: origin }
    }

    /// One for each connection, with coupons for all rounds and the one that warms up.
    pub(crate) fn buyers(&self) -> Buyers<'_> {
        let units = REQUESTS * (ROUNDS + 1);
        let town = &self.town;
        Buyers(self.runtime.block_on(async {
            let mut buyers = Vec::new();
            for seed in 0..CONNECTIONS {
                buyers.push(town.buyer(seed, units).await);
            }
            buyers
        }))
    }
}

pub(crate) struct Buyers<'a>(Vec<Customer<'a>>);

impl Buyers<'_> {
    /// The paid requests of a round.
    pub(crate) fn draw(&mut self, path: &str) -> Vec<Vec<Vec<u8>>> {
        self.0.iter_mut().map(|buyer| (0..REQUESTS).map(|_| paid(buyer, path)).collect()).collect()
    }
}

/// A request with a fresh coupon.
pub(crate) fn paid(buyer: &mut Customer<'_>, path: &str) -> Vec<u8> {
    let coupon = buyer.coupon("GET", path, b"", 1);
    buyer.spender.give_up(coupon.index).unwrap();
    crate::load::request(path, &format!("authorization: {}\r\n", payment::compact(&coupon)))
}
