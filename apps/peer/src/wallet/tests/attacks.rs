//! What a dishonest other side tries.

use std::sync::Arc;

use farthing_core::id::{RequestId, timed};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::SecretKey;
use farthing_core::time::{SKEW, Span};
use farthing_core::vault::Protection;
use farthing_core::wire::{self, Bounded};
use farthing_driver::{Clock, ManualClock};
use farthing_netpay::messages::{Claim, ClaimReceipt, Claims, Pay, Release, kind};
use farthing_netpay::payer::PurseError;
use futures::future::BoxFuture;

use super::bank::Bank;
use super::world::{FUNDS, PRICE, World, end, micros, pay_pieces, seed};
use crate::wallet::{Desk, DeskError, Options, Wallet, WalletError};

#[tokio::test]
async fn payee_counts_a_word_once_over_two_connections_under_one_reserve() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, visit) = world.begin(&payer, &payee, 5).await;
    let order = world.want(&payee, 5).order;
    let second = payee.admit(world.clock.now(), &order, visit).await.unwrap();
    let pay = spending.pay(spending.units_per_piece()).await.unwrap();
    assert!(earning.on_pay(&pay).is_ok());
    assert_eq!(second.on_pay(&pay).unwrap_err().code, Code::Range);
}

#[tokio::test]
async fn payee_refuses_words_sold_again_by_extending_an_old_reserve_into_a_used_one() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, visit) = world.begin(&payer, &payee, 100).await;
    let order = world.want(&payee, 100).order;
    pay_pieces(&mut spending, &earning, 64).await;
    let further = spending.extend().await.unwrap();
    earning.extend(further.clone()).await.unwrap();
    pay_pieces(&mut spending, &earning, 10).await;
    drop(earning);
    let payee = world.reopen(payee).await;
    let old = payee.admit(world.clock.now(), &order, visit).await.unwrap();
    assert_eq!(old.extend(further).await.unwrap_err().code, Code::Replay);
}

#[tokio::test]
async fn payee_refuses_a_reserve_that_overlaps_one_it_holds() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    payer.upkeep(&*world.bank).await.unwrap();
    // Two copies of one wallet that nothing has told apart: the payer's own doing.
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for (state, visits) in [(10, &mut one), (20, &mut two)] {
        let record = payer.purse_records().await.unwrap().remove(0).1;
        let (words, signer) = super::super::chains::secrets(payer.seed(), &record.origin);
        let mut purse = farthing_netpay::payer::Purse::resume(record.state, words).unwrap();
        let expires = world.clock.now().after(Span::from_hours(2));
        let order = world.want(&payee, 1).order.id();
        visits.push(purse.reserve(&signer, payer.network(), payee.me(), order, state, expires).unwrap());
    }
    let order = world.want(&payee, 1).order;
    payee.admit(world.clock.now(), &order, one.remove(0)).await.unwrap();
    let why = payee.admit(world.clock.now(), &order, two.remove(0)).await.unwrap_err();
    assert_eq!(why.code, Code::Conflict);
}

#[tokio::test]
async fn payee_refuses_words_of_another_order_beyond_the_reserve_forged_or_late() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, visit) = world.begin(&payer, &payee, 5).await;
    let good = spending.pay(spending.units_per_piece()).await.unwrap();
    let mut forged = good;
    forged.word.0[0] ^= 1;
    assert_eq!(earning.on_pay(&forged).unwrap_err().code, Code::Chain);
    let other = Pay { order: farthing_core::id::OrderId([0; 32]), ..good };
    assert_eq!(earning.on_pay(&other).unwrap_err().code, Code::Order);
    let beyond = Pay { index: earning.upto() + 1, ..good };
    assert_eq!(earning.on_pay(&beyond).unwrap_err().code, Code::Range);
    assert_eq!(earning.through(), 0);
    assert!(earning.on_pay(&good).is_ok());
    let stranger = world.wallet("stranger").await;
    let order = world.want(&payee, 5).order;
    assert_eq!(stranger.admit(world.clock.now(), &order, visit.clone()).await.unwrap_err().code, Code::NotPayee);
    let another = world.order(payee.me(), PRICE + 1, 5);
    assert_eq!(payee.admit(world.clock.now(), &another, visit).await.unwrap_err().code, Code::Order);
    world.clock.advance(Span::from_hours(25));
    let late = Pay { index: good.index + 1, ..good };
    assert_eq!(earning.on_pay(&late).unwrap_err().code, Code::Expired);
    assert!(matches!(spending.pay(1).await, Err(WalletError::Purse(PurseError::Expired))));
}

