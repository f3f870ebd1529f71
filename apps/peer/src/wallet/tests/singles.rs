//! Single payments: drafts and online clearing between two wallets and a bank.

use std::sync::Arc;

use farthing_core::id::OrderId;
use farthing_core::refusal::Code;
use farthing_core::time::Span;
use farthing_core::vault::Protection;
use farthing_draft::messages::Finding;
use farthing_draft::payee::HeldState;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::bank::Line;
use super::world::{FUNDS, World, micros};
use crate::wallet::{
    Approval, Approver, Cap, Expected, Handover, Options, OutgoingState, PolicyRefusal, Purchase, RequestState, Risk,
    Scheme, Settings, Taken, Wallet, WalletError, What,
};

pub(super) const PRICE: u64 = 40_000;

/// Something to pay `payee` for, without a request of its own.
pub(super) fn purchase(payee: &Wallet, order: u8) -> Purchase {
    Purchase {
        payee: payee.me(),
        seal: Some(payee.seed().seal(0).public()),
        amount: micros(PRICE),
        order: OrderId([order; 32]),
        part: 0,
        description: "a thing".into(),
        alias: None,
        life: None,
    }
}

pub(super) fn expected(it: &Purchase) -> Option<Expected> {
    Some(Expected { order: it.order, amount: it.amount })
}

/// Pays by a scheme of this file.
pub(super) async fn pay(world: &World, payer: &Wallet, scheme: Scheme, it: &Purchase) -> Result<Handover, WalletError> {
    match scheme {
        Scheme::Draft => payer.pay_draft(it).await,
        _ => payer.pay_clearing(&*world.bank, it).await,
    }
}

/// A payer and a payee that have met the bank.
pub(super) async fn two(world: &World) -> (Wallet, Wallet) {
    let settings = plain(world);
    let (payer, payee) = (world.wallet_with("payer", &settings).await, world.wallet_with("payee", &settings).await);
    for wallet in [&payer, &payee] {
        wallet.join_clearing(&*world.bank).await.unwrap();
        wallet.reconcile(&*world.bank).await.unwrap();
    }
    (payer, payee)
}

/// Settings under which no chains are opened in advance.
pub(super) fn plain(world: &World) -> Settings {
    let mut settings = world.settings();
    settings.chains.spare = 0;
    settings
}

/// What the payee has at the bank once all is settled, less what it began with.
pub(super) async fn earned(world: &World, payee: &Wallet) -> u64 {
    payee.deposit_drafts(&*world.bank).await.unwrap();
    world.bank.balance(payee.me()) - FUNDS
}

const BOTH: [Scheme; 2] = [Scheme::Draft, Scheme::Clearing];

#[tokio::test]
async fn a_request_is_paid_once_by_either_scheme_and_its_receipt_ends_it() {
    for scheme in BOTH {
        let world = World::new();
        let (payer, payee) = two(&world).await;
        let life = Span::from_hours(1);
        let signed = payee.request_payment(Some(micros(PRICE)), "lunch", &BOTH, &[], life).await.unwrap();
        let request = payer.read_request(signed).unwrap();
        let it = Purchase::of(&request, micros(0));
        let handed = pay(&world, &payer, scheme, &it).await.unwrap();
        assert_eq!(pay(&world, &payer, scheme, &it).await.unwrap(), handed, "the very same");
        let taken = payee.take(handed.clone(), None).await.unwrap();
        let Taken::Serve { receipt, again: false, order, .. } = taken else { panic!("{taken:?}") };
        assert_eq!(order, request.order.id());
        let Taken::Serve { again: true, receipt: same, .. } = payee.take(handed, None).await.unwrap() else { panic!() };
        assert_eq!(same, receipt);
        assert!(matches!(payee.requested_by(order).await.unwrap().unwrap().state, RequestState::Paid(_)));
        let exposed = payer.exposure().await.unwrap();
        assert!(exposed.iter().any(|one| one.risk == Risk::Unacknowledged));
        let done = payer.on_receipt(receipt.clone()).await.unwrap();
        assert_eq!((done.state, done.scheme), (OutgoingState::Acknowledged, scheme));
        assert!(payer.exposure().await.unwrap().iter().all(|one| one.risk != Risk::Unacknowledged));
        assert_eq!(payer.receipts().await.unwrap(), [receipt]);
        assert_eq!(earned(&world, &payee).await, PRICE);
        assert_eq!(payer.budget(Some(payee.me())).await.unwrap().spent, micros(PRICE));
        // A second payment for the same request is not taken.
        let other = Purchase { part: 1, ..it };
        let handed = pay(&world, &payer, scheme, &other).await.unwrap();
        let Err(WalletError::Refused(why)) = payee.take(handed, None).await else { panic!() };
        assert_eq!(why.code, Code::Spent);
    }
}

