//! Disks that are full: by a limit on the length of files, and by a small disk where mounting one
//! is allowed.

use std::path::{Path, PathBuf};
use std::process::Command;

use farthing_e2e::{Goods, Home, PIECE_MICROS, Town, Way, amount, exit};

/// The same home where no file may grow beyond so many KiB; writes beyond fail as on a full disk.
fn limited(home: &Home, kib: u64) -> Home {
    // In blocks of 512 bytes, as POSIX has it.
    home.clone().after(&format!("trap '' XFSZ; ulimit -f {};", kib * 2))
}

/// A disk of its own.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one; nothing where that is not allowed.
    fn mount(at: &Path, kib: u64) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "none"]).arg(at).output();
        let done = mounted.is_ok_and(|done| done.status.success());
        if !done {
            eprintln!("left out: this user may mount no small disk");
        }
        done.then(|| Self(at.to_owned()))
    }

    fn grow(&self, kib: u64) {
        let options = format!("remount,size={kib}k");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_purchase_that_fills_the_disk_goes_on_when_there_is_room_and_pays_no_piece_twice() {
    let goods = Goods::of_pieces(&[12]);
    let (ware, pieces) = (&goods.0[0], goods.0[0].pieces());
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, ware, 1);
    let folder = cleo.path().join("small");
    let Some(disk) = SmallDisk::mount(&folder, 1_200) else { return };
    let done = cleo.run(&["buy", &content, "--out", "small"]);
    assert_eq!(done.code, Some(exit::OTHER), "{done}");
    assert!(done.to_string().contains("disk"), "{done}");
    assert!(done.json["missing"].as_u64().is_some_and(|missing| (1..pieces).contains(&missing)), "{done}");
    disk.grow(64 << 10);
    let rest = cleo.get(&["buy", &content, "--out", "small"]);
    assert!(rest["pieces_before"].as_u64().is_some_and(|before| before > 0), "{rest:#}");
    assert!(ware.is_at(&folder.join(&ware.name)));
    let earned = amount(&ada.home.get(&["redeem"])["paid"]) / PIECE_MICROS;
    assert!((pieces..=pieces + 1).contains(&earned), "the piece that did not fit may be lost, no other: {earned}");
    let _ = town.books();
}

#[test]
fn a_file_too_long_for_the_disk_is_told_and_costs_nothing() {
    let goods = Goods::of_pieces(&[12]);
    let ware = &goods.0[0];
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, ware, 1);
    let done = limited(&cleo, 1_024).run(&["buy", &content, "--out", "bought"]);
    assert!(done.code.is_some_and(|code| code != exit::DONE), "{done}");
    assert_eq!(amount(&ada.home.get(&["earnings"])["unredeemed"]), 0, "nothing was paid");
    cleo.does(&["buy", &content, "--out", "bought"]);
    assert_eq!(amount(&ada.home.get(&["redeem"])["paid"]), ware.pieces() * PIECE_MICROS);
}

#[test]
fn a_wallet_that_cannot_write_pays_nothing_and_has_lost_nothing_when_there_is_room_again() {
    let goods = Goods::of_pieces(&[1]);
    let ware = &goods.0[0];
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, ware, 1);
    let mut bought = 0;
    // From a disk on which nothing can be written to one on which all can.
    for kib in [0, 4, 16, 32, 64, 128, 256, 1_024] {
        let folder = format!("bought-{kib}");
        let done = limited(&cleo, kib).run(&["buy", &content, "--out", &folder]);
        assert!(done.code.is_some() && !done.stderr.contains("panicked"), "{kib} KiB: {done}");
        if ware.found_in(&cleo.path().join(&folder)).is_none() {
            cleo.does(&["buy", &content, "--out", &folder]);
        }
        assert!(ware.is_at(&cleo.path().join(&folder).join(&ware.name)));
        bought += 1;
        let standing = cleo.get(&["wallet", "show"]);
        assert_eq!(standing["restored"], false, "{kib} KiB: a full disk is no copy: {standing:#}");
    }
    let earned = amount(&ada.home.get(&["redeem"])["paid"]) / PIECE_MICROS;
    assert!((bought..=bought + 1).contains(&earned), "{earned} paid for {bought} pieces");
    let me = cleo.get(&["wallet", "show"])["peer"].as_str().unwrap().to_owned();
    assert_eq!(town.books().all(&me), 1_000_000 - earned * PIECE_MICROS);
}

#[test]
fn a_bank_that_cannot_write_acknowledges_nothing_and_has_kept_what_it_acknowledged() {
    let mut town = Town::open(Way::Plain);
    let cleo = town.person("cleo", "1");
    let (mut acknowledged, mut attempted) = (1_000_000, 1_000_000);
    town.stop_bank();
    let length = std::fs::metadata(town.bank_home.path().join("bank/bank.db")).unwrap().len();
    for more_kib in [0, 16, 64, 128] {
        let args = town.bank_args();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut full = limited(&town.bank_home, length / 1_024 + more_kib).start_server(&args);
        if full.ready().is_ok() {
            // Until it can write no more, or for so many times.
            for _ in 0..40 {
                let done = cleo.run(&["wallet", "fund", "0.001"]);
                attempted += 1_000;
                if !done.is_good() {
                    let failed = [exit::OTHER, exit::REFUSED, exit::UNKNOWN, exit::UNREACHABLE].map(Some);
                    assert!(failed.contains(&done.code), "{done}");
                    break;
                }
                acknowledged += 1_000;
            }
        }
        assert!(!full.stderr().contains("panicked"), "{}", full.stderr());
        drop(full);
        town.open_bank();
        // What is unknown is settled with the bank.
        cleo.does(&["wallet", "reconcile"]);
        let funded = town.books().funded;
        assert!((acknowledged..=attempted).contains(&funded), "{acknowledged} {funded} {attempted}");
        town.stop_bank();
    }
}
