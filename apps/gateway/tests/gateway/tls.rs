use axum::Router;
use axum::routing::get;
use farthing_dialects::problem;
use farthing_net::http::endpoint::Endpoint;
use farthing_net::http::server::{Limits, Server, ServerConfig, Tls};

use crate::town::{PRICES, Town, problem as read_problem};

/// A service behind a certificate of its own making.
async fn service() -> (Endpoint, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let tls = Tls::SelfMade { dir: dir.path().to_owned() };
    let config = ServerConfig { listen: "127.0.0.1:0".parse().unwrap(), tls, limits: Limits::default() };
    let server = Server::bind(config).await.unwrap();
    let endpoint = server.endpoint().unwrap();
    let router = Router::new().route("/hello", get(async || "hello over TLS"));
    tokio::spawn(server.serve(router, std::future::pending()));
    (endpoint, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_behind_https_is_recognised_by_its_certificate_and_paid_for() {
    let (endpoint, _dir) = service().await;
    assert!(endpoint.to_string().contains("#sha256="));
    let town = Town::with(PRICES, |config| config.behind = endpoint.to_string().into()).await;
    let mut buyer = town.buyer(1, 2).await;
    let answer = buyer.get("/hello", 1).await;
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 1));
    assert_eq!(answer.text().await.unwrap(), "hello over TLS");
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_refuses_a_service_with_another_certificate_and_gives_the_payment_back() {
    let (endpoint, _dir) = service().await;
    let pin = endpoint.pin().unwrap().to_string();
    let other = endpoint.to_string().replace(&pin, &"ab".repeat(32));
    let unpinned = endpoint.to_string().split('#').next().unwrap().to_owned();
    for upstream in [other, unpinned] {
        let town = Town::with(PRICES, |config| config.behind = upstream.into()).await;
        let mut buyer = town.buyer(1, 1).await;
        let problem = read_problem(buyer.get("/hello", 1).await).await;
        assert!(problem.is(problem::UPSTREAM_FAILED), "{problem:?}");
        assert_eq!(buyer.refused(&problem), Some(0));
    }
}
