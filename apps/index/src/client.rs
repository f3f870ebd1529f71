//! Asking an index, and believing only signatures.

use farthing_core::id::{ContentId, NetworkId, PeerId};
use farthing_core::sign::{Signed, Verified};
use farthing_core::time::{SKEW, Time};
use farthing_core::wire::{self, Bounded};
use farthing_net::http::client::{
    self, ClientError, ReadError, SendError, read_bounded, read_problem, send_idempotent,
};
use farthing_net::http::endpoint::Endpoint;
use farthing_net::http::problem::Problem;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Response};
use serde::de::DeserializeOwned;

use crate::messages::{Announcement, BATCH_MAX, Listing, Presence, Withdraw};
use crate::server::CBOR;
use crate::store::{Hit, Page};
use crate::views::{PageView, StatusView, TakenView};

/// The longest answer read from an index: a full page of the longest listings and presences.
pub const ANSWER_BYTES_MAX: usize = 2 << 20;

/// Asks one index of one network. Every request may be repeated without harm, and is when an
/// answer goes missing.
#[derive(Debug, Clone)]
pub struct IndexClient {
    http: Client,
    endpoint: Endpoint,
    network: NetworkId,
}

/// Why the index gave no answer that can be used. No money is ever at stake.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// HTTP could not be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No answer came.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The answer could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The index refuses.
    #[error("the index refuses: {}", .0.detail)]
    Refused(Box<Problem>),
    /// The answer is not what an index says.
    #[error("the answer makes no sense: this is not an index, or one of another version")]
    Unreadable,
}

/// An offer that its seller signed: what, for how much, and where to get it. Only a search makes one.
#[derive(Debug, Clone)]
pub struct Offer {
    listing: Verified<Listing>,
    presence: Verified<Presence>,
}

impl Offer {
    /// Who sells, who must answer at the addresses, and the only one to be paid.
    #[must_use]
    pub const fn seller(&self) -> PeerId {
        self.listing.signer()
    }

    /// What is sold, and for how much.
    #[must_use]
    pub const fn listing(&self) -> &Listing {
        self.listing.body()
    }

    /// Where the seller says it is.
    #[must_use]
    pub const fn presence(&self) -> &Presence {
        self.presence.body()
    }

    /// The listing as signed, to keep or to show.
    #[must_use]
    pub const fn signed_listing(&self) -> &Signed<Listing> {
        self.listing.signed()
    }

    /// Believes a hit if both statements are sound, in force, and one seller's.
    fn prove(hit: Hit, network: NetworkId, now: Time) -> Option<Self> {
        let listing = hit.listing.verify(network).ok()?;
        listing.body().check(now).ok()?;
        let presence = hit.presence.verify_by(network, listing.signer()).ok()?;
        // The index goes by its own clock, which may differ from ours and the seller's.
        (now < presence.body().expires.after(SKEW)).then_some(Self { listing, presence })
    }
}

/// What an index found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Offers that proved themselves, in the index's order.
    pub offers: Vec<Offer>,
    /// How many hits did not: forged, expired, or not what was asked for. An honest index sends
    /// none, but for some that expired on the way.
    pub dropped: usize,
    /// Where the next page begins, if there is one.
    pub next: Option<u32>,
}

impl IndexClient {
    /// A client for one index.
    ///
    /// # Errors
    /// [`AskError::Client`].
    pub fn new(endpoint: Endpoint, network: NetworkId) -> Result<Self, AskError> {
        Ok(Self { http: client::client(&endpoint)?, endpoint, network })
    }

    /// Announces listings, in as many batches as it takes, and says how many were news. When a
    /// batch fails those before it stand; announcing all again does no harm.
    ///
    /// # Errors
    /// [`AskError`]; a refusal names the listing, counted within its batch of [`BATCH_MAX`].
    pub async fn announce(&self, listings: &[Signed<Listing>]) -> Result<usize, AskError> {
        let mut changed = 0;
        for batch in listings.chunks(BATCH_MAX) {
            let batch: Announcement = Bounded::new(batch.to_vec()).ok_or(AskError::Unreadable)?;
            let taken: TakenView = read(self.post("/v1/announce", &wire::encode(&batch)).await?).await?;
            changed += taken.changed.min(BATCH_MAX);
        }
        Ok(changed)
    }

    /// Says that the seller is there.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn appear(&self, presence: &Signed<Presence>) -> Result<(), AskError> {
        self.post("/v1/presence", &wire::encode(presence)).await.map(drop)
    }

    /// Takes listings back and says how many stood.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn withdraw(&self, withdraw: &Signed<Withdraw>) -> Result<usize, AskError> {
        let taken: TakenView = read(self.post("/v1/withdraw", &wire::encode(withdraw)).await?).await?;
        Ok(taken.changed)
    }

    /// Offers that match all words of a query.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn search(&self, query: &str, page: Page, now: Time) -> Result<Found, AskError> {
        let found: PageView = self.get("/v1/search", Some(query), page).await?;
        Ok(self.believe(found, page, now, |_| true))
    }

    /// Offers of one content.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn sellers_of(&self, content: &ContentId, page: Page, now: Time) -> Result<Found, AskError> {
        let found: PageView = self.get(&format!("/v1/content/{content}"), None, page).await?;
        Ok(self.believe(found, page, now, |offer| offer.listing().content == *content))
    }

    /// How the index is doing, as it says itself.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn status(&self) -> Result<StatusView, AskError> {
        let url = self.endpoint.url("/v1/status");
        read(answered(|| self.http.get(url.clone())).await?).await
    }

    fn believe(&self, found: PageView, page: Page, now: Time, asked: impl Fn(&Offer) -> bool) -> Found {
        let next = found.next.filter(|next| *next > page.after());
        let hits = found.hits.len();
        let offers: Vec<Offer> = found
            .hits
            .into_iter()
            .take(page.limit() as usize)
            .filter_map(|hit| Offer::prove(hit.statements()?, self.network, now))
            .filter(asked)
            .collect();
        Found { dropped: hits - offers.len(), offers, next }
    }

    async fn post(&self, path: &str, body: &[u8]) -> Result<Response, AskError> {
        let url = self.endpoint.url(path);
        answered(|| self.http.post(url.clone()).header(CONTENT_TYPE, CBOR).body(body.to_vec())).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: Option<&str>, page: Page) -> Result<T, AskError> {
        let mut url = self.endpoint.url(path);
        {
            let mut pairs = url.query_pairs_mut();
            if let Some(query) = query {
                pairs.append_pair("q", query);
            }
            pairs.append_pair("after", &page.after().to_string()).append_pair("limit", &page.limit().to_string());
        }
        read(answered(|| self.http.get(url.clone())).await?).await
    }
}

/// Sends a request until it is answered; a refusal is an error.
async fn answered(request: impl FnMut() -> RequestBuilder) -> Result<Response, AskError> {
    let response = send_idempotent(request).await?;
    if response.status().is_success() {
        return Ok(response);
    }
    Err(AskError::Refused(Box::new(read_problem(response).await?)))
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, AskError> {
    let body = read_bounded(response, ANSWER_BYTES_MAX).await?;
    serde_json::from_slice(&body).map_err(|_| AskError::Unreadable)
}
