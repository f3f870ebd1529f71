//! A request to be paid for: what it is called in a payment, and how it is sent again.

use farthing_dialects::quote::request_digest;
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, Request, Url};

use crate::error::PayError;

/// The longest body of a request that can be paid for: the payment is bound to all of it, and it
/// may have to be sent again.
pub const BODY_MAX: usize = 64 << 20;

/// A request that can be sent again.
pub(crate) struct Wanted {
    request: Request,
    /// Where: scheme, host and port.
    pub(crate) site: String,
    /// Its name in a payment.
    pub(crate) digest: [u8; 32],
}

impl Wanted {
    pub(crate) fn new(request: Request) -> Result<Self, PayError> {
        let body = match request.body().map(|body| body.as_bytes()) {
            None => &[][..],
            Some(Some(bytes)) if bytes.len() <= BODY_MAX => bytes,
            Some(Some(_)) => return Err(PayError::NothingSent(format!("the body is longer than {BODY_MAX} bytes"))),
            Some(None) => {
                let why = "the body is a stream, and a payment is bound to the whole body: read it into memory first";
                return Err(PayError::NothingSent(why.into()));
            }
        };
        let site = site_of(request.url())?;
        let digest = request_digest(request.method().as_str(), &target(request.url()), body);
        Ok(Self { request, site, digest })
    }

    /// The request once more, with these headers besides.
    pub(crate) fn with(&self, headers: &[(&'static str, String)]) -> Result<Request, PayError> {
        let unsound = || PayError::NothingSent("the request cannot be sent again".into());
        let mut request = self.request.try_clone().ok_or_else(unsound)?;
        for (name, value) in headers {
            let mut value = reqwest::header::HeaderValue::from_str(value).map_err(|_| unsound())?;
            value.set_sensitive(true);
            request.headers_mut().insert(*name, value);
        }
        Ok(request)
    }

    pub(crate) fn url(&self) -> &Url {
        self.request.url()
    }

    pub(crate) fn method(&self) -> &Method {
        self.request.method()
    }

    /// Whether the header that the `Payment` scheme needs is the caller's own.
    pub(crate) fn is_authorised_otherwise(&self) -> bool {
        self.request.headers().contains_key(AUTHORIZATION)
    }
}

/// The path with the query, as it is sent.
pub(crate) fn target(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

fn site_of(url: &Url) -> Result<String, PayError> {
    match url.origin() {
        origin if matches!(url.scheme(), "http" | "https") && origin.is_tuple() => Ok(origin.ascii_serialization()),
        _ => Err(PayError::NothingSent("only http and https addresses can be asked".into())),
    }
}
