//! Random lives: purchases, crashes of either side, broken lines. Every run follows from one
//! number, and that number is the bug report.

use farthing_core::order::Order;
use farthing_core::time::Span;
use farthing_driver::Clock;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::bank::Line;
use super::world::{FUNDS, PRICE, World, end, micros};
use crate::wallet::{Earning, Spending, Wallet, WalletError};

/// How many lives are led.
const LIVES: u64 = 8;

/// How many steps each has.
const STEPS: u32 = 60;

struct Life {
    world: World,
    rng: ChaCha20Rng,
    payer: Option<Wallet>,
    payees: [Option<Wallet>; 2],
    visit: Option<InProgress>,
    /// Pieces each payee has handed out, each for a payment on its disk.
    served: [u64; 2],
}

struct InProgress {
    whom: usize,
    order: Order,
    spending: Spending,
    earning: Earning,
}

impl Life {
    async fn begin(seed: u64) -> Self {
        let world = World::new();
        let payer = Some(world.wallet("payer").await);
        let payees = [Some(world.wallet("one").await), Some(world.wallet("two").await)];
        Self { world, rng: ChaCha20Rng::seed_from_u64(seed), payer, payees, visit: None, served: [0; 2] }
    }

    fn dice(&mut self, sides: u32) -> u32 {
        self.rng.next_u32() % sides
    }

    fn payer(&self) -> &Wallet {
        self.payer.as_ref().unwrap()
    }

    fn payee(&self, whom: usize) -> &Wallet {
        self.payees[whom].as_ref().unwrap()
    }

    fn break_line(&mut self) {
        let line = [Line::Up, Line::Down, Line::Deaf][self.dice(3) as usize];
        self.world.bank.set(line);
    }

    async fn step(&mut self) {
        match (self.dice(12), self.visit.take()) {
            (0..=3, None) => self.visit_somebody().await,
            (0..=6, Some(visit)) => self.pay(visit).await,
            (7, Some(visit)) => {
                end(visit.spending, &visit.earning).await;
            }
            (8, Some(visit)) => visit.spending.abandon().await.unwrap(),
            (9, Some(visit)) => self.crash(visit).await,
            (10, visit) => {
                self.visit = visit;
                let whom = self.dice(2) as usize;
                self.break_line();
                // Whatever comes of it, the next one settles it.
                let _ = self.payee(whom).redeem(&*self.world.bank).await;
                self.world.bank.set(Line::Up);
            }
            (11, visit) => {
                self.visit = visit;
                self.break_line();
                self.payer().upkeep(&*self.world.bank).await.unwrap();
                self.world.bank.set(Line::Up);
            }
            (_, visit) => self.visit = visit,
        }
    }

    async fn visit_somebody(&mut self) {
        let (whom, pieces) = (self.dice(2) as usize, u64::from(1 + self.dice(90)));
        let mut want = self.world.want(self.payee(whom), pieces);
        self.rng.fill_bytes(&mut want.order.nonce);
        let order = want.order.clone();
        self.break_line();
        let begun = self.payer().begin(want).await;
        self.world.bank.set(Line::Up);
        let (visit, spending) = match begun {
            Ok(begun) => begun,
            Err(WalletError::NoChain(_)) => return,
            Err(why) => panic!("{why}"),
        };
        let earning = self.payee(whom).admit(self.world.clock.now(), &order, visit).await.unwrap();
        self.visit = Some(InProgress { whom, order, spending, earning });
    }

    /// A few pieces, each served once its payment is on the payee's disk.
    async fn pay(&mut self, mut visit: InProgress) {
        for _ in 0..1 + self.dice(20) {
            let units = visit.spending.units_per_piece();
            if visit.spending.left() < units {
                let Ok(reserve) = visit.spending.extend().await else { break };
                visit.earning.extend(reserve).await.unwrap();
            }
            let Ok(pay) = visit.spending.pay(units).await else { break };
            assert_eq!(visit.earning.on_pay(&pay), Ok(units));
            if self.dice(10) == 0 {
                // It ends before the payment is on the disk: nothing was served for it.
                return self.crash(visit).await;
            }
            visit.earning.persist().await.unwrap();
            self.served[visit.whom] += 1;
        }
        self.visit = Some(visit);
    }

    /// One side or both end without a word and begin again; perhaps they meet again.
    async fn crash(&mut self, visit: InProgress) {
        let InProgress { whom, order, spending, earning } = visit;
        drop((spending, earning));
        if self.dice(3) != 0 {
            let payer = self.payer.take().unwrap();
            self.payer = Some(self.world.reopen(payer).await);
        }
        if self.dice(3) != 0 {
            let payee = self.payees[whom].take().unwrap();
            self.payees[whom] = Some(self.world.reopen(payee).await);
        }
        if self.dice(4) == 0 {
            return;
        }
        let resumed = self.payer().resume(order.payee, order.id()).await.unwrap();
        let (visit, mut spending) = resumed.expect("an interrupted visit is taken up again");
        let earning = self.payee(whom).admit(self.world.clock.now(), &order, visit).await.unwrap();
        spending.agree(earning.through()).unwrap();
        self.visit = Some(InProgress { whom, order, spending, earning });
    }

    /// Everything is redeemed, every chain ends, and the books are compared.
    async fn audit(mut self, seed: u64) {
        if let Some(visit) = self.visit.take() {
            end(visit.spending, &visit.earning).await;
        }
        for whom in [0, 1] {
            let report = self.payee(whom).redeem(&*self.world.bank).await.unwrap();
            assert_eq!((report.contested, report.refused.len(), report.rest), (0, 0, micros(0)), "life {seed}");
            let earned = self.world.bank.balance(self.payee(whom).me()) - FUNDS;
            assert_eq!(earned, self.served[whom] * PRICE, "life {seed}: payee {whom} was paid for something else");
        }
        self.world.clock.advance(Span::from_days(10));
        self.world.bank.tick();
        let spent = (self.served[0] + self.served[1]) * PRICE;
        assert_eq!(self.world.bank.backing(), 0, "life {seed}");
        assert_eq!(self.world.bank.balance(self.payer().me()), FUNDS - spent, "life {seed}");
        assert!(!self.world.bank.is_suspended(self.payer().me()), "life {seed}");
    }
}

#[tokio::test]
async fn no_life_of_purchases_crashes_and_broken_lines_makes_or_loses_money() {
    for seed in 0..LIVES {
        let mut life = Life::begin(seed).await;
        for _ in 0..STEPS {
            life.step().await;
        }
        life.audit(seed).await;
    }
}
