//! What every request meets first, whoever answers it: limits, a name for the host, and browsers that
//! ask beforehand.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use farthing_net::http::problem::Problem;
use farthing_net::http::server::Handler;

use crate::gate::{self, Gate};
use crate::{cors, pages};

type Answer = Response<Body>;

/// The most bytes of a request's path and headers together.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;
/// The most headers of a request.
pub(crate) const HEADERS_MAX: usize = 64;

/// The way in. What is for sale goes straight to the gate; a router is asked for the gateway's own
/// pages only.
pub(crate) struct Entrance {
    gate: Arc<Gate>,
    own: Arc<Router>,
}

impl Entrance {
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        let own = Arc::new(pages::router(Arc::clone(&gate)));
        Self { gate, own }
    }
}

impl Handler for Entrance {
    async fn handle(self: Arc<Self>, mut request: Request) -> Answer {
        if let Some(refused) = too_large(&request) {
            return refused;
        }
        name_host(&mut request);
        if let Some(answer) = cors::preflight(&request) {
            return answer;
        }
        if pages::are_at(request.uri().path()) {
            // Seldom asked for: whoever pays does not carry the room it takes.
            return Box::pin(Arc::clone(&self.own).handle(request)).await;
        }
        gate::serve(&self.gate, request).await
    }
}

/// In HTTP/2 the host is in `:authority`, and in HTTP/1.1 it may be in the target: that counts, and
/// what `Host` says beside it does not (RFC 9112, section 3.2.2; RFC 9113, section 8.3.1).
fn name_host(request: &mut Request) {
    let named = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = named {
        request.headers_mut().insert(HOST, host);
    }
}

/// Refuses a head that is too large in words. The server takes in one of twice the size, and cuts off
/// without a word whatever is larger still.
fn too_large(request: &Request) -> Option<Answer> {
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let bytes = fields.sum::<usize>() + gate::target(request.uri()).len();
    (bytes > HEAD_BYTES_MAX || request.headers().len() > HEADERS_MAX).then(|| {
        let detail = format!(
            "path and headers may have {HEAD_BYTES_MAX} bytes and {HEADERS_MAX} headers: send less; nothing was taken"
        );
        Problem::of_http(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail).into_response()
    })
}
