//! A small world for the tests: one bank and several wallets, each on a store in memory, and a clock
//! that the test moves.

use std::cell::Cell;
use std::collections::BTreeMap;

use farthing_core::amount::{Amount, Currency};
use farthing_core::cert::{Certificate, Limits};
use farthing_core::id::{AccountId, NetworkId, OrderId, RequestId, TransferId, timed};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seal::{SealKey, Sealed};
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{Span, Time};
use farthing_core::wire::{self, Bounded};
use farthing_ledger::{
    Account, AccountKind, Head, Hold, JournalRow, Ledger, Reason, StoreFault, Transfer, conservation,
};
use farthing_role::{Context, EVIDENCE, Filed, Halt, Records, RequestBody, Row, Scan, Table};
use farthing_store::{MemoryStore, Overlay, Reader, Store};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::bank::{self, Chart, DepositRequest, Drafts, Terms};
use crate::messages::{
    Agreement, Alias, Deposit, DepositLine, Digest, Enrol, Item, Outcome, Payment, Reconciled, kind,
};
use crate::payee::{Expected, Payee, Taken, Terms as PayeeTerms};
use crate::payer::{Drawn, Payer, Purchase};
use crate::{interbank, messages, wallet};

pub(crate) const HERE: NetworkId = NetworkId([7; 16]);
pub(crate) const BANK: u8 = 1;
pub(crate) const AUTHORITY: u8 = 2;
pub(crate) const ALICE: u8 = 10;
pub(crate) const CAROL: u8 = 20;
pub(crate) const DAVE: u8 = 30;
pub(crate) const ORDER: OrderId = OrderId([9; 32]);

pub(crate) fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

pub(crate) fn seal_key(seed: u8) -> SealKey {
    SealKey::from_seed(&[seed; 32])
}

/// Limits and credit as most tests have them: a thousand for each, five hundred for one.
pub(crate) fn terms() -> Terms {
    Terms::new(Limits { per_item: micros(500), total: micros(1_000) })
}

pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) wallets: BTreeMap<u8, MemoryStore>,
    pub(crate) copies: BTreeMap<u8, Digest>,
    pub(crate) bank: Drafts,
    pub(crate) now: Time,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) payee_terms: PayeeTerms,
}

