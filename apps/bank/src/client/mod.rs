//! Asking a bank: for wallets, shops and operators.
//!
//! A [`BankClient`] knows one bank by its key. Every question is signed, sealed to the bank and
//! sent with an id of the caller's own, which must be written down before the first try: after
//! [`AskError::Unknown`] the same id with the same message finds out what happened, a new one may
//! pay twice.

mod address;
mod ask;
mod banks;
mod cheque;
mod clearing;
mod coupon;
mod customer;
mod draft;
mod netpay;
mod operator;

use farthing_core::id::{NetworkId, PeerId, RequestId, timed};
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_net::http::client::{self, ReadError, SendError, read_bounded, read_problem, send_idempotent};
use farthing_net::http::problem::Problem;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::messages::{BankInfo, LiabilityReport, network_of};

pub use address::{AddressError, BankAddress};
pub use ask::AskError;

/// The longest answer that is read from `/v1/bank` and `/v1/liabilities`.
const PUBLIC_BYTES_MAX: usize = 64 << 10;

/// Why a bank is not known. Nothing was asked of it, no money moved.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No connection, or none that held.
    #[error("the bank cannot be reached: {0}; try again later")]
    Unreachable(String),
    /// It answered, and refused.
    #[error("the bank refused: {}", .0.detail)]
    Refused(Box<Problem>),
    /// What it said of itself is not properly signed, or not by the key it should be.
    #[error("this is not the bank it should be: {0}; check the address you were given")]
    Impostor(&'static str),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Starved(String),
}

/// A bank, known by its key.
#[derive(Clone, Debug)]
pub struct BankClient {
    http: reqwest::Client,
    address: BankAddress,
    info: Verified<BankInfo>,
    epoch: Option<u64>,
}

impl BankClient {
    /// Asks a bank who it is, and believes it if the address does: where that names the bank's key,
    /// no other is accepted.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(address: BankAddress) -> Result<Self, ConnectError> {
        let http = http(&address)?;
        let signed = fetch(&http, &address, "/v1/bank").await?;
        let info = believe(&address, signed)?;
        Ok(Self { http, address, info, epoch: None })
    }

    /// A bank met before, as it described itself then; for starting while it is out of reach.
    ///
    /// # Errors
    /// [`ConnectError::Impostor`], or [`ConnectError::Unreachable`] where no client can be set up.
    pub fn known(address: BankAddress, info: Signed<BankInfo>) -> Result<Self, ConnectError> {
        let http = http(&address)?;
        let info = believe(&address, info)?;
        Ok(Self { http, address, info, epoch: None })
    }

    /// The same for one copy of a wallet: what it asks carries the epoch that the bank has given to
    /// that copy ([`take_over`](Self::take_over)).
    #[must_use]
    pub fn with_epoch(self, epoch: u64) -> Self {
        Self { epoch: Some(epoch), ..self }
    }

    /// Which copy of a wallet asks; `None` where nobody counts them.
    #[must_use]
    pub const fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// Where the bank is.
    #[must_use]
    pub const fn address(&self) -> &BankAddress {
        &self.address
    }

    /// What the bank says of itself. Its signed form is to be kept for [`known`](Self::known).
    #[must_use]
    pub const fn info(&self) -> &Verified<BankInfo> {
        &self.info
    }

    /// The bank's network.
    #[must_use]
    pub const fn network(&self) -> NetworkId {
        self.info.body().network
    }

    /// The key that signs the bank's statements.
    #[must_use]
    pub const fn bank(&self) -> PeerId {
        self.info.body().bank
    }

    /// A fresh id for a request made now. Write it down before asking.
    ///
    /// # Errors
    /// [`AskError::NotSent`] when the operating system gives no randomness.
    pub fn new_id(now: Time) -> Result<RequestId, AskError> {
        Ok(RequestId(timed(now, &random()?)))
    }

    /// What the bank says it owes.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn liabilities(&self) -> Result<Verified<LiabilityReport>, ConnectError> {
        let signed: Signed<LiabilityReport> = fetch(&self.http, &self.address, "/v1/liabilities").await?;
        signed
            .verify_by(self.network(), self.bank())
            .map_err(|_| ConnectError::Impostor("its liability report is signed by somebody else"))
    }
}

fn http(address: &BankAddress) -> Result<reqwest::Client, ConnectError> {
    client::client(address.endpoint()).map_err(|why| ConnectError::Unreachable(why.to_string()))
}

/// What a bank says of itself is signed by a key that its network follows from.
fn believe(address: &BankAddress, signed: Signed<BankInfo>) -> Result<Verified<BankInfo>, ConnectError> {
    let signer = signed.claimed_signer();
    if address.bank().is_some_and(|bank| bank != signer) {
        return Err(ConnectError::Impostor("it has another key than the address says"));
    }
    let claimed = signed.peek().map_err(|_| ConnectError::Impostor("what it says of itself cannot be read"))?;
    if claimed.bank != signer || claimed.network != network_of(signer, claimed.name.as_str()) {
        return Err(ConnectError::Impostor("its network does not follow from its key and name"));
    }
    let network = claimed.network;
    signed.verify_by(network, signer).map_err(|_| ConnectError::Impostor("its signature does not hold"))
}

/// What the public pages have in them for programs.
#[derive(serde::Deserialize)]
struct Page {
    /// The signed statement in hexadecimal.
    statement: String,
}

async fn fetch<T: farthing_core::sign::Statement>(
    http: &reqwest::Client,
    address: &BankAddress,
    path: &str,
) -> Result<Signed<T>, ConnectError> {
    let url = address.endpoint().url(path);
    let lost = |why: ReadError| ConnectError::Unreachable(why.to_string());
    let answer = send_idempotent(|| http.get(url.clone())).await;
    let answer = answer.map_err(|why: SendError| ConnectError::Unreachable(why.to_string()))?;
    if !answer.status().is_success() {
        return Err(ConnectError::Refused(Box::new(read_problem(answer).await.map_err(lost)?)));
    }
    let body = read_bounded(answer, PUBLIC_BYTES_MAX).await.map_err(lost)?;
    let unreadable = ConnectError::Impostor("it does not answer as a bank does");
    let page: Page =
        serde_json::from_slice(&body).map_err(|_| ConnectError::Impostor("it does not answer as a bank does"))?;
    let bytes = hex::decode(page.statement).map_err(|_| ConnectError::Impostor("it does not answer as a bank does"))?;
    wire::decode(&bytes).map_err(|_| unreadable)
}

/// Fresh randomness of the operating system.
fn random() -> Result<[u8; 32], AskError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|why| AskError::NotSent(format!("the system gave no randomness: {why}")))?;
    Ok(bytes)
}

/// A generator for one seal.
fn dice() -> Result<ChaCha20Rng, AskError> {
    Ok(ChaCha20Rng::from_seed(random()?))
}
