//! What is for sale at one moment.

use std::collections::HashMap;
use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use farthing_core::amount::Amount;
use farthing_core::id::ContentId;
use farthing_index::messages::{TAG_MAX, TITLE_MAX};
use farthing_index::text::Text;
use farthing_net::content::Manifest;
use minicbor::{Decode, Encode};

/// What tells that a file is still the one that was hashed: its size and the time of its last
/// change. It spares work and settles nothing: every byte sold is proved on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Stamp {
    /// In bytes.
    #[n(0)]
    pub size: u64,
    /// Nanoseconds since 1970.
    #[n(1)]
    pub changed: u64,
}

impl Stamp {
    /// As the file system tells it.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let since = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let changed = since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        Self { size: metadata.len(), changed }
    }
}

/// One content for sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Root and size.
    pub manifest: Manifest,
    /// A file with this content.
    pub path: PathBuf,
    /// That file as it was when it was hashed.
    pub stamp: Stamp,
    /// What a piece costs.
    pub price: Amount,
    /// What it is called: the name of the file.
    pub title: Text<TITLE_MAX>,
    /// Words to find it by.
    pub tags: Arc<[Text<TAG_MAX>]>,
}

/// All that is for sale. A new shelf replaces the old one whole.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    items: HashMap<ContentId, Arc<Item>>,
}

impl Shelf {
    /// Puts an item on the shelf. Where the same content is there already, the cheaper one stays:
    /// a buyer finds one price.
    pub(super) fn put(&mut self, item: Item) {
        let before = self.items.get(&item.manifest.root);
        if before.is_none_or(|before| item.price.as_micros() < before.price.as_micros()) {
            self.items.insert(item.manifest.root, Arc::new(item));
        }
    }

    /// The item with this content.
    #[must_use]
    pub fn get(&self, content: &ContentId) -> Option<&Arc<Item>> {
        self.items.get(content)
    }

    /// All items, in no order.
    pub fn items(&self) -> impl Iterator<Item = &Arc<Item>> {
        self.items.values()
    }

    /// How many contents there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing is for sale.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
