//! Servers that cheat.

use std::time::Duration;

use farthing_core::refusal::Money;

use super::server::{Quirk, Server, UNIT};
use super::world::{World, micros};
use crate::{ATTEMPTS_MAX, Options, PayError, PayingClient, Receipt};

const BODY: usize = 1 << 20;

#[tokio::test]
async fn client_believes_no_receipt_for_another_index_or_under_another_key_and_counts_on_by_itself() {
    for quirk in [Quirk::OtherIndex, Quirk::BadMac] {
        let (world, server) = (World::new(), Server::start(1, quirk).await);
        let client = world.client(Options::default()).await;
        for n in 1..4 {
            let paid = client.execute(server.request(&format!("/{n}"))).await.unwrap();
            assert_eq!(paid.receipt(), Receipt::False { at_most: micros(UNIT) });
            assert_eq!(server.shop().earned(), n, "a server's claim moved the wallet's count");
        }
    }
}

#[tokio::test]
async fn client_notices_an_answer_that_is_not_the_one_in_the_receipt_and_one_without() {
    let (world, server) = (World::new(), Server::start(1, Quirk::OtherAnswer).await);
    let client = world.client(Options::default()).await;
    let (_, receipt) = client.execute(server.request("/a")).await.unwrap().bytes(BODY).await.unwrap();
    assert_eq!(receipt, Receipt::Checked { cost: micros(UNIT), whole: false });
    server.shop().quirk = Quirk::NoReceipt;
    let (_, receipt) = client.execute(server.request("/b")).await.unwrap().bytes(BODY).await.unwrap();
    assert_eq!(receipt, Receipt::Missing { at_most: micros(UNIT) });
}

#[tokio::test]
async fn a_server_that_raises_its_price_after_quoting_is_paid_the_new_one_within_the_cap_or_nothing() {
    let (world, server) = (World::new(), Server::start(1, Quirk::Honest).await);
    let wallet = world.client(Options::default()).await.wallet().clone();
    let capped = Options { per_request: Some(micros(2 * UNIT)), ..Options::default() };
    let client = PayingClient::new(wallet, capped).unwrap();
    client.execute(server.request("/a")).await.unwrap();
    server.shop().price = 2;
    let (_, receipt) = client.execute(server.request("/a")).await.unwrap().bytes(BODY).await.unwrap();
    assert_eq!(receipt, Receipt::Checked { cost: micros(2 * UNIT), whole: true });
    server.shop().price = 3;
    let dear = client.execute(server.request("/a")).await;
    assert!(matches!(dear, Err(PayError::Denied { at_most, .. }) if at_most == micros(2 * UNIT)), "{dear:?}");
    assert_eq!(client.spent(), micros(3 * UNIT));
}

#[tokio::test]
async fn a_server_that_asks_more_at_every_try_is_left_after_a_bounded_number() {
    let (world, server) = (World::new(), Server::start(1, Quirk::Dearer).await);
    let client = world.client(Options::default()).await;
    let answer = client.execute(server.request("/a")).await;
    assert!(matches!(answer, Err(PayError::Denied { .. })), "{answer:?}");
    assert_eq!(server.shop().payments as usize, ATTEMPTS_MAX);
    assert_eq!(client.spent(), micros(0));
}

#[tokio::test]
async fn a_server_that_says_every_coupon_was_used_gets_one_and_no_more() {
    let (world, server) = (World::new(), Server::start(1, Quirk::SaysUsed).await);
    let client = world.client(Options::default()).await;
    let answer = client.execute(server.request("/a")).await;
    assert!(matches!(answer, Err(PayError::Spent { .. })), "{answer:?}");
    assert_eq!(server.shop().payments, 1);
}

#[tokio::test]
async fn a_request_whose_payment_was_taken_and_whose_answer_is_gone_is_never_paid_again_by_itself() {
    for quirk in [Quirk::Forgets, Quirk::ForgetsSessions] {
        let (world, server) = (World::new(), Server::start(1, quirk).await);
        let client = world.client(Options::default()).await;
        let lost = client.execute(server.request("/a")).await;
        let Err(why @ PayError::Spent { at_most, .. }) = &lost else { panic!("{quirk:?}: {lost:?}") };
        assert_eq!((*at_most, why.money()), (micros(UNIT), Money::MovedBefore));
        assert_eq!((server.shop().deliveries, client.spent()), (1, micros(UNIT)), "{quirk:?}");
    }
}

