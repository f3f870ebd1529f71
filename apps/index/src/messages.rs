//! What sellers say to the index, each statement signed by the key that will be paid.
//!
//! Every [`Listing`] is signed on its own, so that whoever finds one checks one signature and not a
//! seller's whole catalogue. Where the seller is to be found changes more often than what it sells
//! and is said once for all its listings, in [`Presence`]. The index can hide a statement but not
//! forge one, and a searcher pays nobody but the signer.
//!
//! A statement's serial is the moment of its signing. For one seller and content a later serial
//! replaces an earlier one, never the other way round. As no listing outlives its serial by more
//! than [`LISTING_LIFE_MAX`], what was withdrawn needs to be remembered for that long and no longer.

use farthing_core::amount::Amount;
use farthing_core::id::ContentId;
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::{Signed, Statement};
use farthing_core::time::{SKEW, Span, Time};
use farthing_core::wire::{Bounded, MESSAGE_MAX};
use farthing_net::content::CONTENT_BYTES_MAX;
use farthing_net::peer::ADDRESSES_MAX;
use minicbor::{Decode, Encode};

use crate::text::{ADDRESS_BYTES_MAX, Address, Text};

/// The longest title, in bytes.
pub const TITLE_MAX: usize = 256;
/// The longest description, in bytes.
pub const DESCRIPTION_MAX: usize = 1_024;
/// The longest tag, in bytes.
pub const TAG_MAX: usize = 32;
/// How many tags a listing may carry.
pub const TAGS_MAX: usize = 16;
/// The longest media type, in bytes.
pub const MEDIA_MAX: usize = 128;
/// How many listings one request announces, and how many contents one withdrawal names.
pub const BATCH_MAX: usize = 256;
/// How long a listing may stand before it must be signed anew.
pub const LISTING_LIFE_MAX: Span = Span::from_days(7);
/// How long a seller counts as present after it last said so.
pub const PRESENCE_LIFE: Span = Span::from_secs(90);

const LISTING_BYTES_MAX: usize = TITLE_MAX + DESCRIPTION_MAX + TAGS_MAX * (TAG_MAX + 2) + MEDIA_MAX + 256;
const _: () = assert!(BATCH_MAX * LISTING_BYTES_MAX <= MESSAGE_MAX, "the longest batch fits a message");
const _: () = assert!(ADDRESSES_MAX * (ADDRESS_BYTES_MAX + 3) < MESSAGE_MAX, "the longest presence fits a message");

/// A batch of listings as it is announced; taken whole or not at all.
pub type Announcement = Bounded<Signed<Listing>, BATCH_MAX>;

/// "I sell this content at this price until then." The signer is the seller.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Listing {
    /// When it was signed; a later listing of the same content replaces an earlier one.
    #[n(0)]
    pub serial: Time,
    /// The first moment at which it no longer holds.
    #[n(1)]
    pub expires: Time,
    /// What is sold.
    #[n(2)]
    pub content: ContentId,
    /// The length of the content in bytes.
    #[n(3)]
    pub size: u64,
    /// The length of a piece in bytes; the last may be shorter.
    #[n(4)]
    pub piece: u32,
    /// What one piece costs.
    #[n(5)]
    pub price: Amount,
    /// What to call it; shown, never used as a path.
    #[n(6)]
    pub title: Text<TITLE_MAX>,
    /// More words about it.
    #[n(7)]
    pub description: Text<DESCRIPTION_MAX>,
    /// Words to find it by.
    #[n(8)]
    pub tags: Bounded<Text<TAG_MAX>, TAGS_MAX>,
    /// Its media type, such as `audio/ogg`; empty if unknown.
    #[n(9)]
    pub media: Text<MEDIA_MAX>,
}

impl Statement for Listing {
    const KIND: u16 = 0x0204;
}

/// "I am here." Said again before [`PRESENCE_LIFE`] is over; who stops saying so drops out.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Presence {
    /// When it was signed; a later presence replaces an earlier one.
    #[n(0)]
    pub serial: Time,
    /// The first moment at which it no longer holds; `serial` itself to say goodbye.
    #[n(1)]
    pub expires: Time,
    /// Where to knock.
    #[n(2)]
    pub addresses: Bounded<Address, ADDRESSES_MAX>,
}

impl Statement for Presence {
    const KIND: u16 = 0x0202;
}

/// "I no longer sell this." Touches the signer's own listings signed up to `serial`.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Withdraw {
    /// When it was signed.
    #[n(0)]
    pub serial: Time,
    /// Which listings.
    #[n(1)]
    pub scope: Scope,
}

impl Statement for Withdraw {
    const KIND: u16 = 0x0203;
}

/// Which listings a [`Withdraw`] takes back.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Scope {
    /// All of the signer's.
    #[n(0)]
    All,
    /// The signer's listings of these contents.
    #[n(1)]
    These(#[n(0)] Bounded<ContentId, BATCH_MAX>),
}

