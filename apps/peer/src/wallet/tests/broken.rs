//! The line breaks, or the wallet ends, at every step of single payments and of a reconciliation:
//! nothing is paid twice, nothing that was paid is forgotten, and the books agree in the end.

use farthing_core::id::OrderId;
use farthing_core::time::Span;
use farthing_core::vault::Protection;

use super::bank::Line;
use super::singles::{PRICE, earned, expected, pay, purchase, two};
use super::world::{FUNDS, World, micros};
use crate::wallet::{OutgoingState, Purchase, Scheme, Taken, Wallet};

/// More questions than any conversation here has.
const QUESTIONS: u32 = 14;

/// How many random lives are lived, and how many steps each has.
const LIVES: u64 = 6;
const STEPS: usize = 40;

#[tokio::test]
async fn a_payment_broken_off_at_any_question_and_begun_again_after_a_crash_is_made_once() {
    for scheme in [Scheme::Clearing, Scheme::Draft] {
        for heard in [false, true] {
            for after in 0..QUESTIONS {
                let world = World::new();
                let (payer, payee) = (world.wallet("payer").await, world.wallet("payee").await);
                payee.join_clearing(&*world.bank).await.unwrap();
                payee.reconcile(&*world.bank).await.unwrap();
                let it = purchase(&payee, 1);
                world.bank.set(Line::Breaks { after, heard });
                let first = pay(&world, &payer, scheme, &it).await;
                world.bank.set(Line::Up);
                let payer = world.reopen(payer).await;
                let handed = pay(&world, &payer, scheme, &it).await.unwrap();
                if let Ok(first) = first {
                    assert_eq!(first, handed, "{scheme} after {after}");
                }
                let taken = payee.take(handed, expected(&it)).await.unwrap();
                let Taken::Serve { receipt, again: false, .. } = taken else { panic!("{taken:?}") };
                payer.on_receipt(receipt).await.unwrap();
                assert_eq!(earned(&world, &payee).await, PRICE, "{scheme} after {after}, heard: {heard}");
                assert_eq!(world.bank.balance(payer.me()), FUNDS - PRICE);
                assert_eq!(payer.budget(None).await.unwrap().spent, micros(PRICE), "{scheme} after {after}");
                assert_eq!(payer.payments().await.unwrap().len(), 1);
            }
        }
    }
}

#[tokio::test]
async fn a_payment_that_was_broken_off_and_never_asked_for_again_is_settled_by_upkeep() {
    for heard in [false, true] {
        let world = World::new();
        let (payer, payee) = two(&world).await;
        world.bank.set(if heard { Line::Deaf } else { Line::Unknown });
        let it = purchase(&payee, 1);
        assert!(payer.pay_clearing(&*world.bank, &it).await.is_err());
        assert_eq!(payer.payment(payee.me(), it.order, 0).await.unwrap().unwrap().state, OutgoingState::Asked);
        world.bank.set(Line::Up);
        let payer = world.reopen(payer).await;
        let done = payer.upkeep(&*world.bank).await.unwrap();
        assert!(done.troubles.is_empty(), "{:?}", done.troubles);
        // Its bytes were written down, so they are sent again, and it is paid: once.
        assert_eq!(payer.payment(payee.me(), it.order, 0).await.unwrap().unwrap().state, OutgoingState::ToHandOver);
        assert_eq!(world.bank.balance(payee.me()), FUNDS + PRICE);
    }
}

#[tokio::test]
async fn a_payment_that_certainly_never_left_leaves_nothing_to_be_paid_later() {
    let world = World::new();
    let (payer, payee) = two(&world).await;
    let before = world.bank.frames();
    world.bank.set(Line::Down);
    let it = purchase(&payee, 1);
    assert!(payer.pay_clearing(&*world.bank, &it).await.is_err());
    assert_eq!(payer.payment(payee.me(), it.order, 0).await.unwrap(), None);
    assert_eq!(payer.budget(None).await.unwrap().spent, micros(0));
    world.bank.set(Line::Up);
    payer.upkeep(&*world.bank).await.unwrap();
    assert_eq!((world.bank.frames(), world.bank.balance(payer.me())), (before, FUNDS));
}

