//! A small world for the tests: one bank on a store in memory, and parties with keys.

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{NetworkId, OrderId, PeerId, RequestId, timed};
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{Span, Time};
use farthing_core::wire::{self, Bounded};
use farthing_ledger::{Account, AccountKind, Ledger, Reason, Transfer, conservation};
use farthing_role::{Context, EVIDENCE, Filed, Halt, Records, RequestBody, Scan};
use farthing_store::{MemoryStore, Overlay, Reader, Store};

use crate::bank::{ClaimRequest, NetPay, TABLES, Terms};
use crate::messages::{Claim, ClaimLine, ClaimOutcome, Claims, Visit, kind};
use crate::payee::{Counting, Payee, Terms as PayeeTerms};
use crate::payer::{ChainTerms, NewChain, Purse};

pub(crate) const HERE: NetworkId = NetworkId([7; 16]);
pub(crate) const ORDER: OrderId = OrderId([8; 32]);

/// An amount of test money, in micros.
pub(crate) fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// A bank with its books, and a clock that the test moves.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) bank: NetPay,
    pub(crate) now: Time,
    asked: u8,
}

/// A payer with one open chain, whose reserves are signed by a pseudonym.
pub(crate) struct Payer {
    pub(crate) account: PeerId,
    pub(crate) signer: SecretKey,
    pub(crate) purse: Purse,
    pub(crate) seed: [u8; 32],
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Terms::default())
    }

    pub(crate) fn with(terms: Terms) -> Self {
        let tables: Vec<_> = TABLES.into_iter().chain([EVIDENCE]).collect();
        let store = MemoryStore::new(&tables);
        let mut world =
            Self { store, bank: NetPay::new(HERE, key(1), terms), now: Time::from_millis(1_000_000_000), asked: 0 };
        let outside = Account::new(
            world.account(AccountKind::World, PeerId([0; 32])),
            AccountKind::World,
            Currency::XTS,
            None,
            world.now,
        );
        world.act(|_, cx| Ok(Ledger(&mut *cx.tx).open(outside)?)).unwrap();
        world
    }

    pub(crate) fn account(&self, kind: AccountKind, owner: PeerId) -> farthing_core::id::AccountId {
        Account::id_for(HERE, kind, &owner.0, Currency::XTS)
    }

    /// Opens accounts and puts money into both.
    pub(crate) fn enrol(&mut self, peer: PeerId, customer: u64, deposit: u64) {
        for (kind, amount) in [(AccountKind::Customer, customer), (AccountKind::Deposit, deposit)] {
            let id = self.account(kind, peer);
            let outside = self.account(AccountKind::World, PeerId([0; 32]));
            let unique = [peer.0[0].wrapping_add(kind as u8); 32];
            let now = self.now;
            let funding = (amount > 0).then(|| Transfer {
                id: farthing_core::id::TransferId(timed(now, &unique)),
                debit: outside,
                credit: id,
                amount: micros(amount),
                reason: Reason(1),
                reference: [0; 32],
                at: now,
                hold: None,
            });
            self.act(|_, cx| {
                let mut ledger = Ledger(&mut *cx.tx);
                ledger.open(Account::new(id, kind, Currency::XTS, Some(peer), now))?;
                if let Some(funding) = funding {
                    ledger.post(funding)?;
                }
                Ok(())
            })
            .unwrap();
        }
    }

    /// Runs one step of the bank as the driver would: all of its writes, or none.
    pub(crate) fn act<R>(
        &mut self,
        step: impl FnOnce(&NetPay, &mut Context<'_>) -> Result<R, Halt>,
    ) -> Result<R, Halt> {
        let mut overlay = Overlay::new(&self.store);
        let (bank, now) = (&self.bank, self.now);
        let answer = overlay.attempt(|tx| step(bank, &mut Context { now, dice: [0; 32], tx }));
        let changes = overlay.into_write_set();
        self.store.commit(&changes).unwrap();
        self.check_books();
        answer
    }

    pub(crate) fn request_id(&mut self) -> RequestId {
        self.asked += 1;
        RequestId(timed(self.now, &[self.asked; 32]))
    }

    /// Opens a chain of `units` units worth 1,000 micros each, for a peer enrolled with enough.
    pub(crate) fn open(&mut self, account: &SecretKey, units: u32, pseudonym: u8) -> Payer {
        let signer = key(pseudonym);
        let seed = [pseudonym; 32];
        let terms = ChainTerms { units, unit: micros(1_000), not_after: self.now.after(Span::from_days(7)) };
        let new = NewChain::new(signer.id(), terms, seed, [pseudonym; 16]).unwrap();
        let (id, open) = (self.request_id(), new.request());
        let touchstone = self.act(|bank, cx| bank.open(cx, account.id(), id, &open)).unwrap();
        let bank = self.bank.bank();
        let purse = new.opened(touchstone.verify_by(HERE, bank).unwrap()).unwrap();
        Payer { account: account.id(), signer, purse, seed }
    }

    pub(crate) fn payee(&self, me: PeerId) -> Payee {
        Payee { me, network: HERE, bank: self.bank.bank(), terms: PayeeTerms::default() }
    }

    /// A visit of `payer` at `payee`: reserved, admitted, and `units` units paid one by one.
    pub(crate) fn visit(&self, payer: &mut Payer, payee: &SecretKey, width: u32, units: u32) -> Counting {
        let visit = payer.reserve(self.now, payee.id(), width);
        let mut counting = self.payee(payee.id()).admit(self.now, ORDER, visit).unwrap();
        for _ in 0..units {
            let pay = payer.purse.pay(1, ORDER).unwrap();
            assert_eq!(counting.on_pay(self.now, &pay), Ok(1));
        }
        counting
    }

    /// Claims as the payee signs them, through the front door.
    pub(crate) fn claim(&mut self, payee: &SecretKey, items: Vec<Claim>) -> Vec<ClaimLine> {
        let id = self.request_id();
        self.claim_as(payee, id, items)
    }

    pub(crate) fn claim_as(&mut self, payee: &SecretKey, id: RequestId, items: Vec<Claim>) -> Vec<ClaimLine> {
        let request = self.claim_request(payee, id, items);
        let checked = {
            let facts = Overlay::new(&self.store);
            self.bank.check_claims(vec![request], &facts).pop().unwrap().unwrap()
        };
        let receipt = self.act(|bank, cx| bank.claim(cx, checked)).unwrap();
        receipt.verify_by(HERE, self.bank.bank()).unwrap().body().lines.as_slice().to_vec()
    }

    pub(crate) fn claim_request(&self, payee: &SecretKey, id: RequestId, items: Vec<Claim>) -> ClaimRequest {
        let claims = Claims { items: Bounded::new(items).unwrap() };
        let body =
            RequestBody { id, to: self.bank.bank(), kind: kind::CLAIM, message: wire::encode(&claims), epoch: None };
        let proof = wire::encode(&payee.sign(HERE, &body));
        ClaimRequest { payee: payee.id(), id, proof, claims }
    }

    pub(crate) fn balance(&self, kind: AccountKind, owner: PeerId) -> u64 {
        let account = self.store.account(self.account(kind, owner)).unwrap();
        account.map_or(0, |account| u64::try_from(account.balance()).unwrap())
    }

    pub(crate) fn is_suspended(&self, owner: PeerId) -> bool {
        self.store.account(self.account(AccountKind::Customer, owner)).unwrap().unwrap().frozen
    }

    /// The evidence filed, oldest first.
    pub(crate) fn evidence(&self) -> Vec<Filed> {
        let rows = Overlay::new(&self.store).scan(EVIDENCE, Scan { prefix: &[], after: None, limit: 100 }).unwrap();
        rows.into_iter().map(|(_, row)| wire::decode(&row).unwrap()).collect()
    }

    /// No money made, none lost, after every step of every test.
    fn check_books(&self) {
        let accounts = self.store.accounts(None, 10_000).unwrap();
        assert!(conservation(&accounts).values().all(|totals| totals.is_conserved()), "the books do not balance");
    }
}

