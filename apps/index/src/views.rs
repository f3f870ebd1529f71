//! The index's answers as JSON: words for people, and beside them the signed bytes that programs
//! go by.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use farthing_core::sign::{Signed, Unproven};
use farthing_core::wire;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::messages::Listing;
use crate::store::{Hit, Hits};
use crate::text::{Address, Text};

/// One thing for sale now. Programs read `listing` and `presence`, check their signatures, and
/// believe nothing else here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HitView {
    /// Who sells it, and is paid.
    pub seller: String,
    /// What is sold: the root of its BLAKE3 tree.
    pub content: String,
    /// Its length in bytes.
    pub size: u64,
    /// The length of a piece in bytes.
    pub piece: u32,
    /// What one piece costs, such as `0.0005 USD`.
    pub price: String,
    /// What the seller calls it; never to be used as a path.
    pub title: String,
    /// More words about it.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Its media type, or nothing.
    pub media: String,
    /// Until when the listing holds: milliseconds since 1970.
    pub expires: u64,
    /// Where the seller says it is.
    pub addresses: Vec<String>,
    /// The signed listing: canonical CBOR in Base64.
    pub listing: String,
    /// The signed presence: canonical CBOR in Base64.
    pub presence: String,
}

/// A page of hits, best first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PageView {
    /// The hits.
    pub hits: Vec<HitView>,
    /// Ask again with `after` set to this for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// What came of an announcement or a withdrawal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TakenView {
    /// How many listings it changed; those that were so before do not count.
    pub changed: usize,
}

/// How the index is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    /// The network it serves; statements of others are refused.
    pub network: String,
    /// The version of the program.
    pub version: String,
    /// Its clock: milliseconds since 1970.
    pub time: u64,
    /// Listings held, withdrawn ones that are still remembered included.
    pub listings: u64,
    /// Sellers known.
    pub sellers: u64,
    /// Sellers present.
    pub present: u64,
}

impl HitView {
    /// Shows a hit.
    ///
    /// # Errors
    /// [`Unproven::Malformed`], for statements that nobody checked before.
    pub fn of(hit: &Hit) -> Result<Self, Unproven> {
        let Listing { content, size, piece, price, title, description, tags, media, expires, serial: _ } =
            hit.listing.peek()?;
        let presence = hit.presence.peek()?;
        Ok(Self {
            seller: hit.listing.claimed_signer().to_string(),
            content: content.to_string(),
            size,
            piece,
            price: price.to_string(),
            title: title.to_string(),
            description: description.to_string(),
            tags: tags.as_slice().iter().map(Text::to_string).collect(),
            media: media.to_string(),
            expires: expires.as_millis(),
            addresses: presence.addresses.as_slice().iter().map(Address::to_string).collect(),
            listing: STANDARD.encode(wire::encode(&hit.listing)),
            presence: STANDARD.encode(wire::encode(&hit.presence)),
        })
    }

    /// The statements inside, not yet believed; `None` if they cannot be read.
    #[must_use]
    pub fn statements(&self) -> Option<Hit> {
        Some(Hit { listing: statement(&self.listing)?, presence: statement(&self.presence)? })
    }
}

impl PageView {
    /// Shows a page of hits.
    ///
    /// # Errors
    /// As [`HitView::of`].
    pub fn of(hits: &Hits) -> Result<Self, Unproven> {
        let views = hits.hits.iter().map(HitView::of).collect::<Result<_, _>>()?;
        Ok(Self { hits: views, next: hits.next })
    }
}

fn statement<T>(text: &str) -> Option<Signed<T>> {
    wire::decode(&STANDARD.decode(text).ok()?).ok()
}
