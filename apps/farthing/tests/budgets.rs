//! What `farthing get` may spend, what it says that it spent, and how it ends: the real program.

mod common;

use common::town::{PRICE, Town, code, in_words, micros, said};
use std::io::{Read, Write};

use common::{Served, at, run};

#[test]
fn every_limit_of_the_policy_holds_over_many_runs_and_is_refused_with_the_command_that_raises_it() {
    let town = Town::new();
    let (_gateway, url) = town.seller("seller");
    for (limit, allowed) in [("per-request", 0), ("per-payee", 2), ("per-hour", 2), ("total", 2), ("per-tool", 2)] {
        let buyer = town.person(limit);
        let most = if allowed == 0 { "0.0005" } else { "0.002" };
        run(&buyer, &["wallet", "policy", &format!("--{limit}"), most]);
        let mut paid = 0;
        let refused = loop {
            let answer = at(&buyer).args(["get", &url, "--as", "search"]).output().unwrap();
            if !answer.status.success() {
                break answer;
            }
            paid += 1;
            assert!(paid <= 2 * allowed, "{limit} does not bind");
        };
        // An hour of the clock may end between two of them.
        assert!(paid == allowed || (limit == "per-hour" && paid > allowed), "{limit}: {paid}");
        let told: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert_eq!((code(&refused), &told["error"]["kind"]), (Some(6), &"funds".into()), "{told}");
        let next = told["error"]["next"].as_str().unwrap();
        let file = buyer.join("wallet").join("wallet.toml");
        assert!(next.contains(&format!("wallet policy --{limit} AMOUNT")), "{next}");
        assert!(next.contains(buyer.to_str().unwrap()) && next.contains(file.to_str().unwrap()), "{next}");
        if limit == "per-tool" {
            assert_eq!(run(&buyer, &["get", &url, "--as", "other"])["cost"], PRICE, "another tool has its own");
        }
        run(&buyer, &["wallet", "policy", &format!("--{limit}"), "none"]);
        assert_eq!(run(&buyer, &["get", &url])["cost"], PRICE, "the command that was named helps");
    }
}

#[test]
fn what_needs_approval_is_paid_only_when_approved() {
    let town = Town::new();
    let (_gateway, url) = town.seller("seller");
    let buyer = town.person("buyer");
    run(&buyer, &["wallet", "policy", "--approve-above", "0.0005"]);
    let refused = in_words(&buyer, &["get", &url]);
    assert_eq!(code(&refused), Some(6), "{refused:?}");
    let words = said(&refused);
    assert!(words.contains("not approved") && words.contains("--approve"), "{words}");
    for yes in ["--approve", "--yes"] {
        assert_eq!(code(&in_words(&buyer, &["get", &url, yes])), Some(0));
    }
    run(&buyer, &["wallet", "policy", "--approve-above", "0.001"]);
    assert_eq!(code(&in_words(&buyer, &["get", &url])), Some(0), "up to the threshold nobody is asked");
    assert_eq!(micros(&run(&buyer, &["wallet", "show"]), "spent"), 3_000);
}

#[test]
fn get_ends_with_8_where_the_server_answers_with_an_error_and_says_what_was_charged() {
    let town = Town::new();
    let (_gateway, url) = town.seller("seller");
    let buyer = town.person("buyer");
    for (path, status) in [("/missing", "404"), ("/broken", "500")] {
        let failed = in_words(&buyer, &["get", &format!("{url}{path}")]);
        assert_eq!(code(&failed), Some(8), "{failed:?}");
        assert_eq!(String::from_utf8_lossy(&failed.stdout), path, "the body is still shown");
        let words = said(&failed);
        assert!(words.contains(status) && words.contains("charged"), "{words}");
        let told = at(&buyer).args(["get", &format!("{url}{path}")]).output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&told.stdout).expect("one object");
        assert_eq!((json["status"].to_string(), code(&told)), (status.to_owned(), Some(8)));
    }
    let broken = said(&in_words(&buyer, &["get", &format!("{url}/broken")]));
    assert!(broken.contains("nothing was charged"), "{broken}");
    assert_eq!(code(&in_words(&buyer, &["get", &url])), Some(0));
}

#[test]
fn a_session_is_seen_by_its_site_while_it_lasts_and_once_it_is_over() {
    let town = Town::new();
    let (_gateway, url) = town.seller("seller");
    let buyer = town.person("buyer");
    for _ in 0..3 {
        run(&buyer, &["get", &url]);
    }
    let exposure = run(&buyer, &["wallet", "exposure"]);
    let session = &exposure["sessions"][0];
    assert_eq!((&session["site"], &session["requests"]), (&url.clone().into(), &3.into()), "{exposure}");
    assert_eq!((micros(session, "held"), micros(session, "paid")), (250_000, 3_000));
    let receipt = session["receipt"].as_str().unwrap();
    let history = in_words(&buyer, &["history"]);
    let lines = String::from_utf8_lossy(&history.stdout).into_owned();
    for expected in ["paid so far", &url, "3 requests", receipt] {
        assert!(lines.contains(expected), "{expected}: {lines}");
    }
    let standing = run(&buyer, &["wallet", "show"]);
    assert_eq!((micros(&standing, "spent"), micros(&standing, "in_sessions")), (3_000, 247_000));
    // The seller sees what its gateway has taken.
    let earnings = in_words(&town.at("seller"), &["earnings"]);
    let words = String::from_utf8_lossy(&earnings.stdout).into_owned();
    assert!(words.contains("0.003 XTS") && words.contains("not cleared"), "{words}");

    let closed = in_words(&buyer, &["get", &url, "--close"]);
    let words = String::from_utf8_lossy(&closed.stdout).into_owned();
    for expected in ["Of 0.25 XTS set aside", "0.003 XTS was charged", "0.247 XTS comes back"] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    let lines = run(&buyer, &["history"]);
    let last = lines["lines"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["what"], micros(last, "amount")), (&"paid".into(), 3_000), "{lines}");
    assert!(last["detail"].as_str().unwrap().contains(&url), "{lines}");
    assert!(String::from_utf8_lossy(&in_words(&buyer, &["get", &url, "--close"]).stdout).contains("No session"));
}

#[test]
fn a_proxy_that_works_for_a_tool_has_that_tools_limit() {
    let town = Town::new();
    let (_gateway, url) = town.seller("seller");
    let buyer = town.person("buyer");
    run(&buyer, &["wallet", "policy", "--per-tool", "0.002"]);
    let ask = |tool: &str| {
        let (limit, listen) = (["--max-per-hour", "1"], ["--listen-on", "127.0.0.1:0"]);
        let args = [&["proxy", "--upstream", &url, "--as", tool][..], &limit, &listen].concat();
        let proxy = Served::start(&buyer, &args);
        let at = proxy.address().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let mut stream = std::net::TcpStream::connect(&at).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!([ask("one"), ask("one"), ask("one"), ask("two")], ["200", "200", "403", "200"]);
}
