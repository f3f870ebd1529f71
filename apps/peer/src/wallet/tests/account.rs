//! The account at the bank.

use farthing_bank::messages::{DESTINATION_MAX, Text, kind};

use super::bank::Line;
use super::world::{FUNDS, World, micros};
use crate::wallet::WalletError;

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