/// Runs one step on a store as the driver would: all of its writes, or none.
fn step<R>(
    store: &mut MemoryStore,
    now: Time,
    dice: [u8; 32],
    work: impl FnOnce(&mut Context<'_>) -> Result<R, Halt>,
) -> Result<R, Halt> {
    let mut overlay = Overlay::new(store);
    let answer = overlay.attempt(|tx| work(&mut Context { now, dice, tx }));
    let changes = overlay.into_write_set();
    store.commit(&changes).unwrap();
    answer
}

impl World {
    /// Alice with ten thousand, Carol and Dave with nothing.
    pub(crate) fn new() -> Self {
        Self::with(terms())
    }

    pub(crate) fn with(terms: Terms) -> Self {
        let tables: Vec<_> = bank::TABLES.into_iter().chain(interbank::TABLES).chain([EVIDENCE]).collect();
        let chart = Chart { network: HERE, currency: Currency::XTS };
        let mut world = Self {
            store: MemoryStore::new(&tables),
            wallets: BTreeMap::new(),
            copies: BTreeMap::new(),
            bank: Drafts::new(chart, key(BANK), terms),
            now: Time::from_millis(1_000_000_000_000),
            rng: ChaCha20Rng::from_seed([3; 32]),
            payee_terms: PayeeTerms::default(),
        };
        let outside = Account::new(world.outside(), AccountKind::World, Currency::XTS, None, world.now);
        world.act(|_, cx| Ok(Ledger(&mut *cx.tx).open(outside)?)).unwrap();
        world.act(|bank, cx| bank.chart().open(cx)).unwrap();
        for (seed, amount) in [(ALICE, 10_000), (CAROL, 0), (DAVE, 0)] {
            world.enrol(seed, amount);
        }
        world
    }

    fn outside(&self) -> AccountId {
        Account::id_for(HERE, AccountKind::World, b"world", Currency::XTS)
    }

    /// Opens accounts, funds them and enrols the key.
    pub(crate) fn enrol(&mut self, seed: u8, amount: u64) {
        let (peer, now) = (key(seed).id(), self.now);
        let chart = *self.bank.chart();
        self.act(|_, cx| {
            let mut ledger = Ledger(&mut *cx.tx);
            for (id, kind) in
                [(chart.customer(peer), AccountKind::Customer), (chart.deposit(peer), AccountKind::Deposit)]
            {
                ledger.open(Account::new(id, kind, Currency::XTS, Some(peer), now))?;
            }
            Ok(())
        })
        .unwrap();
        self.fund(chart.customer(peer), amount);
        self.alias(seed, seed).unwrap();
        self.wallets.insert(seed, MemoryStore::new(&wallet::TABLES));
        self.copies.insert(seed, Digest([seed; 32]));
    }

    /// Enrols the key `seed` for `account`'s account.
    pub(crate) fn alias(&mut self, account: u8, seed: u8) -> Result<bank::Holder, Halt> {
        let (owner, bank) = (key(account).id(), self.bank.bank());
        let alias = key(seed).sign(HERE, &Alias { account: owner, bank, seal: seal_key(seed).public() });
        self.wallets.entry(seed).or_insert_with(|| MemoryStore::new(&wallet::TABLES));
        self.copies.entry(seed).or_insert(Digest([seed; 32]));
        self.act(|bank, cx| bank.enrol(cx, owner, Enrol { alias }))
    }

    pub(crate) fn fund(&mut self, account: AccountId, amount: u64) {
        if amount == 0 {
            return;
        }
        let (debit, at) = (self.outside(), self.now);
        let mut unique = [0; 32];
        self.rng.fill_bytes(&mut unique);
        let id = TransferId(timed(at, &unique));
        let reason = Reason(1);
        let transfer =
            Transfer { id, debit, credit: account, amount: micros(amount), reason, reference: [0; 32], at, hold: None };
        self.act(|_, cx| Ok(Ledger(&mut *cx.tx).post(transfer)?)).unwrap();
    }

    /// One step of the bank. The books balance after every one.
    pub(crate) fn act<R>(
        &mut self,
        work: impl FnOnce(&Drafts, &mut Context<'_>) -> Result<R, Halt>,
    ) -> Result<R, Halt> {
        let mut dice = [0; 32];
        self.rng.fill_bytes(&mut dice);
        let bank = &self.bank;
        let answer = step(&mut self.store, self.now, dice, |cx| work(bank, cx));
        let accounts = self.store.accounts(None, 10_000).unwrap();
        assert!(conservation(&accounts).values().all(|totals| totals.is_conserved()), "the books do not balance");
        answer
    }

    pub(crate) fn payer(&self, seed: u8) -> Payer {
        let copy = self.copies[&seed];
        Payer { key: key(seed), network: HERE, bank: self.bank.bank(), authority: key(AUTHORITY).id(), copy }
    }

    pub(crate) fn payee(&self, seed: u8) -> Payee {
        let authority = key(AUTHORITY).id();
        let (bank, terms) = (self.bank.bank(), self.payee_terms);
        Payee { key: key(seed), seal: seal_key(seed), network: HERE, bank, authority, terms }
    }

    /// One step of a wallet, as payer.
    pub(crate) fn pays<R>(
        &mut self,
        seed: u8,
        work: impl FnOnce(&Payer, &mut Context<'_>, &mut ChaCha20Rng) -> Result<R, Halt>,
    ) -> Result<R, Halt> {
        let payer = self.payer(seed);
        let (now, rng) = (self.now, &mut self.rng);
        step(self.wallets.get_mut(&seed).unwrap(), now, [0xff; 32], |cx| work(&payer, cx, rng))
    }

    /// One step of a wallet, as payee. The lot never falls on a spot check unless all are checked.
    pub(crate) fn takes<R>(
        &mut self,
        seed: u8,
        work: impl FnOnce(&Payee, &mut Context<'_>) -> Result<R, Halt>,
    ) -> Result<R, Halt> {
        let payee = self.payee(seed);
        step(self.wallets.get_mut(&seed).unwrap(), self.now, [0xff; 32], |cx| work(&payee, cx))
    }

    pub(crate) fn draw(&mut self, payer: u8, payee: u8, amount: u64) -> Result<Drawn, Halt> {
        let purchase = self.purchase(payee, amount);
        self.pays(payer, |payer, cx, rng| payer.draw(cx, &purchase, rng))
    }

    pub(crate) fn purchase(&self, payee: u8, amount: u64) -> Purchase {
        let seal = Some(seal_key(payee).public());
        Purchase { payee: key(payee).id(), seal, amount: micros(amount), order: ORDER, life: Span::from_days(7) }
    }

    /// Opens what was sealed, and takes it.
    pub(crate) fn accept(&mut self, payee: u8, sealed: &Sealed<Payment>, amount: u64) -> Result<Taken, Halt> {
        let expected = Expected { order: ORDER, amount: micros(amount) };
        self.takes(payee, |payee, cx| {
            let payment = payee.open(sealed)?;
            payee.accept(cx, payment, &expected)
        })
    }

    /// A draft from one to the other, taken and receipted.
    pub(crate) fn pay(&mut self, payer: u8, payee: u8, amount: u64) -> Drawn {
        let drawn = self.draw(payer, payee, amount).unwrap();
        let taken = self.accept(payee, drawn.sealed.as_ref().unwrap(), amount).unwrap();
        let Taken::Serve(accepted) = taken else { panic!("{taken:?}") };
        let receipt = accepted.receipt.unwrap();
        self.pays(payer, |payer, cx, _| payer.on_receipt(cx, accepted.number, receipt)).unwrap();
        drawn
    }

    pub(crate) fn request_id(&mut self) -> RequestId {
        let mut unique = [0; 32];
        self.rng.fill_bytes(&mut unique);
        RequestId(timed(self.now, &unique))
    }

    pub(crate) fn request(&mut self, sender: u8, kind: u16, message: Vec<u8>) -> Signed<RequestBody> {
        let (id, to) = (self.request_id(), self.bank.bank());
        key(sender).sign(HERE, &RequestBody { id, to, kind, message, epoch: None })
    }

    /// Deposits through the front door: signed, and sealed to the bank.
    pub(crate) fn deposit_raw(&mut self, payee: u8, deposit: Deposit) -> Signed<messages::DepositReceipt> {
        let request = self.request(payee, kind::DEPOSIT, wire::encode(&deposit));
        let proof = wire::encode(&request);
        let request = request.verify(HERE).unwrap();
        let id = request.body().id;
        let request = DepositRequest { payee: request.signer(), id, proof, deposit };
        let checked = self.bank.check_deposits(vec![request]).pop().unwrap();
        self.act(|bank, cx| bank.deposit(cx, checked)).unwrap()
    }

    /// The lines that a deposit of these items gets.
    pub(crate) fn deposit_items(&mut self, payee: u8, items: Vec<Item>) -> Vec<DepositLine> {
        let receipt = self.deposit_raw(payee, Deposit { items: Bounded::new(items).unwrap() });
        let receipt = receipt.verify_by(HERE, self.bank.bank()).unwrap();
        receipt.body().lines.as_slice().to_vec()
    }

    /// Deposits all that a payee holds, and has it write down what came of it.
    pub(crate) fn deposit(&mut self, payee: u8) -> Vec<DepositLine> {
        let Some(deposit) = self.takes(payee, |payee, cx| payee.deposit(cx, 256)).unwrap() else { return Vec::new() };
        let receipt = self.deposit_raw(payee, deposit.clone());
        let lines = receipt.peek().unwrap().lines.into_vec();
        let copy = self.copies[&payee];
        self.takes(payee, |payee, cx| payee.on_deposit_receipt(cx, copy, &deposit, receipt)).unwrap();
        lines
    }

    /// The item a payee would deposit for a draft.
    pub(crate) fn item(&self, drawn: &Drawn) -> Item {
        let serial = match &drawn.payment.certificate {
            messages::Shown::Whole(certificate) => certificate.peek().unwrap().serial,
            messages::Shown::Known(_) => 1,
        };
        Item { draft: drawn.payment.draft.clone(), serial }
    }

    /// The offline key signs what the bank decided.
    pub(crate) fn certificate(&self, body: Option<&Certificate>) -> Option<Signed<Certificate>> {
        body.map(|body| key(AUTHORITY).sign(HERE, body))
    }

    /// A whole reconciliation; what the bank said at its end.
    pub(crate) fn reconcile(&mut self, seed: u8, wanted: u64) -> Result<Reconciled, Halt> {
        let ask = self.payer(seed).reconcile();
        let holder = key(seed).id();
        let opening = self.act(|bank, cx| bank.reconcile(cx, holder, &ask))?;
        self.pays(seed, |payer, cx, _| payer.on_opening(cx, opening))?;
        while let Some(page) = self.pays(seed, |payer, cx, _| payer.next_page(cx))? {
            let request = self.request(seed, kind::LOG_PAGE, wire::encode(&page));
            let proof = wire::encode(&request);
            let taken = self.act(|bank, cx| bank.page(cx, holder, &page, &proof))?;
            self.pays(seed, |payer, cx, _| payer.on_page_taken(cx, &page, &taken))?;
        }
        let wanted = (wanted > 0).then(|| micros(wanted));
        let closing = self.pays(seed, |payer, cx, _| payer.close(cx, wanted))?;
        let reply = self.act(|bank, cx| bank.close(cx, holder, closing))?;
        let said = reply.said.peek().unwrap();
        let certificate = self.certificate(reply.certificate.as_ref());
        if matches!(said.result, Agreement::Agreed(_)) {
            self.pays(seed, |payer, cx, _| payer.on_reconciled(cx, reply.said, certificate))?;
        }
        Ok(said)
    }

    pub(crate) fn balance(&self, seed: u8) -> u64 {
        self.balance_of(self.bank.chart().customer(key(seed).id()))
    }

    pub(crate) fn balance_of(&self, account: AccountId) -> u64 {
        u64::try_from(self.store.account(account).unwrap().unwrap().balance()).unwrap()
    }

    pub(crate) fn is_suspended(&self, seed: u8) -> bool {
        self.store.account(self.bank.chart().customer(key(seed).id())).unwrap().unwrap().frozen
    }

    /// The evidence filed, oldest first.
    pub(crate) fn evidence(&self) -> Vec<Filed> {
        let rows = Overlay::new(&self.store).scan(EVIDENCE, Scan { prefix: &[], after: None, limit: 100 }).unwrap();
        rows.into_iter().map(|(_, row)| wire::decode(&row).unwrap()).collect()
    }

    pub(crate) fn later(&mut self, span: Span) {
        self.now = self.now.after(span);
    }
}

/// What a line was paid, in micros.
pub(crate) fn paid(line: &DepositLine) -> u64 {
    match &line.outcome {
        Outcome::Taken { paid, .. } => paid.as_micros(),
        other => panic!("{other:?}"),
    }
}

/// Why a line was turned away.
pub(crate) fn refused(line: &DepositLine) -> Code {
    match &line.outcome {
        Outcome::Refused(why) => why.code,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn code<T: std::fmt::Debug>(answer: Result<T, Halt>) -> Code {
    match answer {
        Err(Halt::Refused(Refusal { code, .. })) => code,
        other => panic!("{other:?}"),
    }
}

/// A store that counts the rows it hands out.
pub(crate) struct Counted<'a> {
    store: &'a MemoryStore,
    rows: Cell<usize>,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(store: &'a MemoryStore) -> Self {
        Self { store, rows: Cell::new(0) }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.get()
    }

    fn count(&self, rows: usize) {
        self.rows.set(self.rows.get() + rows);
    }
}

impl Reader for Counted<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        self.count(1);
        self.store.get(table, key)
    }

    fn scan(&self, table: Table, scan: Scan<'_>) -> Result<Vec<Row>, StoreFault> {
        let rows = self.store.scan(table, scan)?;
        self.count(rows.len());
        Ok(rows)
    }

    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreFault> {
        self.count(1);
        self.store.account(id)
    }

    fn hold(&self, id: TransferId) -> Result<Option<Hold>, StoreFault> {
        self.count(1);
        self.store.hold(id)
    }

    fn holds_due(&self, now: Time, limit: usize) -> Result<Vec<Hold>, StoreFault> {
        self.store.holds_due(now, limit)
    }

    fn accounts(&self, after: Option<AccountId>, limit: usize) -> Result<Vec<Account>, StoreFault> {
        self.store.accounts(after, limit)
    }

    fn holds(&self, after: Option<TransferId>, limit: usize) -> Result<Vec<Hold>, StoreFault> {
        self.store.holds(after, limit)
    }

    fn journal(&self, after_seq: u64, limit: usize) -> Result<Vec<JournalRow>, StoreFault> {
        self.store.journal(after_seq, limit)
    }

    fn journal_row(&self, id: TransferId) -> Result<Option<JournalRow>, StoreFault> {
        self.store.journal_row(id)
    }

    fn head(&self) -> Result<Head, StoreFault> {
        self.store.head()
    }

    fn damage(&self) -> Result<Option<String>, StoreFault> {
        self.store.damage()
    }
}
