//! Clocks that were turned back, or far ahead.
//!
//! The binary has no switch for that, so the clock is turned underneath it: by a few lines of C
//! that answer for the system.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use farthing_e2e::{Goods, Home, PIECE_MICROS, Town, Way, amount, exit};

const DAY: i64 = 24 * 3_600;
const YEAR: i64 = 365 * DAY;

/// Answers for the system, so many seconds off.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *at) {
    int result = (int)syscall(SYS_clock_gettime, clock, at);
    const char *shift = getenv("SHIFT_SECONDS");
    if (result == 0 && clock == CLOCK_REALTIME && shift) at->tv_sec += atoll(shift);
    return result;
}
"#;

/// The shim, compiled into the town's folder.
fn shim(town: &Town) -> PathBuf {
    let (source, library) = (town.path().join("clock.c"), town.path().join("clock.so"));
    fs::write(&source, SHIM).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(compiled.expect("a C compiler, which building needs anyway").success());
    library
}

/// The same home where the clock is so many seconds off.
fn shifted(town: &Town, home: &Home, seconds: i64) -> Home {
    let library = shim(town);
    home.clone().with_env("LD_PRELOAD", library.to_str().unwrap()).with_env("SHIFT_SECONDS", &seconds.to_string())
}

#[test]
fn a_wallet_whose_clock_was_turned_back_pays_nothing_until_it_is_right_again() {
    let goods = Goods::of_pieces(&[2]);
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, &goods.0[0], 1);
    for back in [-3_600, -2 * DAY, -10 * YEAR] {
        let behind = shifted(&town, &cleo, back);
        let done = behind.run(&["buy", &content, "--out", "bought"]);
        assert!(!done.is_good(), "{back}: {done}");
        let failed = behind.fails(&["wallet", "fund", "1"], exit::DAMAGED);
        assert!(failed.what.contains("clock"), "{back}: {failed:?}");
        let done = behind.run(&["doctor"]);
        assert!(!done.is_good() && done.to_string().contains("clock"), "{back}: {done}");
    }
    assert_eq!(amount(&ada.home.get(&["earnings"])["unredeemed"]), 0);
    cleo.does(&["buy", &content, "--out", "bought"]);
    assert_eq!(amount(&ada.home.get(&["redeem"])["paid"]), 2 * PIECE_MICROS);
    assert_eq!(town.books().funded, 1_000_000);
}

#[test]
fn a_clock_far_ahead_moves_no_money_and_does_no_lasting_harm() {
    let goods = Goods::of_pieces(&[2]);
    let town = Town::open(Way::Plain);
    let ada = town.seller("ada", &goods);
    let cleo = town.person("cleo", "1");
    let content = town.content(&cleo, &goods.0[0], 1);
    for ahead in [2 * DAY, 10 * YEAR, 80 * YEAR] {
        let done = shifted(&town, &cleo, ahead).run(&["buy", &content, "--out", "bought"]);
        assert!(!done.is_good(), "{ahead}: {done}");
        assert!(!done.stderr.contains("panicked"), "{ahead}: {done}");
    }
    assert_eq!(amount(&ada.home.get(&["earnings"])["unredeemed"]), 0);
    cleo.does(&["buy", &content, "--out", "bought"]);
    assert_eq!(amount(&ada.home.get(&["redeem"])["paid"]), 2 * PIECE_MICROS);
}

#[test]
fn a_bank_whose_clock_was_turned_back_writes_nothing_into_its_books() {
    let mut town = Town::open(Way::Plain);
    let cleo = town.person("cleo", "1");
    town.stop_bank();
    let args = town.bank_args();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut behind = shifted(&town, &town.bank_home, -2 * DAY).start_server(&args);
    match behind.ready() {
        // It may open, but does nothing at a time that has been before.
        Ok(_) => assert!(!cleo.run(&["wallet", "fund", "1"]).is_good()),
        Err(done) => assert!(done.code.is_some() && done.stderr.contains("clock"), "{done}"),
    }
    drop(behind);
    town.open_bank();
    assert_eq!(town.books().funded, 1_000_000);
    cleo.does(&["wallet", "fund", "1"]);
    assert_eq!(town.books().funded, 2_000_000);
}
