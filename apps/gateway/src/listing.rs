//! Telling an index that the service is there, so that people find it.
//!
//! The listing is signed by the key that is paid. A shop may sell files under the same key and on
//! the same index, and says itself where it is; the gateway leaves that standing, since a service is
//! found by the address in its listing, and says that it is there only where nobody else does.

use std::sync::Arc;
use std::time::Duration;

use farthing_core::id::ContentId;
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{Span, Time};
use farthing_core::wire::Bounded;
use farthing_index::client::{AskError, IndexClient, Offer};
use farthing_index::messages::{Listing, PRESENCE_LIFE, Presence, Scope, TAG_MAX, TITLE_MAX, Withdraw};
use farthing_index::service::{SERVICE_MEDIA, described, fitting};
use farthing_index::store::{PAGE_MAX, Page};
use farthing_index::text::{Address, Text};
use farthing_net::http::endpoint::Endpoint;
use tokio::sync::Notify;

use crate::catalogue;
use crate::gate::Gate;
use crate::prices::Tariff;

/// How often the gateway says that it is there: three times within the life of a presence.
const HEARTBEAT: Duration = Duration::from_millis(PRESENCE_LIFE.as_millis() / 3);
/// For how long after it was said another's presence is left standing: it is said again before.
const OTHERS_LIFE: Span = Span::from_millis(PRESENCE_LIFE.as_millis() / 2);
/// How long a listing holds.
const LISTING_LIFE: Span = Span::from_hours(24);
/// After how long it is announced anew.
const RENEW_AFTER: Span = Span::from_hours(1);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(5);
/// Words to find any service by.
const TAGS: [&str; 3] = ["service", "http", "api"];

/// Where a gateway is listed.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Which index.
    pub index: IndexClient,
    /// How customers reach the gateway; `None` for the address it listens at.
    pub at: Option<Endpoint>,
}

/// Keeps one index informed.
pub(crate) struct Announcer {
    gate: Arc<Gate>,
    key: SecretKey,
    index: IndexClient,
    url: String,
    addresses: Bounded<Address, { farthing_net::peer::ADDRESSES_MAX }>,
    changed: Arc<Notify>,
    said: Option<(ContentId, Time)>,
    serial: Time,
}

impl Announcer {
    /// One that has said nothing yet; `changed` is told when prices change.
    pub(crate) fn new(
        gate: Arc<Gate>,
        key: SecretKey,
        index: IndexClient,
        at: &Endpoint,
        changed: Arc<Notify>,
    ) -> Self {
        let addresses = Bounded::new(multiaddress(at).into_iter().collect()).unwrap_or_else(Bounded::empty);
        Self { gate, key, index, url: at.to_string(), addresses, changed, said: None, serial: Time::default() }
    }

