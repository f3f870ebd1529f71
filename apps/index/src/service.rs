//! Listings of paid HTTP services.
//!
//! A service is listed by its price list: the content is the document that its gateway gives out,
//! sold to nobody and free to be read; the price is what the usual request costs; and the
//! description begins with the address at which requests are paid for. Nothing in a listing is
//! believed when money moves: whoever pays goes by what the gateway itself signs.

use core::iter;

use crate::messages::{DESCRIPTION_MAX, Listing};
use crate::text::Text;

/// The media type of a service's price list.
pub const SERVICE_MEDIA: &str = "application/vnd.farthing.service+json";

/// The description of a service at an address, with more words behind it as far as there is room;
/// characters that a listing must not hold are left out. `None` for an address that is too long.
#[must_use]
pub fn described(url: &str, words: &str) -> Option<Text<DESCRIPTION_MAX>> {
    fitting(&format!("{url} {words}")).filter(|text: &Text<DESCRIPTION_MAX>| text.as_str().starts_with(url))
}

/// As much of a text as fits, without what must not be in it. `None` if nothing is left.
#[must_use]
pub fn fitting<const MAX: usize>(words: &str) -> Option<Text<MAX>> {
    let plain: String = words.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    let end = plain.char_indices().map(|(at, c)| at + c.len_utf8()).chain(iter::once(0));
    let cut = end.filter(|end| *end <= MAX).max().unwrap_or(0);
    let shown: String = plain[..cut].chars().filter(|c| !farthing_net::content::deceives(*c)).collect();
    Text::new(shown.trim()).ok().filter(|text| !text.as_str().is_empty())
}

impl Listing {
    /// Where requests are paid for, if a service is listed. It can be shown as part of a command: no
    /// character in it means anything to a shell within quotes.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        let address = self.description.as_str().split(' ').next()?;
        let is_http = address.starts_with("http://") || address.starts_with("https://");
        let is_plain = address.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/.-_~[]#=%".contains(&byte));
        (self.media.as_str() == SERVICE_MEDIA && is_http && is_plain).then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::listing;

    #[test]
    fn a_service_is_known_by_its_media_type_and_found_at_its_address() {
        let url = "https://api.example:8402";
        let description = described(url, "the weather\nof \u{202e}tomorrow").unwrap();
        assert_eq!(description.as_str(), "https://api.example:8402 the weather of tomorrow");
        let file = Listing { description, ..listing(1) };
        assert_eq!(file.service(), None);
        let service = Listing { media: Text::new(SERVICE_MEDIA).unwrap(), ..file };
        assert_eq!(service.service(), Some(url));
        for wrong in ["ftp://x", "http://x';reboot;'", "http://x/$(reboot)"] {
            let elsewhere = Listing { description: Text::new(wrong).unwrap(), ..service.clone() };
            assert_eq!(elsewhere.service(), None, "{wrong}");
        }
    }

    #[test]
    fn words_are_cut_where_a_character_ends_and_an_address_is_never_cut() {
        assert_eq!(fitting::<5>("ääää").unwrap().as_str(), "ää");
        assert!(fitting::<5>(" \u{200b} ").is_none());
        assert!(described("http://x", &"word ".repeat(DESCRIPTION_MAX)).is_some());
        assert!(described(&format!("http://{}", "x".repeat(DESCRIPTION_MAX)), "").is_none());
    }
}