#[tokio::test]
async fn a_draft_is_paid_taken_and_receipted_while_the_bank_is_gone_and_deposited_later() {
    let world = World::new();
    let (payer, payee) = two(&world).await;
    world.bank.set(Line::Down);
    let it = purchase(&payee, 1);
    let handed = payer.pay_draft(&it).await.unwrap();
    let taken = payee.take(handed, expected(&it)).await.unwrap();
    let Taken::Serve { receipt, .. } = taken else { panic!("{taken:?}") };
    payer.on_receipt(receipt).await.unwrap();
    let earnings = payee.earnings().await.unwrap();
    assert_eq!((earnings.unclaimed, earnings.drafts), (micros(PRICE), 1));
    assert!(payee.redeem(&*world.bank).await.is_err());
    world.bank.set(Line::Deaf);
    assert!(payee.redeem(&*world.bank).await.is_err());
    world.bank.set(Line::Up);
    // Its last day comes near: it is redeemed without being asked.
    world.clock.advance(Span::from_days(13).after_hours(12));
    let report = payee.upkeep(&*world.bank).await.unwrap().redeemed.unwrap();
    assert_eq!((report.drafts.paid, report.drafts.drafts, report.rest), (micros(PRICE), 1, micros(0)));
    assert_eq!(world.bank.balance(payee.me()), FUNDS + PRICE);
    assert_eq!(payee.redeem(&*world.bank).await.unwrap().drafts.drafts, 0);
}

trait AfterHours {
    fn after_hours(self, hours: u64) -> Self;
}

impl AfterHours for Span {
    fn after_hours(self, hours: u64) -> Self {
        Self::from_millis(self.as_millis() + Self::from_hours(hours).as_millis())
    }
}

#[tokio::test]
async fn every_cap_of_the_policy_holds_for_drafts_and_clearing_and_a_no_leaves_nothing_behind() {
    for scheme in BOTH {
        for (which, count) in [(Cap::Request, 0), (Cap::Payee, 2), (Cap::Hour, 2), (Cap::Total, 2)] {
            let world = World::new();
            let mut settings = world.settings();
            let cap = Some(micros(if which == Cap::Request { PRICE - 1 } else { 2 * PRICE + 1 }));
            match which {
                Cap::Request => settings.policy.per_request = cap,
                Cap::Payee => settings.policy.per_payee = cap,
                Cap::Hour => settings.policy.per_hour = cap,
                _ => settings.policy.total = cap,
            }
            let payer = world.wallet_with("payer", &settings).await;
            let payee = world.wallet("payee").await;
            for wallet in [&payer, &payee] {
                wallet.join_clearing(&*world.bank).await.unwrap();
                wallet.reconcile(&*world.bank).await.unwrap();
            }
            for order in 0..count {
                pay(&world, &payer, scheme, &purchase(&payee, order)).await.unwrap();
            }
            let refused = pay(&world, &payer, scheme, &purchase(&payee, 9)).await;
            let Err(WalletError::Policy(PolicyRefusal::Over { which: found, .. })) = refused else {
                panic!("{scheme} {which:?}: {refused:?}")
            };
            assert_eq!(found, which);
            assert_eq!(payer.payments().await.unwrap().len(), usize::from(count));
            assert_eq!(payer.payment(payee.me(), OrderId([9; 32]), 0).await.unwrap(), None);
        }
    }
}

struct Agrees(bool);

impl Approver for Agrees {
    fn approve<'a>(&'a self, ask: &'a Approval) -> BoxFuture<'a, bool> {
        assert_eq!(ask.description, "a thing");
        std::future::ready(self.0).boxed()
    }
}

#[tokio::test]
async fn above_the_threshold_the_owner_is_asked_and_a_no_pays_nothing() {
    for (says, scheme) in
        [(true, Scheme::Draft), (true, Scheme::Clearing), (false, Scheme::Draft), (false, Scheme::Clearing)]
    {
        let world = World::new();
        let mut settings = world.settings();
        settings.policy.approve_above = Some(micros(PRICE - 1));
        world.wallet_with("payer", &settings).await.close().await;
        let options = Options { approver: Arc::new(Agrees(says)), ..world.options() };
        let payer = Wallet::open(&world.home("payer"), &Protection::None, options).await.unwrap();
        payer.set_desk(world.bank.clone()).await;
        let payee = world.wallet("payee").await;
        payee.join_clearing(&*world.bank).await.unwrap();
        payer.reconcile(&*world.bank).await.unwrap();
        let paid = pay(&world, &payer, scheme, &purchase(&payee, 1)).await;
        match paid {
            Ok(_) => assert!(says),
            Err(WalletError::Policy(PolicyRefusal::NotApproved { .. })) => assert!(!says),
            other => panic!("{other:?}"),
        }
        assert_eq!(payer.payments().await.unwrap().len(), usize::from(says));
    }
}

