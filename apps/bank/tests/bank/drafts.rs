use farthing_bank::messages::{Progress, Text};
use farthing_core::amount::Currency;
use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::refusal::Code;
use farthing_core::time::Span;
use farthing_draft::messages::{Agreement, Confirm, Differs, Finding, Outcome, Proof, StopReason};

use crate::town::{Town, key, micros, refused, units};
use crate::wallets::{Writer, deposit_of, item};

async fn town_with_operators() -> Town {
    Town::with(|config| config.operators = vec![key(90).id(), key(91).id()]).await
}

/// What a line was paid, in units.
fn paid(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Taken { paid, .. } => paid.as_micros() / 1_000_000,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drafts_are_paid_in_one_batch_and_a_second_deposit_pays_nothing_more() {
    let mut town = Town::new().await;
    let (mut alice, mut carol) = (Writer::new(&town, 1, 10).await, Writer::new(&town, 2, 0).await);
    let said = alice.reconcile(&town, 8_000_000).await.unwrap();
    assert!(matches!(said.result, Agreement::Agreed(Some(_))), "{said:?}");
    let mut drawn = Vec::new();
    for _ in 0..5 {
        let draft = alice.draw(&town, carol.id(), 1_000_000);
        carol.take(&town, &draft, 1_000_000);
        drawn.push(draft);
    }
    let items: Vec<_> = drawn.iter().map(item).collect();
    let lines = carol.deposit(&town).await;
    assert_eq!(lines.iter().map(|line| paid(&line.outcome)).collect::<Vec<_>>(), [1; 5]);
    assert_eq!((town.balance(&key(1)).await, town.balance(&key(2)).await), (5_000_000, 5_000_000));
    // Twice, in another request, after a restart, and by somebody else.
    town.restart().await;
    let again = town.client.draft_deposit(&key(2), town.id(), &deposit_of(items.clone())).await.unwrap();
    assert_eq!(again.body().lines.as_slice(), lines);
    let thief = Writer::new(&town, 3, 0).await;
    let stolen = town.client.draft_deposit(&key(3), town.id(), &deposit_of(items)).await.unwrap();
    let codes = stolen.body().lines.as_slice().iter().map(|line| match &line.outcome {
        Outcome::Refused(why) => why.code,
        other => panic!("{other:?}"),
    });
    assert!(codes.eq([Code::NotPayee; 5]));
    assert_eq!((town.balance(&key(thief.key)).await, town.balance(&key(2)).await), (0, 5_000_000));
    assert!(town.bank().count_and_publish().await.unwrap().is_conserved());
    assert_eq!(farthing_bank::audit::audit(&town.home()).unwrap().totals["XTS"]["customer"], 10_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_promised_more_than_it_has_pays_from_credit_line_and_deposit_and_is_suspended() {
    let town = Town::with(|config| {
        config.operators = vec![key(90).id(), key(91).id()];
        config.draft.credit = Some(units(1));
        config.draft.credit_total = Some(units(50));
    });
    let town = town.await;
    let mut alice = Writer::new(&town, 1, 6).await;
    town.client.deposit(&key(1), town.id(), units(1), false).await.unwrap();
    alice.reconcile(&town, 5_000_000).await.unwrap();
    let mut payees = Vec::new();
    for seed in 10..15 {
        let mut payee = Writer::new(&town, seed, 0).await;
        let drawn = alice.draw(&town, payee.id(), 1_000_000);
        payee.take(&town, &drawn, 1_000_000);
        payees.push(payee);
    }
    // Then the money goes elsewhere, all but two.
    town.client.payout(&key(1), town.id(), units(3), Text::new("away").unwrap()).await.unwrap();
    let mut got = Vec::new();
    for payee in &mut payees {
        got.push(paid(&payee.deposit(&town).await[0].outcome));
    }
    assert_eq!(got, [1, 1, 1, 1, 0]);
    let report = town.client.report(&key(90), town.id(), key(1).id()).await.unwrap();
    let balances = (report.balances.balance, report.balances.deposit);
    assert_eq!(balances, (micros(0), micros(0)));
    assert_eq!((report.credit_used, report.credit, report.owed), (units(1), units(1), units(1)));
    assert!(report.suspended);
    assert_eq!(refused(alice.reconcile(&town, 1_000_000).await), Code::Suspended);
    // Money that comes in goes to the payee first, then to the bank.
    let note = Text::new("mea culpa").unwrap();
    town.client.fund(&key(1), town.id(), units(3), note).await.unwrap();
    assert_eq!(town.balance(&key(14)).await, 1_000_000);
    let report = town.client.report(&key(90), town.id(), key(1).id()).await.unwrap();
    assert_eq!((report.credit_used, report.owed, report.balances.balance), (micros(0), micros(0), units(1)));
    let liabilities = town.bank().count_and_publish().await.unwrap();
    assert!(liabilities.is_conserved());
    assert_eq!(liabilities.fees, 50_000_000);
    // The deposit answers for drafts for a month after the last certificate.
    town.client.suspend(&key(90), town.id(), key(1).id(), false).await.unwrap();
    town.client.deposit(&key(1), town.id(), units(1), false).await.unwrap();
    town.clock.advance(Span::from_days(30));
    assert_eq!(refused(town.client.deposit(&key(1), town.id(), units(1), true).await), Code::NotYet);
    town.clock.advance(Span::from_days(2));
    town.client.deposit(&key(1), town.id(), units(1), true).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_wallet_that_pays_two_payees_under_one_number_is_convicted_and_suspended() {
    let town = town_with_operators().await;
    let (mut alice, mut carol) = (Writer::new(&town, 1, 10).await, Writer::new(&town, 2, 0).await);
    let mut dave = Writer::new(&town, 3, 0).await;
    alice.reconcile(&town, 8_000_000).await.unwrap();
    // The same store, twice.
    let before = alice.store_copy();
    let first = alice.draw(&town, carol.id(), 1_000_000);
    let mut copy = Writer { store: before, key: alice.key, copy: alice.copy, client: alice.client.clone() };
    let second = copy.draw(&town, dave.id(), 2_000_000);
    carol.take(&town, &first, 1_000_000);
    dave.take(&town, &second, 2_000_000);
    assert_eq!(paid(&carol.deposit(&town).await[0].outcome), 1);
    let line = dave.deposit(&town).await.remove(0);
    assert!(matches!(&line.outcome, Outcome::Refused(why) if why.code == Code::Conflict), "{line:?}");
    let evidence = town.client.evidence(&key(90), town.id(), None).await.unwrap();
    let found: Vec<_> = evidence.items.as_slice().iter().map(|item| (item.kind, item.verdict)).collect();
    assert_eq!(found, [(EvidenceKind::DraftFork, Verdict::Guilty(alice.id()))]);
    assert!(town.client.report(&key(90), town.id(), key(1).id()).await.unwrap().suspended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_leaves_out_a_draft_is_found_out_when_that_is_deposited() {
    let town = town_with_operators().await;
    let (mut alice, mut carol) = (Writer::new(&town, 1, 10).await, Writer::new(&town, 2, 0).await);
    alice.reconcile(&town, 8_000_000).await.unwrap();
    let before = alice.store_copy();
    let hidden = alice.draw(&town, carol.id(), 1_000_000);
    alice.store = before;
    town.clock.advance(Span::from_secs(1));
    alice.reconcile(&town, 8_000_000).await.unwrap();
    carol.take(&town, &hidden, 1_000_000);
    assert_eq!(paid(&carol.deposit(&town).await[0].outcome), 1);
    let said = alice.reconcile(&town, 8_000_000).await;
    match said {
        Ok(said) => {
            let Agreement::Problems(problems) = said.result else { panic!("{said:?}") };
            assert!(problems.as_slice().iter().any(|problem| problem.what == Differs::Concealed), "{problems:?}");
        }
        Err(why) => assert_eq!(refused::<()>(Err(why)), Code::Suspended),
    }
    assert!(town.client.report(&key(90), town.id(), key(1).id()).await.unwrap().suspended);
    // The operator may let it begin again.
    town.client.suspend(&key(90), town.id(), key(1).id(), false).await.unwrap();
    town.client.pardon(&key(90), town.id(), alice.id()).await.unwrap();
    assert!(matches!(alice.reconcile(&town, 1_000_000).await.unwrap().result, Agreement::Agreed(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_draft_goes_back_unless_its_payee_shows_that_it_delivered() {
    let town = Town::new().await;
    let (mut alice, mut carol) = (Writer::new(&town, 1, 10).await, Writer::new(&town, 2, 0).await);
    alice.reconcile(&town, 8_000_000).await.unwrap();
    let drawn: Vec<_> = (0..2).map(|_| alice.draw(&town, carol.id(), 1_000_000)).collect();
    for draft in &drawn {
        carol.take(&town, draft, 1_000_000);
    }
    let numbers: Vec<u64> = drawn.iter().map(|draft| draft.payment.draft.peek().unwrap().number).collect();
    // The first was delivered, and its payer said so before it thought better of it.
    let store = alice.store_copy();
    let delivered = alice.pays(&town, |payer, cx| payer.delivered(cx, numbers[0])).unwrap();
    alice.store = store;
    for number in &numbers {
        let stop = alice.pays(&town, |payer, cx| payer.stop(cx, *number, StopReason::NotDelivered)).unwrap();
        town.client.draft_stop(&key(1), town.id(), &stop).await.unwrap();
    }
    assert_eq!(town.balance(&key(1)).await, 8_000_000);
    let lines = carol.deposit(&town).await;
    assert!(lines.iter().all(|line| matches!(line.outcome, Outcome::Stopped { .. })), "{lines:?}");
    let proof = Proof::Delivered { payer: alice.id(), number: numbers[0], delivered };
    assert_eq!(town.client.draft_prove(&key(2), town.id(), &proof).await.unwrap(), Finding::Pay);
    assert_eq!(town.balance(&key(2)).await, 1_000_000);
    town.clock.advance(Span::from_days(9));
    town.bank().tick_now().await.unwrap();
    assert_eq!((town.balance(&key(1)).await, town.balance(&key(2)).await), (9_000_000, 1_000_000));
    assert!(town.bank().count_and_publish().await.unwrap().is_conserved());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_lists_open_stops_with_the_number_to_decide_them_by_and_the_sum_that_is_set_aside() {
    let town = town_with_operators().await;
    let (mut alice, mut carol) = (Writer::new(&town, 1, 10).await, Writer::new(&town, 2, 0).await);
    alice.reconcile(&town, 8_000_000).await.unwrap();
    for amount in [1_000_000, 2_000_000] {
        let drawn = alice.draw(&town, carol.id(), amount);
        carol.take(&town, &drawn, amount);
        let number = drawn.payment.draft.peek().unwrap().number;
        let stop = alice.pays(&town, |payer, cx| payer.stop(cx, number, StopReason::NotDelivered)).unwrap();
        town.client.draft_stop(&key(1), town.id(), &stop).await.unwrap();
    }
    carol.deposit(&town).await;
    let report = town.client.report(&key(90), town.id(), alice.id()).await.unwrap();
    let stops = report.stops.as_slice();
    assert_eq!((stops.len(), report.stopped, report.balances.balance), (2, units(3), units(7)));
    assert!(stops.iter().all(|stop| stop.claimed && stop.payee == carol.id()), "{stops:?}");
    for (stop, finding) in stops.iter().zip([Finding::GiveBack, Finding::Pay]) {
        town.client.judge_stop(&key(90), town.id(), stop.payer, stop.number, finding).await.unwrap();
    }
    let report = town.client.report(&key(90), town.id(), alice.id()).await.unwrap();
    assert_eq!((report.stops.as_slice(), report.stopped), (&[][..], units(0)));
    assert_eq!((town.balance(&key(1)).await, town.balance(&key(2)).await), (8_000_000, 2_000_000));
    assert!(town.bank().count_and_publish().await.unwrap().is_conserved());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_draft_is_paid_whatever_its_payer_does_and_one_that_is_not_covered_is_not_confirmed() {
    let town = Town::new().await;
    let (mut alice, mut carol) = (Writer::new(&town, 1, 3).await, Writer::new(&town, 2, 0).await);
    alice.reconcile(&town, 3_000_000).await.unwrap();
    let drawn: Vec<_> = (0..2).map(|_| alice.draw(&town, carol.id(), 1_000_000)).collect();
    let ask = |draft| Confirm { item: item(draft) };
    let said = town.client.draft_confirm(&key(2), town.id(), &ask(&drawn[0])).await.unwrap();
    assert_eq!(said.body().amount, units(1));
    town.client.payout(&key(1), town.id(), units(2), Text::new("away").unwrap()).await.unwrap();
    assert_eq!(refused(town.client.draft_confirm(&key(2), town.id(), &ask(&drawn[1])).await), Code::Funds);
    carol.take(&town, &drawn[0], 1_000_000);
    assert_eq!(paid(&carol.deposit(&town).await[0].outcome), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pseudonym_writes_and_takes_drafts_for_its_account_and_strangers_keys_are_refused() {
    let town = Town::new().await;
    let account = town.customer(1, 10).await;
    let mut hidden = Writer::alias(&town, &account, 50).await.unwrap();
    let mut carol = Writer::new(&town, 2, 5).await;
    hidden.reconcile(&town, 2_000_000).await.unwrap();
    let drawn = hidden.draw(&town, carol.id(), 1_000_000);
    carol.take(&town, &drawn, 1_000_000);
    assert_eq!(paid(&carol.deposit(&town).await[0].outcome), 1);
    assert_eq!(town.balance(&account).await, 9_000_000);
    carol.reconcile(&town, 2_000_000).await.unwrap();
    let back = carol.draw(&town, hidden.id(), 2_000_000);
    hidden.take(&town, &back, 2_000_000);
    assert_eq!(paid(&hidden.deposit(&town).await[0].outcome), 2);
    assert_eq!(town.balance(&account).await, 11_000_000);
    // Another's key, a key with an account of its own, and a key that nobody enrolled.
    assert_eq!(refused(Writer::alias(&town, &key(2), 50).await.map(|_| ())), Code::Conflict);
    assert_eq!(refused(Writer::alias(&town, &key(2), 1).await.map(|_| ())), Code::Conflict);
    let items = deposit_of(vec![item(&drawn)]);
    assert_eq!(refused(town.client.draft_deposit(&key(77), town.id(), &items).await), Code::Unknown);
    // It is no customer: nothing else is open to it.
    let note = Text::new("for me").unwrap();
    assert_eq!(refused(town.client.fund(&key(50), town.id(), units(1), note).await), Code::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owners_money_for_credit_lines_is_brought_in_once_and_goes_back_as_it_was_decided() {
    let mut town = Town::with(|config| config.draft.credit_total = Some(units(50))).await;
    town.restart().await;
    let fees = |town: &Town| farthing_bank::audit::audit(&town.home()).unwrap().totals["XTS"]["fees"];
    assert_eq!(fees(&town), 50_000_000);
    let file = town.home().join("bank.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("credit_total = \"50", "credit_total = \"20")).unwrap();
    town.restart().await;
    assert_eq!(fees(&town), 20_000_000);
    assert_eq!(Currency::XTS.code(), "XTS");
    // A home from before there were drafts and clearing opens as well.
    let text = std::fs::read_to_string(&file).unwrap();
    let old: String = text.split("[clearing]").next().unwrap().to_owned();
    let rest = text.find("[facilitator]").map_or("", |at| &text[at..]);
    std::fs::write(&file, old + rest).unwrap();
    town.restart().await;
    let progress = {
        let key = town.customer(1, 0).await;
        town.client.fund(&key, town.id(), units(1), Text::default()).await.unwrap()
    };
    assert!(matches!(progress, Progress::Done(_)));
}
