//! A wallet for tests, kept in memory: the real scheme with a bank that backs every chain.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use farthing_core::amount::{Amount, Currency};
use farthing_core::id::{ChainId, NetworkId, OrderId, PeerId, RequestId};
use farthing_core::order::{Order, PaymentRef, Receipt};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seal::SealKey;
use farthing_core::seed::Seed;
use farthing_core::sign::{SecretKey, Signed, Statement};
use farthing_core::time::{Span, Time};
use farthing_core::vault::Protection;
use farthing_core::wire::{self, Bounded};
use farthing_driver::{Clock, SystemClock};
use farthing_netpay::messages::{OpenChain, Pay, Release, Reserve, Touchstone, Visit, kind};
use farthing_netpay::payee::{Counting, Payee, Terms as PayeeTerms};
use farthing_netpay::payer::{ChainTerms, NewChain, Purse};

use futures::future::BoxFuture;

use crate::buyer::{Pocket, PocketError, Spend};
use crate::shop::{Earn, Till};
use crate::talk::handover::Terms;
use crate::wallet::{BankPin, Desk, DeskError, Handover, Options, Scheme, Settings, Wallet};

pub(crate) const HERE: NetworkId = NetworkId([7; 16]);

pub(crate) fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn now() -> Time {
    SystemClock.now()
}

/// The bank's word for any chain.
fn backed(request: OpenChain) -> Signed<Touchstone> {
    let touchstone = Touchstone {
        chain: request.header.chain_id(&request.root),
        root: request.root,
        header: request.header,
        grace: Span::from_days(1),
        opened: now(),
    };
    key(1).sign(HERE, &touchstone)
}

/// A bank that opens chains and does nothing else, while it is up.
#[derive(Default)]
pub(crate) struct FakeBank {
    pub(crate) down: AtomicBool,
}

impl Desk for FakeBank {
    fn ask<'a>(
        &'a self,
        _: &'a SecretKey,
        _: RequestId,
        kind: u16,
        message: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, DeskError>> {
        Box::pin(async move {
            if self.down.load(Ordering::SeqCst) || kind != kind::OPEN {
                return Err(DeskError::NotSent("the bank is down".into()));
            }
            Ok(wire::encode(&backed(wire::decode(&message).unwrap())))
        })
    }
}

/// A real wallet at that bank.
pub(crate) async fn wallet(home: &Path, seed: u8, bank: &Arc<FakeBank>) -> Wallet {
    let endpoint = "http://127.0.0.1:1".into();
    let pin = BankPin { endpoint, key: key(1).id(), network: HERE, currency: Currency::XTS };
    let seed = Seed::from_entropy([seed; 32]);
    let settings = Settings::with_bank(pin);
    let wallet = Wallet::create(home, &seed, &Protection::None, &settings, Options::default()).await.unwrap();
    wallet.set_desk(bank.clone()).await;
    wallet
}

/// The selling side. What it holds survives a shop, as a wallet on the disk would.
#[derive(Clone)]
pub(crate) struct FakeTill {
    key: Arc<SecretKey>,
    visits: Arc<Mutex<HashMap<ChainId, Counting>>>,
    released: Arc<Mutex<HashMap<[u8; 32], Signed<Release>>>>,
    /// What was handed over, by order.
    handed: Arc<Mutex<HashMap<OrderId, (Handover, Amount)>>>,
}

pub(crate) struct FakeEarning {
    till: FakeTill,
    counting: Counting,
}

impl FakeTill {
    pub(crate) fn new(seed: u8) -> Self {
        Self { key: Arc::new(key(seed)), visits: Arc::default(), released: Arc::default(), handed: Arc::default() }
    }

    /// All that was paid, in micros.
    pub(crate) fn earned(&self) -> u64 {
        let visits = self.visits.lock().unwrap();
        // Chains of these tests are reserved from their first unit on.
        let counted: u64 = visits.values().map(|visit| u64::from(visit.through()) * visit.unit().as_micros()).sum();
        counted + self.handed.lock().unwrap().values().map(|(_, amount)| amount.as_micros()).sum::<u64>()
    }

    fn payee(&self) -> Payee {
        Payee { me: self.key.id(), network: HERE, bank: key(1).id(), terms: PayeeTerms::default() }
    }
}

impl Till for FakeTill {
    type Earning = FakeEarning;

    fn me(&self) -> PeerId {
        self.key.id()
    }

    fn network(&self) -> NetworkId {
        HERE
    }

