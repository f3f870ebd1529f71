//! The wallet's folder: who may look inside, and what a damaged, foreign or full one says.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use farthing_core::vault::{Cost, Passphrase, Protection, VaultError};

use super::world::{World, pay_pieces, seed};
use crate::wallet::{Options, Settings, Wallet, WalletError};

fn by(passphrase: &str) -> Protection {
    let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
    Protection::Passphrase(Passphrase::new(passphrase.into()).unwrap(), cost)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn owner_alone_can_look_into_the_folder_and_every_file_in_it() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let home = payer.home().to_owned();
    assert_eq!(mode(&home), 0o700);
    let mut files = 0;
    for file in fs::read_dir(&home).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert!(files >= 3);
}

#[tokio::test]
async fn wallet_refuses_a_folder_or_file_that_others_can_read() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let home = payer.home().to_owned();
    payer.close().await;
    for (path, right) in [
        (home.clone(), 0o700),
        (home.join("seed.vault"), 0o600),
        (home.join("wallet.toml"), 0o600),
        (home.join("wallet.sqlite"), 0o600),
    ] {
        for wrong in [right | 0o040, right | 0o004, right | 0o002] {
            fs::set_permissions(&path, Permissions::from_mode(wrong)).unwrap();
            let opened = world.open("payer").await;
            assert!(matches!(opened, Err(WalletError::Exposed { .. })), "{wrong:o} {}", path.display());
        }
        fs::set_permissions(&path, Permissions::from_mode(right)).unwrap();
    }
    assert!(world.open("payer").await.is_ok());
}

#[tokio::test]
async fn a_second_process_cannot_open_the_wallet() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    assert!(matches!(world.open("payer").await, Err(WalletError::InUse(_))));
    payer.close().await;
    assert!(world.open("payer").await.is_ok());
}

#[tokio::test]
async fn no_wallet_is_made_over_another_and_none_is_opened_where_there_is_none() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let home = payer.home().to_owned();
    payer.close().await;
    let again = Wallet::create(&home, &seed("x"), &Protection::None, &world.settings(), Options::default()).await;
    assert!(matches!(again, Err(WalletError::Exists(_))));
    assert!(matches!(world.open("nobody").await, Err(WalletError::Missing(_))));
    assert!(world.open("payer").await.is_ok());
}

#[tokio::test]
async fn thief_without_the_passphrase_and_owner_of_a_damaged_vault_are_told_so() {
    let world = World::new();
    let home = world.home("payer");
    let settings = world.settings();
    let made = Wallet::create(&home, &seed("payer"), &by("correct horse"), &settings, world.options()).await.unwrap();
    made.close().await;
    let open = async |protection: &Protection| Wallet::open(&home, protection, world.options()).await.map(drop);
    let wrong = open(&by("battery")).await;
    assert!(matches!(wrong, Err(WalletError::Vault(VaultError::WrongPassphraseOrDamaged))));
    assert!(matches!(open(&Protection::None).await, Err(WalletError::Vault(VaultError::Protected))));
    let path = home.join("seed.vault");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert!(matches!(open(&by("correct horse")).await, Err(WalletError::Vault(_))), "byte {at}");
    }
    fs::write(&path, &good).unwrap();
    open(&by("correct horse")).await.unwrap();
}

#[tokio::test]
async fn a_new_passphrase_takes_the_place_of_the_old_and_changed_settings_hold_at_the_next_opening() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    payer.protect(&by("new")).unwrap();
    let home = payer.home().to_owned();
    payer.close().await;
    let mut settings = Settings::read(&home).unwrap();
    settings.chains.spare = 7;
    settings.write(&home).unwrap();
    settings.chains.unit_micros = 0;
    assert!(matches!(settings.write(&home), Err(WalletError::Settings { .. })));
    assert!(matches!(world.open("payer").await, Err(WalletError::Vault(VaultError::Protected))));
    let payer = Wallet::open(&home, &by("new"), world.options()).await.unwrap();
    assert_eq!(payer.settings().chains.spare, 7);
}

