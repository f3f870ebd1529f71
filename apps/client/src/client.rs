//! The client: asks, pays, asks again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farthing_core::amount::Amount;
use farthing_core::time::Time;
use farthing_dialects::quote::{Quote, UnitKind};
use farthing_net::http::client::{CONNECT_TIME, read_bounded};
use farthing_net::http::tls;
use farthing_peer::wallet::Wallet;
use farthing_peer::wallet::coupon::Spend;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Request, Response, StatusCode, redirect};

use crate::answer::Paid;
use crate::caps::Caps;
use crate::error::{Advice, PayError};
use crate::facilitated::WANTED_BYTES_MAX;
use crate::opening::Closed;
use crate::pay::{ATTEMPTS_MAX, Outcome};
use crate::quoted::{Price, Prices, Quoted};
use crate::running::FIRST_UNITS_MAX;
use crate::seat::Seat;
use crate::wanted::Wanted;

/// How many sites sessions are opened at side by side; when there are more, some wait for others.
pub const SITES_MAX: usize = 1_024;

/// How long a server has for the head of its answer, unless [`Options`] say otherwise: some services
/// think for a minute before they begin.
pub const ANSWER_TIME: Duration = Duration::from_secs(120);

/// What one client may spend. A cap that is not set does not bind; the wallet's policy always does.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The most that one request may cost.
    pub per_request: Option<Amount>,
    /// The most that may be spent in an hour of the clock.
    pub per_hour: Option<Amount>,
    /// The most that may be spent in all.
    pub total: Option<Amount>,
    /// The most that is set aside at the bank for one session; what the wallet's settings say if
    /// nothing.
    pub session: Option<Amount>,
    /// A session is made for so many requests like the first, if that is less; when they are used
    /// up another one follows.
    pub session_requests: Option<u32>,
    /// Sessions end by then; in a day if nothing.
    pub session_ends: Option<Time>,
    /// How long a server has to begin its answer, connecting included; [`ANSWER_TIME`] if nothing.
    /// An answer that has begun may take as long as it likes.
    pub answer_time: Option<Duration>,
}

/// A client that pays. Clones share everything.
#[derive(Clone)]
pub struct PayingClient {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) http: reqwest::Client,
    pub(crate) wallet: Wallet,
    pub(crate) options: Options,
    pub(crate) caps: Caps,
    pub(crate) prices: Prices,
    /// Held by whoever opens a session at a site.
    gates: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl std::fmt::Debug for PayingClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PayingClient of {:?}", self.inner.wallet)
    }
}

impl PayingClient {
    /// A client that pays from this wallet.
    ///
    /// # Errors
    /// [`PayError::NothingSent`] where the system lacks what HTTP needs.
    pub fn new(wallet: Wallet, options: Options) -> Result<Self, PayError> {
        tls::install_default();
        let builder = reqwest::Client::builder().redirect(redirect::Policy::none()).connect_timeout(CONNECT_TIME);
        let http = builder.tcp_nodelay(true).user_agent(concat!("farthing/", env!("CARGO_PKG_VERSION"))).build();
        let http = http.map_err(|why| PayError::NothingSent(format!("HTTP cannot be set up: {why}")))?;
        Ok(Self::with(http, wallet, options))
    }

    /// The same over a client of the caller's. It must not follow redirects: a payment is for one
    /// address, and is not to be sent to another.
    #[must_use]
    pub fn with(http: reqwest::Client, wallet: Wallet, options: Options) -> Self {
        let caps = Caps::new(wallet.settings().currency(), options.per_hour, options.total);
        let (prices, gates) = (Prices::default(), Mutex::default());
        Self { inner: Arc::new(Inner { http, wallet, options, caps, prices, gates }) }
    }

    /// The wallet it pays from.
    #[must_use]
    pub fn wallet(&self) -> &Wallet {
        &self.inner.wallet
    }

