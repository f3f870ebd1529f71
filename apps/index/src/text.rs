//! Words and addresses from strangers, checked when they are read.

use core::fmt;
use core::str::FromStr;

use farthing_net::content::deceives;
use farthing_net::peer::Multiaddr;
use minicbor::{Decode, Decoder, Encode, Encoder};

/// The longest address, in bytes; one through a relay takes some 180.
pub const ADDRESS_BYTES_MAX: usize = 256;

/// At most `MAX` bytes of text that shows as what it is: no control characters, none that do not
/// show or change the direction of writing, no blanks at either end. It is for reading; it never
/// chooses whom to pay and is never used as a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text<const MAX: usize>(String);

/// Why a stranger's text or address is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Longer than it may be.
    #[error("the text is longer than {max} bytes; shorten it")]
    TooLong {
        /// How long it may be.
        max: usize,
    },
    /// It would look like something else than it is.
    #[error("the text holds invisible, control or direction-changing characters; leave them out")]
    Deceptive,
    /// It begins or ends with blanks.
    #[error("the text begins or ends with blanks; leave them out")]
    Blanks,
    /// Not a multiaddress, or not written the usual way.
    #[error("this is not an address like /ip4/192.0.2.1/tcp/4001")]
    Address,
}

impl<const MAX: usize> Text<MAX> {
    /// Takes a text that hides nothing.
    ///
    /// # Errors
    /// [`TextError`], which says what to leave out.
    pub fn new(text: impl Into<String>) -> Result<Self, TextError> {
        let text = text.into();
        if text.len() > MAX {
            return Err(TextError::TooLong { max: MAX });
        }
        if text.chars().any(deceives) {
            return Err(TextError::Deceptive);
        }
        if text.trim().len() != text.len() {
            return Err(TextError::Blanks);
        }
        Ok(Self(text))
    }

    /// No words at all.
    #[must_use]
    pub const fn empty() -> Self {
        Self(String::new())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<C, const MAX: usize> Encode<C> for Text<MAX> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C, const MAX: usize> Decode<'b, C> for Text<MAX> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let text = d.str()?;
        if text.len() > MAX {
            return Err(minicbor::decode::Error::message("a text too long"));
        }
        Self::new(text).map_err(|_| minicbor::decode::Error::message("a text that deceives"))
    }
}

/// Where a seller can be reached: a multiaddress in its usual notation. Only a hint where to look;
/// whoever answers there must prove to be the seller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address(Multiaddr);

impl Address {
    /// The address for the peer transport.
    #[must_use]
    pub const fn as_multiaddr(&self) -> &Multiaddr {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Address {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(TextError::TooLong { max: ADDRESS_BYTES_MAX });
        }
        let address: Multiaddr = text.parse().map_err(|_| TextError::Address)?;
        Self::try_from(address)
    }
}

impl TryFrom<Multiaddr> for Address {
    type Error = TextError;

    fn try_from(address: Multiaddr) -> Result<Self, TextError> {
        let text = address.to_string();
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(TextError::TooLong { max: ADDRESS_BYTES_MAX });
        }
        // Host names inside are free text to the parser.
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TextError::Address);
        }
        Ok(Self(address))
    }
}

impl<C> Encode<C> for Address {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.to_string())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Address {
    /// A second notation of the same address falls to the check for canonical form.
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.str()?.parse().map_err(|_| minicbor::decode::Error::message("not an address"))
    }
}

#[cfg(test)]
mod tests {
    use farthing_core::wire;

    use super::*;

    #[test]
    fn index_refuses_a_title_that_looks_like_another() {
        let naughty = [
            "gpj.\u{202e}exe",
            "a\u{200b}b",
            "a\0b",
            "a\nb",
            "\u{1b}[2J",
            "\u{feff}a",
            "\u{2066}a\u{2069}",
            "\u{e0041}",
            "a\u{85}b",
        ];
        for text in naughty {
            assert_eq!(Text::<64>::new(text), Err(TextError::Deceptive), "{text:?}");
            assert!(wire::decode::<Text<64>>(&wire::encode(&text)).is_err(), "{text:?}");
        }
        for text in [" a", "a ", "\u{3000}a"] {
            assert_eq!(Text::<64>::new(text), Err(TextError::Blanks), "{text:?}");
        }
        for text in
            ["Über den Wolken", "日本語の歌", "مرحبا", "🎵 song 🎵", "'; DROP TABLE listings; --", "../../etc/passwd"]
        {
            let taken = Text::<64>::new(text).unwrap();
            assert_eq!(wire::decode::<Text<64>>(&wire::encode(&taken)).unwrap(), taken);
        }
    }

    #[test]
    fn index_refuses_a_text_above_its_bound() {
        assert!(Text::<4>::new("abcd").is_ok());
        assert_eq!(Text::<4>::new("abcde"), Err(TextError::TooLong { max: 4 }));
        assert!(wire::decode::<Text<4>>(&wire::encode(&"abcde")).is_err());
    }

    #[test]
    fn index_refuses_what_is_no_address() {
        for text in ["/ip4/127.0.0.1/tcp/4001", "/ip6/::1/udp/9/quic-v1", "/dns4/peer.example/tcp/1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let long = format!("/dns4/{}/tcp/1", "x".repeat(300));
        for text in
            ["", "127.0.0.1:4001", "http://x", "/ip4/1.2.3/tcp/1", "/dns4/a\u{202e}b/tcp/1", "/dns4/a b/tcp/1", &long]
        {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn index_refuses_a_second_notation_of_one_address() {
        assert!(wire::decode::<Address>(&wire::encode(&"/ip6/::1/tcp/9")).is_ok());
        assert!(wire::decode::<Address>(&wire::encode(&"/ip6/0:0::1/tcp/9")).is_err());
    }
}