#[tokio::test]
async fn a_payment_under_a_pseudonym_names_neither_the_account_nor_another_pseudonym() {
    let world = World::new();
    let mut settings = world.settings();
    // All certificates of an account together stay within one limit of the bank's.
    settings.drafts.limit_micros = 1_000_000;
    let (payer, payee) = (world.wallet_with("payer", &settings).await, world.wallet("payee").await);
    payee.reconcile(&*world.bank).await.unwrap();
    let mut payers = std::collections::HashSet::new();
    for (order, alias) in [(0, None), (1, Some(1)), (2, Some(2)), (3, Some(1))] {
        let it = Purchase { alias, ..purchase(&payee, order) };
        let handed = payer.pay_draft(&it).await.unwrap();
        let taken = payee.take(handed, expected(&it)).await.unwrap();
        let Taken::Serve { payer: who, receipt, .. } = taken else { panic!("{taken:?}") };
        assert_eq!(who == payer.me(), alias.is_none());
        payer.on_receipt(receipt).await.unwrap();
        payers.insert(who);
    }
    assert_eq!(payers.len(), 3);
    assert_eq!(earned(&world, &payee).await, 4 * PRICE);
    assert_eq!(world.bank.balance(payer.me()), FUNDS - 4 * PRICE);
    let refused = payer.pay_clearing(&*world.bank, &Purchase { alias: Some(1), ..purchase(&payee, 7) }).await;
    assert!(matches!(refused, Err(WalletError::NoScheme(_))));
    assert!(payer.pay_draft(&Purchase { alias: Some(99), ..purchase(&payee, 8) }).await.is_err());
}

#[tokio::test]
async fn a_draft_given_back_is_not_paid_counts_no_more_and_its_request_is_open_again() {
    let world = World::new();
    let (payer, payee) = two(&world).await;
    let signed = payee.request_payment(Some(micros(PRICE)), "lunch", &BOTH, &[], Span::from_hours(1)).await.unwrap();
    let it = Purchase::of(&payer.read_request(signed).unwrap(), micros(0));
    let handed = payer.pay_draft(&it).await.unwrap();
    let Taken::Serve { instrument, .. } = payee.take(handed.clone(), None).await.unwrap() else { panic!() };
    let returned = payee.give_back(instrument).await.unwrap();
    assert_eq!(payee.requested_by(it.order).await.unwrap().unwrap().state, RequestState::Open);
    assert!(payee.take(handed, None).await.is_err(), "what was given back is not taken again");
    payer.on_returned(payee.me(), it.order, 0, returned).await.unwrap();
    let done = payer.upkeep(&*world.bank).await.unwrap();
    assert!(done.troubles.is_empty(), "{:?}", done.troubles);
    assert_eq!(payer.payment(payee.me(), it.order, 0).await.unwrap().unwrap().state, OutgoingState::CameBack);
    assert_eq!(payer.budget(None).await.unwrap().spent, micros(0));
    assert_eq!(earned(&world, &payee).await, 0);
    assert_eq!(world.bank.balance(payer.me()), FUNDS);
    assert!(payer.pay_draft(&it).await.is_err(), "the same order is not paid by what came back");
}

#[tokio::test]
async fn a_draft_that_travels_slowly_is_taken_but_not_by_a_payee_that_may_have_forgotten_it() {
    let world = World::new();
    let (payer, payee) = two(&world).await;
    let it = purchase(&payee, 1);
    let file = world.home("payee.backup");
    payee.backup(&file, &Protection::None).await.unwrap();
    let handed = payer.pay_draft(&it).await.unwrap();
    world.clock.advance(Span::from_hours(3));
    assert!(matches!(payee.take(handed.clone(), expected(&it)).await.unwrap(), Taken::Serve { again: false, .. }));
    payee.close().await;
    let back = Wallet::restore(&world.home("again"), &file, &Protection::None, world.options()).await.unwrap();
    back.set_desk(world.bank.clone()).await;
    for _ in 0..2 {
        let refused = back.take(handed.clone(), expected(&it)).await;
        assert!(matches!(refused, Err(WalletError::Refused(why)) if why.code == Code::Clock));
        back.reconcile(&*world.bank).await.unwrap();
        world.clock.advance(Span::from_hours(1));
    }
    let late = payer.pay_draft(&purchase(&payee, 2)).await.unwrap();
    world.clock.advance(Span::from_hours(1));
    assert!(matches!(back.take(late, expected(&purchase(&payee, 2))).await.unwrap(), Taken::Serve { .. }));
}

