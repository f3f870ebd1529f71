//! Orders of payments on their way, each in a file of its own: with the wallet's own records, they
//! are all that is needed to hand a payment over once more. Written before anything is paid.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use farthing_core::id::OrderId;
use farthing_core::order::Order;
use farthing_core::wire;
use minicbor::{Decode, Encode};

use crate::fail::{Context, Failure};
use crate::home::private_dir;

/// The longest such file, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 10;

/// An order to hand a payment over for, and where.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct Errand {
    /// What is paid.
    #[n(0)]
    pub(super) order: Order,
    /// Where the payee may be.
    #[n(1)]
    pub(super) addresses: Vec<String>,
    /// It was written as text, for its payer to bring: nobody waits for it to be handed over.
    #[n(2)]
    pub(super) by_hand: bool,
}

/// The folder of these files.
#[derive(Debug, Clone)]
pub(super) struct Outbox(PathBuf);

impl Outbox {
    /// The outbox of a home.
    pub(super) fn of(settings: &crate::config::Settings) -> Self {
        Self(settings.home.join("outbox"))
    }

    /// Keeps an errand, durably.
    pub(super) fn keep(&self, errand: &Errand) -> Result<(), Failure> {
        private_dir(&self.0)?;
        let path = self.path(errand.order.id());
        let unfinished = path.with_extension("part");
        let write = || -> std::io::Result<()> {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.write_all(&wire::encode(errand))?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            fs::File::open(&self.0)?.sync_all()
        };
        write().or_fail(format_args!("cannot write {}; nothing was paid", path.display()))
    }

    /// All that are kept; what cannot be read is none.
    pub(super) fn all(&self) -> Vec<Errand> {
        let Ok(files) = fs::read_dir(&self.0) else { return Vec::new() };
        files.flatten().filter_map(|file| self.read(&file.path())).collect()
    }

    fn read(&self, path: &Path) -> Option<Errand> {
        let mut bytes = Vec::new();
        fs::File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let errand: Errand = wire::decode(&bytes).ok()?;
        (self.path(errand.order.id()) == path).then_some(errand)
    }

    /// Drops an errand that is done.
    pub(super) fn done(&self, order: OrderId) {
        if let Err(error) = fs::remove_file(self.path(order))
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, "an errand that is done stays behind");
        }
    }

    fn path(&self, order: OrderId) -> PathBuf {
        self.0.join(hex::encode(order.0))
    }
}

#[cfg(test)]
mod tests {
    use farthing_core::amount::Currency;
    use farthing_core::id::PeerId;
    use farthing_core::time::Time;

    use super::*;

    fn errand() -> Errand {
        let order = Order {
            payee: PeerId([1; 32]),
            content: None,
            size: 1,
            piece: 1,
            price: Currency::XTS.micros(5).unwrap(),
            description: "coffee".to_owned(),
            created: Time::from_millis(1),
            expires: Time::from_millis(2),
            nonce: [3; 16],
        };
        Errand { order, addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()], by_hand: false }
    }

    #[test]
    fn an_errand_is_kept_until_it_is_done_and_rubbish_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (outbox, kept) = (Outbox(dir.path().join("outbox")), errand());
        let order = kept.order.id();
        assert_eq!(outbox.all(), []);
        outbox.keep(&kept).unwrap();
        outbox.keep(&kept).unwrap();
        assert_eq!(outbox.all(), [kept]);
        // One order's errand under another's name is nobody's.
        fs::rename(outbox.path(order), outbox.path(OrderId([9; 32]))).unwrap();
        assert_eq!(outbox.all(), []);
        fs::write(outbox.path(order), b"rubbish").unwrap();
        assert_eq!(outbox.all(), []);
        outbox.done(order);
        outbox.done(order);
        assert!(!outbox.path(order).exists());
    }
}
