use farthing_bank::client::AskError;
use farthing_bank::messages::Text;
use farthing_core::evidence::EvidenceKind;
use farthing_core::refusal::Code;
use farthing_core::time::Span;
use farthing_core::wire::{self, Bounded};
use farthing_coupon::bank::{REASON_CLEAR, REASON_REFUND};
use farthing_coupon::clearing::{ClearLine, ClearOutcome, Clearings, Refund};
use farthing_coupon::messages::AuthAnswer;

use crate::shop::{Bought, SESSION_SPAN, is_yes, pay};
use crate::town::{Town, key, micros, refused, units};

/// What a clearing was paid, in micros, and how far it stands cleared.
fn paid(lines: &Result<Vec<ClearLine>, AskError>) -> (u64, u32) {
    match &lines.as_ref().unwrap()[0].outcome {
        ClearOutcome::Paid { amount, through } => (amount.as_micros(), *through),
        ClearOutcome::Refused(why) => panic!("refused: {why}"),
    }
}

/// Why a clearing was turned away.
fn turned_away(lines: &Result<Vec<ClearLine>, AskError>) -> Code {
    match &lines.as_ref().unwrap()[0].outcome {
        ClearOutcome::Refused(why) => why.code,
        ClearOutcome::Paid { amount, .. } => panic!("paid {amount}"),
    }
}