#[tokio::test]
async fn payer_does_not_believe_a_release_that_claims_more_or_admits_less_than_was_paid() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    for lie in [1, -1] {
        let (mut spending, earning, visit) = world.begin(&payer, &payee, 10).await;
        pay_pieces(&mut spending, &earning, 4).await;
        let reserve = visit.reserve.peek().unwrap();
        let through = spending.through();
        let said = Release {
            chain: reserve.chain,
            reserve: visit.reserve.digest(),
            through: through.checked_add_signed(lie).unwrap(),
            time: world.clock.now(),
        };
        let release = payee.key().sign(payee.network(), &said);
        let refused = spending.finish(release, None, through).await;
        assert!(matches!(refused, Err(WalletError::Purse(PurseError::FalseRelease))), "{lie}");
    }
    // The units above count as spent, and the rest of the chain is usable.
    assert_eq!(payer.exposure().await.unwrap().len(), 2);
    let (spending, earning, _) = world.begin(&payer, &payee, 10).await;
    end(spending, &earning).await;
}

#[tokio::test]
async fn payer_keeps_no_receipt_that_is_not_the_payees_word_for_this_payment() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    for lie in 0..4 {
        let (mut spending, earning, _) = world.begin(&payer, &payee, 5).await;
        pay_pieces(&mut spending, &earning, 2).await;
        let mut said = earning.receipt().unwrap().peek().unwrap();
        let mut signer = payee.key();
        match lie {
            0 => signer = payer.key(),
            1 => said.amount = micros(PRICE),
            2 => said.order = farthing_core::id::OrderId([0; 32]),
            _ => said.payment.instrument = [0; 32],
        }
        let forged = signer.sign(payer.network(), &said);
        let release = earning.release().await.unwrap();
        let through = spending.through();
        spending.finish(release, Some(forged), through).await.unwrap();
        assert!(payer.receipts().await.unwrap().is_empty(), "lie {lie}");
    }
}

#[tokio::test]
async fn payer_answers_a_case_with_the_release_it_kept_and_the_cheating_payee_is_found_out() {
    let world = World::new();
    let payer = world.wallet("payer").await;
    let (cheat, honest) = (world.wallet("cheat").await, world.wallet("honest").await);
    // A visit at the cheat, released after 2 of 20 pieces.
    let (mut spending, earning, first) = world.begin(&payer, &cheat, 20).await;
    pay_pieces(&mut spending, &earning, 2).await;
    end(spending, &earning).await;
    // The units given back go to another payee, whose words reveal those below them.
    let (mut spending, earning, second) = world.begin(&payer, &honest, 10).await;
    pay_pieces(&mut spending, &earning, 10).await;
    let tip = earning.counting().tip();
    end(spending, &earning).await;
    assert!(second.previous.is_some());
    // The cheat, told the word by its accomplice, claims beyond its own release.
    let claim = |visit: &farthing_netpay::messages::Visit| Claim {
        reserve: visit.reserve.clone(),
        release: None,
        previous: None,
        through: tip.index(),
        word: tip.word(),
    };
    for (payee, visit, n) in [(&cheat, &first, 1), (&honest, &second, 2)] {
        let claims = Claims { items: Bounded::new(vec![claim(visit)]).unwrap() };
        let id = RequestId(timed(world.clock.now(), &[n; 32]));
        world.bank.carry_out(payee.key(), id, kind::CLAIM, &wire::encode(&claims)).unwrap();
    }
    let done = payer.upkeep(&*world.bank).await.unwrap();
    assert_eq!((done.defended, done.undefended), (1, 0), "{:?}", done.troubles);
    assert!(world.bank.is_suspended(cheat.me()) && !world.bank.is_suspended(payer.me()));
    assert_eq!(payer.upkeep(&*world.bank).await.unwrap().defended, 0);
}

#[tokio::test]
async fn wallet_refuses_to_act_when_its_clock_was_rolled_back_behind_what_the_bank_signed() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 5).await;
    pay_pieces(&mut spending, &earning, 1).await;
    end(spending, &earning).await;
    let order = world.want(&payee, 1).order;
    let (visit, _spending) = payer.begin(world.want(&payee, 1)).await.unwrap();
    payee.redeem(&*world.bank).await.unwrap();
    let (payer, payee) = (world.reopen(payer).await, world.reopen(payee).await);
    let now = world.clock.now();
    world.clock.set(now.before(SKEW).before(Span::from_secs(1)));
    assert!(matches!(payer.begin(world.want(&payee, 1)).await, Err(WalletError::Clock(_))));
    assert!(matches!(payee.redeem(&*world.bank).await, Err(WalletError::Clock(_))));
    let refused = payee.admit(world.clock.now(), &order, visit.clone()).await.unwrap_err();
    assert_eq!(refused.code, Code::Clock);
    world.clock.set(now);
    assert!(payee.admit(now, &order, visit).await.is_ok());
}

