//! What drafts promise is never more than what the account has, and nothing else takes it away.

use farthing_bank::messages::Text;
use farthing_core::refusal::{Code, Money};
use farthing_draft::payee::HeldState;

use super::bank::Line;
use super::singles::{earned, expected, plain, purchase, two};
use super::world::{FUNDS, PRICE, World, micros};
use crate::wallet::{Purchase, Taken, Wallet, WalletError};

/// What is left on the account for the test.
const LEFT: u64 = 1_000_000;

/// A payer with a million micros on its account, and a payee.
async fn with_a_million(world: &World) -> (Wallet, Wallet) {
    let mut settings = plain(world);
    settings.drafts.limit_micros = 2 * LEFT;
    let (payer, payee) = (world.wallet_with("payer", &settings).await, world.wallet_with("payee", &settings).await);
    for wallet in [&payer, &payee] {
        wallet.join_clearing(&*world.bank).await.unwrap();
        wallet.reconcile(&*world.bank).await.unwrap();
    }
    pay_out(world, &payer, FUNDS - LEFT).await.unwrap();
    payer.reconcile(&*world.bank).await.unwrap();
    (payer, payee)
}

async fn pay_out(world: &World, payer: &Wallet, amount: u64) -> Result<(), WalletError> {
    payer.payout(&*world.bank, micros(amount), Text::new("out").unwrap()).await.map(drop)
}

fn over(payee: &Wallet, order: u8, amount: u64) -> Purchase {
    Purchase { amount: micros(amount), ..purchase(payee, order) }
}

/// The refusal says that nothing moved and that there is not enough.
fn lacks<T: std::fmt::Debug>(answer: Result<T, WalletError>) {
    let Err(WalletError::Refused(why)) = answer else { panic!("{answer:?}") };
    assert_eq!((why.code, why.money), (Code::Funds, Money::Unmoved), "{why}");
}

#[tokio::test]
async fn every_outflow_lowers_what_drafts_may_promise_at_once_with_and_without_the_bank() {
    let world = World::new();
    let (payer, payee) = with_a_million(&world).await;
    assert_eq!(payer.draft_books().await.unwrap()[0].left, micros(LEFT));
    payer.pay_clearing(&*world.bank, &over(&payee, 1, 100_000)).await.unwrap();
    assert_eq!(payer.draft_books().await.unwrap()[0].left, micros(LEFT - 100_000));
    pay_out(&world, &payer, 100_000).await.unwrap();
    assert_eq!(payer.draft_books().await.unwrap()[0].left, micros(LEFT - 200_000));
    let pieces = 300_000 / PRICE;
    let _visit = payer.begin(world.want(&payee, pieces)).await.unwrap();
    let left = payer.draft_books().await.unwrap()[0].left;
    assert_eq!(left, micros(world.bank.balance(payer.me())), "what the account has, and no more");
    let more = over(&payee, 2, left.as_micros() + 1);
    lacks(payer.pay_draft(&more).await);
    world.bank.set(Line::Down);
    lacks(payer.pay_draft(&more).await);
    let it = Purchase { amount: left, ..purchase(&payee, 3) };
    let handed = payer.pay_draft(&it).await.unwrap();
    world.bank.set(Line::Up);
    payee.take(handed, expected(&it)).await.unwrap();
    assert_eq!(earned(&world, &payee).await, 100_000 + left.as_micros());
    assert!(!world.bank.is_suspended(payer.me()));
}

#[tokio::test]
async fn what_drafts_promise_leaves_the_account_by_no_other_way_until_it_is_known_as_deposited() {
    let world = World::new();
    let (payer, payee) = with_a_million(&world).await;
    let it = over(&payee, 1, 800_000);
    let handed = payer.pay_draft(&it).await.unwrap();
    let means = payer.means().await.unwrap();
    assert_eq!((means.promised, means.free), (micros(800_000), Some(micros(200_000))));
    lacks(payer.pay_clearing(&*world.bank, &over(&payee, 2, 200_001)).await);
    lacks(pay_out(&world, &payer, 200_001).await);
    lacks(payer.deposit(&*world.bank, micros(200_001), false).await);
    lacks(payer.begin(world.want(&payee, 200_500 / PRICE)).await.map(|(visit, _)| visit));
    assert_eq!(payer.budget(None).await.unwrap().spent, micros(800_000), "what was refused is not counted");
    payer.pay_clearing(&*world.bank, &over(&payee, 3, 150_000)).await.unwrap();
    assert!(matches!(payee.take(handed, expected(&it)).await.unwrap(), Taken::Serve { .. }));
    assert_eq!(earned(&world, &payee).await, 950_000, "paid in full");
    payer.reconcile(&*world.bank).await.unwrap();
    assert_eq!(payer.means().await.unwrap().promised, micros(0));
    pay_out(&world, &payer, 50_000).await.unwrap();
    assert!(!world.bank.is_suspended(payer.me()));
}

