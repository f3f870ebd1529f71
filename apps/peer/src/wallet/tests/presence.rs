//! Two copies of one wallet: at no order of their steps do both pay, by drafts or by clearing, and
//! neither opens a chain while the other is the one that spends.

use farthing_core::refusal::Code;
use farthing_core::time::Span;
use farthing_core::vault::Protection;

use super::bank::Line;
use super::singles::{PRICE, earned, expected, pay, plain, purchase, two};
use super::world::{FUNDS, World, micros, seed};
use crate::wallet::{DeskError, OutgoingState, Scheme, Taken, Wallet, WalletError};

/// A backup of a wallet that runs on, restored beside it.
async fn copy_of(world: &World, wallet: &Wallet, name: &str) -> Wallet {
    let file = world.home(&format!("{name}.backup"));
    wallet.backup(&file, &Protection::None).await.unwrap();
    let copy = Wallet::restore(&world.home(name), &file, &Protection::None, world.options()).await.unwrap();
    copy.set_desk(world.bank.clone()).await;
    copy
}

/// What one of two copies does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Pays,
    Reconciles,
}

/// One in so many of these lives is lived: the number shares no factor with how many there are.
const EVERY: usize = 9;

const STEPS: [Step; 2] = [Step::Pays, Step::Reconciles];

/// Every order of four steps by two copies.
fn lives() -> impl Iterator<Item = Vec<(usize, Step)>> {
    let moves: Vec<(usize, Step)> = (0..2).flat_map(|who| STEPS.map(|step| (who, step))).collect();
    (0..moves.len().pow(4)).map(move |mut n| {
        let mut life = Vec::new();
        for _ in 0..4 {
            life.push(moves[n % moves.len()]);
            n /= moves.len();
        }
        life
    })
}

#[tokio::test]
async fn at_every_order_of_their_steps_two_copies_never_both_may_pay_by_clearing() {
    both_never_pay(Scheme::Clearing).await;
}

#[tokio::test]
async fn at_every_order_of_their_steps_two_copies_never_both_may_pay_by_drafts() {
    both_never_pay(Scheme::Draft).await;
}

/// The copy that reconciled last pays, and no other; what was paid is what the payee gets.
async fn both_never_pay(scheme: Scheme) {
    for (n, life) in lives().enumerate().filter(|(n, _)| n % EVERY == 0) {
        let world = World::new();
        let (payer, payee) = two(&world).await;
        let copies = [copy_of(&world, &payer, "copy").await, payer];
        // The second is the original: it was confirmed before there was a copy.
        let (mut present, mut paid) = (1, 0);
        for (at, (who, step)) in life.iter().copied().enumerate() {
            let it = purchase(&payee, u8::try_from(at + 1).unwrap());
            match step {
                Step::Reconciles => {
                    // Drafts wait for the certificate of the other copy to end.
                    if who != present {
                        world.clock.advance(Span::from_hours(30));
                    }
                    copies[who].reconcile(&*world.bank).await.unwrap();
                    present = who;
                }
                Step::Pays => {
                    let answer = pay(&world, &copies[who], scheme, &it).await;
                    assert_eq!(answer.is_ok(), who == present, "{n}: {life:?} at {at}: {answer:?}");
                    let Ok(handed) = answer else { continue };
                    let taken = payee.take(handed, expected(&it)).await.unwrap();
                    assert!(matches!(taken, Taken::Serve { again: false, .. }));
                    paid += PRICE;
                }
            }
        }
        assert_eq!(earned(&world, &payee).await, paid, "{n}: {life:?}");
        assert_eq!(world.bank.balance(copies[0].me()), FUNDS - paid, "{n}: {life:?}");
        assert!(!world.bank.is_suspended(copies[0].me()), "{n}: {life:?}");
    }
}

#[tokio::test]
async fn a_copy_that_another_overtook_opens_no_chain_and_pays_by_nothing_once_it_has_heard() {
    let world = World::new();
    let (payer, payee) = two(&world).await;
    let copy = copy_of(&world, &payer, "copy").await;
    copy.reconcile(&*world.bank).await.unwrap();
    assert!(!payer.is_restored(), "nobody has told it");
    let begun = payer.begin(world.want(&payee, 2)).await;
    assert!(matches!(begun, Err(WalletError::Bank(DeskError::Refused(why))) if why.code == Code::Epoch));
    assert!(payer.is_restored());
    for scheme in [Scheme::Draft, Scheme::Clearing] {
        assert!(matches!(pay(&world, &payer, scheme, &purchase(&payee, 1)).await, Err(WalletError::Restored)));
    }
    assert!(matches!(payer.begin(world.want(&payee, 2)).await, Err(WalletError::Restored)));
    assert!(payer.payout(&*world.bank, micros(1), farthing_bank::messages::Text::new("x").unwrap()).await.is_err());
    // It still receives.
    let it = purchase(&payer, 2);
    let handed = payee.pay_draft(&it).await.unwrap();
    assert!(matches!(payer.take(handed, expected(&it)).await.unwrap(), Taken::Serve { .. }));
    // The owner's word makes it the one that spends, and the other one hears of it.
    payer.reconcile(&*world.bank).await.unwrap();
    pay(&world, &payer, Scheme::Clearing, &purchase(&payee, 3)).await.unwrap();
    let other = pay(&world, &copy, Scheme::Clearing, &purchase(&payee, 4)).await;
    assert!(matches!(other, Err(WalletError::Refused(why)) if why.code == Code::Epoch), "and learns it here");
    assert!(copy.is_restored());
}

