//! The account at the bank.

use farthing_bank::messages::{DESTINATION_MAX, Text, kind};

use super::bank::Line;
use super::world::{FUNDS, World, micros};
use crate::wallet::WalletError;

/// What upkeep sets aside for spare chains.
const SPARE: u64 = 200_000;

#[tokio::test]
async fn a_pay_out_whose_answer_is_lost_is_asked_again_under_the_same_id_and_never_twice() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let destination = || Text::<DESTINATION_MAX>::new("my other pocket").unwrap();
    world.bank.set(Line::Deaf);
    assert!(matches!(payer.payout(&*world.bank, micros(1_000), destination()).await, Err(WalletError::Bank(_))));
    assert_eq!(world.bank.balance(payer.me()), FUNDS - 1_000);
    let payer = world.reopen(payer).await;
    world.bank.set(Line::Up);
    payer.upkeep(&*world.bank).await.unwrap();
    payer.upkeep(&*world.bank).await.unwrap();
    let ids = world.bank.asked(kind::PAYOUT);
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    assert!(payer.pending().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_owner_who_asks_again_after_silence_or_a_broken_line_is_paid_out_once() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let destination = || Text::<DESTINATION_MAX>::new("my other pocket").unwrap();
    for line in [Line::Down, Line::Deaf, Line::Down, Line::Deaf, Line::Up] {
        world.bank.set(line);
        let asked = payer.payout(&*world.bank, micros(1_000), destination()).await;
        assert_eq!(asked.is_ok(), line == Line::Up, "{asked:?}");
        if world.bank.asked(kind::PAYOUT).is_empty() {
            assert!(payer.pending().await.unwrap().is_empty(), "it never left, and waits to be sent");
        }
    }
    payer.upkeep(&*world.bank).await.unwrap();
    assert_eq!(world.bank.balance(payer.me()), FUNDS - 1_000 - SPARE);
}

#[tokio::test]
async fn a_wallet_without_money_for_a_chain_asks_for_none_and_notes_nothing() {
    let world = World::new();
    let settings = world.settings();
    let dear = crate::wallet::ChainSettings { unit_micros: FUNDS, value_micros: 2 * FUNDS, ..settings.chains };
    let poor = world.wallet_with("poor", &crate::wallet::Settings { chains: dear, ..settings }).await;
    for _ in 0..3 {
        let done = poor.upkeep(&*world.bank).await.unwrap();
        assert!(done.opened == 0 && done.troubles.is_empty(), "{done:?}");
    }
    assert!(world.bank.asked(farthing_netpay::messages::kind::OPEN).is_empty());
    assert!(poor.history(None).await.unwrap().is_empty());
}
