//! The proxy.

use reqwest::header::{HOST, ORIGIN};

use super::server::{Quirk, Server, UNIT};
use super::world::{World, micros};
use crate::proxy::{COST, ProxyError, router};
use crate::{Options, PayingClient};

async fn start(client: PayingClient, server: &Server) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = format!("http://{}", server.address).parse().unwrap();
    let router = router(client, upstream, address, None).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn proxy_pays_for_a_program_that_knows_nothing_of_it_until_the_cap() {
    let (world, server) = (World::new(), Server::start(2, Quirk::Honest).await);
    let client = world.client(Options { per_hour: Some(micros(6 * UNIT)), ..Options::default() }).await;
    let address = start(client, &server).await;
    let plain = reqwest::Client::new();
    for n in 0..3 {
        let answer = plain.get(format!("http://{address}/a?n={n}")).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()[COST]), (200, &"0.0002 XTS".parse().unwrap()));
        assert_eq!(answer.text().await.unwrap(), format!("/a?n={n} for 2"));
    }
    let refused = plain.get(format!("http://{address}/a")).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert!(refused.text().await.unwrap().contains("an hour"));
    assert_eq!(server.shop().earned(), 6);
}

#[tokio::test]
async fn proxy_serves_no_web_page_and_nobody_by_a_foreign_name() {
    let (world, server) = (World::new(), Server::start(2, Quirk::Honest).await);
    let address = start(world.client(Options::default()).await, &server).await;
    let plain = reqwest::Client::new();
    let url = format!("http://{address}/a");
    let by_name = plain.get(&url).header(HOST, "evil.example").send().await.unwrap();
    let by_page = plain.get(&url).header(ORIGIN, "https://evil.example").send().await.unwrap();
    assert_eq!((by_name.status(), by_page.status()), (403.try_into().unwrap(), 403.try_into().unwrap()));
    assert_eq!(server.shop().payments, 0);
}

#[tokio::test]
async fn proxy_says_why_it_pays_for_no_web_socket_and_asks_nothing() {
    let (world, server) = (World::new(), Server::start(2, Quirk::Honest).await);
    let address = start(world.client(Options::default()).await, &server).await;
    let asked = reqwest::Client::new().get(format!("http://{address}/a"));
    let refused = asked.header("connection", "upgrade").header("upgrade", "websocket").send().await.unwrap();
    assert_eq!(refused.status(), 501);
    let why = refused.text().await.unwrap();
    assert!(why.contains("WebSocket") && why.contains("nothing was paid"), "{why}");
    assert_eq!(server.shop().payments, 0);
}

#[tokio::test]
async fn proxy_listens_on_loopback_only_and_has_one_upstream() {
    let client = World::new().client(Options::default()).await;
    let upstream: reqwest::Url = "http://127.0.0.1:1".parse().unwrap();
    let open = "0.0.0.0:80".parse().unwrap();
    assert!(matches!(router(client.clone(), upstream, open, None), Err(ProxyError::NotLoopback(_))));
    for odd in ["ftp://host/", "http://host/path", "http://user@host/", "http://host/?q"] {
        let here = "127.0.0.1:0".parse().unwrap();
        let refused = router(client.clone(), odd.parse().unwrap(), here, None);
        assert!(matches!(refused, Err(ProxyError::Upstream)), "{odd}");
    }
}
