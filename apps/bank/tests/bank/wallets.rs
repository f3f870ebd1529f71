//! The customers' side of the clearing and of drafts, at its simplest.

use farthing_bank::client::{AskError, BankClient};
use farthing_clearing::compare::{Extent, Fate, Next};
use farthing_clearing::messages::Enrol;
use farthing_clearing::payee::Received;
use farthing_clearing::payer::{Answered, Paid, Transfer};
use farthing_clearing::wallet::{Wallet, open_grant};
use farthing_core::audit::{Direction, Entry};
use farthing_core::id::PeerId;
use farthing_core::seal::SealKey;
use farthing_core::sign::{SecretKey, Signed, Verified};
use farthing_core::time::Span;
use farthing_core::wire::Bounded;
use farthing_draft::messages::{
    Agreement, Alias, Deposit, DepositLine, Digest, Draft, Enrol as EnrolKey, Item, Reconcile, Reconciled, Shown,
};
use farthing_draft::payee::{Expected, Payee, Taken, Terms};
use farthing_draft::payer::{Drawn, Payer, Purchase};
use farthing_draft::wallet::TABLES;
use farthing_role::{Context, Halt, Records, Scan};
use farthing_store::{MemoryStore, Overlay, Store};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::town::{ORDER, Town, key, micros};

/// Somebody who pays by clearing.
#[derive(Clone)]
pub(crate) struct Clearer {
    pub(crate) key: std::sync::Arc<SecretKey>,
    pub(crate) wallet: Wallet,
    entries: Vec<Entry>,
    pub(crate) rng: ChaCha20Rng,
}

impl Clearer {
    /// A customer with so many units that has asked for its key.
    pub(crate) async fn new(town: &Town, seed: u8, money: u64) -> Self {
        let key = town.customer(seed, money).await;
        let wallet = Wallet::new(town.client.network(), town.client.bank(), grant(town, &key).await);
        Self { key: key.into(), wallet, entries: Vec::new(), rng: ChaCha20Rng::from_seed([seed; 32]) }
    }

    /// The log as it is stored.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The frame that pays so much.
    pub(crate) fn frame(&mut self, town: &Town, payee: PeerId, amount: u64, signed: bool) -> Vec<u8> {
        let transfer = Transfer { payee, amount: micros(amount), order: ORDER, receipt: false };
        let signer = signed.then_some(&*self.key);
        self.wallet.pay(town.now(), &transfer, signer, &mut self.rng).unwrap()
    }

    /// Pays, and is answered.
    pub(crate) async fn pay(&mut self, town: &Town, payee: PeerId, amount: u64) -> Answered {
        let frame = self.frame(town, payee, amount, false);
        let answer = town.client.clearing_frame(&frame).await.unwrap();
        self.on_answer(&answer)
    }

    pub(crate) fn on_answer(&mut self, answer: &[u8]) -> Answered {
        let answered = self.wallet.on_answer(answer).unwrap();
        if let Answered::Paid(_, entry) = &answered {
            self.entries.push(*entry);
        }
        answered
    }

    pub(crate) fn receive(&mut self, town: &Town, paid: &Paid) -> Received {
        let ticket = self.wallet.open_ticket(&paid.payment(false)).unwrap();
        let expected = farthing_clearing::payee::Expected { order: ORDER, amount: paid.line.amount };
        let received = self.wallet.receive(town.now(), ticket, Some(&expected)).unwrap();
        self.entries.extend(&received.entries);
        received
    }