#[tokio::test]
async fn a_reconciliation_broken_off_at_any_question_is_begun_again_and_loses_nothing() {
    for heard in [false, true] {
        for after in 0..QUESTIONS {
            let world = World::new();
            let (payer, payee) = two(&world).await;
            for order in 1..4 {
                let it = purchase(&payee, order);
                payee.take(payer.pay_draft(&it).await.unwrap(), expected(&it)).await.unwrap();
                let it = purchase(&payee, 10 + order);
                payee.take(pay(&world, &payer, Scheme::Clearing, &it).await.unwrap(), expected(&it)).await.unwrap();
            }
            let file = world.home("backup");
            payer.backup(&file, &Protection::None).await.unwrap();
            payer.close().await;
            world.clock.advance(Span::from_hours(30));
            let back = Wallet::restore(&world.home("again"), &file, &Protection::None, world.options()).await.unwrap();
            back.set_desk(world.bank.clone()).await;
            world.bank.set(Line::Breaks { after, heard });
            let broken = back.reconcile(&*world.bank).await;
            let paid = back.pay_clearing(&*world.bank, &purchase(&payee, 90)).await;
            if broken.is_err() {
                assert!(paid.is_err(), "after {after}: it paid before the bank had confirmed it");
            }
            world.bank.set(Line::Up);
            let back = world.reopen(back).await;
            let report = back.reconcile(&*world.bank).await.unwrap();
            assert!(report.trouble().is_none(), "after {after}: {:?}", report.trouble());
            for (scheme, order) in [(Scheme::Clearing, 50), (Scheme::Draft, 51), (Scheme::Clearing, 90)] {
                let it = purchase(&payee, order);
                let handed = pay(&world, &back, scheme, &it).await.unwrap();
                payee.take(handed, expected(&it)).await.unwrap();
            }
            assert_eq!(earned(&world, &payee).await, 9 * PRICE, "after {after}, heard: {heard}");
            assert!(!world.bank.is_suspended(back.me()));
        }
    }
}

/// A life of payments both ways, with lines that break and wallets that end.
struct Life {
    world: World,
    wallets: Vec<Option<Wallet>>,
    dice: u64,
    next: u8,
    /// What each should have been paid.
    served: [u64; 2],
    /// Payments that were asked for and not taken yet: by whom, and what.
    open: Vec<(usize, Scheme, Purchase)>,
}

impl Life {
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }

    fn wallet(&self, who: usize) -> &Wallet {
        self.wallets[who].as_ref().unwrap()
    }

    async fn step(&mut self) {
        let line = match self.roll(5) {
            0 => Line::Down,
            1 => Line::Breaks { after: u32::try_from(self.roll(5)).unwrap(), heard: true },
            2 => Line::Breaks { after: u32::try_from(self.roll(5)).unwrap(), heard: false },
            _ => Line::Up,
        };
        self.world.bank.set(line);
        self.world.clock.advance(Span::from_secs(20));
        let who = usize::try_from(self.roll(2)).unwrap();
        match self.roll(8) {
            0..=2 => {
                let scheme = if self.roll(2) == 0 { Scheme::Draft } else { Scheme::Clearing };
                let it = Purchase { order: OrderId([self.next; 32]), ..purchase(self.wallet(1 - who), 0) };
                self.next += 1;
                self.open.push((who, scheme, it));
                self.pay_open().await;
            }
            3 => self.pay_open().await,
            4 => drop(self.wallet(who).upkeep(&*self.world.bank).await),
            5 => drop(self.wallet(who).reconcile(&*self.world.bank).await),
            6 => drop(self.wallet(who).redeem(&*self.world.bank).await),
            _ => {
                let ended = self.wallets[who].take().unwrap();
                self.wallets[who] = Some(self.world.reopen(ended).await);
            }
        }
    }

    /// Asks for everything open once more, and hands over what there is.
    async fn pay_open(&mut self) {
        for (who, scheme, it) in std::mem::take(&mut self.open) {
            let Ok(handed) = pay(&self.world, self.wallet(who), scheme, &it).await else {
                self.open.push((who, scheme, it));
                continue;
            };
            match self.wallet(1 - who).take(handed, expected(&it)).await {
                Ok(Taken::Serve { receipt, again, .. }) => {
                    assert!(!again);
                    self.served[1 - who] += PRICE;
                    self.wallet(who).on_receipt(receipt).await.unwrap();
                }
                // A ticket under a key that was replaced: the money shows when books are compared.
                Err(_) if scheme == Scheme::Clearing => self.served[1 - who] += PRICE,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn no_life_of_single_payments_broken_lines_and_ends_makes_or_loses_money() {
    for seed in 0..LIVES {
        let world = World::new();
        let (one, other) = two(&world).await;
        let wallets = vec![Some(one), Some(other)];
        let mut life = Life { world, wallets, dice: seed, next: 1, served: [0; 2], open: Vec::new() };
        for _ in 0..STEPS {
            life.step().await;
        }
        life.world.bank.set(Line::Up);
        for who in [0, 1] {
            let report = life.wallet(who).reconcile(&*life.world.bank).await.unwrap();
            assert!(report.trouble().is_none(), "life {seed}: {:?}", report.trouble());
        }
        life.pay_open().await;
        assert!(life.open.is_empty(), "life {seed}");
        for who in [0, 1] {
            life.wallet(who).redeem(&*life.world.bank).await.unwrap();
            let report = life.wallet(who).reconcile(&*life.world.bank).await.unwrap();
            assert!(report.trouble().is_none(), "life {seed}: {:?}", report.trouble());
        }
        for who in [0, 1] {
            let balance = life.world.bank.balance(life.wallet(who).me());
            let should = FUNDS + life.served[who] - life.served[1 - who];
            assert_eq!(balance, should, "life {seed}: wallet {who}");
            assert!(!life.world.bank.is_suspended(life.wallet(who).me()), "life {seed}");
        }
    }
}
