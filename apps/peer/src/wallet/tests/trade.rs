//! Buying and selling as it should go.

use farthing_core::time::Span;
use farthing_netpay::messages::kind;

use super::bank::Line;
use super::world::{FUNDS, PRICE, World, end, micros, pay_pieces};
use crate::wallet::{Risk, What};

#[tokio::test]
async fn a_purchase_is_paid_receipted_redeemed_and_balances() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let before = world.money(&[&payer, &payee]);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 10).await;
    pay_pieces(&mut spending, &earning, 7).await;
    assert_eq!(payee.earnings().await.unwrap().unclaimed, micros(7 * PRICE));
    assert_eq!(end(spending, &earning).await, 7 * PRICE);
    let report = payee.redeem(&*world.bank).await.unwrap();
    assert_eq!((report.paid, report.visits, report.rest), (micros(7 * PRICE), 1, micros(0)));
    assert_eq!(world.bank.balance(payee.me()), FUNDS + 7 * PRICE);
    // Again it brings nothing.
    assert_eq!(payee.redeem(&*world.bank).await.unwrap().requests, 0);
    let receipts = payer.receipts().await.unwrap();
    assert_eq!(receipts.len(), 1);
    let receipt = receipts[0].clone().verify_by(payer.network(), payee.me()).unwrap();
    assert_eq!(receipt.body().amount, micros(7 * PRICE));
    assert_eq!(payer.budget(None).await.unwrap().spent, micros(7 * PRICE));
    assert!(payee.history(None).await.unwrap().iter().any(|(_, line)| matches!(line.what, What::Sold { .. })));
    // What the chain has left comes back when it ends.
    world.clock.advance(Span::from_days(10));
    world.bank.tick();
    payer.upkeep(&*world.bank).await.unwrap();
    assert!(payer.history(None).await.unwrap().iter().any(|(_, line)| matches!(line.what, What::Refunded { .. })));
    assert_eq!(world.money(&[&payer, &payee]), before);
}

#[tokio::test]
async fn buying_works_while_the_bank_is_down_from_chains_opened_in_advance() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    assert_eq!(payer.upkeep(&*world.bank).await.unwrap().opened, 2);
    world.bank.set(Line::Down);
    for _ in 0..3 {
        let (mut spending, earning, _) = world.begin(&payer, &payee, 5).await;
        pay_pieces(&mut spending, &earning, 5).await;
        assert_eq!(end(spending, &earning).await, 5 * PRICE);
    }
    world.bank.set(Line::Up);
    let report = payee.redeem(&*world.bank).await.unwrap();
    assert_eq!((report.paid, report.visits, report.requests), (micros(15 * PRICE), 3, 1));
}

#[tokio::test]
async fn a_long_purchase_extends_its_reserve_and_every_unit_is_claimed() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 150).await;
    pay_pieces(&mut spending, &earning, 150).await;
    assert_eq!(end(spending, &earning).await, 150 * PRICE);
    let report = payee.redeem(&*world.bank).await.unwrap();
    assert_eq!(report.paid, micros(150 * PRICE));
}

#[tokio::test]
async fn units_released_are_spent_at_the_next_payee_and_both_are_paid() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let (first, second) = (world.wallet("first").await, world.wallet("second").await);
    for payee in [&first, &second] {
        let (mut spending, earning, _) = world.begin(&payer, payee, 20).await;
        pay_pieces(&mut spending, &earning, 3).await;
        end(spending, &earning).await;
    }
    assert_eq!(world.bank.asked(kind::OPEN).len(), 1, "one chain was enough");
    for payee in [&first, &second] {
        assert_eq!(payee.redeem(&*world.bank).await.unwrap().paid, micros(3 * PRICE));
    }
}

#[tokio::test]
async fn a_visit_in_progress_is_redeemed_as_far_as_it_has_come_and_the_rest_later() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 10).await;
    for pieces in [2, 3] {
        pay_pieces(&mut spending, &earning, pieces).await;
        assert_eq!(payee.redeem(&*world.bank).await.unwrap().paid, micros(pieces * PRICE));
    }
    end(spending, &earning).await;
}

#[tokio::test]
async fn exposure_names_who_could_take_how_much_until_when() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 10).await;
    pay_pieces(&mut spending, &earning, 2).await;
    let at_risk = payer.exposure().await.unwrap();
    assert_eq!(at_risk.len(), 1);
    assert_eq!((at_risk[0].to, at_risk[0].at_most, at_risk[0].risk), (payee.me(), micros(10 * PRICE), Risk::Visit));
    let owed = payee.exposure().await.unwrap();
    assert_eq!((owed[0].at_most, owed[0].risk), (micros(2 * PRICE), Risk::Unredeemed));
    spending.abandon().await.unwrap();
    assert_eq!(payer.exposure().await.unwrap()[0].risk, Risk::Abandoned);
}

#[tokio::test]
async fn the_bank_releases_for_a_payee_that_vanished_and_the_policy_counts_what_it_took() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 10).await;
    pay_pieces(&mut spending, &earning, 4).await;
    payee.redeem(&*world.bank).await.unwrap();
    drop(spending);
    assert_eq!(payer.budget(None).await.unwrap().spent, micros(10 * PRICE));
    let early = payer.upkeep(&*world.bank).await.unwrap();
    assert_eq!(early.released, 0);
    world.clock.advance(Span::from_hours(24 + 48 + 1));
    let done = payer.upkeep(&*world.bank).await.unwrap();
    assert_eq!(done.released, 1, "{:?}", done.troubles);
    assert_eq!(payer.budget(None).await.unwrap().spent, micros(4 * PRICE));
    assert!(payer.exposure().await.unwrap().is_empty());
}

#[tokio::test]
async fn earnings_are_redeemed_by_amount_by_time_and_before_they_lapse() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let mut settings = world.settings();
    settings.redeem.threshold = Some(micros(3 * PRICE));
    let eager = world.wallet_with("eager", &settings).await;
    let patient = world.wallet("patient").await;
    for (payee, pieces, due) in [(&eager, 2, false), (&eager, 1, true), (&patient, 100, false)] {
        let (mut spending, earning, _) = world.begin(&payer, payee, pieces).await;
        pay_pieces(&mut spending, &earning, pieces).await;
        end(spending, &earning).await;
        assert_eq!(payee.redeem_is_due().await.unwrap(), due);
    }
    assert!(eager.upkeep(&*world.bank).await.unwrap().redeemed.is_some());
    world.clock.advance(Span::from_hours(24 + 48 - 23));
    assert!(patient.redeem_is_due().await.unwrap());
    assert_eq!(patient.upkeep(&*world.bank).await.unwrap().redeemed.unwrap().paid, micros(100 * PRICE));
}
