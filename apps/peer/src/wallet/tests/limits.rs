//! The policy: every cap, the owner's word, and what is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use farthing_core::amount::Amount;
use farthing_core::time::Span;
use farthing_core::vault::Protection;
use futures::future::BoxFuture;

use super::world::{FUNDS, PRICE, World, end, micros, pay_pieces, seed};
use crate::wallet::{Approval, Approver, Cap, Options, Policy, PolicyRefusal, Wallet, WalletError};

async fn with_policy(world: &World, policy: Policy) -> Wallet {
    let mut settings = world.settings();
    settings.policy = policy;
    world.wallet_with("payer", &settings).await
}

/// Which cap refuses so many pieces.
async fn refused(world: &World, payer: &Wallet, payee: &Wallet, pieces: u64) -> Option<(Cap, Amount)> {
    match payer.begin(world.want(payee, pieces)).await {
        Err(WalletError::Policy(PolicyRefusal::Over { which, left, .. })) => Some((which, left)),
        Ok((_, spending)) => {
            spending.abandon().await.unwrap();
            None
        }
        Err(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn payer_refuses_a_purchase_above_any_cap_and_says_which_and_what_is_left() {
    let cap = Some(micros(10 * PRICE));
    for (policy, which) in [
        (Policy { per_request: cap, ..Policy::default() }, Cap::Request),
        (Policy { per_payee: cap, ..Policy::default() }, Cap::Payee),
        (Policy { per_hour: cap, ..Policy::default() }, Cap::Hour),
        (Policy { total: cap, ..Policy::default() }, Cap::Total),
    ] {
        let world = World::new();
        let (payer, payee) = (with_policy(&world, policy).await, world.wallet("payee").await);
        assert_eq!(refused(&world, &payer, &payee, 11).await, Some((which, micros(10 * PRICE))));
        assert_eq!(payer.budget(None).await.unwrap().spent, micros(0), "a refused purchase was counted");
        assert_eq!(refused(&world, &payer, &payee, 10).await, None);
        let why = PolicyRefusal::Over { which, cap: micros(1), left: micros(0), asked: micros(2) }.to_string();
        assert!(why.contains(which.key()) && why.contains("policy"), "{why}");
        if which != Cap::Request {
            assert_eq!(refused(&world, &payer, &payee, 1).await, Some((which, micros(0))));
        }
    }
}

#[tokio::test]
async fn what_a_visit_did_not_cost_is_given_back_to_every_cap_and_an_hour_ends() {
    let world = World::new();
    let cap = Some(micros(10 * PRICE));
    let policy = Policy { per_payee: cap, per_hour: cap, total: Some(micros(30 * PRICE)), ..Policy::default() };
    let (payer, payee) = (with_policy(&world, policy).await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 10).await;
    assert_eq!(refused(&world, &payer, &payee, 1).await, Some((Cap::Payee, micros(0))));
    pay_pieces(&mut spending, &earning, 4).await;
    end(spending, &earning).await;
    let budget = payer.budget(Some(payee.me())).await.unwrap();
    assert_eq!((budget.per_payee, budget.per_hour), (Some(micros(6 * PRICE)), Some(micros(6 * PRICE))));
    assert_eq!(budget.total, Some(micros(26 * PRICE)));
    world.clock.advance(Span::from_hours(1));
    let later = payer.budget(Some(payee.me())).await.unwrap();
    assert_eq!((later.per_payee, later.per_hour), (Some(micros(6 * PRICE)), cap));
}

#[tokio::test]
async fn two_purchases_at_once_do_not_slip_through_one_cap() {
    let world = World::new();
    let policy = Policy { total: Some(micros(10 * PRICE)), ..Policy::default() };
    let (payer, payee) = (with_policy(&world, policy).await, world.wallet("payee").await);
    payer.upkeep(&*world.bank).await.unwrap();
    let (one, two) = tokio::join!(payer.begin(world.want(&payee, 6)), payer.begin(world.want(&payee, 6)));
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
}

#[tokio::test]
async fn a_visit_pays_no_more_than_it_was_begun_for() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 3).await;
    pay_pieces(&mut spending, &earning, 3).await;
    let more = spending.pay(1).await;
    assert!(matches!(more, Err(WalletError::Policy(PolicyRefusal::Visit { .. }))), "{more:?}");
    let mut want = world.want(&payee, 10);
    want.max_total = micros(2 * PRICE);
    let (_, mut spending) = payer.begin(want).await.unwrap();
    assert!(spending.pay(2 * spending.units_per_piece()).await.is_ok());
    assert!(spending.pay(1).await.is_err());
}

struct Answer(AtomicBool);

impl Approver for Answer {
    fn approve<'a>(&'a self, ask: &'a Approval) -> BoxFuture<'a, bool> {
        assert_eq!(ask.description, "a file");
        Box::pin(std::future::ready(self.0.load(Ordering::SeqCst)))
    }
}

#[tokio::test]
async fn payer_asks_its_owner_above_the_threshold_and_takes_no_for_an_answer() {
    let world = World::new();
    let owner = Arc::new(Answer(AtomicBool::new(false)));
    let mut settings = world.settings();
    settings.policy.approve_above = Some(micros(5 * PRICE));
    let options = Options { approver: owner.clone(), ..world.options() };
    let payer =
        Wallet::create(&world.home("payer"), &seed("payer"), &Protection::None, &settings, options).await.unwrap();
    world.bank.enrol(payer.me(), FUNDS);
    payer.set_desk(world.bank.clone()).await;
    let payee = world.wallet("payee").await;
    let no = payer.begin(world.want(&payee, 6)).await;
    assert!(matches!(no, Err(WalletError::Policy(PolicyRefusal::NotApproved { .. }))));
    assert!(payer.begin(world.want(&payee, 5)).await.is_ok());
    owner.0.store(true, Ordering::SeqCst);
    assert!(payer.begin(world.want(&payee, 6)).await.is_ok());
}

#[tokio::test]
async fn payer_refuses_orders_that_are_over_for_another_or_not_to_be_paid_in_units() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let mut want = world.want(&payee, 5);
    want.payee = payer.me();
    assert!(matches!(payer.begin(want).await, Err(WalletError::Order(_))));
    let mut want = world.want(&payee, 5);
    want.order.price = micros(0);
    assert!(matches!(payer.begin(want).await, Err(WalletError::Price(..))));
    let mut want = world.want(&payee, 5);
    want.max_total = "1 USD".parse().unwrap();
    assert!(matches!(payer.begin(want).await, Err(WalletError::Amount(_))));
    let late = world.want(&payee, 5);
    world.clock.advance(Span::from_hours(1));
    assert!(matches!(payer.begin(late).await, Err(WalletError::Order(_))));
}

#[tokio::test]
async fn a_price_that_spare_chains_cannot_pay_gets_a_chain_of_its_own() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    for price in [7, 333, 1_000_003] {
        let mut want = world.want(&payee, 2);
        want.order.price = micros(price);
        want.max_total = micros(2 * price);
        let order = want.order.clone();
        let (visit, mut spending) = payer.begin(want).await.unwrap();
        let earning = payee.admit(payer.now(), &order, visit).await.unwrap();
        pay_pieces(&mut spending, &earning, 2).await;
        assert_eq!(end(spending, &earning).await, 2 * price);
    }
}

#[tokio::test]
async fn a_purchase_beyond_the_account_is_refused_by_the_bank_and_counts_for_nothing() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let mut want = world.want(&payee, 1);
    want.order.price = micros(FUNDS + 1);
    want.max_total = micros(FUNDS + 1);
    assert!(matches!(payer.begin(want).await, Err(WalletError::Bank(_))));
    assert_eq!(payer.budget(None).await.unwrap().spent, micros(0));
    assert_eq!(world.bank.balance(payer.me()), FUNDS);
}