#[tokio::test]
async fn a_restored_wallet_receives_by_every_scheme_and_pays_by_none_until_the_bank_has_confirmed_it() {
    let world = World::new();
    let (payer, payee) = two(&world).await;
    let before = purchase(&payee, 1);
    let handed = payer.pay_clearing(&*world.bank, &before).await.unwrap();
    let back = copy_of(&world, &payee, "again").await;
    payee.close().await;
    assert!(back.is_restored());
    for scheme in [Scheme::Draft, Scheme::Clearing] {
        assert!(matches!(pay(&world, &back, scheme, &purchase(&payer, 9)).await, Err(WalletError::Restored)));
        let it = purchase(&back, 2 + u8::from(scheme == Scheme::Draft));
        let handed = pay(&world, &payer, scheme, &it).await.unwrap();
        assert!(matches!(back.take(handed, expected(&it)).await.unwrap(), Taken::Serve { .. }));
    }
    assert!(matches!(back.take(handed, expected(&before)).await.unwrap(), Taken::Serve { again: false, .. }));
    world.bank.set(Line::Down);
    assert!(back.reconcile(&*world.bank).await.is_err());
    assert!(back.is_restored());
    world.bank.set(Line::Up);
    let report = back.reconcile(&*world.bank).await.unwrap();
    assert_eq!(report.epoch, Some(2));
    pay(&world, &back, Scheme::Clearing, &purchase(&payer, 8)).await.unwrap();
    // The certificate of the lost copy holds for a while yet, and the report says so.
    assert!(report.trouble().is_some_and(|why| why.to_string().contains("another copy")));
    assert!(back.pay_draft(&purchase(&payer, 7)).await.is_err());
    world.clock.advance(Span::from_hours(30));
    payer.reconcile(&*world.bank).await.unwrap();
    back.pay_draft(&purchase(&payer, 7)).await.unwrap();
}

#[tokio::test]
async fn a_wallet_of_nothing_but_its_words_learns_what_it_paid_and_was_paid_and_pays_on() {
    let world = World::new();
    let (payer, payee) = two(&world).await;
    for order in 1..4 {
        let it = purchase(&payee, order);
        let handed = payer.pay_clearing(&*world.bank, &it).await.unwrap();
        payee.take(handed, expected(&it)).await.unwrap();
    }
    let draft = payer.pay_draft(&purchase(&payee, 9)).await.unwrap();
    payee.take(draft, expected(&purchase(&payee, 9))).await.unwrap();
    payer.close().await;
    world.clock.advance(Span::from_hours(30));
    let (home, words, settings) = (world.home("again"), seed("payer"), plain(&world));
    let again = Wallet::restore_from_seed(&home, &words, &Protection::None, &settings, world.options()).await.unwrap();
    again.set_desk(world.bank.clone()).await;
    let report = again.reconcile(&*world.bank).await.unwrap();
    assert!(report.trouble().is_none(), "{:?}", report.trouble());
    assert_eq!(again.clearing_book().await.unwrap().unwrap().lines, (3, 0));
    for scheme in [Scheme::Draft, Scheme::Clearing] {
        let it = purchase(&payee, 20 + u8::from(scheme == Scheme::Draft));
        let handed = pay(&world, &again, scheme, &it).await.unwrap();
        assert!(matches!(payee.take(handed, expected(&it)).await.unwrap(), Taken::Serve { .. }));
    }
    assert_eq!(earned(&world, &payee).await, 6 * PRICE);
    assert!(!world.bank.is_suspended(again.me()));
}

#[tokio::test]
async fn a_payment_asked_for_before_the_backup_is_found_out_at_reconciliation_and_never_made_twice() {
    for heard in [false, true] {
        let world = World::new();
        let (payer, payee) = two(&world).await;
        world.bank.set(if heard { Line::Deaf } else { Line::Unknown });
        assert!(payer.pay_clearing(&*world.bank, &purchase(&payee, 1)).await.is_err());
        world.bank.set(Line::Up);
        let back = copy_of(&world, &payer, "again").await;
        payer.close().await;
        let report = back.reconcile(&*world.bank).await.unwrap();
        assert!(matches!(report.clearing, Some(Ok(_))), "{:?}", report.clearing);
        let known = back.payment(payee.me(), purchase(&payee, 1).order, 0).await.unwrap();
        assert_eq!(known.map(|one| one.state), heard.then_some(OutgoingState::ToHandOver));
        assert_eq!(back.budget(None).await.unwrap().spent, micros(if heard { PRICE } else { 0 }));
        let handed = back.pay_clearing(&*world.bank, &purchase(&payee, 1)).await.unwrap();
        payee.take(handed, expected(&purchase(&payee, 1))).await.unwrap();
        assert_eq!(world.bank.balance(payee.me()), FUNDS + PRICE);
    }
}