#[tokio::test]
async fn wallet_refuses_to_act_when_its_clock_stands_behind_the_banks() {
    let world = World::new();
    let payee = world.wallet("payee").await;
    let behind = ManualClock::at(world.clock.now());
    let options = Options { clock: Arc::new(behind.clone()), ..world.options() };
    let home = world.home("payer");
    let payer = Wallet::create(&home, &seed("payer"), &Protection::None, &world.settings(), options).await.unwrap();
    world.bank.enrol(payer.me(), FUNDS);
    payer.set_desk(world.bank.clone()).await;
    world.clock.advance(Span::from_secs(600));
    payer.statement(&*world.bank, None, 1).await.unwrap();
    assert!(matches!(payer.begin(world.want(&payee, 1)).await, Err(WalletError::Clock(_))));
    assert!(matches!(payer.redeem(&*world.bank).await, Err(WalletError::Clock(_))));
    assert!(matches!(payer.upkeep(&*world.bank).await, Err(WalletError::Clock(_))));
    behind.set(world.clock.now());
    assert!(payer.begin(world.want(&payee, 1)).await.is_ok());
}

/// A bank whose answers somebody else signs.
struct Impostor(Arc<Bank>);

impl Desk for Impostor {
    fn ask<'a>(
        &'a self,
        key: &'a SecretKey,
        id: RequestId,
        asked: u16,
        message: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, DeskError>> {
        let honest = self.0.carry_out(key, id, asked, &message).map_err(DeskError::Refused);
        let forged = honest.map(|reply| match wire::decode::<farthing_core::sign::Signed<ClaimReceipt>>(&reply) {
            Ok(receipt) if asked == kind::CLAIM => {
                let other = SecretKey::from_seed(&[66; 32]);
                wire::encode(&other.sign(super::bank::NETWORK, &receipt.peek().unwrap()))
            }
            _ => reply,
        });
        Box::pin(std::future::ready(forged))
    }
}

#[tokio::test]
async fn payee_does_not_believe_a_claim_receipt_that_the_bank_did_not_sign_and_asks_again() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 5).await;
    pay_pieces(&mut spending, &earning, 5).await;
    end(spending, &earning).await;
    let forged = payee.redeem(&Impostor(world.bank.clone())).await;
    assert!(matches!(forged, Err(WalletError::FalseAnswer(_))));
    assert_eq!(payee.earnings().await.unwrap().unclaimed, micros(5 * PRICE));
    assert_eq!(payee.redeem(&*world.bank).await.unwrap().paid, micros(5 * PRICE));
}

/// Refuses everything: in the bank's name, or as the bank does when it is busy.
pub(super) struct TurnsAway(pub(super) DeskError);

impl TurnsAway {
    pub(super) fn unsigned() -> Self {
        Self(DeskError::TurnedAway(Refusal::new(Code::Unknown, "no such chain")))
    }
}

impl Desk for TurnsAway {
    fn ask<'a>(
        &'a self,
        _: &'a SecretKey,
        _: RequestId,
        _: u16,
        _: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, DeskError>> {
        Box::pin(std::future::ready(Err(self.0.clone())))
    }
}

#[tokio::test]
async fn payee_does_not_give_up_a_claim_on_an_unsigned_refusal_or_a_busy_bank() {
    let busy = TurnsAway(DeskError::Refused(Refusal::new(Code::Rate, "busy")));
    for desk in [TurnsAway::unsigned(), busy] {
        let world = World::new();
        let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
        let (mut spending, earning, _) = world.begin(&payer, &payee, 5).await;
        pay_pieces(&mut spending, &earning, 5).await;
        end(spending, &earning).await;
        assert!(payee.redeem(&desk).await.is_err());
        let asked = payee.pending().await.unwrap();
        assert_eq!(asked.len(), 1, "the claim was given up");
        assert_eq!(payee.redeem(&*world.bank).await.unwrap().paid, micros(5 * PRICE));
        assert_eq!(world.bank.asked(kind::CLAIM), [asked[0].0]);
    }
}

#[tokio::test]
async fn payee_takes_the_banks_own_refusal_as_the_end_of_a_request() {
    let world = World::new();
    let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
    let (mut spending, earning, _) = world.begin(&payer, &payee, 5).await;
    pay_pieces(&mut spending, &earning, 5).await;
    end(spending, &earning).await;
    let suspended = TurnsAway(DeskError::Refused(Refusal::new(Code::Suspended, "suspended")));
    assert!(payee.redeem(&suspended).await.is_err());
    assert!(payee.pending().await.unwrap().is_empty());
    // What was earned is not forgotten with it.
    assert_eq!(payee.redeem(&*world.bank).await.unwrap().paid, micros(5 * PRICE));
}
