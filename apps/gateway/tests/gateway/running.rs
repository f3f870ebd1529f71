use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use farthing_core::time::Span;
use farthing_dialects::names;
use farthing_dialects::service::{CloseSession, SessionView};
use farthing_gateway::clearing::Cleared;
use farthing_gateway::report::Report;
use farthing_gateway::{ClearStoppedError, Durability, StartError};

use crate::town::{HERE, NOW, PRICES, Town, micros, send};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_what_was_used_survive_a_restart() {
    let town = Town::new().await;
    let (used, next) = {
        let mut buyer = town.buyer(1, 100).await;
        let used = buyer.coupon("GET", "/hello", b"", 1);
        assert_eq!(buyer.send("/hello", &used).await.status(), 200);
        (used, buyer.coupon("GET", "/hello", b"", 1))
    };
    let town = town.restart().await;
    assert_eq!(send(&town, "/hello", &used).await.status(), 409, "used is used");
    assert_eq!(send(&town, "/hello", &next).await.status(), 200);
    assert_eq!(town.seen.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_sessions_than_fit_in_memory_are_served_from_disk() {
    let town = Town::with(PRICES, |config| config.room.sessions = 1).await;
    let mut buyers = Vec::new();
    for seed in 1..=20 {
        buyers.push(town.buyer(seed, 10).await);
    }
    for _ in 0..3 {
        for buyer in &mut buyers {
            let answer = buyer.get("/hello", 1).await;
            assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 1));
        }
    }
    town.control.clear().await.unwrap();
    assert_eq!(town.bank.paid(), (6_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clearing_whose_answer_is_lost_is_sent_again_and_paid_once() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    buyer.get("/other", 3).await;
    town.bank.deaf.store(true, Ordering::SeqCst);
    town.control.clear().await.unwrap_err();
    assert_eq!(Report::open(&town.records()).unwrap().revenue().unwrap().unanswered, 1);
    town.bank.deaf.store(false, Ordering::SeqCst);
    let town = town.restart().await;
    town.control.clear().await.unwrap();
    assert_eq!(town.bank.paid(), (300, 0));
    let revenue = Report::open(&town.records()).unwrap().revenue().unwrap();
    assert_eq!((revenue.open, revenue.paid_micros, revenue.cleared_micros, revenue.unanswered), (1, 300, 300, 0));
}

/// `/slow` by the byte: up to ten coupons are authorised, and its four bytes cost one.
const SLOW_BY_THE_BYTE: &str = r#"
price = "0.0001 XTS"
[[route]]
path = "/slow"
price = "0.0001 XTS"
unit = "byte"
per = 1000
max = "0.0010 XTS"
"#;

fn patient(config: &mut farthing_gateway::Config) {
    config.patience = Duration::from_secs(20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clearing_never_takes_the_maximum_of_a_request_in_flight() {
    let town = Town::with(SLOW_BY_THE_BYTE, patient).await;
    let mut buyer = town.buyer(1, 100).await;
    assert_eq!(buyer.get("/hello", 1).await.status(), 200);
    let coupon = buyer.coupon("GET", "/slow", b"", 10);
    let asking = async { send(&town, "/slow", &coupon).await };
    let clearing = async {
        town.reached(2).await;
        town.control.clear().await.unwrap();
        assert_eq!(town.bank.paid(), (100, 0), "what is settled, and nothing of what is in flight");
        town.seen.gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(asking, clearing);
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 1));
    town.control.clear().await.unwrap();
    assert_eq!(town.bank.paid(), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_clearing_waits_for_requests_in_flight_and_takes_what_they_cost() {
    for end in ["closed", "expired"] {
        let town = Town::with(SLOW_BY_THE_BYTE, patient).await;
        let mut buyer = town.buyer(1, 100).await;
        let coupon = buyer.coupon("GET", "/slow", b"", 10);
        let asking = async { send(&town, "/slow", &coupon).await };
        let chain = buyer.spender.chain();
        let said = buyer.pseudonym.sign(HERE, &CloseSession { chain, at: NOW });
        let clearing = async {
            town.reached(1).await;
            match end {
                "closed" => assert!(town.post::<SessionView>(names::CLOSE_PATH, &said).await.unwrap().closed),
                _ => town.clock.advance(Span::from_days(1)),
            }
            assert_eq!(town.control.clear().await.unwrap().waiting, 1);
            assert_eq!(town.bank.paid(), (0, 0));
            town.seen.gate.add_permits(1);
        };
        let (answer, ()) = tokio::join!(asking, clearing);
        assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 1), "{end}");
        assert_eq!(town.control.clear().await.unwrap().waiting, 0);
        assert_eq!(town.bank.paid(), (100, 1), "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clearings_that_race_with_requests_never_pay_more_than_was_charged() {
    let town = Town::with(SLOW_BY_THE_BYTE, patient).await;
    let mut buyer = town.buyer(1, 1_000).await;
    let coupons: Vec<_> = (0..40).map(|_| buyer.coupon("GET", "/slow", b"", 10)).collect();
    let charged = AtomicU64::new(0);
    let asking = futures::future::join_all(coupons.iter().map(|coupon| async {
        let answer = send(&town, "/slow", coupon).await;
        assert_eq!(answer.status(), 200);
        charged.fetch_add(1, Ordering::SeqCst);
    }));
    let clearing = async {
        for n in 1..=40 {
            town.reached(n).await;
            town.seen.gate.add_permits(1);
            // What was let through may be settled; nothing else may be asked for.
            town.control.clear().await.unwrap();
            assert!(town.bank.paid().0 <= 100 * n as u64, "{:?} after {n}", town.bank.paid());
        }
    };
    tokio::join!(asking, clearing);
    town.control.clear().await.unwrap();
    assert_eq!((town.bank.paid(), charged.load(Ordering::SeqCst)), ((4_000, 0), 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_is_cleared_for_good_and_counted() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    buyer.get("/other", 3).await;
    town.clock.advance(Span::from_days(1));
    assert_eq!(buyer.get("/hello", 1).await.status(), 402);
    town.control.clear().await.unwrap();
    assert_eq!(town.bank.paid(), (300, 1));
    let report = Report::open(&town.records()).unwrap().revenue().unwrap();
    assert_eq!((report.open, report.over, report.cleared_micros), (0, 1, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_closed_is_cleared_without_a_look_at_all_others() {
    let town = Town::new().await;
    let (mut stays, mut closes) = (town.buyer(1, 100).await, town.buyer(2, 100).await);
    assert_eq!(stays.get("/other", 3).await.status(), 200);
    assert_eq!(closes.get("/hello", 1).await.status(), 200);
    let said = closes.pseudonym.sign(HERE, &CloseSession { chain: closes.spender.chain(), at: NOW });
    assert!(town.post::<SessionView>(names::CLOSE_PATH, &said).await.unwrap().closed);
    for _ in 0..10_000 {
        if town.bank.paid().1 > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(town.bank.paid(), (100, 1), "the closed one for good, and nothing of the other");
    town.control.clear().await.unwrap();
    assert_eq!(town.bank.paid(), (400, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_gateway_took_is_cleared_without_it_and_once() {
    let mut town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    assert_eq!(buyer.get("/other", 3).await.status(), 200);
    drop(buyer);
    let running = clear_stopped(town.records(), town.bank.there(), town.clock.clone()).await;
    assert!(matches!(running, Err(ClearStoppedError::Start(StartError::Store(_)))), "it runs");
    // At its stop the bank's answer goes missing.
    town.bank.deaf.store(true, Ordering::SeqCst);
    town.stop().await;
    town.bank.deaf.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        clear_stopped(town.records(), town.bank.there(), town.clock.clone()).await.unwrap();
        assert_eq!(town.bank.paid(), (300, 0));
    }
    let revenue = Report::open(&town.records()).unwrap().revenue().unwrap();
    assert_eq!((revenue.open, revenue.cleared_micros, revenue.unanswered), (1, 300, 0));
}

async fn clear_stopped(
    home: std::path::PathBuf,
    bank: farthing_gateway::Bank,
    clock: farthing_driver::ManualClock,
) -> Result<Cleared, ClearStoppedError> {
    farthing_gateway::clear_stopped(&home, bank, std::sync::Arc::new(clock)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bank_s_lost_answer_is_asked_for_again_and_its_no_is_handed_on() {
    let town = Town::new().await;
    town.bank.deaf.store(true, Ordering::SeqCst);
    let mut buyer = town.buyer(1, 10).await;
    assert_eq!(buyer.get("/hello", 1).await.status(), 200);
    town.bank.says_no.store(true, Ordering::SeqCst);
    let (status, why) = town.try_buyer(2, 10).await.err().unwrap();
    assert!(status == 403 && why.contains("no money"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bank_is_not_asked_again_about_sessions_it_refused_to_an_empty_account() {
    let town = Town::new().await;
    town.bank.says_no.store(true, Ordering::SeqCst);
    for seed in 1..=5 {
        let (status, why) = town.try_buyer(seed, 10).await.err().unwrap();
        assert!(status == 403 && why.contains("no money"), "{why}");
    }
    assert_eq!(town.bank.asked.load(Ordering::SeqCst), 5);
    // What is left over from before is asked about as soon as the gateway starts.
    let town = town.restart().await;
    town.bank.says_no.store(false, Ordering::SeqCst);
    town.buyer(6, 10).await;
    assert_eq!(town.bank.asked.load(Ordering::SeqCst), 6, "nothing but the new purchase");
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_that_make_no_sense_leave_the_old_ones_in_force() {
    let town = Town::new().await;
    let file = town.home.path().join("prices.toml");
    std::fs::write(&file, "price = \"free\"").unwrap();
    assert!(matches!(town.control.reload().await, Err(StartError::Prices(_))));
    assert_eq!(town.challenge("/other").await.1.units, 3);
    std::fs::write(&file, "price = \"0.0008 XTS\"").unwrap();
    town.control.reload().await.unwrap();
    let (_, quote) = town.challenge("/other").await;
    assert_eq!((quote.units, quote.coupon), (1, micros(800)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_older_coupons_still_buys_at_the_new_price() {
    let town = Town::new().await;
    let mut buyer = town.buyer(1, 100).await;
    std::fs::write(town.home.path().join("prices.toml"), "price = \"0.0008 XTS\"").unwrap();
    town.control.reload().await.unwrap();
    let answer = buyer.get("/hello", 8).await;
    assert_eq!((answer.status().as_u16(), buyer.charged(&answer)), (200, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_written_down_later_say_what_can_be_lost_and_are_written_down() {
    let every = Durability::Every(Duration::from_millis(5));
    assert!(every.exposure(micros(100)).contains("5 ms"));
    let town = Town::with(PRICES, |config| config.durability = every).await;
    let used = {
        let mut buyer = town.buyer(1, 100).await;
        let used = buyer.coupon("GET", "/hello", b"", 1);
        assert_eq!(buyer.send("/hello", &used).await.status(), 200);
        used
    };
    let town = town.restart().await;
    assert_eq!(send(&town, "/hello", &used).await.status(), 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_health_are_for_this_machine_s_tools_and_not_for_customers() {
    let town = Town::with(PRICES, |config| config.ops = Some("127.0.0.1:0".parse().unwrap())).await;
    assert_eq!(town.get("/metrics").await.status(), 402);
    assert_eq!(town.get("/.well-known/farthing/healthz").await.status(), 200);
    let ops = town.ops.unwrap();
    let metrics = town.http.get(format!("http://{ops}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("farthing_gateway_challenges_total"));
    assert_eq!(town.http.get(format!("http://{ops}/readyz")).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_under_the_pattern_that_fitted() {
    let town = Town::with(PRICES, |config| config.ops = Some("127.0.0.1:0".parse().unwrap())).await;
    let mut buyer = town.buyer(1, 10).await;
    assert_eq!(buyer.get("/other", 3).await.status(), 200);
    assert_eq!(town.get("/bytes/some/where").await.status(), 402);
    let metrics = town.http.get(format!("http://{}/metrics", town.ops.unwrap())).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for route in ["/other", "/bytes/**"] {
        assert!(metrics.contains(&format!("farthing_http_requests_total{{route=\"{route}\"")), "{route}: {metrics}");
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whatever other tests log goes there too, and none of them has this route.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_log_names_the_pattern_that_fitted() {
    let log = Log::default();
    let writer = log.clone();
    let logging = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    tracing::subscriber::set_global_default(logging).unwrap();
    let prices = format!("{PRICES}[[route]]\npath = \"/named/**\"\nprice = \"0.0001 XTS\"\n");
    let town = Town::with(&prices, |_| {}).await;
    assert_eq!(town.get("/named/some/where").await.status(), 402);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line = log.lines().find(|line| line.contains("route=\"/named/**\"")).unwrap();
    assert!(line.contains("status=402") && !line.contains("none"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_no_gateway_says_so_and_makes_no_records() {
    let home = tempfile::tempdir().unwrap();
    let why = Report::open(home.path()).err().unwrap().to_string();
    assert!(why.contains("no gateway has run in"), "{why}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn what_a_crash_may_cost_is_said_for_the_dearest_request() {
    let exposure = Durability::Every(Duration::from_secs(5)).exposure(micros(20_000));
    assert!(exposure.contains("5000 ms later") && exposure.contains("up to 0.02 XTS for each request"), "{exposure}");
}