    /// What this client has spent, requests in progress counted in full.
    #[must_use]
    pub fn spent(&self) -> Amount {
        self.inner.caps.spent()
    }

    /// Makes a request, and pays for it if it costs something.
    ///
    /// # Errors
    /// [`PayError`], which says whether money may have moved and what to do.
    pub async fn execute(&self, request: Request) -> Result<Paid, PayError> {
        self.carry_out(request, None).await
    }

    /// The same on behalf of a tool, whose spending the wallet's policy counts apart.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub async fn execute_for(&self, tool: &str, request: Request) -> Result<Paid, PayError> {
        self.carry_out(request, Some(tool)).await
    }

    /// What a request would cost, without paying: it is sent without a payment. `None` if it was
    /// answered just so, and costs nothing.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub async fn quote(&self, request: Request) -> Result<Option<Price>, PayError> {
        let wanted = Wanted::new(request)?;
        let response = self.inner.ask(&wanted).await?;
        if response.status() != StatusCode::PAYMENT_REQUIRED {
            return Ok(None);
        }
        Ok(Some(self.inner.read_demand(&wanted, response).await?.price()?))
    }

    /// Ends every session at the site of this address: the server clears it for good, and what was
    /// not spent comes back at once instead of when the session ends. The address of the wallet's
    /// bank ends the session for servers that settle through it.
    ///
    /// # Errors
    /// [`PayError`]; what was not ended goes on.
    pub async fn close(&self, site: &reqwest::Url) -> Result<Closed, PayError> {
        self.inner.close(site).await
    }

    async fn carry_out(&self, request: Request, tool: Option<&str>) -> Result<Paid, PayError> {
        let inner = &self.inner;
        let wanted = Wanted::new(request)?;
        let mut known = inner.prices.of(&wanted);
        // What was sent and not taken, by the server's word alone.
        let (mut attempts, mut denied) = (0, None);
        while attempts < ATTEMPTS_MAX {
            let Some(quoted) = known.take() else {
                let response = inner.ask(&wanted).await?;
                if response.status() != StatusCode::PAYMENT_REQUIRED {
                    return Ok(Paid::free(response));
                }
                known = Some(inner.read_demand(&wanted, response).await?);
                continue;
            };
            attempts += 1;
            let units = inner.units_of(&quoted.quote).map_err(|why| after_denial(why, denied))?;
            // A facilitator takes payments for the server's items; a gateway, for each request.
            let (seat, request) = match quoted.is_facilitated() {
                true => (inner.bank_seat()?, quoted.quote.request),
                false => (Seat::of(wanted.url()), wanted.digest),
            };
            let session = inner.session(&seat, &quoted.quote, units).await?;
            match inner.pay(&wanted, &quoted, &session, Spend { units, request, tool }).await? {
                Outcome::Answered(paid) => {
                    inner.prices.remember(&wanted, &quoted);
                    return Ok(*paid);
                }
                Outcome::Quoted { new, at_most } => {
                    inner.prices.forget(&wanted);
                    (known, denied) = (Some(*new), Some(at_most));
                }
                Outcome::Again => known = Some(quoted),
            }
        }
        let why = format!("the server takes none of {ATTEMPTS_MAX} payments it has asked for");
        Err(after_denial(PayError::refused(why, Advice::Later), denied))
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// Nobody is there: nothing was sent.
    #[error("the server cannot be reached")]
    NotSent,
    /// The connection broke.
    #[error("{0}")]
    Lost(reqwest::Error),
    /// It took the request and says nothing.
    #[error("nothing came within {} s", .0.as_secs_f32())]
    Silent(Duration),
}

impl Inner {
    /// Sends a request without a payment.
    async fn ask(&self, wanted: &Wanted) -> Result<Response, PayError> {
        self.send_one(wanted.with(&[])?).await.map_err(|why| match why {
            Unanswered::NotSent => PayError::NothingSent("the server cannot be reached".into()),
            why => PayError::refused(format!("the server gave no answer to the request ({why})"), Advice::Later),
        })
    }

