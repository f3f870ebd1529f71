//! A broker between a gateway and nobody in particular, and a server's papers: the real program.

mod common;

use common::{Served, run};

#[test]
fn a_broker_finds_its_sellers_and_stops_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let home = |name: &str| dir.path().join(name);
    run(&home("bank"), &["bank", "init", "--name", "Test bank"]);
    let bank = Served::start(&home("bank"), &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
    for name in ["seller", "broker"] {
        run(&home(name), &["--bank", bank.address(), "wallet", "init", "--fund", "1"]);
    }
    let service = ["gateway", "--upstream", "http://127.0.0.1:9", "--price", "0.0001", "--listen-on", "127.0.0.1:0"];
    let gateway = Served::start(&home("seller"), &service);
    let args = ["broker", "--seller", gateway.address(), "--units", "500", "--listen-on", "127.0.0.1:0"];
    let broker = Served::start(&home("broker"), &args);
    assert!(broker.address().starts_with("http://127.0.0.1:"));
    // It has set aside what it may owe the seller.
    let sessions = run(&home("seller"), &["gateway", "sessions"]);
    assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(1), "{sessions}");
}

#[test]
fn a_server_learns_what_its_x402_software_is_configured_with() {
    let dir = tempfile::tempdir().unwrap();
    let home = |name: &str| dir.path().join(name);
    run(&home("bank"), &["bank", "init", "--name", "Test bank"]);
    let bank = Served::start(&home("bank"), &["bank", "serve", "--listen-on", "127.0.0.1:0"]);
    run(&home("shop"), &["--bank", bank.address(), "wallet", "init"]);
    let papers = run(&home("shop"), &["facilitator", "--for", "1h"]);
    assert!(papers["network"].as_str().unwrap().starts_with("farthing:net1"), "{papers}");
    assert!(papers["pay_to"].as_str().unwrap().starts_with("peer1"), "{papers}");
    assert!(papers["pass"].as_str().unwrap().len() > 100, "{papers}");
}
