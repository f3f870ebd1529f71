//! What the tests of this crate share.

use farthing_core::id::{ContentId, NetworkId};
use farthing_core::sign::{SecretKey, Verified};
use farthing_core::time::{Span, Time};
use farthing_core::wire::Bounded;

use crate::messages::{LISTING_LIFE_MAX, Listing, PRESENCE_LIFE, Presence};
use crate::text::Text;

pub(crate) const HERE: NetworkId = NetworkId([1; 16]);
pub(crate) const ELSEWHERE: NetworkId = NetworkId([2; 16]);
pub(crate) const NOW: Time = Time::from_millis(1_800_000_000_000);
pub(crate) const SECOND: Span = Span::from_secs(1);

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

pub(crate) fn content(n: u32) -> ContentId {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&n.to_be_bytes());
    ContentId(id)
}

/// A sound listing of content `n`, signed at [`NOW`].
pub(crate) fn listing(n: u32) -> Listing {
    Listing {
        serial: NOW,
        expires: NOW.after(LISTING_LIFE_MAX),
        content: content(n),
        size: 1 << 20,
        piece: 256 << 10,
        price: "0.0005 XTS".parse().unwrap(),
        title: Text::new(format!("song number {n}")).unwrap(),
        description: Text::empty(),
        tags: Bounded::new(vec![Text::new("music").unwrap()]).unwrap(),
        media: Text::new("audio/ogg").unwrap(),
    }
}

/// A listing of content `n` under another title.
pub(crate) fn titled(n: u32, title: &str) -> Listing {
    Listing { title: Text::new(title).unwrap(), ..listing(n) }
}

/// The same listing, signed that much later.
pub(crate) fn later(listing: Listing, span: Span) -> Listing {
    Listing { serial: listing.serial.after(span), expires: listing.expires.after(span), ..listing }
}

pub(crate) fn presence(serial: Time) -> Presence {
    let address = "/ip4/127.0.0.1/tcp/4001".parse().unwrap();
    Presence { serial, expires: serial.after(PRESENCE_LIFE), addresses: Bounded::new(vec![address]).unwrap() }
}

/// Signed by somebody and already checked.
pub(crate) fn said<T: farthing_core::sign::Statement>(seed: u8, statement: &T) -> Verified<T> {
    key(seed).sign(HERE, statement).verify(HERE).unwrap()
}
