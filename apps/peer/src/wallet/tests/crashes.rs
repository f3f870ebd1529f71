//! The wallet ends at every step and begins again: nothing is forgotten, nothing is paid twice.

use farthing_core::time::Span;
use farthing_driver::Clock;
use farthing_netpay::messages::kind;

use super::attacks::TurnsAway;
use super::bank::Line;
use super::world::{FUNDS, PRICE, World, end, micros, pay_pieces};
use crate::wallet::{WalletError, What};

#[tokio::test]
async fn a_payer_that_crashes_after_any_number_of_payments_goes_on_where_its_payee_stands() {
    for paid in [0, 1, 2, 15, 16, 17, 20] {
        let world = World::new();
        let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
        let before = world.money(&[&payer, &payee]);
        let (mut spending, earning, _) = world.begin(&payer, &payee, 20).await;
        let order = world.want(&payee, 20).order;
        pay_pieces(&mut spending, &earning, paid).await;
        drop(spending);
        let payer = world.reopen(payer).await;
        let (visit, mut spending) = payer.resume(payee.me(), order.id()).await.unwrap().unwrap();
        let earning = payee.admit(world.clock.now(), &order, visit).await.unwrap();
        spending.agree(earning.through()).unwrap();
        assert_eq!(spending.paid().unwrap(), micros(paid * PRICE), "after {paid}");
        pay_pieces(&mut spending, &earning, 20 - paid).await;
        assert_eq!(end(spending, &earning).await, 20 * PRICE);
        assert_eq!(payee.redeem(&*world.bank).await.unwrap().paid, micros(20 * PRICE));
        assert_eq!(world.money(&[&payer, &payee]), before);
    }
}

#[tokio::test]
async fn a_payee_that_crashes_keeps_every_word_it_said_was_durable() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, visit) = world.begin(&payer, &payee, 10).await;
    let order = world.want(&payee, 10).order;
    pay_pieces(&mut spending, &earning, 6).await;
    // One more is counted in memory only: nothing was served for it.
    let lost = spending.pay(spending.units_per_piece()).await.unwrap();
    earning.on_pay(&lost).unwrap();
    drop(earning);
    let payee = world.reopen(payee).await;
    let earning = payee.admit(world.clock.now(), &order, visit).await.unwrap();
    assert_eq!(earning.through(), 6 * spending.units_per_piece());
    let again = spending.pay_again().unwrap();
    assert_eq!(again, lost);
    assert_eq!(earning.on_pay(&again), Ok(spending.units_per_piece()));
    earning.persist().await.unwrap();
    assert_eq!(end(spending, &earning).await, 7 * PRICE);
}

#[tokio::test]
async fn a_payee_that_crashes_before_it_delivered_still_knows_what_it_was_paid_for() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, visit) = world.begin(&payer, &payee, 10).await;
    let order = world.want(&payee, 10).order;
    for (goods, written) in [(4, true), (5, false)] {
        earning.on_pay(&spending.pay(spending.units_per_piece()).await.unwrap()).unwrap();
        earning.note(goods);
        if written {
            earning.persist().await.unwrap();
        }
    }
    drop(earning);
    let payee = world.reopen(payee).await;
    let earning = payee.admit(world.clock.now(), &order, visit).await.unwrap();
    assert_eq!((earning.through(), earning.bought()), (spending.units_per_piece(), Some(4)));
}

#[tokio::test]
async fn a_visit_interrupted_in_its_second_reserve_is_resumed_there() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 100).await;
    let order = world.want(&payee, 100).order;
    pay_pieces(&mut spending, &earning, 70).await;
    drop((spending, earning));
    let (payer, payee) = (world.reopen(payer).await, world.reopen(payee).await);
    let (visit, mut spending) = payer.resume(payee.me(), order.id()).await.unwrap().unwrap();
    let earning = payee.admit(world.clock.now(), &order, visit).await.unwrap();
    spending.agree(earning.through()).unwrap();
    pay_pieces(&mut spending, &earning, 30).await;
    assert_eq!(end(spending, &earning).await, 100 * PRICE);
    assert_eq!(payee.redeem(&*world.bank).await.unwrap().paid, micros(100 * PRICE));
}

#[tokio::test]
async fn a_payer_that_reserves_further_and_crashes_before_the_payee_hears_loses_nothing() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 100).await;
    let order = world.want(&payee, 100).order;
    pay_pieces(&mut spending, &earning, 64).await;
    spending.extend().await.unwrap();
    drop((spending, earning));
    let (payer, payee) = (world.reopen(payer).await, world.reopen(payee).await);
    let (visit, mut spending) = payer.resume(payee.me(), order.id()).await.unwrap().unwrap();
    let earning = payee.admit(world.clock.now(), &order, visit).await.unwrap();
    spending.agree(earning.through()).unwrap();
    pay_pieces(&mut spending, &earning, 36).await;
    assert_eq!(end(spending, &earning).await, 100 * PRICE);
    assert_eq!(payee.redeem(&*world.bank).await.unwrap().paid, micros(100 * PRICE));
}

