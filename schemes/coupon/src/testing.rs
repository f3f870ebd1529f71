//! A small world for the tests: one bank on a store in memory, and parties with keys.

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{NetworkId, PeerId, RequestId, TransferId, timed};
use farthing_core::order::Order;
use farthing_core::refusal::Code;
use farthing_core::seal::SealKey;
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{Span, Time};
use farthing_core::wire::{self, Bounded};
use farthing_ledger::{Account, AccountKind, Ledger, Reason, Transfer, conservation};
use farthing_role::{Context, EVIDENCE, Filed, Halt, Records, RequestBody, Scan};
use farthing_store::{MemoryStore, Overlay, Reader, Store};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::bank::{Coupons, TABLES, Terms, verify_clearings};
use crate::buyer::{Asked, Buyer, Purchase};
use crate::clearing::{ClearLine, ClearOutcome, Clearing, Clearings};
use crate::messages::{AuthAnswer, AuthRequest, Authorisation, Clear, Initiate, kind};
use crate::micro::micro_order;
use crate::secret::Digest;
use crate::seller::{Committed, Invoiced, Seller, Terms as SellerTerms};
use crate::session::Session;
use crate::spender::Spender;

pub(crate) const HERE: NetworkId = NetworkId([7; 16]);
pub(crate) const BUYER: u8 = 10;
pub(crate) const ALIAS: u8 = 11;
pub(crate) const S1: u8 = 20;
pub(crate) const S2: u8 = 30;

/// An amount of test money, in micros.
pub(crate) fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// A request by a name, in the realm of a session.
pub(crate) fn order_in(spender: &Spender, name: &str) -> Digest {
    micro_order(spender.realm(), &request(name))
}

pub(crate) fn request(name: &str) -> [u8; 32] {
    crate::exchange::product_digest(name.as_bytes()).0
}

/// A bank with its books, and a clock that the test moves.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) bank: Coupons,
    pub(crate) now: Time,
    pub(crate) rng: ChaCha20Rng,
    asked: u8,
}

/// A purchase after the buyer signed it, with all that was said so far.
pub(crate) struct Signing {
    pub(crate) initiate: Initiate,
    pub(crate) invoice: Signed<Clear>,
    pub(crate) invoiced: Invoiced,
    pub(crate) purchase: Purchase,
    pub(crate) committed: Committed,
    /// Who asked, of whom, for how many units, with which dice.
    asked: (u8, u8, u8, u32, ChaCha20Rng),
}

impl World {
    /// Buyer with a million micros, two sellers with nothing.
    pub(crate) fn new() -> Self {
        let tables: Vec<_> = TABLES.into_iter().chain([EVIDENCE]).collect();
        let bank = Coupons::new(HERE, key(1), SealKey::from_seed(&[1; 32]), Terms::default());
        let (now, rng) = (Time::from_millis(1_000_000_000), ChaCha20Rng::from_seed([3; 32]));
        let mut world = Self { store: MemoryStore::new(&tables), bank, now, rng, asked: 0 };
        let outside = world.account(AccountKind::World, PeerId([0; 32]));
        let outside = Account::new(outside, AccountKind::World, Currency::XTS, None, now);
        world.act(|_, cx| Ok(Ledger(&mut *cx.tx).open(outside)?)).unwrap();
        for (seed, amount) in [(BUYER, 1_000_000), (S1, 0), (S2, 0)] {
            world.enrol(key(seed).id(), amount);
        }
        world
    }

    pub(crate) fn account(&self, kind: AccountKind, owner: PeerId) -> farthing_core::id::AccountId {
        Account::id_for(HERE, kind, &owner.0, Currency::XTS)
    }