#[tokio::test]
async fn a_server_that_takes_the_payment_and_asks_for_it_again_is_not_said_to_have_taken_nothing() {
    let (world, server) = (World::new(), Server::start(1, Quirk::Denies).await);
    let client = world.client(Options::default()).await;
    let denied = client.execute(server.request("/a")).await;
    let Err(why @ PayError::Denied { at_most, .. }) = &denied else { panic!("{denied:?}") };
    assert_eq!((*at_most, why.money()), (micros(UNIT), Money::Unknown));
    assert_eq!(server.shop().earned(), 1, "it has gained one payment");
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_in_time_and_the_payment_it_was_sent_is_named() {
    let (world, server) = (World::new(), Server::start(1, Quirk::Mute).await);
    let brief = Options { answer_time: Some(Duration::from_millis(500)), ..Options::default() };
    let client = world.client(brief).await;
    let silent = client.execute(server.request("/a")).await;
    assert!(matches!(&silent, Err(PayError::Refused { .. })), "{silent:?}");
    server.shop().quirk = Quirk::Silent;
    let silent = client.execute(server.request("/a")).await;
    assert!(matches!(&silent, Err(PayError::Unknown { at_most, .. }) if *at_most == micros(UNIT)), "{silent:?}");
    assert_eq!(server.shop().payments, 1, "it was given its time once");
}

#[tokio::test]
async fn a_server_that_never_knows_its_sessions_is_left_after_a_bounded_number() {
    let (world, server) = (World::new(), Server::start(1, Quirk::NoSession).await);
    let client = world.client(Options::default()).await;
    assert!(matches!(client.execute(server.request("/a")).await, Err(PayError::Refused { .. })));
    assert!(server.shop().sessions() <= ATTEMPTS_MAX);
}

#[tokio::test]
async fn client_refuses_a_quote_for_another_request() {
    let (world, server) = (World::new(), Server::start(1, Quirk::OtherRequest).await);
    let client = world.client(Options::default()).await;
    assert!(matches!(client.execute(server.request("/a")).await, Err(PayError::Refused { .. })));
    let shop = server.shop();
    assert_eq!((shop.payments, shop.sessions()), (0, 0));
}

#[tokio::test]
async fn client_pays_no_new_key_at_a_site_it_has_paid_before() {
    let (world, server) = (World::new(), Server::start(1, Quirk::Honest).await);
    let client = world.client(Options::default()).await;
    client.execute(server.request("/a")).await.unwrap();
    let known = client.wallet().coupon_sessions().await.unwrap()[0].clone();
    client.wallet().coupon_trust(&known.site, farthing_core::id::PeerId([8; 32])).await.unwrap();
    server.shop().forget_sessions();
    let refused = client.execute(server.request("/a")).await;
    let Err(PayError::Refused { why, .. }) = refused else { panic!("{refused:?}") };
    assert!(why.contains("key"), "{why}");
}

#[tokio::test]
async fn nothing_is_spent_where_nobody_is() {
    let (world, server) = (World::new(), Server::start(1, Quirk::Honest).await);
    let client = world.client(Options::default()).await;
    let unbound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", unbound.local_addr().unwrap()).parse().unwrap();
    drop(unbound);
    let answer = client.execute(reqwest::Request::new(reqwest::Method::GET, url)).await;
    assert!(matches!(answer, Err(PayError::NothingSent(_))), "{answer:?}");
    let mut streamed = server.request("/a");
    *streamed.body_mut() =
        Some(reqwest::Body::wrap_stream(futures::stream::empty::<Result<Vec<u8>, std::io::Error>>()));
    assert!(matches!(client.execute(streamed).await, Err(PayError::NothingSent(_))));
    assert_eq!(client.spent(), micros(0));
}

#[tokio::test]
async fn client_goes_on_by_its_own_record_at_a_server_that_lies_about_what_was_paid() {
    // More than was paid, to be given what is left; less, to be paid the same units again.
    for tip in [0, 1, 900] {
        let (world, server) = (World::new(), Server::start(1, Quirk::LiesOnTip(tip)).await);
        let client = world.client(Options::default()).await;
        for n in 0..3 {
            client.execute(server.request(&format!("/{n}"))).await.unwrap();
        }
        let wallet = client.wallet().clone();
        drop(client);
        let client = PayingClient::new(world.restart(wallet).await, Options::default()).unwrap();
        client.execute(server.request("/after")).await.unwrap();
        assert_eq!(server.shop().indices, [1, 2, 3, 4], "the session goes on where this side left it");
        let closed = client.close(server.request("/").url()).await.unwrap();
        assert_eq!((closed.sessions, closed.charged, closed.unanswered), (1, micros(4 * UNIT), micros(0)), "{tip}");
        assert!(client.wallet().coupon_sessions().await.unwrap().is_empty());
        assert_eq!(client.wallet().budget(None).await.unwrap().spent, micros(4 * UNIT));
    }
}