#[tokio::test]
async fn an_interrupted_visit_leaves_the_rest_of_its_chain_usable_and_never_its_own_units() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let (gone, next) = (world.wallet("gone").await, world.wallet("next").await);
    let (mut spending, earning, _) = world.begin(&payer, &gone, 10).await;
    pay_pieces(&mut spending, &earning, 3).await;
    let upto = earning.upto();
    drop(spending);
    let payer = world.reopen(payer).await;
    let (mut spending, other, visit) = world.begin(&payer, &next, 10).await;
    assert!(visit.reserve.peek().unwrap().from > upto);
    pay_pieces(&mut spending, &other, 10).await;
    end(spending, &other).await;
    // The interrupted one is still to be had.
    let order = world.want(&gone, 10).order;
    let (_, mut spending) = payer.resume(gone.me(), order.id()).await.unwrap().unwrap();
    spending.agree(earning.through()).unwrap();
    assert_eq!(end(spending, &earning).await, 3 * PRICE);
    for payee in [&gone, &next] {
        let report = payee.redeem(&*world.bank).await.unwrap();
        assert_eq!((report.contested, report.refused.len()), (0, 0));
    }
}

#[tokio::test]
async fn a_redemption_whose_answer_is_lost_is_asked_again_under_the_same_id_and_paid_once() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 10).await;
    pay_pieces(&mut spending, &earning, 10).await;
    end(spending, &earning).await;
    world.bank.set(Line::Deaf);
    assert!(matches!(payee.redeem(&*world.bank).await, Err(WalletError::Bank(_))));
    world.bank.set(Line::Down);
    let payee = world.reopen(payee).await;
    assert!(matches!(payee.redeem(&*world.bank).await, Err(WalletError::Bank(_))));
    world.bank.set(Line::Up);
    let payee = world.reopen(payee).await;
    let report = payee.redeem(&*world.bank).await.unwrap();
    assert_eq!((report.paid, report.rest), (micros(10 * PRICE), micros(0)));
    assert_eq!(world.bank.balance(payee.me()), FUNDS + 10 * PRICE);
    let mut claims = world.bank.asked(kind::CLAIM);
    assert_eq!(claims.len(), 2);
    claims.dedup();
    assert_eq!(claims.len(), 1, "another id was used for the same claim");
}

#[tokio::test]
async fn a_chain_whose_touchstone_is_lost_on_the_way_is_not_opened_twice() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    world.bank.set(Line::Deaf);
    assert!(matches!(payer.begin(world.want(&payee, 5)).await, Err(WalletError::NoChain(_))));
    let left = world.bank.balance(payer.me());
    assert!(left < FUNDS, "the bank has opened the chain");
    let payer = world.reopen(payer).await;
    world.bank.set(Line::Up);
    let (spending, earning, _) = world.begin(&payer, &payee, 5).await;
    assert_eq!(world.bank.balance(payer.me()), left);
    assert_eq!(end(spending, &earning).await, 0);
}

#[tokio::test]
async fn a_purchase_that_cannot_reach_the_bank_pays_nothing_and_leaves_nothing_behind() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    world.bank.set(Line::Down);
    assert!(matches!(payer.begin(world.want(&payee, 5)).await, Err(WalletError::NoChain(_))));
    assert_eq!(payer.budget(None).await.unwrap().spent, micros(0));
    assert!(payer.exposure().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_release_lost_on_the_way_is_given_again_the_same_and_nothing_is_counted_after_it() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, visit) = world.begin(&payer, &payee, 10).await;
    let order = world.want(&payee, 10).order;
    pay_pieces(&mut spending, &earning, 4).await;
    let release = earning.release().await.unwrap();
    let late = spending.pay(spending.units_per_piece()).await.unwrap();
    assert!(earning.on_pay(&late).is_err());
    drop(earning);
    let payee = world.reopen(payee).await;
    let earning = payee.admit(world.clock.now(), &order, visit).await.unwrap();
    assert_eq!(earning.release().await.unwrap(), release);
    assert!(earning.on_pay(&late).is_err());
}

#[tokio::test]
async fn a_redemption_turned_away_for_good_is_told_and_not_tried_for_ever() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 10).await;
    pay_pieces(&mut spending, &earning, 10).await;
    end(spending, &earning).await;
    // Written down in time, and late when it arrives.
    assert!(payee.redeem(&TurnsAway::unsigned()).await.is_err());
    world.clock.advance(Span::from_hours(24 + 48 + 1));
    let report = payee.redeem(&*world.bank).await.unwrap();
    assert_eq!((report.paid, report.refused.len()), (micros(0), 1));
    assert!(payee.history(None).await.unwrap().iter().any(|(_, line)| matches!(line.what, What::ClaimLost { .. })));
    assert_eq!(payee.redeem(&*world.bank).await.unwrap().requests, 0);
}