async fn conserved(town: &Town) {
    let report = town.bank().count_and_publish().await.unwrap();
    assert!(report.is_conserved() && town.bank().alarm().is_none());
    // What is set aside for sessions stays the customers' own.
    assert_eq!((report.backing, report.customer), (0, report.funded));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_cleared_in_parts_and_finally_and_the_rest_goes_back() {
    let town = Town::new().await;
    let (buyer, shop) = (town.customer(1, 10).await, town.customer(2, 0).await);
    let seller = town.seller(2);
    let (mut spender, mut session) = town.session(&buyer, 11, &seller, 5_000).await;
    let set_aside = town.balances(&buyer).await;
    assert_eq!((set_aside.balance, set_aside.held), (units(10), units(5)));
    conserved(&town).await;
    // What is set aside cannot be paid out.
    let away = Text::new("away").unwrap();
    assert_eq!(refused(town.client.payout(&buyer, town.id(), units(6), away).await), Code::Funds);

    pay(&town, &mut spender, &mut session, 40);
    let lines = town.clear(&seller, vec![session.clearing(false)]).await;
    assert_eq!(paid(&lines), (40_000, 40));
    session.on_cleared(&lines.unwrap()[0]);
    assert_eq!(session.uncleared(), 0);
    pay(&town, &mut spender, &mut session, 10);
    assert_eq!(paid(&town.clear(&seller, vec![session.clearing(false)]).await), (10_000, 50));
    // The same once more, by another request: nothing more.
    assert_eq!(paid(&town.clear(&seller, vec![session.clearing(false)]).await), (0, 50));
    pay(&town, &mut spender, &mut session, 1);
    assert_eq!(paid(&town.clear(&seller, vec![session.clearing(true)]).await), (1_000, 51));
    let after = town.balances(&buyer).await;
    assert_eq!((after.balance, after.held), (micros(9_949_000), units(0)));
    assert_eq!(town.balance(&shop).await, 51_000);
    // Once final, always final.
    pay(&town, &mut spender, &mut session, 1);
    assert_eq!(turned_away(&town.clear(&seller, vec![session.clearing(false)]).await), Code::Expired);
    let statement = town.client.statement(&shop, town.id(), None, 10).await.unwrap();
    assert!(statement.lines.as_slice().iter().all(|line| line.reason == REASON_CLEAR && line.received));
    assert_eq!(statement.lines.as_slice().len(), 3);
    conserved(&town).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_are_cleared_in_one_request_and_a_bad_one_hinders_no_other() {
    let town = Town::new().await;
    let (one, two) = (town.customer(1, 1).await, town.customer(3, 1).await);
    let shop = town.customer(2, 0).await;
    let seller = town.seller(2);
    let mut clearings = Vec::new();
    for (buyer, pseudonym) in [(&one, 11), (&two, 12), (&one, 13)] {
        let (mut spender, mut session) = town.session(buyer, pseudonym, &seller, 100).await;
        pay(&town, &mut spender, &mut session, u32::from(pseudonym));
        clearings.push(session.clearing(false));
    }
    clearings[1].word.0[0] ^= 1;
    let lines = town.clear(&seller, clearings).await.unwrap();
    let outcomes: Vec<_> = lines.iter().map(|line| matches!(line.outcome, ClearOutcome::Paid { .. })).collect();
    assert_eq!(outcomes, [true, false, true]);
    assert_eq!(town.balance(&shop).await, 24_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_refuses_words_in_the_hands_of_a_thief() {
    let town = Town::new().await;
    let (buyer, shop, thief) = (town.customer(1, 10).await, town.customer(2, 0).await, town.customer(3, 0).await);
    let (seller, other) = (town.seller(2), town.seller(3));
    let (mut spender, mut session) = town.session(&buyer, 11, &seller, 100).await;
    pay(&town, &mut spender, &mut session, 20);
    let clearing = session.clearing(false);
    // Overheard whole, V′ and all, and presented under another name.
    assert_eq!(turned_away(&town.clear(&other, vec![clearing.clone()]).await), Code::NotPayee);
    // The buyer itself may not clear either.
    let own = Clearings { items: Bounded::new(vec![clearing.clone()]).unwrap() };
    let receipt = town.client.clear(&buyer, town.id(), &own).await.unwrap();
    assert_eq!(turned_away(&Ok(receipt.body().lines.as_slice().to_vec())), Code::NotPayee);
    // Without V′ the seller's consent is not shown.
    let mut silent = clearing.clone();
    silent.opening = None;
    assert_eq!(turned_away(&town.clear(&seller, vec![silent]).await), Code::Signature);
    // A word moved up, and one beyond the end.
    let mut higher = clearing.clone();
    higher.through += 1;
    assert_eq!(turned_away(&town.clear(&seller, vec![higher]).await), Code::Chain);
    let mut beyond = clearing.clone();
    beyond.through = 101;
    assert_eq!(turned_away(&town.clear(&seller, vec![beyond]).await), Code::Range);
    // A stranger costs the bank nothing.
    let stranger = Clearings { items: Bounded::new(vec![clearing.clone()]).unwrap() };
    assert_eq!(refused(town.client.clear(&key(9), town.id(), &stranger).await), Code::Unknown);
    assert_eq!((town.balance(&shop).await, town.balance(&thief).await), (0, 0));
    assert_eq!(paid(&town.clear(&seller, vec![clearing]).await), (20_000, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clearing_replaced_by_an_older_one_loses_the_seller_nothing() {
    let town = Town::new().await;
    let buyer = town.customer(1, 10).await;
    let shop = town.customer(2, 0).await;
    let seller = town.seller(2);
    let (mut spender, mut session) = town.session(&buyer, 11, &seller, 100).await;
    pay(&town, &mut spender, &mut session, 5);
    let older = session.clearing(false);
    pay(&town, &mut spender, &mut session, 5);
    let newer = session.clearing(false);
    assert_eq!(paid(&town.clear(&seller, vec![newer.clone()]).await), (10_000, 10));
    assert_eq!(paid(&town.clear(&seller, vec![older.clone()]).await), (0, 10));
    // The other way round, the difference is paid.
    let (mut spender, mut session) = town.session(&buyer, 12, &seller, 100).await;
    pay(&town, &mut spender, &mut session, 5);
    assert_eq!(paid(&town.clear(&seller, vec![session.clearing(false)]).await), (5_000, 5));
    pay(&town, &mut spender, &mut session, 5);
    assert_eq!(paid(&town.clear(&seller, vec![session.clearing(false)]).await), (5_000, 10));
    // The same session twice in one request is paid once.
    let twice = town.clear(&seller, vec![newer.clone(), newer]).await.unwrap();
    assert!(twice.iter().all(|line| matches!(&line.outcome, ClearOutcome::Paid { amount, .. } if amount.is_zero())));
    assert_eq!(town.balance(&shop).await, 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_purchase_is_set_aside_once_however_often_it_is_asked_and_survives_a_restart() {
    let mut town = Town::new().await;
    let buyer = town.customer(1, 10).await;
    town.customer(2, 0).await;
    let seller = town.seller(2);
    let Bought { committed, purchase } = town.buy(&buyer, 11, &seller, 1_000, 11);
    let id = town.id();
    let ask = || async { town.client.authorise(&seller.key, id, committed.request()).await.unwrap() };
    let first = ask().await;
    assert_eq!(ask().await, first);
    // Under another id: the bank knows the purchase by itself.
    let again = town.authorise(&seller, committed.request()).await;
    assert_eq!(AuthAnswer::Answered(again.clone()), first);
    assert_eq!(town.balances(&buyer).await.held, units(1));
    // The buyer learns the same, and nobody else anything.
    let inquiry = purchase.pending().inquiry();
    let told = town.client.inquire(&buyer, town.id(), &inquiry).await.unwrap();
    assert_eq!(wire::encode(told.signed()), wire::encode(&again));
    assert_eq!(refused(town.client.inquire(&seller.key, town.id(), &inquiry).await), Code::Unknown);
    town.restart().await;
    assert_eq!(town.client.authorise(&seller.key, id, committed.request()).await.unwrap(), first);
    let (session, _) = seller.on_authorisation(&committed, again).unwrap();
    assert_eq!(town.balances(&buyer).await.held, units(1));
    // Closed with nothing paid, twice.
    assert_eq!(paid(&town.clear(&seller, vec![session.clearing(true)]).await), (0, 0));
    assert_eq!(town.balances(&buyer).await.held, units(0));
    assert_eq!(paid(&town.clear(&seller, vec![session.clearing(true)]).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_says_no_signed_to_more_than_the_account_has() {
    let town = Town::new().await;
    let buyer = town.customer(1, 1).await;
    town.customer(2, 0).await;
    let seller = town.seller(2);
    let (_, session) = town.session(&buyer, 11, &seller, 800).await;
    let Bought { purchase, committed } = town.buy(&buyer, 12, &seller, 300, 12);
    let no = town.authorise(&seller, committed.request()).await;
    assert!(!is_yes(&no));
    let refusal = seller.on_authorisation(&committed, no.clone()).unwrap_err();
    assert_eq!(refusal.code, Code::Funds);
    let told = town.client.inquire(&buyer, town.id(), &purchase.pending().inquiry()).await.unwrap();
    assert_eq!(wire::encode(told.signed()), wire::encode(&no));
    // A no stays a no, even when there is money again.
    town.clear(&seller, vec![session.clearing(true)]).await.unwrap();
    assert_eq!(town.authorise(&seller, committed.request()).await, no);
    // Nor can somebody be made to pay who has no account here.
    let Bought { committed, .. } = town.buy(&key(9), 13, &seller, 1, 13);
    assert!(!is_yes(&town.authorise(&seller, committed.request()).await));
    conserved(&town).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_that_invoices_twice_under_one_number_is_evidence() {
    let operator = key(101);
    let named = operator.id();
    let town = Town::with(|config| config.operators = vec![named]).await;
    let (one, two) = (town.customer(1, 10).await, town.customer(3, 10).await);
    town.customer(2, 0).await;
    let seller = town.seller(2);
    let first = town.buy(&one, 11, &seller, 100, 7);
    let second = town.buy(&two, 12, &seller, 100, 7);
    assert!(is_yes(&town.authorise(&seller, first.committed.request()).await));
    let answer = town.client.authorise(&seller.key, town.id(), second.committed.request()).await.unwrap();
    assert!(matches!(answer, AuthAnswer::Conflict { .. }));
    assert_eq!(town.balances(&two).await.held, units(0));
    let filed = town.client.evidence(&operator, town.id(), None).await.unwrap();
    let [piece] = filed.items.as_slice() else { panic!("{filed:?}") };
    assert_eq!((piece.kind, piece.accused), (EvidenceKind::InvoiceFork, seller.key.id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_seller_never_clears_goes_back_when_its_time_is_over() {
    let town = Town::new().await;
    let buyer = town.customer(1, 10).await;
    let shop = town.customer(2, 0).await;
    let seller = town.seller(2);
    let (mut spender, mut session) = town.session(&buyer, 11, &seller, 5_000).await;
    pay(&town, &mut spender, &mut session, 30);
    assert_eq!(paid(&town.clear(&seller, vec![session.clearing(false)]).await), (30_000, 30));
    pay(&town, &mut spender, &mut session, 10);
    // After the session has ended the seller may still clear; its grace over, not any more.
    town.clock.advance(SESSION_SPAN);
    town.clock.advance(Span::from_hours(47));
    town.bank().tick_now().await.unwrap();
    assert_eq!(paid(&town.clear(&seller, vec![session.clearing(false)]).await), (10_000, 40));
    let more = {
        let pay = spender.pay(5, farthing_coupon::micro::micro_order(spender.realm(), &[7; 32])).unwrap();
        farthing_coupon::clearing::Clearing { through: pay.index, word: pay.word, ..session.clearing(false) }
    };
    assert_eq!(town.balances(&buyer).await.held, micros(4_960_000));
    town.clock.advance(Span::from_hours(1));
    assert_eq!(turned_away(&town.clear(&seller, vec![more.clone()]).await), Code::Expired);
    town.bank().tick_now().await.unwrap();
    let after = town.balances(&buyer).await;
    assert_eq!((after.balance, after.held), (micros(9_960_000), units(0)));
    assert_eq!(turned_away(&town.clear(&seller, vec![more]).await), Code::Expired);
    assert_eq!(town.balance(&shop).await, 40_000);
    conserved(&town).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_buyer_opens_no_session_and_its_sellers_are_paid_what_was_promised() {
    let operator = key(101);
    let named = operator.id();
    let town = Town::with(|config| config.operators = vec![named]).await;
    let buyer = town.customer(1, 10).await;
    let shop = town.customer(2, 0).await;
    let seller = town.seller(2);
    let (mut spender, mut session) = town.session(&buyer, 11, &seller, 5_000).await;
    town.client.suspend(&operator, town.id(), buyer.id(), true).await.unwrap();
    let Bought { committed, .. } = town.buy(&buyer, 12, &seller, 10, 12);
    assert!(!is_yes(&town.authorise(&seller, committed.request()).await));
    pay(&town, &mut spender, &mut session, 30);
    assert_eq!(paid(&town.clear(&seller, vec![session.clearing(false)]).await), (30_000, 30));
    assert_eq!(town.balance(&shop).await, 30_000);
    // It is as suspended as before.
    assert!(town.client.statement(&buyer, town.id(), None, 0).await.unwrap().suspended);
    let mut worse = session.clearing(false);
    worse.through = 31;
    assert_eq!(turned_away(&town.clear(&seller, vec![worse]).await), Code::Chain);
    assert!(town.client.statement(&buyer, town.id(), None, 0).await.unwrap().suspended);
    conserved(&town).await;
    farthing_bank::audit::audit(&town.home()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_gives_cleared_coupons_back_once_and_never_more_than_it_cleared() {
    let town = Town::new().await;
    let buyer = town.customer(1, 10).await;
    let shop = town.customer(2, 0).await;
    town.customer(3, 1).await;
    let seller = town.seller(2);
    let (mut spender, mut session) = town.session(&buyer, 11, &seller, 1_000).await;
    pay(&town, &mut spender, &mut session, 10);
    town.clear(&seller, vec![session.clearing(true)]).await.unwrap();
    let refund = |units| Refund { chain: session.chain(), units };
    assert_eq!(refused(town.client.refund(&key(3), town.id(), &refund(1)).await), Code::NotPayee);
    assert_eq!(refused(town.client.refund(&shop, town.id(), &refund(11)).await), Code::Range);
    let given = town.client.refund(&shop, town.id(), &refund(4)).await.unwrap();
    assert_eq!((given.amount, given.units), (micros(4_000), 4));
    let again = town.client.refund(&shop, town.id(), &refund(4)).await.unwrap();
    assert_eq!((again.amount, again.units), (micros(0), 4));
    assert_eq!((town.balance(&buyer).await, town.balance(&shop).await), (9_994_000, 6_000));
    let lines = town.client.statement(&buyer, town.id(), None, 1).await.unwrap().lines;
    assert_eq!(lines.as_slice()[0].reason, REASON_REFUND);
    conserved(&town).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_whose_books_do_not_add_up_clears_nothing() {
    let mut town = Town::new().await;
    let buyer = town.customer(1, 10).await;
    town.customer(2, 0).await;
    let seller = town.seller(2);
    let (mut spender, mut session) = town.session(&buyer, 11, &seller, 100).await;
    pay(&town, &mut spender, &mut session, 7);
    town.stop().await;
    let books = rusqlite::Connection::open(town.home().join("bank.db")).unwrap();
    books.execute("UPDATE accounts SET credits = credits + 1000000 WHERE kind = 1", []).unwrap();
    drop(books);
    town.restart().await;
    let clearings = Clearings { items: Bounded::new(vec![session.clearing(false)]).unwrap() };
    assert_eq!(refused(town.client.clear(&seller.key, town.id(), &clearings).await), Code::State);
    let refund = Refund { chain: session.chain(), units: 0 };
    assert_eq!(refused(town.client.refund(&seller.key, town.id(), &refund).await), Code::State);
}
