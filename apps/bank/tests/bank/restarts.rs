//! The bank goes down between any two steps, after it has done what was asked and before it is heard.

use farthing_clearing::compare::{Extent, Next};
use farthing_clearing::payer::Answered;
use farthing_core::refusal::Code;
use farthing_draft::messages::{Agreement, Outcome};

use crate::town::{Town, key, refused};
use crate::wallets::{Clearer, Writer};

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_of_books_goes_on_across_restarts_and_every_message_may_be_repeated() {
    let mut town = Town::new().await;
    let (mut alice, carol) = (Clearer::new(&town, 1, 10).await, Clearer::new(&town, 2, 0).await);
    for _ in 0..3 {
        assert!(matches!(alice.pay(&town, carol.key.id(), 1_000).await, Answered::Paid(..)));
    }
    // The fourth is carried out and its answer lost.
    let frame = alice.frame(&town, carol.key.id(), 1_000, false);
    town.client.clearing_frame(&frame).await.unwrap();
    town.restart().await;
    let entries = alice.entries().to_vec();
    let (mut comparison, mut frame) = alice.wallet.compare(town.now(), Extent::SinceAgreed, &mut alice.rng);
    let mut agreed = None;
    for _ in 0..8 {
        let lost = town.client.clearing_frame(&frame).await.unwrap();
        town.restart().await;
        let answer = town.client.clearing_frame(&frame).await.unwrap();
        assert_eq!(answer, lost);
        let mut stored = |direction, after, limit| {
            let of = entries.iter().filter(|entry| entry.direction == direction && entry.t > after);
            of.take(limit).copied().collect()
        };
        match comparison.step(&mut alice.wallet, &answer, &mut stored, None, &mut alice.rng).unwrap().next {
            Next::Send(next) => frame = next,
            Next::Agreed(fate) => {
                agreed = Some(fate);
                break;
            }
            Next::Disputed(problems) => panic!("{problems:?}"),
        }
    }
    assert!(agreed.flatten().is_some(), "what became of the pending payment is learnt");
    assert_eq!((town.balance(&alice.key).await, town.balance(&carol.key).await), (9_996_000, 4_000));
    assert!(matches!(alice.pay(&town, carol.key.id(), 1_000).await, Answered::Paid(..)));
    town.stop().await;
    assert_eq!(farthing_bank::audit::audit(&town.home()).unwrap().totals["XTS"]["customer"], 10_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconciliation_of_drafts_and_a_deposit_get_the_same_answers_after_a_restart() {
    let mut town = Town::new().await;
    let (mut alice, mut carol) = (Writer::new(&town, 1, 10).await, Writer::new(&town, 2, 0).await);
    let me = key(1);
    let mut certificates = Vec::new();
    for round in 0..2 {
        let (id, ask) = (town.id(), alice.asks());
        let lost = town.client.draft_reconcile(&me, id, &ask).await.unwrap();
        town.restart().await;
        let opening = town.client.draft_reconcile(&me, id, &ask).await.unwrap();
        assert_eq!(opening, lost);
        alice.pays(&town, |payer, cx| payer.on_opening(cx, opening)).unwrap();
        while let Some(page) = alice.pays(&town, |payer, cx| payer.next_page(cx)).unwrap() {
            let id = town.id();
            let lost = town.client.draft_log_page(&me, id, &page).await.unwrap();
            town.restart().await;
            let taken = town.client.draft_log_page(&me, id, &page).await.unwrap();
            assert_eq!(taken, lost);
            alice.pays(&town, |payer, cx| payer.on_page_taken(cx, &page, &taken)).unwrap();
        }
        let wanted = Some(crate::town::units(4));
        let closing = alice.pays(&town, |payer, cx| payer.close(cx, wanted)).unwrap();
        let id = town.id();
        let lost = town.client.draft_close(&me, id, &closing).await.unwrap();
        town.restart().await;
        // The certificate is signed once more after the restart, and comes out the same.
        let (said, certificate) = town.client.draft_close(&me, id, &closing).await.unwrap();
        assert_eq!((said.clone(), certificate.clone()), lost);
        assert!(matches!(said.peek().unwrap().result, Agreement::Agreed(Some(_))));
        certificates.push(certificate.as_ref().unwrap().peek().unwrap().serial);
        alice.pays(&town, |payer, cx| payer.on_reconciled(cx, said, certificate)).unwrap();
        if round == 0 {
            let drawn = alice.draw(&town, carol.id(), 1_000_000);
            carol.take(&town, &drawn, 1_000_000);
        }
    }
    assert_eq!(certificates, [1, 2]);
    let deposit = carol.takes(&town, |payee, cx| payee.deposit(cx, 8)).unwrap().unwrap();
    let id = town.id();
    let lost = town.client.draft_deposit(&key(2), id, &deposit).await.unwrap();
    town.restart().await;
    let receipt = town.client.draft_deposit(&key(2), id, &deposit).await.unwrap();
    assert_eq!(receipt.signed(), lost.signed());
    assert!(matches!(receipt.body().lines.as_slice()[0].outcome, Outcome::Taken { number: 1, .. }));
    assert_eq!((town.balance(&me).await, town.balance(&key(2)).await), (9_000_000, 1_000_000));
    // The same id for something else is found out, whenever it comes.
    let other = farthing_draft::messages::Reconcile { copy: farthing_draft::messages::Digest([9; 32]) };
    assert_eq!(refused(town.client.draft_reconcile(&key(2), id, &other).await), Code::Conflict);
}
