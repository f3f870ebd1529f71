//! Health, readiness and metrics: what operators and orchestrators ask for.

use std::sync::OnceLock;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::problem::Problem;

/// Upper bounds of the buckets all durations are sorted into, in seconds.
const BUCKETS: [f64; 12] = [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Everything counted in this process, once somebody counts.
static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Whether somebody counts.
pub(super) fn counts() -> bool {
    METRICS.get().is_some()
}

/// Routes to be merged into a role's router:
///
/// - `/healthz`: the process answers;
/// - `/readyz`: `ready` says so, or why not (for people, without secrets);
/// - `/metrics`: everything counted through the `metrics` crate, in Prometheus' text format. It is
///   one registry for the whole process, however many servers run in it.
pub fn router<S, R>(ready: R) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    R: Fn() -> Result<(), String> + Clone + Send + Sync + 'static,
{
    let metrics = install_metrics();
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move {
                match ready() {
                    Ok(()) => "ready\n".into_response(),
                    Err(why) => Problem::overload(StatusCode::SERVICE_UNAVAILABLE, 1, why).into_response(),
                }
            }),
        )
        .route(
            "/metrics",
            get(move || async move {
                metrics.run_upkeep();
                ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render())
            }),
        )
}

/// Makes `metrics` count, once for the process; later calls return the same handle. Requests are
/// counted from the first call on.
pub fn install_metrics() -> &'static PrometheusHandle {
    METRICS.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        // Refused only for an empty list of bounds.
        let builder = builder.set_buckets(&BUCKETS).unwrap_or_default();
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("metrics are counted elsewhere: /metrics will stay empty");
        }
        handle
    })
}