#[tokio::test]
async fn records_of_another_wallet_are_refused_and_left_as_they_are() {
    let world = World::new();
    let (one, two) = (world.wallet("one").await, world.wallet("two").await);
    let (home, other) = (one.home().to_owned(), two.home().to_owned());
    one.close().await;
    two.close().await;
    let mine = fs::read(home.join("wallet.sqlite")).unwrap();
    fs::copy(other.join("wallet.sqlite"), home.join("wallet.sqlite")).unwrap();
    let before = fs::read(home.join("wallet.sqlite")).unwrap();
    assert!(matches!(world.open("one").await, Err(WalletError::Foreign(_))));
    assert_eq!(fs::read(home.join("wallet.sqlite")).unwrap(), before);
    fs::write(home.join("wallet.sqlite"), mine).unwrap();
    assert!(world.open("one").await.is_ok());
    assert!(world.open("two").await.is_ok());
}

#[tokio::test]
async fn damaged_records_are_called_damaged() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    payer.close().await;
    let path = world.home("payer").join("wallet.sqlite");
    let mut bytes = fs::read(&path).unwrap();
    bytes[..64].fill(0x55);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(world.open("payer").await, Err(WalletError::Store(_))));
    // Records that are gone are a restore: the wallet may have signed things nobody remembers.
    fs::remove_file(&path).unwrap();
    assert!(world.open("payer").await.unwrap().is_restored());
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_with_their_place() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    payer.close().await;
    let path = world.home("payer").join("wallet.toml");
    let good = fs::read_to_string(&path).unwrap();
    for (bad, hint) in [
        (good.replace("unit_micros = 10", "unit_micros = 0"), "unit_micros"),
        (good.replace("spare = 2", "spare = -1"), "spare"),
        (format!("{good}\n[surprise]\nx = 1\n"), "surprise"),
        (good.replace("[policy]", "[policy]\ntotal = \"5 USD\""), "USD"),
        (good.replace("[policy]", "[policy]\ntotal = \"much\""), "total"),
        ("\u{fffd}".into(), "line 1"),
    ] {
        fs::write(&path, &bad).unwrap();
        let Err(WalletError::Settings { why, .. }) = world.open("payer").await else { panic!("{hint} was taken") };
        assert!(why.contains(hint), "{why}");
    }
    fs::write(&path, good).unwrap();
    assert!(world.open("payer").await.is_ok());
}

#[tokio::test]
async fn a_full_disk_stops_the_seller_before_it_serves_and_nothing_acknowledged_is_lost() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let full = world.wallet("full").await;
    let home = full.home().to_owned();
    full.close().await;
    let max_bytes = Some(fs::metadata(home.join("wallet.sqlite")).unwrap().len() + 64 * 1024);
    let options = Options { max_bytes, ..world.options() };
    let full = Wallet::open(&home, &Protection::None, options).await.unwrap();
    let mut acknowledged = 0;
    let mut refused = false;
    for _ in 0..500 {
        let want = world.want(&full, 1);
        let order = want.order.clone();
        let (visit, mut spending) = payer.begin(want).await.unwrap();
        let Ok(earning) = full.admit(payer.now(), &order, visit).await else {
            refused = true;
            spending.abandon().await.unwrap();
            break;
        };
        let pay = spending.pay(spending.units_per_piece()).await.unwrap();
        earning.on_pay(&pay).unwrap();
        if earning.persist().await.is_err() {
            refused = true;
            break;
        }
        acknowledged += 1;
        let Ok(release) = earning.release().await else {
            refused = true;
            break;
        };
        let through = spending.through();
        spending.finish(release, None, through).await.unwrap();
    }
    assert!(refused && acknowledged > 0, "the limit of the disk was never reached ({acknowledged})");
    assert!(!full.is_healthy());
    full.close().await;
    let again = world.open("full").await.unwrap();
    let report = again.redeem(&*world.bank).await.unwrap();
    assert!(report.paid.as_micros() >= acknowledged * super::world::PRICE);
}

#[tokio::test]
async fn nothing_secret_is_shown_by_debug_or_in_an_error() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, visit) = world.begin(&payer, &payee, 3).await;
    pay_pieces(&mut spending, &earning, 1).await;
    let word = spending.pay_again().unwrap().word;
    let shown = format!("{payer:?} {spending:?} {earning:?} {visit:?} {:?}", payer.seed());
    for secret in [&payer.identity()[..], &word.0] {
        let hex = hex::encode(secret);
        assert!(!shown.contains(&hex) && !shown.contains(&format!("{secret:?}")));
    }
    let words = payer.seed().words();
    assert!(words.expose().split(' ').filter(|word| word.len() > 4).all(|word| !shown.contains(word)));
}
