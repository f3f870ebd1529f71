//! Telling the index what is for sale and that the shop is open.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use farthing_core::amount::Amount;
use farthing_core::id::ContentId;
use farthing_core::sign::Signed;
use farthing_core::time::{Span, Time};
use farthing_core::wire::Bounded;
use farthing_driver::Clock;
use farthing_index::client::{AskError, IndexClient};
use farthing_index::messages::{BATCH_MAX, Listing, PRESENCE_LIFE, Presence, Scope, TAGS_MAX, Withdraw};
use farthing_index::text::{Address, Text};
use farthing_net::content::PIECE_BYTES;
use farthing_net::peer::{ADDRESSES_MAX, Node};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::shelf::{Item, Shelf};
use super::till::Till;

/// How often the shop says that it is open: three times within the life of a presence.
const HEARTBEAT: Duration = Duration::from_millis(PRESENCE_LIFE.as_millis() / 3);

/// How long a listing holds.
const LISTING_LIFE: Span = Span::from_hours(24);

/// After how long a listing is announced anew: an index that lost its memory learns it again.
const RENEW_AFTER: Span = Span::from_hours(1);

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long to wait for the addresses we listen at.
const ADDRESSES_TIME: Duration = Duration::from_secs(5);

/// Keeps one index informed.
pub(super) struct Announcer<T> {
    till: T,
    clock: Arc<dyn Clock>,
    index: IndexClient,
    node: Arc<Node>,
    shelf: watch::Receiver<Arc<Shelf>>,
    said: HashMap<ContentId, Said>,
    serial: Time,
}

/// What was announced of an item.
struct Said {
    price: Amount,
    title: Text<{ farthing_index::messages::TITLE_MAX }>,
    at: Time,
}

impl<T: Till> Announcer<T> {
    pub(super) fn new(
        till: T,
        clock: Arc<dyn Clock>,
        index: IndexClient,
        node: Arc<Node>,
        shelf: watch::Receiver<Arc<Shelf>>,
    ) -> Self {
        Self { till, clock, index, node, shelf, said: HashMap::new(), serial: Time::default() }
    }

    /// Announces until told to stop, then takes everything back. An index that cannot be reached
    /// is tried again with the next heartbeat; selling goes on.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            if let Err(why) = self.tell().await {
                tracing::warn!(%why, "the index was not told");
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(HEARTBEAT) => {}
                changed = self.shelf.changed() => if changed.is_err() { break },
            }
        }
        if let Ok(Err(why)) = tokio::time::timeout(FAREWELL, self.farewell()).await {
            tracing::warn!(%why, "the index was not told that the shop is closed");
        }
    }

    async fn tell(&mut self) -> Result<(), AskError> {
        let shelf = Arc::clone(&self.shelf.borrow_and_update());
        self.withdraw(&shelf).await?;
        let presence = self.presence(PRESENCE_LIFE).await;
        self.index.appear(&presence).await?;
        let now = self.clock.now();
        let news: Vec<&Arc<Item>> = shelf.items().filter(|item| self.is_news(item, now)).collect();
        for batch in news.chunks(BATCH_MAX) {
            let serial = self.next_serial();
            let listings: Vec<Signed<Listing>> =
                batch.iter().filter_map(|item| Some(self.till.sign(&listing(item, serial)?))).collect();
            self.index.announce(&listings).await?;
            for item in batch {
                let said = Said { price: item.price, title: item.title.clone(), at: now };
                self.said.insert(item.manifest.root, said);
            }
        }
        Ok(())
    }

    fn is_news(&self, item: &Item, now: Time) -> bool {
        self.said.get(&item.manifest.root).is_none_or(|said| {
            said.price != item.price || said.title != item.title || now >= said.at.after(RENEW_AFTER)
        })
    }

    /// Takes back what is no longer for sale.
    async fn withdraw(&mut self, shelf: &Shelf) -> Result<(), AskError> {
        let gone: Vec<ContentId> = self.said.keys().filter(|content| shelf.get(content).is_none()).copied().collect();
        for batch in gone.chunks(BATCH_MAX) {
            let these = Scope::These(Bounded::new(batch.to_vec()).unwrap_or_else(Bounded::empty));
            let withdraw = Withdraw { serial: self.next_serial(), scope: these };
            self.index.withdraw(&self.till.sign(&withdraw)).await?;
            for content in batch {
                self.said.remove(content);
            }
        }
        Ok(())
    }

    async fn farewell(&mut self) -> Result<(), AskError> {
        let withdraw = Withdraw { serial: self.next_serial(), scope: Scope::All };
        self.index.withdraw(&self.till.sign(&withdraw)).await?;
        let presence = self.presence(Span::default()).await;
        self.index.appear(&presence).await
    }

    async fn presence(&mut self, life: Span) -> Signed<Presence> {
        let known = tokio::time::timeout(ADDRESSES_TIME, self.node.listen_addrs()).await.unwrap_or_default();
        let addresses: Vec<Address> =
            known.into_iter().filter_map(|address| Address::try_from(address).ok()).take(ADDRESSES_MAX).collect();
        let serial = self.next_serial();
        let addresses = Bounded::new(addresses).unwrap_or_else(Bounded::empty);
        self.till.sign(&Presence { serial, expires: serial.after(life), addresses })
    }

    /// The present, but later than every statement before.
    fn next_serial(&mut self) -> Time {
        self.serial = self.clock.now().max(self.serial.after(Span::from_millis(1)));
        self.serial
    }
}

fn listing(item: &Item, serial: Time) -> Option<Listing> {
    Some(Listing {
        serial,
        expires: serial.after(LISTING_LIFE),
        content: item.manifest.root,
        size: item.manifest.size,
        piece: PIECE_BYTES as u32,
        price: item.price,
        title: item.title.clone(),
        description: Text::empty(),
        tags: Bounded::new(item.tags.iter().take(TAGS_MAX).cloned().collect())?,
        media: Text::empty(),
    })
}