    pub(crate) fn enrol(&mut self, peer: PeerId, amount: u64) {
        let (id, now) = (self.account(AccountKind::Customer, peer), self.now);
        let funding = (amount > 0).then(|| Transfer {
            id: TransferId(timed(now, &peer.0)),
            debit: self.account(AccountKind::World, PeerId([0; 32])),
            credit: id,
            amount: micros(amount),
            reason: Reason(1),
            reference: [0; 32],
            at: now,
            hold: None,
        });
        self.act(|_, cx| {
            let mut ledger = Ledger(&mut *cx.tx);
            ledger.open(Account::new(id, AccountKind::Customer, Currency::XTS, Some(peer), now))?;
            if let Some(funding) = funding {
                ledger.post(funding)?;
            }
            Ok(())
        })
        .unwrap();
    }

    /// Runs one step of the bank as the driver would: all of its writes, or none.
    pub(crate) fn act<R>(
        &mut self,
        step: impl FnOnce(&Coupons, &mut Context<'_>) -> Result<R, Halt>,
    ) -> Result<R, Halt> {
        let mut overlay = Overlay::new(&self.store);
        let (bank, now) = (&self.bank, self.now);
        let answer = overlay.attempt(|tx| step(bank, &mut Context { now, dice: [0; 32], tx }));
        let changes = overlay.into_write_set();
        self.store.commit(&changes).unwrap();
        let accounts = self.store.accounts(None, 10_000).unwrap();
        assert!(conservation(&accounts).values().all(|totals| totals.is_conserved()), "the books do not balance");
        answer
    }

    pub(crate) fn request_id(&mut self) -> RequestId {
        self.asked += 1;
        RequestId(timed(self.now, &[self.asked; 32]))
    }

    pub(crate) fn seller(&self, seed: u8) -> Seller {
        Seller {
            key: key(seed),
            seal: SealKey::from_seed(&[seed; 32]),
            network: HERE,
            bank: self.bank.bank(),
            terms: SellerTerms::default(),
        }
    }

    pub(crate) fn buyer<'a>(&self, account: &'a SecretKey, pseudonym: &'a SecretKey) -> Buyer<'a> {
        Buyer { account, pseudonym, network: HERE, bank: self.bank.bank(), bank_seal: self.bank.slips() }
    }

    /// What a seller offers: coupons worth 1,000 micros each.
    pub(crate) fn offer(&self, seller: u8) -> Order {
        Order {
            payee: key(seller).id(),
            content: None,
            size: 0,
            piece: 0,
            price: micros(1_000),
            description: "an interface".into(),
            created: self.now,
            expires: self.now.after(Span::from_days(7)),
            nonce: [seller; 16],
        }
    }

    /// Messages 1 to 3 between a buyer, under a pseudonym that also seeds its chain, and a seller.
    pub(crate) fn sign(&mut self, buyer: u8, alias: u8, seller: u8, units: u32) -> Signing {
        let (account, pseudonym, offer) = (key(buyer), key(alias), self.offer(seller));
        let not_after = self.now.after(Span::from_days(7));
        let dice = self.rng.clone();
        let who = self.buyer(&account, &pseudonym);
        let (asked, initiate) = who.initiate(&offer, units, not_after, [alias; 32], &mut self.rng).unwrap();
        let was_asked = (buyer, alias, seller, units, dice);
        let seller = self.seller(seller);
        let (invoiced, invoice) = seller.invoice(self.now, &offer, &initiate, &mut self.rng).unwrap();
        let who = self.buyer(&account, &pseudonym);
        let (pending, purchase) = who.on_invoice(self.now, asked, invoice.clone(), &mut self.rng).unwrap();
        let committed = seller.on_payment(&invoiced, pending.payment().clone()).unwrap();
        Signing { initiate, invoice, invoiced, purchase, committed, asked: was_asked }
    }

    /// The same purchase asked for once more, word by word.
    pub(crate) fn ask_again(&self, signing: &Signing) -> Asked {
        let (buyer, alias, seller, units, mut dice) = signing.asked.clone();
        let (account, pseudonym) = (key(buyer), key(alias));
        let not_after = signing.initiate.header.not_after;
        let who = self.buyer(&account, &pseudonym);
        let offer = self.offer(seller);
        let (asked, initiate) = who.initiate(&offer, units, not_after, [alias; 32], &mut dice).unwrap();
        assert_eq!(initiate, signing.initiate);
        asked
    }

    /// Messages 4 and 5.
    pub(crate) fn authorise(&mut self, seller: PeerId, request: AuthRequest) -> Result<AuthAnswer, Halt> {
        self.act(|bank, cx| {
            let checked = bank.check_authorise(seller, request)?;
            bank.authorise(cx, &checked)
        })
    }

    /// The bank's signed answer to a request it takes.
    pub(crate) fn answer(&mut self, seller: u8, request: &AuthRequest) -> Signed<Authorisation> {
        match self.authorise(key(seller).id(), request.clone()).unwrap() {
            AuthAnswer::Answered(signed) => signed,
            AuthAnswer::Conflict { .. } => panic!("a conflict"),
        }
    }

    /// All six messages.
    pub(crate) fn open(&mut self, buyer: u8, alias: u8, seller: u8, units: u32) -> (Spender, Session) {
        let signing = self.sign(buyer, alias, seller, units);
        let answer = self.answer(seller, signing.committed.request());
        let (session, confirm) = self.seller(seller).on_authorisation(&signing.committed, answer).unwrap();
        let (account, pseudonym) = (key(buyer), key(alias));
        let spender = signing.purchase.on_confirm(&self.buyer(&account, &pseudonym), confirm).unwrap();
        (spender, session)
    }

    pub(crate) fn clear_request(&mut self, seller: u8, items: Vec<Clearing>) -> Signed<RequestBody> {
        let clearings = Clearings { items: Bounded::new(items).unwrap() };
        let (id, to) = (self.request_id(), self.bank.bank());
        key(seller)
            .sign(HERE, &RequestBody { id, to, kind: kind::CLEAR, message: wire::encode(&clearings), epoch: None })
    }

    /// Clears as the seller signs it, through the front door.
    pub(crate) fn clear(&mut self, seller: u8, items: Vec<Clearing>) -> Vec<ClearLine> {
        let request = self.clear_request(seller, items);
        self.clear_signed(request).unwrap()
    }

    pub(crate) fn clear_signed(&mut self, request: Signed<RequestBody>) -> Result<Vec<ClearLine>, Code> {
        let bank = self.bank.bank();
        let request = verify_clearings(HERE, bank, self.now, vec![request]).pop().unwrap().map_err(|why| why.code)?;
        let checked = {
            let facts = Overlay::new(&self.store);
            self.bank.check_clearings(vec![request], &facts).pop().unwrap().unwrap()
        };
        let receipt = self.act(|bank, cx| bank.clear(cx, checked)).unwrap();
        Ok(receipt.verify_by(HERE, bank).unwrap().body().lines.as_slice().to_vec())
    }

    /// What a customer has, and what of it is set aside.
    pub(crate) fn balance(&self, owner: u8) -> (u64, u64) {
        let account = self.store.account(self.account(AccountKind::Customer, key(owner).id())).unwrap().unwrap();
        (u64::try_from(account.balance()).unwrap(), account.held)
    }

    /// The evidence filed, oldest first.
    pub(crate) fn evidence(&self) -> Vec<Filed> {
        let rows = Overlay::new(&self.store).scan(EVIDENCE, Scan { prefix: &[], after: None, limit: 100 }).unwrap();
        rows.into_iter().map(|(_, row)| wire::decode(&row).unwrap()).collect()
    }
}

/// What a clearing was paid, in micros.
pub(crate) fn paid(line: &ClearLine) -> u64 {
    match &line.outcome {
        ClearOutcome::Paid { amount, .. } => amount.as_micros(),
        ClearOutcome::Refused(why) => panic!("refused: {why}"),
    }
}

/// Why a clearing was turned away.
pub(crate) fn refused(line: &ClearLine) -> Code {
    match &line.outcome {
        ClearOutcome::Refused(why) => why.code,
        ClearOutcome::Paid { amount, .. } => panic!("paid {amount}"),
    }
}

pub(crate) fn code(halt: Halt) -> Code {
    match halt {
        Halt::Refused(why) => why.code,
        Halt::Store(why) => panic!("{why}"),
    }
}
