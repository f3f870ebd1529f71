//! What answers requests.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use tower::ServiceExt;

/// Answers requests: a router, or something leaner.
pub trait Handler: Send + Sync + 'static {
    /// The answer to a request, whose extensions say which connection it came by
    /// ([`ConnectInfo`](axum::extract::ConnectInfo)).
    fn handle(self: Arc<Self>, request: Request) -> impl Future<Output = Response> + Send;
}

impl Handler for Router {
    async fn handle(self: Arc<Self>, request: Request) -> Response {
        let Ok(answer) = Self::clone(&self).oneshot(request).await;
        answer
    }
}
