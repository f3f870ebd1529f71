//! The index over HTTP: canonical CBOR in, JSON out.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query as Asked, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use farthing_core::id::{ContentId, NetworkId};
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::sign::{Signed, Statement, Verified, verify_batch};
use farthing_core::time::Time;
use farthing_core::wire::{self, MESSAGE_MAX};
use farthing_net::http::endpoint::{Endpoint, EndpointError};
use farthing_net::http::ops;
use farthing_net::http::problem::{Problem, not_found};
use farthing_net::http::server::{BindError, Server, ServerConfig};
use serde::Deserialize;
use tokio::sync::Semaphore;
use utoipa::{IntoParams, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::messages::{Announcement, BATCH_MAX, Listing, Presence, Withdraw};
use crate::store::{IndexStore, PAGE_DEFAULT, Page, Query, StoreError};
use crate::views::{PageView, StatusView, TakenView};

/// The media type of what sellers send.
pub const CBOR: &str = "application/cbor";
/// How many requests work on the store at a time; more are turned away at once.
pub const WORKERS_MAX: usize = 64;
/// How often what has expired is forgotten.
pub const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How many portions one round of forgetting takes at most.
pub const SWEEPS_MAX: usize = 32;

/// Whoever knows what time it is.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// An index before it has a port.
#[derive(Clone)]
pub struct Index {
    /// Whose statements are taken.
    pub network: NetworkId,
    /// Where they are kept.
    pub store: Arc<IndexStore>,
    /// What time it is.
    pub clock: Clock,
}

/// An index that has its port and is not serving yet.
pub struct BoundIndex {
    index: Index,
    server: Server,
}

impl Index {
    /// Takes the port. The limit for bodies is raised to what the longest batch needs.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(self, mut config: ServerConfig) -> Result<BoundIndex, BindError> {
        config.limits.body_bytes = config.limits.body_bytes.max(MESSAGE_MAX);
        Ok(BoundIndex { server: Server::bind(config).await?, index: self })
    }

    /// The routes, to be served by a server of ours or inside another.
    pub fn router(self) -> Router {
        #[derive(OpenApi)]
        #[openapi(info(
            title = "farthing index",
            description = "Finds content and who sells it. Refusals are RFC 9457 problems."
        ))]
        struct Document;

        let store = Arc::clone(&self.store);
        let ready = move || {
            store.check().map_err(|error| {
                tracing::error!(%error, "the index is not ready");
                "the index cannot reach its database".to_owned()
            })
        };
        let desk = Desk { index: self, workers: Arc::new(Semaphore::new(WORKERS_MAX)) };
        let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
            .routes(routes!(announce))
            .routes(routes!(appear))
            .routes(routes!(withdraw))
            .routes(routes!(search))
            .routes(routes!(sellers))
            .routes(routes!(status))
            .split_for_parts();
        // A document made of strings and lists always serializes.
        let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
        router
            .route("/openapi.json", get(move || async move { ([(CONTENT_TYPE, "application/json")], document) }))
            .merge(ops::router(ready))
            .fallback(not_found)
            .with_state(desk)
    }

    /// Forgets what has expired, now and then, for as long as it is polled.
    async fn sweep(&self) {
        let mut round = tokio::time::interval(SWEEP_EVERY);
        loop {
            round.tick().await;
            let index = self.clone();
            let swept = tokio::task::spawn_blocking(move || {
                for _ in 0..SWEEPS_MAX {
                    if index.store.sweep((index.clock)())? == 0 {
                        break;
                    }
                }
                index.store.holdings((index.clock)())
            });
            match swept.await {
                Ok(Ok(holdings)) => {
                    metrics::gauge!("farthing_index_listings").set(holdings.listings as f64);
                    metrics::gauge!("farthing_index_sellers_present").set(holdings.present as f64);
                }
                Ok(Err(error)) => tracing::error!(%error, "what has expired could not be forgotten"),
                Err(error) => tracing::error!(%error, "forgetting broke off"),
            }
        }
    }
}

impl BoundIndex {
    /// How clients name this index, certificate and all.
    ///
    /// # Errors
    /// As [`Server::endpoint`].
    pub fn endpoint(&self) -> Result<Endpoint, EndpointError> {
        self.server.endpoint()
    }

    /// Serves until `stop` is done, then lets running requests finish.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) {
        let Self { index, server } = self;
        let router = index.clone().router();
        tokio::select! {
            () = server.serve(router, stop) => {}
            () = index.sweep() => {}
        }
    }
}

/// What every handler needs.
#[derive(Clone)]
struct Desk {
    index: Index,
    workers: Arc<Semaphore>,
}

impl Desk {
    /// Runs work that blocks off the asynchronous threads, or says at once that there is too much.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Index, Time) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let Ok(seat) = Arc::clone(&self.workers).try_acquire_owned() else {
            let detail = "the index is busy; nothing was done, ask again in a moment";
            return Err(Problem::overload(StatusCode::SERVICE_UNAVAILABLE, 1, detail));
        };
        let index = self.index.clone();
        let done = tokio::task::spawn_blocking(move || {
            let answer = work(&index, (index.clock)());
            drop(seat);
            answer
        });
        match done.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(StoreError::Refused(refusal))) => Err(refusal.into()),
            Ok(Err(error)) => {
                tracing::error!(%error, "the index cannot do its work");
                let detail = "the index cannot reach its database; nothing was changed, ask again later";
                Err(Problem::overload(StatusCode::SERVICE_UNAVAILABLE, 1, detail))
            }
            Err(_) => {
                let detail = "the index stumbled; ask again with the very same request";
                Err(Problem::outcome_unknown(StatusCode::INTERNAL_SERVER_ERROR, detail))
            }
        }
    }
}