    fn sign<T: Statement>(&self, statement: &T) -> Signed<T> {
        self.key.sign(HERE, statement)
    }

    async fn admit(&self, order: &Order, visit: Visit) -> Result<FakeEarning, Refusal> {
        let chain = visit.touchstone.peek()?.chain;
        let known = self.visits.lock().unwrap().get(&chain).cloned();
        let known = known.filter(|known| known.reserve().digest() == visit.reserve.digest());
        let counting = match known {
            Some(known) => known,
            None => self.payee().admit(now(), order.id(), visit)?,
        };
        let earning = FakeEarning { till: self.clone(), counting };
        earning.persist().await?;
        Ok(earning)
    }

    async fn takes(&self) -> Result<Vec<Scheme>, Refusal> {
        Ok(Scheme::ALL.to_vec())
    }

    async fn terms(&self, _: &Order) -> Result<Terms, Refusal> {
        let takes = Bounded::new(self.takes().await?).unwrap();
        Ok(Terms { takes, seal: SealKey::from_seed(&[5; 32]).public() })
    }

    /// A ticket that says `good` is one; each order is paid once.
    async fn take(&self, order: &Order, payment: Handover) -> Result<Signed<Receipt>, Refusal> {
        if !matches!(&payment, Handover::Ticket(ticket) if ticket.ticket.starts_with(b"good")) {
            return Err(Refusal::new(Code::Decrypt, "no good ticket"));
        }
        let amount = order.total()?;
        let mut handed = self.handed.lock().unwrap();
        let (known, _) = handed.entry(order.id()).or_insert_with(|| (payment.clone(), amount));
        if *known != payment {
            return Err(Refusal::new(Code::Replay, "this order was paid by another payment"));
        }
        let payment = PaymentRef { instrument: [1; 32], from: 0, through: 0 };
        let receipt = Receipt { order: order.id(), payment, amount, payer: PeerId([9; 32]), time: now() };
        Ok(self.sign(&receipt))
    }
}

impl Earn for FakeEarning {
    fn unit(&self) -> Amount {
        self.counting.unit()
    }

    fn through(&self) -> u32 {
        self.counting.through()
    }

    fn bought(&self) -> Option<u64> {
        None
    }

    fn on_pay(&mut self, pay: &Pay, _piece: u64) -> Result<u32, Refusal> {
        if self.till.released.lock().unwrap().contains_key(&self.counting.reserve().digest()) {
            return Err(Refusal::new(Code::State, "the visit has ended"));
        }
        Ok(self.counting.on_pay(now(), pay)?)
    }

    async fn persist(&self) -> Result<(), Refusal> {
        self.till.visits.lock().unwrap().insert(self.counting.chain(), self.counting.clone());
        Ok(())
    }

    async fn extend(&mut self, reserve: Signed<Reserve>) -> Result<(), Refusal> {
        let extended = self.counting.clone().extend(&self.till.payee(), now(), reserve);
        self.counting = extended.map_err(|refused| refused.1)?;
        self.persist().await
    }

    async fn release(self) -> Result<(Signed<Release>, Option<Signed<Receipt>>), Refusal> {
        let receipt = self.counting.receipt(1, now())?;
        let receipt = (self.counting.through() > 0).then(|| self.till.sign(&receipt));
        let mut released = self.till.released.lock().unwrap();
        let release = self.counting.release(&self.till.key, HERE, now());
        let release = released.entry(self.counting.reserve().digest()).or_insert(release);
        Ok((release.clone(), receipt))
    }
}

/// The paying side. What it holds survives a buyer.
#[derive(Clone)]
pub(crate) struct FakePocket {
    inside: Arc<Mutex<Pockets>>,
    /// How many units make a piece.
    units: u32,
    /// How many pieces a reserve covers.
    width: u32,
}

#[derive(Default)]
struct Pockets {
    chains: u8,
    /// Orders that were paid whole.
    whole: std::collections::HashSet<OrderId>,
    /// By payee and order.
    broken_off: HashMap<(PeerId, OrderId), (Purse, SecretKey, Visit)>,
}

pub(crate) struct FakeSpending {
    pocket: FakePocket,
    order: OrderId,
    payee: PeerId,
    /// The chain, who signs for it, and the visit as it stands; absent once it has ended.
    held: Option<(Purse, SecretKey, Visit)>,
}

impl FakePocket {
    pub(crate) fn new(units: u32, width: u32) -> Self {
        Self { inside: Arc::default(), units, width }
    }

