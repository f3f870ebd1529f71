//! A bank with its books, and customers, for the tests of this crate.

use farthing_core::amount::{Amount, Currency};
use farthing_core::audit::{Direction, Entry};
use farthing_core::id::{AccountId, NetworkId, OrderId, PeerId, RequestId, TransferId, timed};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seal::SealKey;
use farthing_core::seed::Secret;
use farthing_core::sign::SecretKey;
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_ledger::{Account, AccountKind, Ledger, Reason, conservation};
use farthing_role::{Context, EVIDENCE, Filed, Halt, Records, Scan};
use farthing_store::{MemoryStore, Overlay, Reader, Store};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::bank::{Case, Clearing, TABLES, Terms, cases};
use crate::compare::{Comparison, Extent, Next, Progress};
use crate::keys::MasterKey;
use crate::messages::{Enrol, Rotate};
use crate::payee::{Expected, Received};
use crate::payer::{Answered, Paid, Transfer};
use crate::wallet::{Wallet, open_grant};

pub(crate) const HERE: NetworkId = NetworkId([7; 16]);
pub(crate) const ALICE: u8 = 10;
pub(crate) const CAROL: u8 = 20;
pub(crate) const DAVE: u8 = 30;
pub(crate) const FUNDED: u64 = 1_000_000;

pub(crate) fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

pub(crate) fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// A customer: the wallet, and what its owner stores beside it. A clone is a copy of the disk.
#[derive(Clone)]
pub(crate) struct Customer {
    pub(crate) seed: u8,
    pub(crate) wallet: Wallet,
    pub(crate) outgoing: Vec<Entry>,
    pub(crate) incoming: Vec<Entry>,
    /// Orders that were paid, however that became known.
    pub(crate) paid_orders: Vec<OrderId>,
    pub(crate) rng: ChaCha20Rng,
}

impl Customer {
    pub(crate) fn id(&self) -> PeerId {
        self.wallet.owner()
    }

    pub(crate) fn store(&mut self, entry: Entry) {
        match entry.direction {
            Direction::Out => self.outgoing.push(entry),
            Direction::In => self.incoming.push(entry),
        }
    }

    /// KSO-1.
    pub(crate) fn ask(&mut self, now: Time, payee: u8, amount: u64, order: u8) -> Vec<u8> {
        let transfer = transfer(payee, amount, order);
        self.wallet.pay(now, &transfer, None, &mut self.rng).unwrap()
    }

    /// KSO-2.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Result<Answered, Refusal> {
        let answered = self.wallet.on_answer(bytes)?;
        if let Answered::Paid(_, entry) = &answered {
            self.store(*entry);
        }
        Ok(answered)
    }

    /// KSO-3.
    pub(crate) fn receive(&mut self, now: Time, paid: &Paid, expected: &Expected) -> Result<Received, Refusal> {
        let ticket = self.wallet.open_ticket(&paid.payment(false))?;
        let received = self.wallet.receive(now, ticket, Some(expected))?;
        received.entries.iter().for_each(|entry| self.store(*entry));
        if let Ok(receipt) = &received.outcome {
            self.paid_orders.push(receipt.order);
        }
        Ok(received)
    }

    pub(crate) fn step(&mut self, comparison: &mut Comparison, answer: &[u8]) -> Result<Progress, Refusal> {
        let (outgoing, incoming) = (self.outgoing.clone(), self.incoming.clone());
        let mut entries = |direction, after: u64, limit| {
            let all = if direction == Direction::Out { &outgoing } else { &incoming };
            all.iter().filter(|entry| entry.t > after).take(limit).copied().collect()
        };
        let progress = comparison.step(&mut self.wallet, answer, &mut entries, None, &mut self.rng)?;
        for repaired in &progress.repaired {
            self.store(repaired.entry);
            self.paid_orders.push(repaired.order);
        }
        Ok(progress)
    }
}

