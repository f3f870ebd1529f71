//! Two copies of one wallet, both alive.

use farthing_bank::client::AskError;
use farthing_bank::messages::Text;
use farthing_clearing::compare::Extent;
use farthing_clearing::messages::{Enrol, Rotate};
use farthing_clearing::payer::Answered;
use farthing_clearing::wallet::open_grant;
use farthing_core::id::RequestId;
use farthing_core::refusal::Code;
use farthing_core::seal::SealKey;
use farthing_core::sign::SecretKey;
use farthing_core::time::Span;

use crate::shop::is_yes;
use crate::town::{Town, refused, units};
use crate::wallets::{Clearer, Writer};

/// Whether a copy of that epoch may open a chain, pay out and move its deposit; it may all or nothing.
async fn spends(town: &Town, key: &SecretKey, epoch: Option<u64>) -> bool {
    let client = match epoch {
        Some(epoch) => town.client.clone().with_epoch(epoch),
        None => town.client.clone(),
    };
    let opened = client.open_chain(key, town.id(), &town.new_chain(key, 10).request()).await.map(drop);
    let paid = client.payout(key, town.id(), units(1), Text::new("away").unwrap()).await.map(drop);
    let secured = client.deposit(key, town.id(), units(1), false).await.map(drop);
    let all = [opened, paid, secured];
    if all.iter().all(Result::is_ok) {
        return true;
    }
    for one in all {
        assert_eq!(refused(one), Code::Epoch);
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_live_copies_of_a_wallet_only_the_one_that_took_over_last_moves_money() {
    let mut town = Town::new().await;
    let alice = town.customer(1, 100).await;
    // A wallet of old numbers no copies.
    assert!(spends(&town, &alice, None).await);
    let first = town.client.take_over(&alice, town.id(), [1; 32]).await.unwrap();
    assert_eq!(first.epoch, 1);
    assert!(!spends(&town, &alice, None).await && spends(&town, &alice, Some(1)).await);
    // Restored from a backup beside the running one.
    let id: RequestId = town.id();
    let second = town.client.take_over(&alice, id, [2; 32]).await.unwrap();
    assert_eq!(second.epoch, 2);
    town.restart().await;
    for epoch in [None, Some(1), Some(3)] {
        assert!(!spends(&town, &alice, epoch).await, "{epoch:?}");
    }
    assert!(spends(&town, &alice, Some(2)).await);
    // Asked again, the present copy stays what it is; money comes in whoever asks.
    assert_eq!(town.client.take_over(&alice, town.id(), [2; 32]).await.unwrap(), second);
    town.client.fund(&alice, town.id(), units(1), Text::default()).await.unwrap();
    // The other way round: never both.
    assert_eq!(town.client.take_over(&alice, town.id(), [1; 32]).await.unwrap().epoch, 3);
    // A stored answer to the earlier request does not bring its copy back.
    assert_eq!(town.client.take_over(&alice, id, [2; 32]).await.unwrap(), second);
    assert!(!spends(&town, &alice, Some(2)).await && spends(&town, &alice, Some(3)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_carried_out_is_answered_again_after_another_copy_took_over() {
    let town = Town::new().await;
    let alice = town.customer(1, 100).await;
    town.client.take_over(&alice, town.id(), [1; 32]).await.unwrap();
    let id = town.id();
    let pays = |epoch| town.client.clone().with_epoch(epoch);
    let to = || Text::new("away").unwrap();
    let before = pays(1).payout(&alice, id, units(1), to()).await.unwrap();
    town.client.take_over(&alice, town.id(), [2; 32]).await.unwrap();
    assert_eq!(pays(1).payout(&alice, id, units(1), to()).await.unwrap(), before);
    assert_eq!(pays(2).payout(&alice, id, units(1), to()).await.unwrap(), before);
    assert_eq!(town.balance(&alice).await, 99_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn coupons_are_authorised_for_the_present_copy_only() {
    let town = Town::new().await;
    let (alice, seller) = (town.customer(1, 100).await, town.customer(2, 0).await);
    town.client.take_over(&alice, town.id(), [1; 32]).await.unwrap();
    town.client.take_over(&alice, town.id(), [2; 32]).await.unwrap();
    let shop = town.seller(2);
    for (dice, epoch) in [(10, None), (11, Some(1))] {
        let bought = town.buy_as(&alice, dice, &shop, 10, dice, epoch);
        let asked = town.client.authorise(&seller, town.id(), bought.committed.request()).await;
        assert_eq!(refused(asked), Code::Epoch, "{epoch:?}");
    }
    let bought = town.buy_as(&alice, 12, &shop, 10, 12, Some(2));
    let answer = town.authorise(&shop, bought.committed.request()).await;
    assert!(is_yes(&answer));
    // What was answered stays answered, whoever took over since.
    town.client.take_over(&alice, town.id(), [1; 32]).await.unwrap();
    assert_eq!(town.authorise(&shop, bought.committed.request()).await, answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_took_over_pays_by_clearing_only_once_it_has_compared_and_then_the_other_does_not() {
    let town = Town::new().await;
    let (mut alice, carol) = (Clearer::new(&town, 1, 10).await, Clearer::new(&town, 2, 0).await);
    assert!(matches!(alice.pay(&town, carol.key.id(), 10).await, Answered::Paid(..)));
    let (mut restored, key) = (alice.clone(), alice.key.clone());
    town.client.take_over(&key, town.id(), [2; 32]).await.unwrap();
    // The copy that was there before says nothing any more, and gets no other key.
    let frame = alice.frame(&town, carol.key.id(), 10, false);
    let unopened = town.client.clearing_frame(&frame).await;
    assert!(matches!(unopened, Err(AskError::Refused { authenticated: false, .. })), "{unopened:?}");
    let enrol = Enrol { seal: SealKey::from_seed(&[7; 32]).public() };
    assert_eq!(refused(town.client.clearing_enrol(&key, town.id(), &enrol).await), Code::Epoch);
    let rotate = Rotate { seal: enrol.seal, version: 2 };
    assert_eq!(refused(town.client.clearing_rotate(&key, town.id(), &rotate).await), Code::Epoch);
    let unopened = alice.compare(&town, Extent::Whole).await;
    assert!(matches!(unopened, Err(AskError::Refused { authenticated: false, .. })), "{unopened:?}");
    // The one that took over does, and pays once it has compared.
    let sealed = town.client.clone().with_epoch(1).clearing_enrol(&key, town.id(), &enrol).await.unwrap();
    let seal = SealKey::from_seed(&[7; 32]);
    let grant = open_grant(town.client.network(), key.id(), town.client.bank(), &seal, &sealed).unwrap();
    restored.wallet.rotate(grant);
    restored.compare(&town, Extent::Whole).await.unwrap();
    assert!(matches!(restored.pay(&town, carol.key.id(), 10).await, Answered::Paid(..)));
    assert!(town.client.clearing_frame(&frame).await.is_err());
    assert_eq!(town.balance(&carol.key).await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_copies_never_both_hold_a_certificate_for_drafts() {
    let town = Town::new().await;
    let mut alice = Writer::new(&town, 1, 10).await;
    let account = crate::town::key(1);
    town.client.take_over(&account, town.id(), [1; 32]).await.unwrap();
    alice.client = town.client.clone().with_epoch(1);
    alice.reconcile(&town, 1_000_000).await.unwrap();
    let mut restored = Writer::alias(&town, &account, 1).await.unwrap();
    restored.copy = farthing_draft::messages::Digest([99; 32]);
    // The restored one has not taken over.
    assert_eq!(refused(restored.reconcile(&town, 1_000_000).await), Code::Epoch);
    town.client.take_over(&account, town.id(), [2; 32]).await.unwrap();
    restored.client = town.client.clone().with_epoch(2);
    // The other one still holds a certificate, and gets no new one.
    assert_eq!(refused(restored.reconcile(&town, 1_000_000).await), Code::Epoch);
    assert_eq!(refused(alice.reconcile(&town, 1_000_000).await), Code::Epoch);
    town.clock.advance(Span::from_hours(25));
    restored.reconcile(&town, 1_000_000).await.unwrap();
    assert_eq!(refused(alice.reconcile(&town, 1_000_000).await), Code::Epoch);
}