#[tokio::test]
async fn a_payee_that_deposits_what_it_gave_back_holds_up_no_certificate_of_its_payer() {
    let world = World::new();
    let (payer, payee) = two(&world).await;
    let it = purchase(&payee, 1);
    let file = world.home("payee.backup");
    let handed = payer.pay_draft(&it).await.unwrap();
    let Taken::Serve { instrument, .. } = payee.take(handed, expected(&it)).await.unwrap() else { panic!() };
    payee.backup(&file, &Protection::None).await.unwrap();
    let returned = payee.give_back(instrument).await.unwrap();
    payer.on_returned(payee.me(), it.order, 0, returned).await.unwrap();
    // Its own copy forgets that it did, and deposits.
    let cheat = Wallet::restore(&world.home("cheat"), &file, &Protection::None, world.options()).await.unwrap();
    assert_eq!(cheat.deposit_drafts(&*world.bank).await.unwrap().paid, micros(PRICE));
    world.clock.advance(Span::from_hours(20));
    let done = payer.upkeep(&*world.bank).await.unwrap();
    assert_eq!((done.renewed, done.troubles.len()), (1, 1), "{:?}", done.troubles);
    payer.pay_draft(&purchase(&payee, 2)).await.unwrap();
}

#[tokio::test]
async fn a_payee_whose_goods_were_acknowledged_is_paid_for_a_draft_that_was_stopped() {
    let world = World::new();
    let (payer, payee) = two(&world).await;
    let it = purchase(&payee, 1);
    let handed = payer.pay_draft(&it).await.unwrap();
    let Taken::Serve { instrument, .. } = payee.take(handed, expected(&it)).await.unwrap() else { panic!() };
    let stopped = payer.stop_draft(&*world.bank, payee.me(), it.order, 0).await.unwrap();
    assert_eq!(stopped.draft.0, instrument);
    let deposits = payee.deposit_drafts(&*world.bank).await.unwrap();
    assert_eq!((deposits.stopped, deposits.paid), (1, micros(0)));
    let held = &payee.drafts_held().await.unwrap()[0];
    assert!(matches!(held.state, HeldState::Stopped { .. }));
    assert!(payer.delivered(payee.me(), it.order, 0).await.is_err(), "nobody says both");
    assert!(payee.dispute(&*world.bank, instrument).await.is_err(), "there is nothing to show");
    // A cheat says both with a wallet of its own making.
    let word = farthing_draft::messages::Delivered { draft: stopped.draft, time: stopped.time };
    payee.on_delivered(payer.key().sign(payer.network(), &word)).await.unwrap();
    assert_eq!(payee.dispute(&*world.bank, instrument).await.unwrap(), Finding::Pay);
    assert_eq!(earned(&world, &payee).await, PRICE);
    assert!(world.bank.is_suspended(payer.me()));
}

#[tokio::test]
async fn a_draft_above_the_threshold_is_served_for_only_after_the_banks_word() {
    let world = World::new();
    let mut settings = plain(&world);
    settings.drafts.ask_above = Some(micros(PRICE - 1));
    let (payer, payee) = (world.wallet("payer").await, world.wallet_with("payee", &settings).await);
    payer.reconcile(&*world.bank).await.unwrap();
    payee.reconcile(&*world.bank).await.unwrap();
    let it = purchase(&payee, 1);
    let handed = payer.pay_draft(&it).await.unwrap();
    world.bank.set(Line::Down);
    for _ in 0..2 {
        assert!(matches!(payee.take(handed.clone(), expected(&it)).await.unwrap(), Taken::Waiting { .. }));
    }
    assert_eq!(payee.earnings().await.unwrap().drafts, 0, "nothing was served for it");
    world.bank.set(Line::Up);
    payee.upkeep(&*world.bank).await.unwrap();
    let taken = payee.take(handed, expected(&it)).await.unwrap();
    assert!(matches!(taken, Taken::Serve { .. }), "{taken:?}");
    assert_eq!(earned(&world, &payee).await, PRICE);
}