pub(crate) fn transfer(payee: u8, amount: u64, order: u8) -> Transfer {
    Transfer { payee: key(payee).id(), amount: micros(amount), order: OrderId([order; 32]), receipt: false }
}

pub(crate) fn expected(amount: u64, order: u8) -> Expected {
    Expected { order: OrderId([order; 32]), amount: micros(amount) }
}

/// The bank, its books, and a clock that the test moves.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) bank: Clearing,
    pub(crate) now: Time,
    dice: u64,
}

impl World {
    /// Alice with a million micros, Carol and Dave with nothing.
    pub(crate) fn new() -> (Self, [Customer; 3]) {
        let tables: Vec<_> = TABLES.into_iter().chain([EVIDENCE]).collect();
        let master = MasterKey::new(Secret::new([9; 32]));
        let bank = Clearing::new(HERE, key(1), master, Terms::of(vec![Currency::XTS]));
        let now = Time::from_millis(1_700_000_000_000);
        let mut world = Self { store: MemoryStore::new(&tables), bank, now, dice: 0 };
        let outside = world.account(AccountKind::World, PeerId([0; 32]));
        let outside = Account::new(outside, AccountKind::World, Currency::XTS, None, now);
        world.act(|_, cx| Ok(Ledger(&mut *cx.tx).open(outside)?)).unwrap();
        let customers = [(ALICE, FUNDED), (CAROL, 0), (DAVE, 0)].map(|(seed, amount)| world.customer(seed, amount));
        (world, customers)
    }

    pub(crate) fn account(&self, kind: AccountKind, owner: PeerId) -> AccountId {
        Account::id_for(HERE, kind, &owner.0, Currency::XTS)
    }

    /// Opens a funded account and enrols its owner.
    pub(crate) fn customer(&mut self, seed: u8, amount: u64) -> Customer {
        let (owner, now) = (key(seed).id(), self.now);
        let id = self.account(AccountKind::Customer, owner);
        let outside = self.account(AccountKind::World, PeerId([0; 32]));
        self.act(|_, cx| {
            let mut ledger = Ledger(&mut *cx.tx);
            ledger.open(Account::new(id, AccountKind::Customer, Currency::XTS, Some(owner), now))?;
            if amount > 0 {
                ledger.post(farthing_ledger::Transfer {
                    id: TransferId(timed(now, &owner.0)),
                    debit: outside,
                    credit: id,
                    amount: micros(amount),
                    reason: Reason(1),
                    reference: [0; 32],
                    at: now,
                    hold: None,
                })?;
            }
            Ok(())
        })
        .unwrap();
        self.enrol(seed)
    }

    /// A wallet with nothing in it.
    pub(crate) fn enrol(&mut self, seed: u8) -> Customer {
        let (me, seal) = (key(seed).id(), SealKey::from_seed(&[seed; 32]));
        let enrol = Enrol { seal: seal.public() };
        let grant = self.act(|bank, cx| bank.enrol(cx, me, RequestId([1; 16]), &enrol)).unwrap();
        let bank = self.bank.bank();
        let wallet = Wallet::new(HERE, bank, open_grant(HERE, me, bank, &seal, &grant).unwrap());
        let (outgoing, incoming, paid_orders) = (Vec::new(), Vec::new(), Vec::new());
        Customer { seed, wallet, outgoing, incoming, paid_orders, rng: rng(seed) }
    }

    pub(crate) fn rotate(&mut self, customer: &mut Customer) {
        let seal = SealKey::from_seed(&[customer.seed; 32]);
        let (me, rotate) = (customer.id(), Rotate { seal: seal.public(), version: customer.wallet.key_version() });
        let grant = self.act(|bank, cx| bank.rotate(cx, me, RequestId([2; 16]), &rotate)).unwrap();
        customer.wallet.rotate(open_grant(HERE, me, self.bank.bank(), &seal, &grant).unwrap());
    }