    /// How many orders were paid whole.
    pub(crate) fn whole(&self) -> usize {
        self.inside.lock().unwrap().whole.len()
    }

    /// How many chains were opened.
    pub(crate) fn chains(&self) -> u8 {
        self.inside.lock().unwrap().chains
    }

    /// Visits that broke off and could be taken up again.
    pub(crate) fn broken_off(&self) -> usize {
        self.inside.lock().unwrap().broken_off.len()
    }

    fn open_chain(&self, unit: Amount) -> (Purse, SecretKey) {
        let n = {
            let mut inside = self.inside.lock().unwrap();
            inside.chains += 1;
            inside.chains
        };
        let signer = key(100 + n);
        let terms = ChainTerms { units: 4_096, unit, not_after: now().after(Span::from_days(7)) };
        let new = NewChain::new(signer.id(), terms, [n; 32], [n; 16]).unwrap();
        let touchstone = backed(new.request()).verify(HERE).unwrap();
        (new.opened(touchstone).unwrap(), signer)
    }
}

impl Pocket for FakePocket {
    type Spending = FakeSpending;

    fn network(&self) -> NetworkId {
        HERE
    }

    async fn begin(&self, order: &Order, _: u64, _: Amount) -> Result<(Visit, FakeSpending), PocketError> {
        let unit = micros(order.price.as_micros() / u64::from(self.units));
        let (mut purse, signer) = self.open_chain(unit);
        let (width, expires) = (self.units * self.width, now().after(Span::from_hours(24)));
        let visit = purse.reserve(&signer, HERE, order.payee, order.id(), width, expires).unwrap();
        let held = Some((purse, signer, visit.clone()));
        Ok((visit, FakeSpending { pocket: self.clone(), order: order.id(), payee: order.payee, held }))
    }

    async fn resume(&self, payee: PeerId, order: OrderId) -> Result<Option<(Visit, FakeSpending)>, PocketError> {
        let held = self.inside.lock().unwrap().broken_off.remove(&(payee, order));
        Ok(held.map(|held| (held.2.clone(), FakeSpending { pocket: self.clone(), order, payee, held: Some(held) })))
    }

    async fn pay_whole(&self, _: Scheme, order: &Order) -> Result<Handover, PocketError> {
        self.inside.lock().unwrap().whole.insert(order.id());
        let ticket = [&b"good"[..], &order.id().0].concat();
        Ok(Handover::Ticket(farthing_clearing::messages::Payment { ticket, sign: true }))
    }

    async fn on_whole_receipt(&self, _: Signed<Receipt>) -> Result<(), PocketError> {
        Ok(())
    }
}

impl FakeSpending {
    fn purse(&mut self) -> &mut Purse {
        &mut self.held.as_mut().unwrap().0
    }
}

impl Spend for FakeSpending {
    fn unit(&self) -> Amount {
        self.held.as_ref().unwrap().0.touchstone().header.unit
    }

    fn left(&self) -> u32 {
        self.held.as_ref().unwrap().0.left_in_reserve()
    }

    async fn agree(&mut self, through: u32) -> Result<(), PocketError> {
        self.purse().agree(through).map_err(|why| PocketError(why.into()))
    }

    async fn pay(&mut self, units: u32) -> Result<Pay, PocketError> {
        let order = self.order;
        self.purse().pay(units, order).map_err(|why| PocketError(why.into()))
    }

    async fn extend(&mut self) -> Result<Signed<Reserve>, PocketError> {
        let (width, expires) = (self.pocket.units * self.pocket.width, now().after(Span::from_hours(24)));
        let order = self.order;
        let (purse, signer, visit) = self.held.as_mut().unwrap();
        let reserve = purse.extend(signer, HERE, order, width, expires).map_err(|why| PocketError(why.into()))?;
        visit.reserve = reserve.clone();
        Ok(reserve)
    }

    async fn finish(
        mut self,
        release: Signed<Release>,
        _: Option<Signed<Receipt>>,
        paid_at_least: u32,
    ) -> Result<(), PocketError> {
        let (mut purse, ..) = self.held.take().unwrap();
        purse.on_release(HERE, release, paid_at_least).map(drop).map_err(|why| PocketError(why.into()))
    }

    async fn abandon(self) -> Result<(), PocketError> {
        Ok(())
    }
}

impl Drop for FakeSpending {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.pocket.inside.lock().unwrap().broken_off.insert((self.payee, self.order), held);
        }
    }
}
