//! Where sessions are opened and ended: at the server itself, or at the bank for all servers that
//! settle through it.

use farthing_net::http::client::client as http_client;
use farthing_net::http::endpoint::Endpoint;
use reqwest::Url;

use crate::client::Inner;
use crate::error::PayError;

/// Whose doors are knocked at.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    /// What the wallet calls it.
    pub(crate) site: String,
    url: Url,
    /// The bank's endpoint, if it is the bank, whose certificate may be pinned.
    bank: Option<Endpoint>,
}

impl Seat {
    /// That of a server at an address.
    pub(crate) fn of(url: &Url) -> Self {
        Self { site: url.origin().ascii_serialization(), url: url.clone(), bank: None }
    }

    /// The address of one of its doors.
    pub(crate) fn door(&self, path: &str) -> Url {
        own(&self.url, path)
    }
}

impl Inner {
    /// That of the wallet's bank.
    pub(crate) fn bank_seat(&self) -> Result<Seat, PayError> {
        let endpoint: Endpoint =
            self.wallet.settings().bank.endpoint.parse().map_err(|why| {
                PayError::NothingSent(format!("the address of the wallet's bank cannot be read: {why}"))
            })?;
        let url = endpoint.url("/");
        Ok(Seat { bank: Some(endpoint), ..Seat::of(&url) })
    }

    /// The one that a site belongs to: the bank's at the bank, else the server's own.
    pub(crate) fn seat_at(&self, url: &Url) -> Seat {
        let bank = self.bank_seat().ok().filter(|bank| bank.url.origin() == url.origin());
        bank.unwrap_or_else(|| Seat::of(url))
    }

    /// The client for its doors.
    pub(crate) fn doors(&self, seat: &Seat) -> Result<reqwest::Client, PayError> {
        let Some(endpoint) = &seat.bank else { return Ok(self.http.clone()) };
        http_client(endpoint).map_err(|why| PayError::NothingSent(format!("HTTP cannot be set up: {why}")))
    }
}

/// One of a gateway's own addresses at the site of a request.
pub(crate) fn own(site: &Url, path: &str) -> Url {
    let mut url = site.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}
