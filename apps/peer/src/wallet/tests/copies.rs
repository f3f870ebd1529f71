//! Backups, restores and copies of a wallet: no unit is ever spent twice.

use std::fs;
use std::path::Path;

use farthing_core::id::RequestId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::SecretKey;
use farthing_core::time::Span;
use farthing_core::vault::{Cost, Passphrase, Protection};
use farthing_driver::Clock;
use farthing_netpay::messages::kind;
use futures::future::BoxFuture;

use super::bank::Line;
use super::world::{PRICE, World, end, micros, pay_pieces, seed};
use crate::wallet::{Desk, DeskError, Wallet, WalletError};

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn by(passphrase: &str) -> Protection {
    let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
    Protection::Passphrase(Passphrase::new(passphrase.into()).unwrap(), cost)
}

/// A bank that says no to everything, for now.
struct NotNow;

impl Desk for NotNow {
    fn ask<'a>(
        &'a self,
        _: &'a SecretKey,
        _: RequestId,
        _: u16,
        _: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, DeskError>> {
        Box::pin(async { Err(DeskError::Refused(Refusal::new(Code::NotYet, "not now"))) })
    }
}

#[tokio::test]
async fn a_movement_the_bank_refused_for_now_is_over_and_keeps_no_wallet_from_reconciling() {
    let world = World::new();
    let wallet = world.wallet("payer").await;
    assert!(wallet.deposit(&NotNow, micros(5), true).await.is_err());
    assert!(wallet.pending().await.unwrap().is_empty(), "nobody wants it carried out weeks later");
    let file = world.home("backup");
    wallet.backup(&file, &Protection::None).await.unwrap();
    wallet.close().await;
    let restored = Wallet::restore(&world.home("again"), &file, &Protection::None, world.options()).await.unwrap();
    restored.reconcile(&*world.bank).await.unwrap();
    assert!(!restored.is_restored());
}

#[tokio::test]
async fn a_wallet_restored_at_any_point_of_its_life_never_spends_a_unit_again() {
    for point in 0..6 {
        let world = World::new();
        let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
        let before = world.money(&[&payer, &payee]);
        let file = world.home("backup");
        let mut step = 0;
        let mut paid = 0;
        // A short life: two visits of three steps each; the backup falls between any two steps.
        for _ in 0..2 {
            let (mut spending, earning, _) = world.begin(&payer, &payee, 8).await;
            for _ in 0..3 {
                if step == point {
                    payer.backup(&file, &Protection::None).await.unwrap();
                }
                step += 1;
                pay_pieces(&mut spending, &earning, 2).await;
                paid += 2 * PRICE;
            }
            end(spending, &earning).await;
        }
        payer.close().await;
        let restored = Wallet::restore(&world.home("again"), &file, &Protection::None, world.options()).await.unwrap();
        restored.set_desk(world.bank.clone()).await;
        assert!(restored.is_restored());
        assert!(matches!(restored.begin(world.want(&payee, 1)).await, Err(WalletError::Restored)));
        let order = world.want(&payee, 8).order.id();
        assert!(matches!(restored.resume(payee.me(), order).await, Err(WalletError::Restored)));
        world.bank.set(Line::Down);
        assert!(restored.reconcile(&*world.bank).await.is_err());
        assert!(restored.is_restored());
        world.bank.set(Line::Up);
        restored.reconcile(&*world.bank).await.unwrap();
        assert_eq!(restored.resume(payee.me(), order).await.unwrap().map(drop), None);
        let (mut spending, earning, _) = world.begin(&restored, &payee, 3).await;
        pay_pieces(&mut spending, &earning, 3).await;
        paid += 3 * PRICE;
        end(spending, &earning).await;
        let report = payee.redeem(&*world.bank).await.unwrap();
        assert_eq!((report.paid, report.contested, report.refused.len()), (micros(paid), 0, 0), "at {point}");
        world.clock.advance(Span::from_days(10));
        world.bank.tick();
        assert_eq!(world.bank.backing(), 0);
        assert_eq!(world.money(&[&restored, &payee]), before, "at {point}");
        assert!(!world.bank.is_suspended(restored.me()));
    }
}