#[tokio::test]
async fn certificates_are_renewed_before_they_end_and_never_for_a_restored_wallet() {
    let world = World::new();
    let (payer, _) = two(&world).await;
    let first = payer.draft_books().await.unwrap()[0].until.unwrap();
    assert_eq!(payer.upkeep(&*world.bank).await.unwrap().renewed, 0);
    world.clock.advance(Span::from_hours(20));
    assert_eq!(payer.upkeep(&*world.bank).await.unwrap().renewed, 1);
    assert!(payer.draft_books().await.unwrap()[0].until.unwrap() > first);
    let file = world.home("backup");
    payer.backup(&file, &Protection::None).await.unwrap();
    let back = Wallet::restore(&world.home("again"), &file, &Protection::None, world.options()).await.unwrap();
    world.clock.advance(Span::from_hours(20));
    assert_eq!(back.upkeep(&*world.bank).await.unwrap().renewed, 0);
    assert_eq!(back.draft_books().await.unwrap()[0].until, None);
}

#[tokio::test]
async fn a_wallet_knows_its_contacts_by_one_name_each() {
    let world = World::new();
    let (a, b) = (world.wallet("a").await, world.wallet("b").await);
    let contact = |name: &str, wallet: &Wallet| crate::wallet::Contact {
        name: name.into(),
        peer: wallet.me(),
        seal: None,
        address: None,
    };
    a.add_contact(contact("Bob", &b)).await.unwrap();
    assert!(a.add_contact(contact("Bob", &a)).await.is_err(), "a name leads to one key");
    assert!(a.add_contact(contact("Robert", &b)).await.is_err(), "a key has one name");
    let seal = Some(b.seed().seal(0).public());
    a.add_contact(crate::wallet::Contact { seal, ..contact("Bob", &b) }).await.unwrap();
    a.rename_contact("Bob", "Robert").await.unwrap();
    assert_eq!(a.name_of(b.me()).await.unwrap().as_deref(), Some("Robert"));
    assert_eq!(a.contact("Robert").await.unwrap().unwrap().seal, seal);
    for bad in ["", " x", "-x", "a\u{202e}b", &b.me().to_string(), &"x".repeat(65)] {
        assert!(a.add_contact(contact(bad, &a)).await.is_err(), "{bad:?}");
    }
    a.remove_contact("Robert").await.unwrap();
    assert!(a.contacts().await.unwrap().is_empty());
    assert!(a.remove_contact("Robert").await.is_err());
}

#[tokio::test]
async fn nobody_redirects_a_request_and_none_is_paid_after_its_time_or_twice_at_another_price() {
    let world = World::new();
    let (payer, payee) = two(&world).await;
    let life = Span::from_hours(1);
    let signed = payee.request_payment(Some(micros(PRICE)), "lunch", &BOTH, &[], life).await.unwrap();
    let thief = world.wallet("thief").await;
    let mut body = signed.peek().unwrap();
    body.seal = thief.seed().seal(0).public();
    let resigned = thief.key().sign(thief.network(), &body);
    assert!(payer.read_request(resigned).is_err(), "signed by another than it pays");
    let it = Purchase::of(&payer.read_request(signed.clone()).unwrap(), micros(0));
    let less = Purchase { amount: micros(PRICE - 1), ..it.clone() };
    let handed = payer.pay_draft(&less).await.unwrap();
    assert!(matches!(payee.take(handed, None).await, Err(WalletError::Refused(why)) if why.code == Code::Order));
    assert!(
        matches!(payer.pay_draft(&it).await, Err(WalletError::Order(_))),
        "another amount for the same is no repeat"
    );
    world.clock.advance(Span::from_hours(2));
    assert!(payer.read_request(signed).is_err());
    let open = payee.request_payment(None, "tips", &BOTH, &[], life).await.unwrap();
    let it = Purchase::of(&payer.read_request(open).unwrap(), micros(77));
    let handed = payer.pay_draft(&it).await.unwrap();
    assert!(matches!(payee.take(handed, None).await.unwrap(), Taken::Serve { amount, .. } if amount == micros(77)));
    let history = payee.history(None).await.unwrap();
    assert!(
        history
            .iter()
            .any(|(_, line)| matches!(&line.what, What::Received { description, .. } if description == "tips"))
    );
}

#[tokio::test]
async fn money_that_comes_for_no_open_order_is_booked_and_not_served_for() {
    let world = World::new();
    let (payer, payee) = two(&world).await;
    let it = purchase(&payee, 1);
    let handed = payer.pay_clearing(&*world.bank, &it).await.unwrap();
    for _ in 0..2 {
        let Err(WalletError::Refused(why)) = payee.take(handed.clone(), None).await else { panic!() };
        assert_eq!(why.money, farthing_core::refusal::Money::MovedBefore);
    }
    assert_eq!(world.bank.balance(payee.me()), FUNDS + PRICE);
    assert_eq!(payee.clearing_book().await.unwrap().unwrap().lines, (0, 1));
}
