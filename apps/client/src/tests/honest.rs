//! What works, and goes on working when connections and programs break.

use std::collections::HashSet;

use farthing_peer::wallet::Policy;
use reqwest::header::AUTHORIZATION;

use super::server::{Quirk, Server, UNIT};
use super::world::{World, micros};
use crate::{Options, PayError, PayingClient, Receipt};

const BODY: usize = 1 << 20;

#[tokio::test]
async fn a_paid_answer_is_paid_for_once_and_proves_to_be_what_was_paid_for() {
    let (world, server) = (World::new(), Server::start(3, Quirk::Honest).await);
    let client = world.client(Options::default()).await;
    for n in 0..5 {
        let paid = client.execute(server.request(&format!("/a?n={n}"))).await.unwrap();
        assert_eq!(paid.status(), 200);
        let (body, receipt) = paid.bytes(BODY).await.unwrap();
        assert_eq!(&body[..], format!("/a?n={n} for 3").as_bytes());
        assert_eq!(receipt, Receipt::Checked { cost: micros(3 * UNIT), whole: true });
    }
    let shop = server.shop();
    assert_eq!((shop.deliveries, shop.payments, shop.earned(), shop.sessions()), (5, 5, 15, 1));
    assert_eq!(client.spent(), micros(15 * UNIT));
}

#[tokio::test]
async fn what_is_free_costs_nothing_and_a_quote_pays_nothing() {
    let (world, server) = (World::new(), Server::start(3, Quirk::Honest).await);
    let client = world.client(Options::default()).await;
    let (body, receipt) = client.execute(server.request("/free")).await.unwrap().bytes(BODY).await.unwrap();
    assert_eq!((&body[..], receipt), (&b"free"[..], Receipt::Free));
    assert!(client.quote(server.request("/free")).await.unwrap().is_none());
    let price = client.quote(server.request("/a")).await.unwrap().unwrap();
    assert_eq!(price.at_most, micros(3 * UNIT));
    let shop = server.shop();
    assert_eq!((shop.payments, shop.sessions()), (0, 0));
}

#[tokio::test]
async fn a_payment_after_the_first_takes_less_than_240_bytes_of_header() {
    let (world, server) = (World::new(), Server::start(1, Quirk::Honest).await);
    let client = world.client(Options::default()).await;
    client.execute(server.request("/a")).await.unwrap();
    server.shop().header_max = 0;
    for _ in 0..300 {
        client.execute(server.request("/a")).await.unwrap();
    }
    let longest = server.shop().header_max;
    assert!(longest > 0 && longest <= 160, "{longest} bytes");
}

#[tokio::test]
async fn a_hundred_requests_side_by_side_open_one_session_and_pay_once_each() {
    let (world, server) = (World::new(), Server::start(2, Quirk::Honest).await);
    let client = world.client(Options::default()).await;
    let all = (0..100).map(|n| {
        let (client, request) = (client.clone(), server.request(&format!("/{}", n / 2)));
        async move { client.execute(request).await.unwrap().bytes(BODY).await.unwrap().1 }
    });
    for receipt in futures::future::join_all(all).await {
        assert_eq!(receipt, Receipt::Checked { cost: micros(2 * UNIT), whole: true });
    }
    let shop = server.shop();
    assert_eq!((shop.deliveries, shop.earned(), shop.sessions()), (100, 200, 1));
}

#[tokio::test]
async fn an_answer_that_goes_missing_is_asked_for_again_with_the_same_payment() {
    let (world, server) = (World::new(), Server::start(1, Quirk::HangUp(3)).await);
    let client = world.client(Options::default()).await;
    for n in 0..12 {
        let (_, receipt) = client.execute(server.request(&format!("/{n}"))).await.unwrap().bytes(BODY).await.unwrap();
        assert_eq!(receipt, Receipt::Checked { cost: micros(UNIT), whole: true });
    }
    let shop = server.shop();
    assert_eq!((shop.deliveries, shop.earned()), (12, 12), "nothing was delivered or charged twice");
    assert!(shop.payments > 12);
}