#[tokio::test]
async fn a_restored_wallet_receives_at_once_and_redeems_what_was_earned_before_the_backup() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 10).await;
    pay_pieces(&mut spending, &earning, 4).await;
    let file = world.home("backup");
    payee.backup(&file, &Protection::None).await.unwrap();
    pay_pieces(&mut spending, &earning, 2).await;
    payee.redeem(&*world.bank).await.unwrap();
    payee.close().await;
    let restored = Wallet::restore(&world.home("again"), &file, &Protection::None, world.options()).await.unwrap();
    restored.set_desk(world.bank.clone()).await;
    // What the bank has paid already is not paid again, and what comes new is.
    assert_eq!(restored.redeem(&*world.bank).await.unwrap().paid, micros(0));
    let order = world.want(&restored, 10).order;
    let visit = payer_visit(&payer, &restored, &world).await;
    let other = restored.admit(world.clock.now(), &order, visit.0).await.unwrap();
    let mut more = visit.1;
    pay_pieces(&mut more, &other, 1).await;
    assert_eq!(restored.redeem(&*world.bank).await.unwrap().paid, micros(PRICE));
}

async fn payer_visit(
    payer: &Wallet,
    payee: &Wallet,
    world: &World,
) -> (farthing_netpay::messages::Visit, crate::wallet::Spending) {
    payer.begin(world.want(payee, 10)).await.unwrap()
}

#[tokio::test]
async fn a_copied_folder_is_noticed_and_pays_only_from_chains_of_its_own() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    payer.upkeep(&*world.bank).await.unwrap();
    let home = payer.home().to_owned();
    payer.close().await;
    copy(&home, &world.home("copy"));
    let original = world.open_at(&home).await.unwrap();
    let twin = world.open_at(&world.home("copy")).await.unwrap();
    assert!(!original.is_restored());
    assert!(matches!(twin.begin(world.want(&payee, 2)).await, Err(WalletError::Restored)));
    twin.reconcile(&*world.bank).await.unwrap();
    // Where the bank cannot be asked, the original has chains that nobody else can spend.
    for (wallet, line) in [(&original, Line::Down), (&twin, Line::Up)] {
        world.bank.set(line);
        let (mut spending, earning, _) = world.begin(wallet, &payee, 2).await;
        pay_pieces(&mut spending, &earning, 2).await;
        end(spending, &earning).await;
    }
    let report = payee.redeem(&*world.bank).await.unwrap();
    assert_eq!((report.paid, report.contested), (micros(4 * PRICE), 0));
}

#[tokio::test]
async fn two_copies_that_open_a_chain_at_the_same_moment_make_two_chains() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let home = payer.home().to_owned();
    payer.close().await;
    copy(&home, &world.home("copy"));
    let (one, two) = (world.open_at(&home).await.unwrap(), world.open_at(&world.home("copy")).await.unwrap());
    one.upkeep(&*world.bank).await.unwrap();
    two.reconcile(&*world.bank).await.unwrap();
    two.upkeep(&*world.bank).await.unwrap();
    assert_eq!(world.bank.asked(kind::OPEN).len(), 4);
    assert_eq!(world.bank.backing(), 400_000, "the bank refuses a chain it knows");
}

#[tokio::test]
async fn a_chain_asked_for_before_the_backup_is_settled_at_reconciliation_and_not_spent() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    world.bank.set(Line::Deaf);
    assert!(payer.begin(world.want(&payee, 2)).await.is_err());
    let file = world.home("backup");
    payer.backup(&file, &Protection::None).await.unwrap();
    world.bank.set(Line::Up);
    payer.close().await;
    let restored = Wallet::restore(&world.home("again"), &file, &Protection::None, world.options()).await.unwrap();
    restored.set_desk(world.bank.clone()).await;
    restored.reconcile(&*world.bank).await.unwrap();
    assert_eq!(restored.ready().await.unwrap(), micros(0));
    let (spending, earning, _) = world.begin(&restored, &payee, 2).await;
    end(spending, &earning).await;
    assert_eq!(world.bank.backing(), 200_000, "a second chain was opened");
}