    /// Announces until `stop`, then takes the listing back. An index that cannot be reached is tried
    /// again with the next heartbeat; serving goes on.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        loop {
            if let Err(why) = self.tell().await {
                tracing::warn!(%why, "the index was not told of the service");
            }
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(HEARTBEAT) => {}
                () = self.changed.notified() => {}
            }
        }
        if let Ok(Err(why)) = tokio::time::timeout(FAREWELL, self.farewell()).await {
            tracing::warn!(%why, "the index was not told that the service is gone");
        }
    }

    async fn tell(&mut self) -> Result<(), AskError> {
        let (tariff, document) = (self.gate.prices.now(), catalogue::document(&self.gate));
        let content = ContentId(*blake3::hash(&document).as_bytes());
        if let Some((before, _)) = self.said.filter(|(before, _)| *before != content) {
            self.withdraw(before).await?;
        }
        let now = self.gate.clock.now();
        let is_fresh = self.said.is_some_and(|(_, at)| now < at.after(RENEW_AFTER));
        let mut stands = if is_fresh { self.find(content).await? } else { None };
        if stands.is_none() {
            let serial = self.next_serial();
            let Some(listing) = listing(&tariff, content, document.len(), &self.url, serial) else {
                tracing::warn!("the service is not listed: its address is too long, or nothing has a price");
                return Ok(());
            };
            self.index.announce(&[self.sign(&listing)]).await?;
            self.said = Some((content, now));
            stands = self.find(content).await?;
        }
        match stands {
            Some(offer) if !self.says_ours(&offer) && now < offer.presence().serial.after(OTHERS_LIFE) => Ok(()),
            _ => self.appear(PRESENCE_LIFE).await,
        }
    }

    async fn farewell(&mut self) -> Result<(), AskError> {
        let Some((content, _)) = self.said else { return Ok(()) };
        let ours = self.find(content).await?.is_some_and(|offer| self.says_ours(&offer));
        self.withdraw(content).await?;
        if ours { self.appear(Span::default()).await } else { Ok(()) }
    }

    /// Our listing as searchers see it: only if somebody with our key says to be there.
    async fn find(&self, content: ContentId) -> Result<Option<Offer>, AskError> {
        let found = self.index.sellers_of(&content, Page::new(0, PAGE_MAX), self.gate.clock.now()).await?;
        Ok(found.offers.into_iter().find(|offer| offer.seller() == self.key.id()))
    }

    fn says_ours(&self, offer: &Offer) -> bool {
        offer.presence().addresses == self.addresses
    }

    async fn withdraw(&mut self, content: ContentId) -> Result<(), AskError> {
        let these = Scope::These(Bounded::new(vec![content]).unwrap_or_else(Bounded::empty));
        let withdraw = Withdraw { serial: self.next_serial(), scope: these };
        self.index.withdraw(&self.sign(&withdraw)).await?;
        self.said = None;
        Ok(())
    }

    async fn appear(&mut self, life: Span) -> Result<(), AskError> {
        let serial = self.next_serial();
        let presence = Presence { serial, expires: serial.after(life), addresses: self.addresses.clone() };
        self.index.appear(&self.sign(&presence)).await
    }

    fn sign<T: farthing_core::sign::Statement>(&self, statement: &T) -> Signed<T> {
        self.key.sign(self.gate.counter.network(), statement)
    }

    /// The present, but later than every statement before.
    fn next_serial(&mut self) -> Time {
        self.serial = self.gate.clock.now().max(self.serial.after(Span::from_millis(1)));
        self.serial
    }
}

fn listing(tariff: &Tariff, content: ContentId, size: usize, url: &str, serial: Time) -> Option<Listing> {
    // The last route fits everything; where that is free, the last that is not stands for all.
    let price = tariff.routes.iter().rev().find_map(|route| route.price)?;
    let name = if tariff.name.is_empty() { "Paid service" } else { &tariff.name };
    let tags = TAGS.iter().filter_map(|tag| fitting::<TAG_MAX>(tag)).collect();
    Some(Listing {
        serial,
        expires: serial.after(LISTING_LIFE),
        content,
        size: size as u64,
        piece: u32::try_from(size).ok()?,
        price: price.rate.price,
        title: fitting::<TITLE_MAX>(name)?,
        description: described(url, &format!("{} {}", catalogue::in_words(&price), tariff.description))?,
        tags: Bounded::new(tags)?,
        media: Text::new(SERVICE_MEDIA).ok()?,
    })
}

/// An address in the notation of peers.
fn multiaddress(at: &Endpoint) -> Option<Address> {
    let url = at.url("");
    let host = url.host_str()?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let kind = match bare.parse() {
        Ok(std::net::IpAddr::V4(_)) => "ip4",
        Ok(std::net::IpAddr::V6(_)) => "ip6",
        Err(_) => "dns",
    };
    format!("/{kind}/{bare}/tcp/{}/{}", url.port_or_known_default()?, url.scheme()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_gateways_are_written_as_peers_write_theirs() {
        for (url, written) in [
            ("http://127.0.0.1:8402", "/ip4/127.0.0.1/tcp/8402/http"),
            ("https://[::1]:1", "/ip6/::1/tcp/1/https"),
            ("https://api.example", "/dns/api.example/tcp/443/https"),
        ] {
            assert_eq!(multiaddress(&url.parse().unwrap()).unwrap().to_string(), written);
        }
    }
}
