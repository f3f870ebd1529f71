//! Quotes of visits under way, so that a visit that breaks off can be taken up again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use farthing_core::id::{ContentId, PeerId};
use farthing_core::sign::Signed;
use farthing_core::wire::{self, Bounded};

use super::SELLERS_MAX;
use crate::talk::messages::Quote;

/// The quotes kept for one download, at most one of each seller.
#[derive(Debug)]
pub(super) struct Quotes {
    path: PathBuf,
    quotes: Vec<Signed<Quote>>,
}

impl Quotes {
    /// Reads what an earlier run kept. What cannot be read is forgotten: its reserves come back by
    /// way of the bank.
    pub(super) fn open(dir: &Path, content: &ContentId) -> Self {
        let path = dir.join(format!("{}.quotes", hex::encode(content.0)));
        let kept = fs::read(&path).ok().and_then(|bytes| wire::decode(&bytes).ok());
        let kept: Bounded<Signed<Quote>, SELLERS_MAX> = kept.unwrap_or_else(Bounded::empty);
        Self { path, quotes: kept.into_vec() }
    }

    /// The quote of a seller.
    pub(super) fn of(&self, seller: PeerId) -> Option<Signed<Quote>> {
        self.quotes.iter().find(|quote| quote.claimed_signer() == seller).cloned()
    }

    /// Keeps a quote in place of that seller's earlier one.
    pub(super) fn keep(&mut self, quote: Signed<Quote>) -> io::Result<()> {
        self.quotes.retain(|kept| kept.claimed_signer() != quote.claimed_signer());
        if self.quotes.len() >= SELLERS_MAX {
            self.quotes.remove(0);
        }
        self.quotes.push(quote);
        self.write()
    }

    /// Forgets a seller's quote: its visit has ended well.
    pub(super) fn drop_of(&mut self, seller: PeerId) -> io::Result<()> {
        self.quotes.retain(|kept| kept.claimed_signer() != seller);
        if self.quotes.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
                _ => Ok(()),
            };
        }
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let quotes: Bounded<_, SELLERS_MAX> = Bounded::new(self.quotes.clone()).unwrap_or_else(Bounded::empty);
        let temporary = self.path.with_extension("quotes-new");
        let mut file = File::create(&temporary)?;
        file.write_all(&wire::encode(&quotes))?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)
    }
}
