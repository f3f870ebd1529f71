use farthing_bank::audit::{AuditFailure, audit};
use farthing_bank::client::AskError;
use farthing_bank::home::{BankHome, Unlock};
use farthing_bank::messages::{CBOR, Text};
use farthing_bank::server::{Bank, Options, SignerChoice, StartError};
use farthing_clearing::bank::Standing;
use farthing_clearing::compare::{Extent, Fate};
use farthing_clearing::payer::Answered;
use farthing_core::evidence::EvidenceKind;
use farthing_core::refusal::{Code, Money};

use crate::town::{Town, key, refused, units};
use crate::wallets::{Clearer, grant};

/// Sends bytes as they are.
async fn send(town: &Town, bytes: Vec<u8>) -> (u16, Vec<u8>) {
    let url = town.client.address().endpoint().url("/clearing");
    let answer = reqwest::Client::new().post(url).header("content-type", CBOR).body(bytes).send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

async fn town_with_operator() -> Town {
    Town::with(|config| config.operators = vec![key(90).id(), key(91).id()]).await
}

fn why(answered: Answered) -> Code {
    match answered {
        Answered::Refused(why) | Answered::Stuck(why) => why.code,
        Answered::Paid(..) => panic!("it was paid"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_made_once_however_often_its_frame_is_sent_and_after_a_restart() {
    let mut town = Town::new().await;
    let (mut alice, mut carol) = (Clearer::new(&town, 1, 10).await, Clearer::new(&town, 2, 0).await);
    let frame = alice.frame(&town, carol.key.id(), 250_000, false);
    let first = town.client.clearing_frame(&frame).await.unwrap();
    assert_eq!(town.client.clearing_frame(&frame).await.unwrap(), first);
    town.restart().await;
    assert_eq!(town.client.clearing_frame(&frame).await.unwrap(), first);
    let Answered::Paid(paid, _) = alice.on_answer(&first) else { panic!("refused") };
    assert!(carol.receive(&town, &paid).outcome.is_ok());
    assert_eq!((town.balance(&alice.key).await, town.balance(&carol.key).await), (9_750_000, 250_000));
    let report = town.bank().count_and_publish().await.unwrap();
    assert!(report.is_conserved() && report.clearing.unwrap().seq >= 3, "{report:?}");
    // The customer's own statement shows it too.
    let lines = town.client.statement(&carol.key, town.id(), None, 8).await.unwrap().lines;
    assert_eq!(lines.as_slice().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_under_one_number_stop_the_account_until_books_are_compared_and_operators_see_it() {
    let town = town_with_operator().await;
    let (mut alice, carol) = (Clearer::new(&town, 1, 10).await, Clearer::new(&town, 2, 0).await);
    let mut copy = alice.clone();
    let frame = alice.frame(&town, carol.key.id(), 1_000, true);
    alice.on_answer(&town.client.clearing_frame(&frame).await.unwrap());
    let other = copy.frame(&town, carol.key.id(), 2_000, true);
    let answer = copy.on_answer(&town.client.clearing_frame(&other).await.unwrap());
    assert_eq!(why(answer), Code::Conflict);
    assert_eq!(town.balance(&carol.key).await, 1_000);
    let cases = town.client.clearing_cases(&key(90), town.id(), None).await.unwrap();
    assert_eq!(cases.items.as_slice().iter().map(|item| item.case.customer).collect::<Vec<_>>(), [alice.key.id()]);
    let evidence = town.client.evidence(&key(90), town.id(), None).await.unwrap();
    let kinds: Vec<_> = evidence.items.as_slice().iter().map(|item| (item.kind, item.accused)).collect();
    assert_eq!(kinds, [(EvidenceKind::ClearingRequestFork, alice.key.id())]);
    let report = town.client.report(&key(90), town.id(), alice.key.id()).await.unwrap();
    assert_eq!(report.clearing, Some(Standing::MustReconcile));
    assert_eq!(why(alice.pay(&town, carol.key.id(), 10).await), Code::Reconcile);
    assert_eq!(alice.compare(&town, Extent::SinceAgreed).await.unwrap(), Some(Fate::NotPaid));
    assert!(matches!(alice.pay(&town, carol.key.id(), 10).await, Answered::Paid(..)));
    // The other copy is behind now, and pays nothing more until it compares in turn.
    assert_eq!(copy.compare(&town, Extent::Whole).await.unwrap(), Some(Fate::NotPaid));
    assert!(matches!(copy.pay(&town, carol.key.id(), 10).await, Answered::Paid(..)));
    assert_eq!(why(alice.pay(&town, carol.key.id(), 10).await), Code::Epoch);
    assert_eq!(town.balance(&carol.key).await, 1_020);
    // Nobody but an operator hears of cases.
    assert_eq!(refused(town.client.clearing_cases(&alice.key, town.id(), None).await), Code::Policy);
}

#[tokio::test(flavor = "multi_thread")]
async fn funding_pay_out_and_deposit_wait_for_books_that_agree() {
    let town = Town::new().await;
    let (mut alice, carol) = (Clearer::new(&town, 1, 10).await, Clearer::new(&town, 2, 0).await);
    town.client.deposit(&alice.key, town.id(), units(1), false).await.unwrap();
    alice.pay(&town, carol.key.id(), 1_000).await;
    let (note, to) = (|| Text::new("for the fair").unwrap(), || Text::new("away").unwrap());
    assert_eq!(refused(town.client.fund(&alice.key, town.id(), units(1), note()).await), Code::Reconcile);
    assert_eq!(refused(town.client.payout(&alice.key, town.id(), units(1), to()).await), Code::Reconcile);
    assert_eq!(refused(town.client.deposit(&alice.key, town.id(), units(1), true).await), Code::Reconcile);
    assert_eq!(alice.compare(&town, Extent::SinceAgreed).await.unwrap(), None);
    town.client.fund(&alice.key, town.id(), units(1), note()).await.unwrap();
    town.client.payout(&alice.key, town.id(), units(1), to()).await.unwrap();
    town.client.deposit(&alice.key, town.id(), units(1), true).await.unwrap();
    assert_eq!(town.balance(&alice.key).await, 9_999_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_answers_frames_that_do_not_open_alike_and_changes_nothing() {
    let town = Town::new().await;
    let (mut alice, carol) = (Clearer::new(&town, 1, 10).await, Clearer::new(&town, 2, 0).await);
    let (status, rubbish) = send(&town, b"rubbish".to_vec()).await;
    assert_eq!(status, 400);
    let good = alice.frame(&town, carol.key.id(), 1_000, false);
    // A stranger's name over it, parts of it, and every few bytes of it altered.
    let name = good.windows(32).position(|part| part == alice.key.id().0).unwrap();
    let mut strange = good.clone();
    strange[name] ^= 1;
    let mut bad = vec![Vec::new(), vec![0xff; 100_000], strange];
    bad.extend((0..good.len()).step_by(5).map(|length| good[..length].to_vec()));
    for at in (0..good.len()).step_by(3) {
        let mut altered = good.clone();
        altered[at] ^= 1 << (at % 8);
        bad.push(altered);
    }
    for frame in bad {
        assert_eq!(send(&town, frame).await, (400, rubbish.clone()));
    }
    assert_eq!(town.balance(&carol.key).await, 0);
    let answer = town.client.clearing_frame(b"rubbish").await;
    let Err(AskError::Refused { refusal, authenticated: false }) = answer else { panic!("{answer:?}") };
    assert_eq!((refusal.code, refusal.money), (Code::Decrypt, Money::Unknown));
    assert_eq!(send(&town, good).await.0, 200);
    assert_eq!(town.balance(&carol.key).await, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_opens_and_does_not_fit_gets_a_refusal_that_the_bank_signs() {
    let town = Town::new().await;
    let mut alice = Clearer::new(&town, 1, 10).await;
    let (_, early) = alice.wallet.compare(town.now(), Extent::Whole, &mut alice.rng);
    town.clock.advance(farthing_core::time::Span::from_secs(1));
    let (_, late) = alice.wallet.compare(town.now(), Extent::Whole, &mut alice.rng);
    town.client.clearing_frame(&late).await.unwrap();
    assert_eq!(refused(town.client.clearing_frame(&early).await), Code::Sequence);
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_slows_down_a_customer_that_sends_frames_too_fast_and_no_other() {
    let town = Town::with(|config| config.limits.requests_per_second = 2).await;
    let (mut alice, carol) = (Clearer::new(&town, 1, 0).await, town.customer(3, 0).await);
    let frame = alice.frame(&town, carol.id(), 1_000, false);
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(send(&town, frame.clone()).await.0);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(town.client.statement(&carol, town.id(), None, 0).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_operator_retires_says_nothing_more_and_its_customer_gets_another() {
    let town = town_with_operator().await;
    let (mut alice, carol) = (Clearer::new(&town, 1, 10).await, Clearer::new(&town, 2, 0).await);
    town.client.retire_key(&key(90), town.id(), alice.key.id()).await.unwrap();
    let stolen = alice.frame(&town, carol.key.id(), 1_000, false);
    assert_eq!(send(&town, stolen).await.0, 400);
    assert_eq!(town.balance(&carol.key).await, 0);
    alice.wallet.rotate(grant(&town, &alice.key).await);
    assert_eq!(alice.compare(&town, Extent::Whole).await.unwrap(), Some(Fate::NotPaid));
    assert!(matches!(alice.pay(&town, carol.key.id(), 1_000).await, Answered::Paid(..)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clearings_log_outside_of_the_books_names_the_row_that_was_altered() {
    let mut town = Town::new().await;
    let (mut alice, carol) = (Clearer::new(&town, 1, 10).await, Clearer::new(&town, 2, 0).await);
    let copy = town.dir.path().join("copy");
    farthing_bank::audit::backup(&town.home(), &copy).unwrap();
    alice.pay(&town, carol.key.id(), 1_000).await;
    alice.pay(&town, carol.key.id(), 2_000).await;
    town.stop().await;
    // At the end everything was copied.
    let summary = audit(&town.home()).unwrap();
    assert_eq!(summary.clearing_rows, 4);
    let file = town.home().join("clearing.log");
    let whole = std::fs::read_to_string(&file).unwrap();
    assert_eq!(whole.lines().count(), 4);
    // Cut short by a crash, it goes on where it was.
    std::fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    town.restart().await;
    town.stop().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), whole);
    // A digit of the third row altered; then a row taken out.
    let mut altered: Vec<String> = whole.lines().map(str::to_owned).collect();
    let digit = altered[2].pop().unwrap();
    altered[2].push(if digit == '0' { '1' } else { '0' });
    std::fs::write(&file, altered.join("\n") + "\n").unwrap();
    let why = audit(&town.home()).unwrap_err();
    assert!(matches!(why, AuditFailure::ClearingLog(_)) && why.to_string().contains("line 3"), "{why}");
    let open = || BankHome::open(town.home(), &Unlock::insecure()).unwrap();
    let started = Bank::start(open(), Options::new(SignerChoice::InThisProcess, Unlock::insecure())).await;
    assert!(matches!(started.err(), Some(StartError::ClearingLog(_))));
    std::fs::write(&file, &whole).unwrap();
    // Books put back to an earlier day, with nothing else that tells.
    for file in ["bank.db", "bank.db-wal", "bank.db-shm", "published"] {
        let _ = std::fs::remove_file(town.home().join(file));
    }
    std::fs::copy(copy.join("bank.db"), town.home().join("bank.db")).unwrap();
    let started = Bank::start(open(), Options::new(SignerChoice::InThisProcess, Unlock::insecure())).await;
    let why = started.err().unwrap();
    assert!(why.to_string().contains("part at row 4"), "{why}");
    assert!(matches!(audit(&town.home()), Err(AuditFailure::ClearingLog(_))));
}