#[tokio::test]
async fn a_backup_opens_by_its_passphrase_or_by_the_words_and_by_nothing_else() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let (file, me) = (world.home("backup"), payer.me());
    payer.backup(&file, &by("correct horse")).await.unwrap();
    assert!(matches!(payer.backup(&file, &by("x")).await, Err(WalletError::Backup { .. })));
    let options = || world.options();
    let wrong = Wallet::restore(&world.home("a"), &file, &by("battery"), options()).await;
    assert!(matches!(wrong, Err(WalletError::Vault(_))));
    let other = Wallet::restore_with_seed(&world.home("b"), &file, &seed("other"), &by("new"), options()).await;
    assert!(matches!(other, Err(WalletError::Backup { .. })));
    let right = Wallet::restore(&world.home("c"), &file, &by("correct horse"), options()).await.unwrap();
    let words =
        Wallet::restore_with_seed(&world.home("d"), &file, &seed("payer"), &by("new"), options()).await.unwrap();
    assert_eq!((right.me(), words.me()), (me, me));
    let there = Wallet::restore(&world.home("c"), &file, &by("correct horse"), options()).await;
    assert!(matches!(there, Err(WalletError::Exists(_))));
}

#[tokio::test]
async fn a_backup_with_any_byte_changed_is_refused_and_leaves_no_wallet_behind() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let file = world.home("backup");
    payer.backup(&file, &by("x")).await.unwrap();
    let good = fs::read(&file).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&file, &bad).unwrap();
        let restored = Wallet::restore(&world.home("again"), &file, &by("x"), world.options()).await;
        assert!(matches!(restored, Err(WalletError::Backup { .. } | WalletError::Vault(_))), "byte {at}");
        assert!(!world.home("again").exists(), "byte {at}");
    }
}

#[tokio::test]
async fn a_wallet_of_nothing_but_its_words_receives_and_pays_after_reconciliation() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let before = world.money(&[&payer, &payee]);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 5).await;
    pay_pieces(&mut spending, &earning, 5).await;
    drop(spending);
    payer.close().await;
    let home = world.home("again");
    let settings = world.settings();
    let again =
        Wallet::restore_from_seed(&home, &seed("payer"), &Protection::None, &settings, world.options()).await.unwrap();
    again.set_desk(world.bank.clone()).await;
    assert_eq!(again.me(), payer.me());
    assert!(matches!(again.begin(world.want(&payee, 2)).await, Err(WalletError::Restored)));
    again.reconcile(&*world.bank).await.unwrap();
    let (mut spending, other, _) = world.begin(&again, &payee, 2).await;
    pay_pieces(&mut spending, &other, 2).await;
    end(spending, &other).await;
    assert_eq!(payee.redeem(&*world.bank).await.unwrap().paid, micros(7 * PRICE));
    world.clock.advance(Span::from_days(10));
    world.bank.tick();
    assert_eq!(world.money(&[&again, &payee]), before);
}

#[tokio::test]
async fn records_put_back_from_an_older_copy_are_noticed_and_never_spent_again() {
    for whole_folder in [false, true] {
        let world = World::new();
        let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
        payer.upkeep(&*world.bank).await.unwrap();
        let home = payer.home().to_owned();
        payer.close().await;
        let aside = world.home("aside");
        copy(&home, &aside);
        let payer = world.open_at(&home).await.unwrap();
        assert!(!payer.is_restored());
        let (mut spending, earning, _) = world.begin(&payer, &payee, 5).await;
        pay_pieces(&mut spending, &earning, 5).await;
        end(spending, &earning).await;
        payer.close().await;
        // Written over the files there are, as `cp` does.
        for file in fs::read_dir(&aside).unwrap() {
            let file = file.unwrap();
            if whole_folder || file.file_name() == "wallet.sqlite" {
                fs::copy(file.path(), home.join(file.file_name())).unwrap();
            }
        }
        let back = world.open_at(&home).await.unwrap();
        assert!(back.is_restored(), "whole folder: {whole_folder}");
        back.reconcile(&*world.bank).await.unwrap();
        let (mut spending, earning, _) = world.begin(&back, &payee, 5).await;
        pay_pieces(&mut spending, &earning, 5).await;
        end(spending, &earning).await;
        let report = payee.redeem(&*world.bank).await.unwrap();
        assert_eq!((report.paid, report.contested), (micros(10 * PRICE), 0));
    }
}

#[tokio::test]
async fn a_crash_while_opening_does_not_make_a_wallet_suspect_itself() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let witness = payer.home().join("witness");
    payer.close().await;
    let kept = payer.home().join("kept");
    fs::hard_link(&witness, &kept).unwrap();
    let payer = world.open("payer").await.unwrap();
    payer.close().await;
    // As if the power had gone after the records knew the new witness and before it was in place.
    fs::rename(&kept, &witness).unwrap();
    assert!(!world.open("payer").await.unwrap().is_restored());
}