/// Announce listings, at most 256 of them: all are taken or none.
#[utoipa::path(post, path = "/v1/announce",
    request_body(content = Vec<u8>, content_type = "application/cbor", description = "A list of signed listings"),
    responses((status = 200, body = TakenView), (status = "4XX", description = "A problem")))]
async fn announce(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> Result<Json<TakenView>, Problem> {
    check_cbor(&headers)?;
    let changed = desk
        .work(move |index, now| {
            let batch: Announcement = wire::decode(&body).map_err(|why| {
                let detail = format!("{why}; a batch is a list of at most {BATCH_MAX} signed listings");
                Refusal::new(Code::Malformed, detail).remedy(Remedy::Mend)
            })?;
            let checked = verify_batch(index.network, batch.into_vec());
            let listings: Vec<Verified<Listing>> = checked
                .into_iter()
                .enumerate()
                .map(|(at, checked)| {
                    checked.map_err(|why| {
                        let refusal = Refusal::from(why);
                        Refusal { detail: format!("listing {}: {}", at + 1, refusal.detail).into(), ..refusal }
                    })
                })
                .collect::<Result<_, _>>()?;
            index.store.announce(&listings, now)
        })
        .await?;
    metrics::counter!("farthing_index_listings_announced_total").increment(changed as u64);
    Ok(Json(TakenView { changed }))
}

/// Say that a seller is there, and where.
#[utoipa::path(post, path = "/v1/presence",
    request_body(content = Vec<u8>, content_type = "application/cbor", description = "A signed presence"),
    responses((status = 204, description = "Noted"), (status = "4XX", description = "A problem")))]
async fn appear(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> Result<StatusCode, Problem> {
    check_cbor(&headers)?;
    desk.work(move |index, now| index.store.appear(&believed::<Presence>(index, &body)?, now)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a seller's own listings back.
#[utoipa::path(post, path = "/v1/withdraw",
    request_body(content = Vec<u8>, content_type = "application/cbor", description = "A signed withdrawal"),
    responses((status = 200, body = TakenView), (status = "4XX", description = "A problem")))]
async fn withdraw(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> Result<Json<TakenView>, Problem> {
    check_cbor(&headers)?;
    let changed = desk.work(move |index, now| index.store.withdraw(&believed::<Withdraw>(index, &body)?, now)).await?;
    Ok(Json(TakenView { changed }))
}

/// Words to look for, and which page of what is found.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SearchAsked {
    /// Words that must all occur.
    q: String,
    /// How many hits to pass over: the `next` of the page before.
    after: Option<u32>,
    /// How many hits at most, up to 100.
    limit: Option<u32>,
}

/// Find listings by words: best match first, then lowest price.
#[utoipa::path(get, path = "/v1/search", params(SearchAsked),
    responses((status = 200, body = PageView), (status = "4XX", description = "A problem")))]
async fn search(State(desk): State<Desk>, Asked(asked): Asked<SearchAsked>) -> Result<Json<PageView>, Problem> {
    metrics::counter!("farthing_index_searches_total").increment(1);
    let page = page(asked.after, asked.limit);
    desk.work(move |index, now| shown(&index.store.search(&Query::new(&asked.q)?, page, now)?)).await.map(Json)
}

/// Which page of the sellers is wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PageAsked {
    /// How many hits to pass over: the `next` of the page before.
    after: Option<u32>,
    /// How many hits at most, up to 100.
    limit: Option<u32>,
}

/// Everyone who sells a content now, lowest price first.
#[utoipa::path(get, path = "/v1/content/{content}",
    params(("content" = String, Path, description = "The content's identifier"), PageAsked),
    responses((status = 200, body = PageView), (status = "4XX", description = "A problem")))]
async fn sellers(
    State(desk): State<Desk>,
    Path(content): Path<String>,
    Asked(asked): Asked<PageAsked>,
) -> Result<Json<PageView>, Problem> {
    let content: ContentId = content.parse().map_err(|why: farthing_core::id::IdError| {
        Refusal::new(Code::Malformed, why.to_string()).remedy(Remedy::Mend)
    })?;
    let page = page(asked.after, asked.limit);
    desk.work(move |index, now| shown(&index.store.sellers_of(&content, page, now)?)).await.map(Json)
}

/// How the index is doing.
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = StatusView)))]
async fn status(State(desk): State<Desk>) -> Result<Json<StatusView>, Problem> {
    desk.work(|index, now| {
        let holdings = index.store.holdings(now)?;
        Ok(Json(StatusView {
            network: index.network.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            time: now.as_millis(),
            listings: holdings.listings,
            sellers: holdings.sellers,
            present: holdings.present,
        }))
    })
    .await
}

fn page(after: Option<u32>, limit: Option<u32>) -> Page {
    Page::new(after.unwrap_or(0), limit.unwrap_or(PAGE_DEFAULT))
}

fn shown(hits: &crate::store::Hits) -> Result<PageView, StoreError> {
    PageView::of(hits).map_err(|why| StoreError::Refused(why.into()))
}

/// Reads a signed statement of this network.
fn believed<T: Statement>(index: &Index, body: &[u8]) -> Result<Verified<T>, StoreError> {
    let signed: Signed<T> = wire::decode(body).map_err(Refusal::from)?;
    Ok(signed.verify(index.network).map_err(Refusal::from)?)
}

fn check_cbor(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == CBOR.as_bytes()) {
        return Ok(());
    }
    Err(Problem::of_http(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("send {CBOR}, and say so in Content-Type")))
}
