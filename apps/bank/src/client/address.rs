//! How a bank is named: its server, and where known its key.

use core::fmt;
use std::str::FromStr;

use farthing_core::id::PeerId;
use farthing_net::http::endpoint::{Endpoint, EndpointError};

/// What introduces the bank's key.
const KEY: &str = "bank=";

/// A bank's address: `https://bank.example#bank=peer1…`, with `sha256=…,` before the key where the
/// server's certificate is self-made. With the key in it, no other bank can answer in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankAddress {
    endpoint: Endpoint,
    bank: Option<PeerId>,
}

/// Why a text names no bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The server's part.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The key's part.
    #[error("after bank= comes the bank's key, peer1…; copy it again whole")]
    Key,
}

impl BankAddress {
    /// The bank at that server; with a key, that bank and no other.
    #[must_use]
    pub const fn new(endpoint: Endpoint, bank: Option<PeerId>) -> Self {
        Self { endpoint, bank }
    }

    /// Its server.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its key, if the address names it.
    #[must_use]
    pub const fn bank(&self) -> Option<PeerId> {
        self.bank
    }

    /// The same, pinned to a key.
    #[must_use]
    pub fn pinned(self, bank: PeerId) -> Self {
        Self { bank: Some(bank), ..self }
    }
}

impl FromStr for BankAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some((server, parts)) = text.split_once('#') else {
            return Ok(Self { endpoint: text.parse()?, bank: None });
        };
        let (keys, rest): (Vec<&str>, Vec<&str>) = parts.split(',').partition(|part| part.starts_with(KEY));
        let bank = match keys[..] {
            [] => None,
            [key] => Some(key[KEY.len()..].parse().map_err(|_| AddressError::Key)?),
            _ => return Err(AddressError::Key),
        };
        let endpoint =
            if rest.is_empty() { server.parse()? } else { format!("{server}#{}", rest.join(",")).parse()? };
        Ok(Self { endpoint, bank })
    }
}

impl fmt::Display for BankAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.endpoint.pin().is_some() { ',' } else { '#' };
        fmt::Display::fmt(&self.endpoint, f)?;
        self.bank.map_or(Ok(()), |bank| write!(f, "{separator}{KEY}{bank}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let bank = PeerId([7; 32]);
        let pin = "ab".repeat(32);
        for text in [
            "http://127.0.0.1:8080".to_owned(),
            format!("http://127.0.0.1:8080#bank={bank}"),
            format!("https://10.0.0.1:8443#sha256={pin}"),
            format!("https://10.0.0.1:8443#sha256={pin},bank={bank}"),
        ] {
            assert_eq!(text.parse::<BankAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wallet_refuses_an_address_with_a_key_that_is_none() {
        let bank = PeerId([7; 32]);
        for text in ["http://127.0.0.1#bank=peer1x", &format!("http://127.0.0.1#bank={bank},bank={bank}")] {
            assert_eq!(text.parse::<BankAddress>(), Err(AddressError::Key), "{text}");
        }
        assert!(matches!("http://127.0.0.1#key=1".parse::<BankAddress>(), Err(AddressError::Endpoint(_))));
    }
}