#[tokio::test]
async fn what_two_names_promise_together_is_not_more_than_the_account_has() {
    let world = World::new();
    let (payer, payee) = with_a_million(&world).await;
    payer.renew_drafts(&*world.bank, Some(0)).await.unwrap();
    payer.pay_draft(&over(&payee, 1, 700_000)).await.unwrap();
    lacks(payer.pay_draft(&Purchase { alias: Some(0), ..over(&payee, 2, 300_001) }).await);
    payer.pay_draft(&Purchase { alias: Some(0), ..over(&payee, 3, 300_000) }).await.unwrap();
}

#[tokio::test]
async fn what_the_payer_of_a_draft_still_owes_is_told_once() {
    let world = World::new();
    let (payer, payee) = with_a_million(&world).await;
    let it = over(&payee, 1, 800_000);
    let handed = payer.pay_draft(&it).await.unwrap();
    payee.take(handed, expected(&it)).await.unwrap();
    // Another copy of the records, which knows of no draft, empties the account.
    world.bank.empty(payer.me());
    for paid in [0, 0] {
        let done = payee.deposit_drafts(&*world.bank).await.unwrap();
        assert_eq!((done.owed, done.paid), (micros(800_000), micros(paid)));
    }
    let held = payee.drafts_held().await.unwrap();
    assert!(matches!(&held[0].state, HeldState::Deposited { owed, .. } if *owed == micros(800_000)));
}

#[tokio::test]
async fn a_stale_copy_pays_by_no_scheme_as_soon_as_the_bank_can_be_asked() {
    for scheme in ["draft", "netpay"] {
        let world = World::new();
        let (payer, payee) = (world.wallet_with("payer", &plain(&world)).await, world.wallet("payee").await);
        payer.reconcile(&*world.bank).await.unwrap();
        let visit = payer.begin(world.want(&payee, 2)).await.unwrap();
        drop(visit);
        let file = world.home("backup");
        payer.backup(&file, &farthing_core::vault::Protection::None).await.unwrap();
        let none = farthing_core::vault::Protection::None;
        let copy = Wallet::restore(&world.home("copy"), &file, &none, world.options()).await.unwrap();
        copy.set_desk(world.bank.clone()).await;
        copy.reconcile(&*world.bank).await.unwrap();
        world.clock.advance(farthing_core::time::Span::from_secs(600));
        assert!(!payer.is_restored(), "nobody has told it");
        let answer = match scheme {
            "draft" => payer.pay_draft(&purchase(&payee, 1)).await.map(drop),
            _ => payer.begin(world.want(&payee, 1)).await.map(drop),
        };
        assert!(matches!(answer, Err(WalletError::Restored)), "{scheme}: {answer:?}");
        let payer = world.reopen(payer).await;
        assert!(payer.is_restored(), "{scheme}: for good");
    }
}

#[tokio::test]
async fn a_copy_that_was_the_present_one_just_now_does_not_ask_again() {
    let world = World::new();
    let (payer, payee) = two(&world).await;
    world.clock.advance(farthing_core::time::Span::from_secs(600));
    let asked = || world.bank.asked(farthing_bank::messages::kind::DEPOSIT).len();
    for order in 1..4 {
        payer.pay_draft(&purchase(&payee, order)).await.unwrap();
        assert_eq!(asked(), 1);
    }
    world.clock.advance(farthing_core::time::Span::from_secs(600));
    payer.pay_draft(&purchase(&payee, 4)).await.unwrap();
    assert_eq!(asked(), 2);
}

#[tokio::test]
async fn a_suspended_account_asks_for_no_payment_and_counts_none() {
    let world = World::new();
    let (payer, payee) = with_a_million(&world).await;
    let it = over(&payee, 1, 800_000);
    let handed = payer.pay_draft(&it).await.unwrap();
    payee.take(handed, expected(&it)).await.unwrap();
    world.bank.empty(payer.me());
    payee.deposit_drafts(&*world.bank).await.unwrap();
    assert!(payer.statement(&*world.bank, None, 1).await.unwrap().suspended);
    let frames = world.bank.frames();
    let answer = payer.pay_clearing(&*world.bank, &over(&payee, 2, 1_000)).await;
    let Err(WalletError::Refused(why)) = answer else { panic!("{answer:?}") };
    assert_eq!((why.code, why.money), (Code::Suspended, Money::Unmoved));
    assert_eq!(world.bank.frames(), frames, "nothing was asked");
    assert_eq!(payer.budget(None).await.unwrap().spent, micros(800_000));
    assert!(payer.payment(payee.me(), over(&payee, 2, 1_000).order, 0).await.unwrap().is_none());
}
