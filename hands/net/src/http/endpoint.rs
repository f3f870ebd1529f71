//! How a bank or an index is named: its address, and where needed its certificate.

use core::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

use super::tls::Fingerprint;

/// What introduces a pinned certificate in an endpoint's text.
const PIN: &str = "sha256=";

/// Reads what stands after `#` in an address: a pinned certificate.
///
/// # Errors
/// [`EndpointError::BadPin`].
pub fn read_pin(fragment: &str) -> Result<Fingerprint, EndpointError> {
    let digits = fragment.strip_prefix(PIN).ok_or(EndpointError::BadPin)?;
    digits.parse().map_err(|_| EndpointError::BadPin)
}

/// A server: `https://bank.example`, `https://10.0.0.1:8443#sha256=…` with a certificate pinned
/// that no authority vouches for, or `http://127.0.0.1:8080` on the same machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    base: Url,
    pin: Option<Fingerprint>,
}

/// Why a text names no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not an address at all, or with more in it than an endpoint has.
    #[error("not a server's address; it looks like https://host:port or https://host:port#sha256=…")]
    NotAnAddress,
    /// Without TLS anybody on the way could read and change what is said.
    #[error("plain http is only for 127.0.0.1, ::1 and localhost; use https")]
    PlainOffLoopback,
    /// After `#` there must be a fingerprint, and only https can check it.
    #[error("after # comes sha256= and 64 hexadecimal digits, and only with https")]
    BadPin,
}

impl Endpoint {
    /// The address of a path on the server. The path is taken relative to the endpoint's own, so
    /// that a server may live below a prefix.
    #[must_use]
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let base = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{base}/{}", path.trim_start_matches('/')));
        url
    }

    /// The certificate the server must show, if it is pinned.
    #[must_use]
    pub const fn pin(&self) -> Option<Fingerprint> {
        self.pin
    }

    /// The same server, recognised by its certificate.
    ///
    /// # Errors
    /// [`EndpointError::BadPin`] for plain http, which shows none.
    pub fn pinned(mut self, pin: Fingerprint) -> Result<Self, EndpointError> {
        if self.is_plain() {
            return Err(EndpointError::BadPin);
        }
        self.pin = Some(pin);
        Ok(self)
    }

    /// True for plain http on the same machine.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let mut base = Url::parse(text).map_err(|_| EndpointError::NotAnAddress)?;
        let named = !base.username().is_empty() || base.password().is_some();
        if named || base.query().is_some() || base.host_str().is_none() {
            return Err(EndpointError::NotAnAddress);
        }
        let plain = match base.scheme() {
            "https" => false,
            "http" if is_loopback(&base) => true,
            "http" => return Err(EndpointError::PlainOffLoopback),
            _ => return Err(EndpointError::NotAnAddress),
        };
        let pin = match base.fragment() {
            None => None,
            Some(_) if plain => return Err(EndpointError::BadPin),
            Some(fragment) => Some(read_pin(fragment)?),
        };
        base.set_fragment(None);
        Ok(Self { base, pin })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.as_str().trim_end_matches('/'))?;
        self.pin.map_or(Ok(()), |pin| write!(f, "#{PIN}{pin}"))
    }
}

/// `localhost` counts: the client is told where it is instead of asking a name server.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_they_are_written() {
        let pinned = format!("https://10.0.0.1:8443#sha256={}", "ab".repeat(32));
        for text in ["https://bank.example", &pinned, "http://127.0.0.1:8080", "http://[::1]:1"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        let below: Endpoint = "https://host/bank/".parse().unwrap();
        assert_eq!(below.url("/v1/open").as_str(), "https://host/bank/v1/open");
    }

    #[test]
    fn peer_refuses_to_talk_in_the_clear_to_another_machine() {
        for text in ["http://bank.example", "http://10.0.0.1:80", "http://localhost.evil.example"] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError::PlainOffLoopback), "{text}");
        }
    }

    #[test]
    fn peer_refuses_what_is_not_quite_an_endpoint() {
        for text in ["", "bank", "ftp://bank", "https://me@bank", "https://me:pw@bank", "https://b?x"] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError::NotAnAddress), "{text}");
        }
        let short = format!("https://bank#sha256={}", "ab".repeat(31));
        let plain = format!("http://127.0.0.1#sha256={}", "ab".repeat(32));
        for text in [&short[..], &plain, "https://bank#", "https://bank#md5=00"] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError::BadPin), "{text}");
        }
    }
}