    /// Sends a request, and waits for the head of its answer.
    pub(crate) async fn send_one(&self, request: Request) -> Result<Response, Unanswered> {
        let within = self.answer_time();
        match tokio::time::timeout(within, self.http.execute(request)).await {
            Err(_) => Err(Unanswered::Silent(within)),
            Ok(Err(why)) if why.is_connect() || why.is_builder() => Err(Unanswered::NotSent),
            Ok(Err(why)) => Err(Unanswered::Lost(why.without_url())),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    /// How long a server has to begin an answer.
    pub(crate) fn answer_time(&self) -> Duration {
        self.options.answer_time.unwrap_or(ANSWER_TIME)
    }

    /// What a 402 asks for, in its headers or in its body.
    async fn read_demand(&self, wanted: &Wanted, response: Response) -> Result<Quoted, PayError> {
        if !is_json(response.headers()) || Quoted::is_in(response.headers()) {
            return self.read_quote(wanted, response.headers(), &[]);
        }
        let headers = response.headers().clone();
        let body = read_bounded(response, WANTED_BYTES_MAX).await.unwrap_or_default();
        self.read_quote(wanted, &headers, &body)
    }

    /// What a 402 asks for, which must be for this request, in this wallet's money, and still hold.
    pub(crate) fn read_quote(&self, wanted: &Wanted, headers: &HeaderMap, body: &[u8]) -> Result<Quoted, PayError> {
        let quoted = Quoted::read(headers, body, wanted, self.wallet.now()).map_err(|why| match why {
            farthing_dialects::Unreadable::Foreign => {
                let why = "the server wants to be paid in a way this client does not know";
                PayError::refused(why, Advice::Stop)
            }
            why => why.into(),
        })?;
        let quote = &quoted.quote;
        if quote.network != self.wallet.network() || quote.coupon.currency() != self.wallet.settings().currency() {
            let why = "the server is paid through another bank than this wallet's";
            return Err(PayError::refused(why, Advice::Stop));
        }
        if !quoted.is_facilitated() && quote.request != wanted.digest {
            return Err(PayError::refused("the server's price is for another request than was made", Advice::Stop));
        }
        if quote.expires <= self.wallet.now() {
            let why = "the server's price has run out already: the clocks differ";
            return Err(PayError::refused(why, Advice::Later));
        }
        Ok(quoted)
    }

    /// How many units to pay: all that a request costs, or as much of a maximum as the cap allows.
    fn units_of(&self, quote: &Quote) -> Result<u32, PayError> {
        let asked = quote.amount()?;
        // What is paid for as it goes on begins with less than a session's window.
        let most = if quote.kind == UnitKind::Request { quote.units } else { quote.units.min(FIRST_UNITS_MAX) };
        let Some(cap) = self.options.per_request.filter(|cap| asked.compare(*cap).map_or(true, |o| o.is_gt())) else {
            return Ok(most);
        };
        let same = cap.currency() == quote.coupon.currency();
        let room = if same { cap.as_micros() / quote.coupon.as_micros().max(1) } else { 0 };
        let room = u32::try_from(room).unwrap_or(u32::MAX).min(most);
        if quote.kind == UnitKind::Request || room == 0 {
            let why = format!("this costs {asked}, and one request may cost {cap}: raise the cap to pay it");
            return Err(PayError::refused(why, Advice::Change));
        }
        Ok(room)
    }

    /// What to hold while opening a session at a site.
    pub(crate) fn gate(&self, site: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.len() >= SITES_MAX {
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        let site = if gates.len() >= SITES_MAX { "" } else { site };
        Arc::clone(gates.entry(site.to_owned()).or_default())
    }
}

/// A refusal that follows a payment which the server says it did not take: that is its word alone.
fn after_denial(why: PayError, denied: Option<Amount>) -> PayError {
    match denied {
        Some(at_most) => why.after_payment(at_most),
        None => why,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}