    /// Compares books until they agree.
    pub(crate) async fn compare(&mut self, town: &Town, extent: Extent) -> Result<Option<Fate>, AskError> {
        // A later comparison has a later time.
        town.clock.advance(Span::from_secs(1));
        let (mut comparison, mut frame) = self.wallet.compare(town.now(), extent, &mut self.rng);
        for _ in 0..16 {
            let answer = town.client.clearing_frame(&frame).await?;
            let known = self.entries.clone();
            let mut entries = move |direction: Direction, after: u64, limit: usize| {
                let of = known.iter().filter(|entry| entry.direction == direction && entry.t > after);
                let mut of: Vec<Entry> = of.copied().collect();
                of.sort_by_key(|entry| entry.t);
                of.truncate(limit);
                of
            };
            let progress = comparison.step(&mut self.wallet, &answer, &mut entries, None, &mut self.rng).unwrap();
            self.entries.extend(progress.repaired.iter().map(|repaired| repaired.entry));
            match progress.next {
                Next::Send(next) => frame = next,
                Next::Agreed(fate) => return Ok(fate),
                Next::Disputed(problems) => panic!("{problems:?}"),
            }
        }
        panic!("the comparison has no end");
    }
}

/// Asks for the key again.
pub(crate) async fn grant(town: &Town, key: &SecretKey) -> farthing_clearing::messages::KeyGrant {
    let seal = SealKey::from_seed(&[7; 32]);
    let sealed = town.client.clearing_enrol(key, town.id(), &Enrol { seal: seal.public() }).await.unwrap();
    open_grant(town.client.network(), key.id(), town.client.bank(), &seal, &sealed).unwrap()
}

/// A key that writes and takes drafts, with a store of its own.
pub(crate) struct Writer {
    pub(crate) key: u8,
    pub(crate) store: MemoryStore,
    pub(crate) copy: Digest,
    pub(crate) client: BankClient,
}

impl Writer {
    /// A customer with so many units whose own key is enrolled.
    pub(crate) async fn new(town: &Town, seed: u8, money: u64) -> Self {
        let account = town.customer(seed, money).await;
        Self::alias(town, &account, seed).await.unwrap()
    }

    /// A key of somebody's account.
    pub(crate) async fn alias(town: &Town, account: &SecretKey, seed: u8) -> Result<Self, AskError> {
        let seal = SealKey::from_seed(&[seed; 32]).public();
        let alias = Alias { account: account.id(), bank: town.client.bank(), seal };
        let alias = key(seed).sign(town.client.network(), &alias);
        town.client.draft_enrol(account, town.id(), &EnrolKey { alias }).await?;
        let (store, copy) = (MemoryStore::new(&TABLES), Digest([seed; 32]));
        Ok(Self { key: seed, store, copy, client: town.client.clone() })
    }

    pub(crate) fn id(&self) -> PeerId {
        key(self.key).id()
    }

    /// The store as it is now, as a backup would have it.
    pub(crate) fn store_copy(&self) -> MemoryStore {
        let mut copy = MemoryStore::new(&TABLES);
        let from = Overlay::new(&self.store);
        let mut to = Overlay::new(&copy);
        for table in TABLES {
            for (key, value) in from.scan(table, Scan { prefix: &[], after: None, limit: usize::MAX }).unwrap() {
                to.put(table, &key, value);
            }
        }
        let changes = to.into_write_set();
        copy.commit(&changes).unwrap();
        copy
    }

    /// What begins a reconciliation.
    pub(crate) fn asks(&self) -> Reconcile {
        self.payer().reconcile()
    }

    fn payer(&self) -> Payer {
        let (network, bank) = (self.client.network(), self.client.bank());
        let authority = self.client.info().body().authority;
        Payer { key: key(self.key), network, bank, authority, copy: self.copy }
    }

    fn payee(&self) -> Payee {
        let (network, bank) = (self.client.network(), self.client.bank());
        let authority = self.client.info().body().authority;
        let seal = SealKey::from_seed(&[self.key; 32]);
        Payee { key: key(self.key), seal, network, bank, authority, terms: Terms::default() }
    }