impl Listing {
    /// Whether it makes sense and holds at `now`.
    ///
    /// # Errors
    /// A refusal that says what is wrong with it.
    pub fn check(&self, now: Time) -> Result<(), Refusal> {
        check_serial(self.serial, now)?;
        check_expiry(self.serial, self.expires, LISTING_LIFE_MAX)?;
        if self.expires <= now {
            return Err(Refusal::new(Code::Expired, "the listing has expired: sign it anew").remedy(Remedy::Mend));
        }
        if self.title.as_str().is_empty() {
            return Err(mend(Code::Malformed, "the listing has no title"));
        }
        if self.size > CONTENT_BYTES_MAX {
            return Err(mend(Code::Limit, format!("content may have {CONTENT_BYTES_MAX} bytes at most")));
        }
        if self.piece == 0 {
            return Err(mend(Code::Malformed, "a piece of no bytes cannot be sold"));
        }
        self.price.checked_mul(self.size.div_ceil(u64::from(self.piece)))?;
        Ok(())
    }
}

impl Presence {
    /// Whether it may be noted at `now`. One that says goodbye may.
    ///
    /// # Errors
    /// A refusal that says what is wrong with it.
    pub fn check(&self, now: Time) -> Result<(), Refusal> {
        check_fresh(self.serial, now)?;
        check_expiry(self.serial, self.expires, PRESENCE_LIFE)
    }
}

impl Withdraw {
    /// Whether it was signed just now.
    ///
    /// # Errors
    /// A refusal that says what is wrong with it.
    pub fn check(&self, now: Time) -> Result<(), Refusal> {
        check_fresh(self.serial, now)
    }
}

/// A statement from the future would outlive every later one.
fn check_serial(serial: Time, now: Time) -> Result<(), Refusal> {
    if serial > now.after(SKEW) {
        let detail = "the statement is signed in the future: set the seller's clock right and sign it anew";
        return Err(Refusal::new(Code::NotYet, detail).remedy(Remedy::Mend));
    }
    Ok(())
}

fn check_fresh(serial: Time, now: Time) -> Result<(), Refusal> {
    check_serial(serial, now)?;
    if serial.after(SKEW) < now {
        return Err(Refusal::new(Code::Expired, "the statement is too old: sign it anew").remedy(Remedy::Mend));
    }
    Ok(())
}

fn check_expiry(serial: Time, expires: Time, life: Span) -> Result<(), Refusal> {
    if expires < serial || expires > serial.after(life) {
        let seconds = life.as_millis() / 1_000;
        return Err(mend(Code::Limit, format!("the statement may hold for {seconds} seconds after its signing")));
    }
    Ok(())
}

fn mend(code: Code, detail: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(code, detail).remedy(Remedy::Mend)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, listing, presence};

    fn code(answer: Result<(), Refusal>) -> Code {
        answer.unwrap_err().code
    }

    #[test]
    fn index_refuses_a_listing_from_the_future_or_the_past() {
        assert!(listing(1).check(NOW).is_ok());
        let early = Listing { serial: NOW.after(SKEW).after(Span::from_millis(1)), ..listing(1) };
        assert_eq!(code(early.check(NOW)), Code::NotYet);
        let late = listing(1);
        assert!(late.check(late.expires.before(Span::from_millis(1))).is_ok());
        assert_eq!(code(late.check(late.expires)), Code::Expired);
    }

    #[test]
    fn index_refuses_a_listing_that_would_stand_for_ever() {
        let endless = Listing { expires: Time::from_millis(u64::MAX), ..listing(1) };
        assert_eq!(code(endless.check(NOW)), Code::Limit);
        let backwards = Listing { expires: NOW.before(Span::from_millis(1)), ..listing(1) };
        assert_eq!(code(backwards.check(NOW)), Code::Limit);
    }

    #[test]
    fn index_refuses_a_listing_that_cannot_be_bought() {
        assert_eq!(code(Listing { piece: 0, ..listing(1) }.check(NOW)), Code::Malformed);
        assert_eq!(code(Listing { title: Text::empty(), ..listing(1) }.check(NOW)), Code::Malformed);
        assert_eq!(code(Listing { size: u64::MAX, ..listing(1) }.check(NOW)), Code::Limit);
        let priceless = "70000000000 XTS".parse().unwrap();
        assert_eq!(code(Listing { price: priceless, piece: 1, ..listing(1) }.check(NOW)), Code::Amount);
    }

    #[test]
    fn index_refuses_a_presence_that_lasts_and_one_replayed_later() {
        assert!(presence(NOW).check(NOW).is_ok());
        let lasting = Presence { expires: NOW.after(LISTING_LIFE_MAX), ..presence(NOW) };
        assert_eq!(code(lasting.check(NOW)), Code::Limit);
        let later = NOW.after(SKEW).after(Span::from_millis(1));
        assert_eq!(code(presence(NOW).check(later)), Code::Expired);
        let withdraw = Withdraw { serial: NOW, scope: Scope::All };
        assert_eq!(code(withdraw.check(later)), Code::Expired);
    }
}
