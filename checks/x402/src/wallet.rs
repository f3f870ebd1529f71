//! The wallet over HTTP, on this machine only: what the schemes in `js/` and `python/` ask.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::Purse;

type House = State<Arc<Mutex<Purse>>>;

/// Serves a purse: `POST /pay` makes a payment for what a server wants, `POST /response` takes the answer to one.
///
/// # Panics
/// Without a free port.
pub async fn serve(purse: Arc<Mutex<Purse>>) -> (SocketAddr, JoinHandle<()>) {
    let router = Router::new().route("/pay", post(pay)).route("/response", post(response)).with_state(purse);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = async move { axum::serve(listener, router).await.expect("serving") };
    (address, tokio::spawn(serving))
}

async fn pay(State(purse): House, Json(wanted): Json<Value>) -> Result<Json<Value>, (StatusCode, String)> {
    let paid = purse.lock().await.pay(&wanted);
    paid.map(Json).map_err(|why| (StatusCode::CONFLICT, why.to_string()))
}

async fn response(State(purse): House, Json(response): Json<Value>) -> Result<Json<Value>, (StatusCode, String)> {
    let used = purse.lock().await.on_response(&response);
    used.map(|used| Json(json!({ "used": used }))).map_err(|why| (StatusCode::CONFLICT, why.to_string()))
}