    pub(crate) fn pays<R>(
        &mut self,
        town: &Town,
        work: impl FnOnce(&Payer, &mut Context<'_>) -> Result<R, Halt>,
    ) -> Result<R, Halt> {
        let payer = self.payer();
        step(&mut self.store, town, |cx| work(&payer, cx))
    }

    pub(crate) fn takes<R>(
        &mut self,
        town: &Town,
        work: impl FnOnce(&Payee, &mut Context<'_>) -> Result<R, Halt>,
    ) -> Result<R, Halt> {
        let payee = self.payee();
        step(&mut self.store, town, |cx| work(&payee, cx))
    }

    /// A whole reconciliation; a certificate over so many micros, or none for nothing.
    pub(crate) async fn reconcile(&mut self, town: &Town, wanted: u64) -> Result<Reconciled, AskError> {
        let (client, me) = (self.client.clone(), key(self.key));
        let opening = client.draft_reconcile(&me, town.id(), &self.payer().reconcile()).await?;
        self.pays(town, |payer, cx| payer.on_opening(cx, opening)).unwrap();
        while let Some(page) = self.pays(town, |payer, cx| payer.next_page(cx)).unwrap() {
            let taken = client.draft_log_page(&me, town.id(), &page).await?;
            self.pays(town, |payer, cx| payer.on_page_taken(cx, &page, &taken)).unwrap();
        }
        let wanted = (wanted > 0).then(|| micros(wanted));
        let closing = self.pays(town, |payer, cx| payer.close(cx, wanted)).unwrap();
        let (said, certificate) = client.draft_close(&me, town.id(), &closing).await?;
        let body = said.peek().unwrap();
        if matches!(body.result, Agreement::Agreed(_)) {
            self.pays(town, |payer, cx| payer.on_reconciled(cx, said, certificate)).unwrap();
        }
        Ok(body)
    }

    pub(crate) fn draw(&mut self, town: &Town, payee: PeerId, amount: u64) -> Drawn {
        let purchase = Purchase { payee, seal: None, amount: micros(amount), order: ORDER, life: Span::from_days(7) };
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        self.pays(town, |payer, cx| payer.draw(cx, &purchase, &mut rng)).unwrap()
    }

    /// Takes a draft as its payee.
    pub(crate) fn take(&mut self, town: &Town, drawn: &Drawn, amount: u64) {
        let (payment, expected) = (drawn.payment.clone(), Expected { order: ORDER, amount: micros(amount) });
        let taken = self.takes(town, |payee, cx| payee.accept(cx, payment, &expected)).unwrap();
        assert!(matches!(taken, Taken::Serve(_)), "{taken:?}");
    }

    /// Deposits all that is held, and writes down what came of it.
    pub(crate) async fn deposit(&mut self, town: &Town) -> Vec<DepositLine> {
        let deposit = self.takes(town, |payee, cx| payee.deposit(cx, 256)).unwrap();
        let Some(deposit) = deposit else { return Vec::new() };
        let receipt = self.client.draft_deposit(&key(self.key), town.id(), &deposit).await.unwrap();
        let lines = receipt.body().lines.as_slice().to_vec();
        let copy = self.copy;
        let said = receipt.into_signed();
        self.takes(town, |payee, cx| payee.on_deposit_receipt(cx, copy, &deposit, said)).unwrap();
        lines
    }
}

/// The item a payee deposits for a draft.
pub(crate) fn item(drawn: &Drawn) -> Item {
    let Shown::Whole(certificate) = &drawn.payment.certificate else { panic!("the certificate was shown before") };
    Item { draft: drawn.payment.draft.clone(), serial: certificate.peek().unwrap().serial }
}

pub(crate) fn deposit_of(items: Vec<Item>) -> Deposit {
    Deposit { items: Bounded::new(items).unwrap() }
}

/// A draft whose signature holds, as its payee endorses it.
pub(crate) fn verified(draft: &Signed<Draft>) -> Verified<Draft> {
    draft.clone().verify(draft.peek().unwrap().network).unwrap()
}

fn step<R>(
    store: &mut MemoryStore,
    town: &Town,
    work: impl FnOnce(&mut Context<'_>) -> Result<R, Halt>,
) -> Result<R, Halt> {
    let now = town.now();
    let mut overlay = Overlay::new(store);
    let answer = overlay.attempt(|tx| work(&mut Context { now, dice: [0xff; 32], tx }));
    let changes = overlay.into_write_set();
    store.commit(&changes).unwrap();
    answer
}
