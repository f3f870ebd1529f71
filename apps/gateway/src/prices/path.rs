//! Paths, read so that gateway and service agree on what is asked for.

use std::sync::Arc;

/// Why a path is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path can be read in more than one way: write it without dot segments, backslashes and encoded slashes")]
pub struct BadPath;

/// The path as prices are looked up: percent-decoded once, slashes that follow each other as one.
/// What a service might read as another place is refused: else `/free/../paid` would be free.
///
/// # Errors
/// [`BadPath`].
pub fn plain(path: &str) -> Result<String, BadPath> {
    let mut bytes = path.bytes();
    let mut plain: Vec<u8> = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let decoded = hex(bytes.next())? << 4 | hex(bytes.next())?;
                if matches!(decoded, b'/' | b'\\' | b'%' | b'.' | 0..0x20 | 0x7f) {
                    return Err(BadPath);
                }
                decoded
            }
            b'\\' | b';' | 0..0x20 | 0x7f => return Err(BadPath),
            byte => byte,
        };
        if byte != b'/' || plain.last() != Some(&b'/') {
            plain.push(byte);
        }
    }
    let plain = String::from_utf8(plain).map_err(|_| BadPath)?;
    let dotted = plain.split('/').any(|segment| segment == "." || segment == "..");
    if dotted || !plain.starts_with('/') { Err(BadPath) } else { Ok(plain) }
}

fn hex(digit: Option<u8>) -> Result<u8, BadPath> {
    let digit = digit.and_then(|digit| char::from(digit).to_digit(16)).ok_or(BadPath)?;
    u8::try_from(digit).map_err(|_| BadPath)
}

/// A pattern of paths: `*` is any one segment, `**` at the end is anything below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Arc<str>,
}

impl Pattern {
    /// Reads a pattern.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let segments: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
        let last = segments.len() - 1;
        let odd = |(at, segment): (usize, &&str)| match *segment {
            "*" => false,
            "**" => at != last,
            "" => at != last,
            word => word.contains('*') || word == "." || word == "..",
        };
        (!segments.iter().enumerate().any(odd)).then(|| Self { text: text.into() })
    }

    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self { text: "/**".into() }
    }

    /// Whether it is everything.
    #[must_use]
    pub fn is_all(&self) -> bool {
        &*self.text == "/**"
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As written, for whoever keeps it.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// Whether a [`plain`] path fits.
    #[must_use]
    pub fn fits(&self, path: &str) -> bool {
        let (mut wanted, mut given) = (self.text.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (Some("**"), _) => return true,
                (None, None) => return true,
                (Some("*"), Some(given)) if !given.is_empty() => {}
                (Some(wanted), Some(given)) if wanted == given => {}
                _ => return false,
            }
        }
    }
}