impl Payer {
    pub(crate) fn reserve(&mut self, now: Time, payee: PeerId, width: u32) -> Visit {
        self.purse.reserve(&self.signer, HERE, payee, ORDER, width, now.after(Span::from_hours(24))).unwrap()
    }

    /// The same chain in a second, dishonest copy of the wallet, as it was before anything was spent.
    pub(crate) fn twin(&self) -> Self {
        let mut state = self.purse.state().clone();
        (state.next, state.serial, state.open) = (1, 100, None);
        let signer = key(self.seed[0]);
        Self { account: self.account, signer, purse: Purse::resume(state, self.seed).unwrap(), seed: self.seed }
    }
}

/// What a claim was paid, in micros, and how many units were contested.
pub(crate) fn paid(line: &ClaimLine) -> (u64, u32) {
    match &line.outcome {
        ClaimOutcome::Paid { amount, contested, .. } => (amount.as_micros(), *contested),
        ClaimOutcome::Refused(why) => panic!("refused: {why}"),
    }
}

/// Why a claim was turned away.
pub(crate) fn refused(line: &ClaimLine) -> farthing_core::refusal::Code {
    match &line.outcome {
        ClaimOutcome::Refused(why) => why.code,
        ClaimOutcome::Paid { amount, .. } => panic!("paid {amount}"),
    }
}

/// The release of a visit, and the claim that goes with it.
pub(crate) fn leave(
    world: &World,
    payee: &SecretKey,
    counting: &Counting,
) -> (Signed<crate::messages::Release>, Claim) {
    let release = counting.release(payee, HERE, world.now);
    let claim = counting.claim().expect("something was paid");
    (release.clone(), Claim { release: Some(release), ..claim })
}