    /// Runs one step of the bank as the driver would: all of its writes, or none.
    pub(crate) fn act<R>(
        &mut self,
        step: impl FnOnce(&Clearing, &mut Context<'_>) -> Result<R, Halt>,
    ) -> Result<R, Halt> {
        self.dice += 1;
        let mut dice = [0; 32];
        dice[..8].copy_from_slice(&self.dice.to_be_bytes());
        let mut overlay = Overlay::new(&self.store);
        let (bank, now) = (&self.bank, self.now);
        let answer = overlay.attempt(|tx| step(bank, &mut Context { now, dice, tx }));
        let changes = overlay.into_write_set();
        self.store.commit(&changes).unwrap();
        let accounts = self.store.accounts(None, 10_000).unwrap();
        assert!(conservation(&accounts).values().all(|totals| totals.is_conserved()), "the books do not balance");
        answer
    }

    /// A frame to the bank, and its answer.
    pub(crate) fn hand(&mut self, frame: &[u8]) -> Result<Vec<u8>, Code> {
        let checked = self.bank.check(frame, &Overlay::new(&self.store)).map_err(code)?;
        self.act(|bank, cx| bank.apply(cx, checked)).map_err(code)
    }

    /// KSO-1 and KSO-2, as they should go.
    pub(crate) fn pay(&mut self, payer: &mut Customer, payee: u8, amount: u64, order: u8) -> Paid {
        let frame = payer.ask(self.now, payee, amount, order);
        match payer.hear(&self.hand(&frame).unwrap()).unwrap() {
            Answered::Paid(paid, _) => *paid,
            other => panic!("{other:?}"),
        }
    }

    /// All four messages.
    pub(crate) fn pay_and_deliver(&mut self, payer: &mut Customer, payee: &mut Customer, amount: u64, order: u8) {
        let paid = self.pay(payer, payee.seed, amount, order);
        payee.receive(self.now, &paid, &expected(amount, order)).unwrap().outcome.unwrap();
    }

    /// A request that the bank answers with a refusal.
    pub(crate) fn refused(&mut self, customer: &mut Customer, frame: &[u8]) -> Refusal {
        let answer = self.hand(frame).unwrap();
        match customer.hear(&answer).unwrap() {
            Answered::Refused(why) | Answered::Stuck(why) => why,
            Answered::Paid(..) => panic!("paid"),
        }
    }

    /// A whole comparison.
    pub(crate) fn compare(&mut self, customer: &mut Customer) -> Next {
        self.compare_by(customer, Extent::SinceAgreed)
    }

    pub(crate) fn compare_by(&mut self, customer: &mut Customer, extent: Extent) -> Next {
        self.now = Time::from_millis(self.now.as_millis() + 1);
        let (mut comparison, mut frame) = customer.wallet.compare(self.now, extent, &mut customer.rng);
        loop {
            let answer = self.hand(&frame).unwrap();
            match customer.step(&mut comparison, &answer).unwrap().next {
                Next::Send(next) => frame = next,
                end => return end,
            }
        }
    }

    pub(crate) fn balance(&self, owner: u8) -> u64 {
        let id = self.account(AccountKind::Customer, key(owner).id());
        u64::try_from(self.store.account(id).unwrap().unwrap().balance()).unwrap()
    }

    pub(crate) fn cases(&self) -> Vec<Case> {
        cases(&Overlay::new(&self.store), None, 100).unwrap().into_iter().map(|(_, case)| case).collect()
    }

    pub(crate) fn evidence(&self) -> Vec<Filed> {
        let rows = Overlay::new(&self.store).scan(EVIDENCE, Scan { prefix: &[], after: None, limit: 100 }).unwrap();
        rows.into_iter().map(|(_, row)| wire::decode(&row).unwrap()).collect()
    }
}

pub(crate) fn code(halt: Halt) -> Code {
    match halt {
        Halt::Refused(why) => why.code,
        Halt::Store(why) => panic!("{why}"),
    }
}
