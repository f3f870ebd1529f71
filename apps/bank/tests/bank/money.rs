use farthing_bank::chart::{REASON_FUND, REASON_PAYOUT};
use farthing_bank::messages::{Progress, Text, kind};
use farthing_core::amount::Currency;
use farthing_core::cert::{Certified, RoleName};
use farthing_core::refusal::Code;
use farthing_core::seal::SealKey;
use farthing_core::time::{SKEW, Span};
use farthing_core::wire;
use farthing_netpay::bank::{CaseState, REASON_CLAIM, REASON_OPEN};
use farthing_netpay::messages::{ClaimOutcome, Defend, Register, RegisterAnswer};
use farthing_netpay::payer::Purse;

use crate::town::{Town, key, micros, refused, units};

#[tokio::test(flavor = "multi_thread")]
async fn money_goes_round_and_the_books_balance() {
    let town = Town::new().await;
    let (payer, payee) = (town.customer(1, 100).await, town.customer(2, 0).await);
    let mut purse = town.chain(&payer, 5_000).await;
    assert_eq!(town.balance(&payer).await, 95_000_000);
    let (claim, _) = town.visit(&mut purse, &payer, &payee, 40);
    let lines = town.claim(&payee, vec![claim.clone()]).await.unwrap();
    assert!(matches!(&lines[0].outcome, ClaimOutcome::Paid { amount, contested: 0, .. } if *amount == micros(40_000)));
    // The same visit again, by another request: nothing more.
    let lines = town.claim(&payee, vec![claim]).await.unwrap();
    assert!(matches!(&lines[0].outcome, ClaimOutcome::Paid { amount, .. } if amount.is_zero()));
    let destination = Text::new("the pub").unwrap();
    let paid_out = town.client.payout(&payee, town.id(), micros(15_000), destination).await.unwrap();
    assert!(matches!(paid_out, Progress::Done(left) if left.balance == micros(25_000)));

    let statement = town.client.statement(&payee, town.id(), None, 10).await.unwrap();
    let reasons: Vec<_> = statement.lines.as_slice().iter().map(|line| (line.reason, line.received)).collect();
    assert_eq!(reasons, [(REASON_CLAIM, true), (REASON_PAYOUT, false)]);
    let statement = town.client.statement(&payer, town.id(), Some(1), 10).await.unwrap();
    assert_eq!(statement.last, 2);
    assert_eq!(statement.lines.as_slice()[0].reason, REASON_OPEN);
    assert_eq!(statement.lines.as_slice()[0].reference, purse.chain().0);
    let first = town.client.statement(&payer, town.id(), Some(0), 1).await.unwrap();
    assert_eq!(first.lines.as_slice().iter().map(|line| line.reason).collect::<Vec<_>>(), [REASON_FUND]);

    // What was not spent comes back.
    town.clock.advance(Span::from_days(7 + 2 + 1));
    town.bank().tick_now().await.unwrap();
    assert_eq!(town.balance(&payer).await, 99_960_000);
    town.bank().count_and_publish().await.unwrap();
    let report = town.client.liabilities().await.unwrap();
    let report = report.body();
    assert!(report.is_conserved() && town.bank().alarm().is_none());
    assert_eq!((report.customer, report.backing, report.funded), (99_985_000, 0, 99_985_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_opens_once_and_its_certificate_is_signed_by_the_authority() {
    let town = Town::new().await;
    let peer = town.customer(1, 0).await;
    let seal = SealKey::from_seed(&[1; 32]).public();
    let one = town.client.open_account(&peer, town.id(), seal).await.unwrap();
    town.clock.advance(Span::from_hours(1));
    let two = town.client.open_account(&peer, town.id(), seal).await.unwrap();
    assert_eq!(one, two);
    let id = town.id();
    let certificate = town.client.certify(&peer, id, RoleName::Peer, [7; 32]).await.unwrap();
    let again = town.client.certify(&peer, id, RoleName::Peer, [7; 32]).await.unwrap();
    assert_eq!(wire::encode(certificate.signed()), wire::encode(again.signed()));
    let authority = town.client.info().body().authority;
    let certified = Certified::check(certificate.into_signed(), town.client.network(), authority, town.now()).unwrap();
    assert_eq!((certified.body().holder, certified.body().seal, certified.body().serial), (peer.id(), seal, 1));
    assert_ne!(authority, town.client.bank());
    assert_eq!(refused(town.client.certify(&peer, town.id(), RoleName::Mint, [7; 32]).await), Code::Policy);
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_refuses_strangers_zero_other_currencies_and_too_much() {
    let town = Town::new().await;
    let stranger = key(9);
    let note = || Text::new("").unwrap();
    assert_eq!(refused(town.client.statement(&stranger, town.id(), None, 1).await), Code::Unknown);
    assert_eq!(refused(town.client.fund(&stranger, town.id(), units(1), note()).await), Code::Unknown);
    assert_eq!(refused(town.claim(&stranger, vec![]).await), Code::Unknown);
    assert_eq!(
        refused(town.client.open_chain(&stranger, town.id(), &town.new_chain(&stranger, 10).request()).await),
        Code::Unknown
    );
    let peer = town.customer(1, 1).await;
    let euros = "1.00 EUR".parse().unwrap();
    assert_eq!(refused(town.client.fund(&peer, town.id(), euros, note()).await), Code::Amount);
    assert_eq!(refused(town.client.fund(&peer, town.id(), Currency::XTS.zero(), note()).await), Code::Amount);
    assert_eq!(refused(town.client.payout(&peer, town.id(), units(2), note()).await), Code::Funds);
    assert_eq!(refused(town.client.deposit(&peer, town.id(), Currency::XTS.zero(), false).await), Code::Amount);
    let most = Currency::XTS.micros(farthing_core::amount::AMOUNT_MAX_MICROS).unwrap();
    assert_eq!(refused(town.client.payout(&peer, town.id(), most, note()).await), Code::Funds);
    assert_eq!(
        refused(town.client.open_chain(&peer, town.id(), &town.new_chain(&peer, 2_000).request()).await),
        Code::Funds
    );
    // Play money is given up to a daily limit, and again tomorrow.
    assert_eq!(refused(town.client.fund(&peer, town.id(), units(1_000), note()).await), Code::Limit);
    town.clock.advance(Span::from_days(1));
    assert!(town.client.fund(&peer, town.id(), units(1_000), note()).await.is_ok());
    assert_eq!(town.balance(&peer).await, 1_001_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_refuses_more_accounts_in_a_day_than_it_wants() {
    let town = Town::with(|config| config.limits.accounts_per_day = 1).await;
    town.customer(1, 0).await;
    let seal = SealKey::from_seed(&[1; 32]).public();
    assert_eq!(refused(town.client.open_account(&key(2), town.id(), seal).await), Code::Limit);
    assert!(town.client.open_account(&key(1), town.id(), seal).await.is_ok());
    town.clock.advance(Span::from_days(1));
    assert!(town.client.open_account(&key(2), town.id(), seal).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn payer_may_not_take_its_deposit_back_before_its_payees_have_claimed() {
    let town = Town::with(|config| config.terms.deposit = Some(units(5))).await;
    let payer = town.customer(1, 20).await;
    let open = town.new_chain(&payer, 100).request();
    assert_eq!(refused(town.client.open_chain(&payer, town.id(), &open).await), Code::Funds);
    let balances = town.client.deposit(&payer, town.id(), units(5), false).await.unwrap();
    assert_eq!((balances.balance, balances.deposit), (units(15), units(5)));
    town.client.open_chain(&payer, town.id(), &open).await.unwrap();
    assert_eq!(refused(town.client.deposit(&payer, town.id(), units(5), true).await), Code::NotYet);
    town.clock.advance(Span::from_days(7 + 2 + 2));
    assert_eq!(refused(town.client.deposit(&payer, town.id(), units(5), true).await), Code::NotYet);
    town.clock.advance(Span::from_millis(2 * SKEW.as_millis()));
    let balances = town.client.deposit(&payer, town.id(), units(5), true).await.unwrap();
    assert_eq!(balances.deposit, units(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_reserve_is_safe_and_a_double_one_becomes_a_case() {
    let town = Town::new().await;
    let (payer, shop, other) = (town.customer(1, 10).await, town.customer(2, 0).await, town.customer(3, 0).await);
    let network = town.client.network();
    let new = town.new_chain(&payer, 100);
    let touchstone = town.client.open_chain(&payer, town.id(), &new.request()).await.unwrap();
    let mut purse = new.opened(touchstone).unwrap();
    let mut twin = Purse::resume(purse.state().clone(), payer.id().0).unwrap();
    let expires = town.now().after(Span::from_hours(1));
    let first = purse.reserve(&payer, network, shop.id(), crate::town::ORDER, 10, expires).unwrap();
    let second = twin.reserve(&payer, network, other.id(), crate::town::ORDER, 10, expires).unwrap();
    let register = |reserve| Register { reserve, previous: None };
    let noted = town.client.register(&shop, town.id(), &register(first.reserve.clone())).await.unwrap();
    assert!(matches!(noted, RegisterAnswer::Noted(_)));
    let taken = town.client.register(&other, town.id(), &register(second.reserve)).await.unwrap();
    let RegisterAnswer::Taken { case, .. } = taken else { panic!("{taken:?}") };
    let cases = town.client.cases(&payer, town.id()).await.unwrap();
    assert_eq!(cases.netpay.as_slice().iter().map(|case| case.number).collect::<Vec<_>>(), [case]);
    // The payer has no release to show; the time to answer passes.
    town.clock.advance(Span::from_hours(49));
    town.bank().tick_now().await.unwrap();
    let cases = town.client.cases(&payer, town.id()).await.unwrap();
    assert_eq!(cases.netpay.as_slice()[0].state, CaseState::PayerGuilty);
    assert!(town.client.statement(&payer, town.id(), None, 0).await.unwrap().suspended);
    let destination = Text::new("abroad").unwrap();
    assert_eq!(refused(town.client.payout(&payer, town.id(), units(1), destination).await), Code::Suspended);
    assert_eq!(refused(town.client.certify(&payer, town.id(), RoleName::Peer, [0; 32]).await), Code::Suspended);
    assert_eq!(
        refused(town.client.open_chain(&payer, town.id(), &town.new_chain(&payer, 1).request()).await),
        Code::Suspended
    );
    assert_eq!(refused(town.client.deposit(&payer, town.id(), units(1), false).await), Code::Suspended);
    let freed = town.visit(&mut town_chain(&town).await, &key(4), &shop, 1).1;
    assert_eq!(refused(town.client.defend(&payer, town.id(), &Defend { case, freed }).await), Code::State);
}

/// Somebody else's chain.
async fn town_chain(town: &Town) -> Purse {
    let payer = town.customer(4, 1).await;
    town.chain(&payer, 50).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_releases_for_a_payee_that_vanished_and_not_before_its_time() {
    let town = Town::new().await;
    let (payer, shop) = (town.customer(1, 10).await, town.customer(2, 0).await);
    let mut purse = town.chain(&payer, 100).await;
    let expires = town.now().after(Span::from_hours(1));
    let visit = purse.reserve(&payer, town.client.network(), shop.id(), crate::town::ORDER, 10, expires).unwrap();
    purse.abandon().unwrap();
    let ask = || town.client.ask_release(&payer, town.id(), visit.reserve.clone());
    assert_eq!(refused(ask().await), Code::NotYet);
    town.clock.advance(Span::from_hours(1 + 48 + 1));
    let release = ask().await.unwrap();
    let bank = town.client.bank();
    assert_eq!(purse.on_broker_release(town.client.network(), bank, release.into_signed()), Ok(0));
    assert_eq!(purse.left(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_same_bytes_and_another_request_under_the_id_a_conflict() {
    let town = Town::new().await;
    let peer = town.customer(1, 100).await;
    let id = town.id();
    let ask = |amount: u64| {
        let fund = farthing_bank::messages::Fund { amount: units(amount), note: Text::new("").unwrap() };
        town.client.ask(&peer, id, kind::FUND, wire::encode(&fund))
    };
    let first = ask(5).await.unwrap();
    assert_eq!(ask(5).await.unwrap(), first);
    assert_eq!(refused(ask(6).await), Code::Conflict);
    assert_eq!(town.balance(&peer).await, 105_000_000);
}