#[tokio::test]
async fn a_request_of_unknown_outcome_is_made_again_after_a_restart_with_the_same_payment() {
    let (world, server) = (World::new(), Server::start(1, Quirk::Honest).await);
    let client = world.client(Options::default()).await;
    client.execute(server.request("/first")).await.unwrap();
    server.shop().quirk = Quirk::HangUpAlways;
    let unknown = client.execute(server.request("/lost")).await;
    assert!(matches!(unknown, Err(PayError::Unknown { at_most, .. }) if at_most == micros(UNIT)));
    let wallet = client.wallet().clone();
    drop(client);
    let client = PayingClient::new(world.restart(wallet).await, Options::default()).unwrap();
    server.shop().quirk = Quirk::Honest;
    client.execute(server.request("/lost")).await.unwrap();
    client.execute(server.request("/other")).await.unwrap();
    let shop = server.shop();
    assert_eq!((shop.deliveries, shop.sessions()), (3, 1));
    assert_eq!(shop.earned(), 3, "the lost request was paid once, in the session of before");
}

#[tokio::test]
async fn a_request_with_an_authorization_of_its_own_is_paid_in_the_words_of_x402() {
    let (world, server) = (World::new(), Server::start(1, Quirk::Honest).await);
    let client = world.client(Options::default()).await;
    for _ in 0..2 {
        let mut request = server.request("/a");
        request.headers_mut().insert(AUTHORIZATION, "Bearer mine".parse().unwrap());
        let (_, receipt) = client.execute(request).await.unwrap().bytes(BODY).await.unwrap();
        assert_eq!(receipt, Receipt::Checked { cost: micros(UNIT), whole: true });
    }
}

#[tokio::test]
async fn a_session_that_the_server_has_lost_is_replaced_by_another() {
    let (world, server) = (World::new(), Server::start(1, Quirk::Honest).await);
    let client = world.client(Options::default()).await;
    client.execute(server.request("/a")).await.unwrap();
    let before: HashSet<_> = client.wallet().coupon_sessions().await.unwrap().iter().map(|s| s.chain).collect();
    server.shop().forget_sessions();
    let (_, receipt) = client.execute(server.request("/b")).await.unwrap().bytes(BODY).await.unwrap();
    assert_eq!(receipt, Receipt::Checked { cost: micros(UNIT), whole: true });
    let after = client.wallet().coupon_sessions().await.unwrap();
    assert!(after.len() == 1 && !before.contains(&after[0].chain));
}

#[tokio::test]
async fn a_full_session_is_followed_by_another() {
    let (world, server) = (World::new(), Server::start(1, Quirk::Honest).await);
    let options = Options { session: Some(micros(5 * UNIT)), ..Options::default() };
    let client = world.client(options).await;
    let all = (0..20).map(|n| {
        let (client, request) = (client.clone(), server.request(&format!("/{n}")));
        async move { client.execute(request).await.unwrap() }
    });
    futures::future::join_all(all).await;
    let shop = server.shop();
    assert_eq!((shop.deliveries, shop.earned()), (20, 20));
    assert!(shop.sessions() >= 4);
}

#[tokio::test]
async fn client_pays_no_more_than_its_caps_and_the_wallets_policy_allow() {
    let (world, server) = (World::new(), Server::start(2, Quirk::Honest).await);
    let wallet = world.wallet(Policy { total: Some(micros(10 * UNIT)), ..Policy::default() }).await;
    let dear = Options { per_request: Some(micros(UNIT)), ..Options::default() };
    let client = PayingClient::new(wallet.clone(), dear).unwrap();
    assert!(matches!(client.execute(server.request("/a")).await, Err(PayError::Refused { .. })));
    let few = Options { total: Some(micros(4 * UNIT)), ..Options::default() };
    for (options, paid) in [(few, 2), (Options::default(), 3)] {
        let client = PayingClient::new(wallet.clone(), options).unwrap();
        for n in 0..6 {
            let answer = client.execute(server.request(&format!("/{n}"))).await;
            assert_eq!(answer.is_ok(), n < paid, "{n}: {answer:?}");
        }
    }
    assert_eq!(server.shop().earned(), 10);
}

#[tokio::test]
async fn a_tool_is_held_to_its_own_cap() {
    let (world, server) = (World::new(), Server::start(1, Quirk::Honest).await);
    let wallet = world.wallet(Policy { per_tool: Some(micros(2 * UNIT)), ..Policy::default() }).await;
    let client = PayingClient::new(wallet, Options::default()).unwrap();
    for (tool, n, allowed) in [("search", 0, true), ("search", 1, true), ("search", 2, false), ("read", 3, true)] {
        let answer = client.execute_for(tool, server.request(&format!("/{n}"))).await;
        assert_eq!(answer.is_ok(), allowed, "{tool} {n}");
    }
}
