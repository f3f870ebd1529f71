//! A bank in the same process, on a line that can break before and after it is reached.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use farthing_bank::messages::{self as said, Balances, Cases, Closed, Confirmation, Enrolled, Presence, Statement};
use farthing_clearing::bank::{Clearing, TABLES as CLEARING_TABLES, Terms as ClearingTerms};
use farthing_clearing::keys::MasterKey;
use farthing_clearing::messages as clearing;
use farthing_core::amount::Currency;
use farthing_core::cert::Limits;
use farthing_core::id::{AccountId, NetworkId, PeerId, RequestId, TransferId, timed};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seal::{SealKey, SealPublic};
use farthing_core::seed::Secret;
use farthing_core::sign::SecretKey;
use farthing_core::wire::{self, Bounded};
use farthing_coupon::bank::{Coupons, TABLES as COUPON_TABLES, Terms as CouponTerms};
use farthing_coupon::messages::{AuthAnswer, AuthRequest, Inquiry, kind as coupon};
use farthing_draft::bank::{Answer, Chart, DepositRequest, Drafts, TABLES as DRAFT_TABLES, Terms as DraftTerms};
use farthing_draft::messages::{self as draft, Enrol, LogPage, Proof, Reconcile};
use farthing_driver::{Local, ManualClock, OsEntropy};
use farthing_ledger::{Account, AccountKind, Ledger, Reason, Transfer, conservation};
use farthing_netpay::bank::{ClaimRequest, NetPay, TABLES, Terms};
use farthing_netpay::messages::{AskRelease, Claims, Defend, OpenChain, kind};
use farthing_role::{Context, EVIDENCE, Halt, RequestBody};
use farthing_store::MemoryStore;
use futures::future::BoxFuture;

use super::super::desk::{Desk, DeskError};
use super::super::presence::BankFacts;

pub(super) const NETWORK: NetworkId = NetworkId([7; 16]);

/// What happens to a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// It arrives, and so does the answer.
    Up,
    /// It does not arrive.
    Down,
    /// It arrives, and the answer is lost.
    Deaf,
    /// It is lost on the way, and nobody knows.
    Unknown,
    /// So many more go well; from then on it is down, or deaf where questions are still heard.
    Breaks { after: u32, heard: bool },
}

/// A request that was carried out, and the reply to it.
type Carried = (Vec<u8>, Vec<u8>);

pub(super) struct Bank {
    books: Mutex<Local>,
    netpay: NetPay,
    coupons: Coupons,
    pub(super) clearing: Clearing,
    pub(super) drafts: Drafts,
    /// The copy of each wallet that spends, and its number.
    copies: Mutex<HashMap<PeerId, ([u8; 32], u64)>>,
    /// How many frames of online clearing arrived.
    frames: AtomicU64,
    /// What was carried out, by id.
    replies: Mutex<HashMap<RequestId, Carried>>,
    pub(super) line: Mutex<Line>,
    /// The id of every question that arrived, in order.
    asked: Mutex<Vec<(u16, RequestId)>>,
    funded: AtomicU64,
}

impl Bank {
    pub(super) fn new(clock: &ManualClock) -> Self {
        let tables: Vec<_> = TABLES
            .into_iter()
            .chain(COUPON_TABLES)
            .chain(CLEARING_TABLES)
            .chain(DRAFT_TABLES)
            .chain([EVIDENCE])
            .chain(farthing_driver::TABLES.iter().copied())
            .collect();
        let mut books = Local::open(MemoryStore::new(&tables), clock.clone(), OsEntropy).unwrap();
        let world = account(AccountKind::World, PeerId([0; 32]));
        let chart = Chart { network: NETWORK, currency: Currency::XTS };
        books.run(|cx| chart.open(cx)).unwrap();
        books
            .run(|cx| {
                Ok(Ledger(&mut *cx.tx).open(Account::new(world, AccountKind::World, Currency::XTS, None, cx.now))?)
            })
            .unwrap();
        Self {
            books: Mutex::new(books),
            netpay: NetPay::new(NETWORK, SecretKey::from_seed(&[1; 32]), Terms::default()),
            coupons: Coupons::new(
                NETWORK,
                SecretKey::from_seed(&[1; 32]),
                SealKey::from_seed(&[1; 32]),
                CouponTerms::default(),
            ),
            clearing: Clearing::new(
                NETWORK,
                SecretKey::from_seed(&[1; 32]),
                MasterKey::new(Secret::new([9; 32])),
                ClearingTerms::of(vec![Currency::XTS]),
            ),
            drafts: Drafts::new(chart, SecretKey::from_seed(&[1; 32]), DraftTerms::new(limits())),
            copies: Mutex::default(),
            frames: AtomicU64::new(0),
            replies: Mutex::default(),
            line: Mutex::new(Line::Up),
            asked: Mutex::default(),
            funded: AtomicU64::new(0),
        }
    }

    pub(super) fn id(&self) -> PeerId {
        self.netpay.bank()
    }

    pub(super) fn set(&self, line: Line) {
        *self.line.lock().unwrap() = line;
    }

    /// Under which ids a kind of question arrived, in order.
    pub(super) fn asked(&self, kind: u16) -> Vec<RequestId> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(what, _)| *what == kind).map(|(_, id)| *id).collect()
    }

    /// How many frames of online clearing arrived.
    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Ordering::SeqCst)
    }

    /// The number of the copy of a wallet that spends.
    pub(super) fn epoch(&self, peer: PeerId) -> u64 {
        self.copies.lock().unwrap().get(&peer).map_or(0, |(_, epoch)| *epoch)
    }

    fn take_over(&self, peer: PeerId, copy: [u8; 32]) -> Presence {
        let mut copies = self.copies.lock().unwrap();
        let before = copies.get(&peer).copied();
        let epoch = match before {
            Some((same, epoch)) if same == copy => epoch,
            Some((_, epoch)) => epoch + 1,
            None => 1,
        };
        copies.insert(peer, (copy, epoch));
        drop(copies);
        if before.is_none_or(|(other, _)| other != copy) {
            let joined = self.act(|_, cx| Ok(farthing_clearing::bank::account(&*cx.tx, peer)?)).unwrap().is_some();
            if joined {
                self.act(|_, cx| self.clearing.retire(cx, peer)).unwrap();
            }
        }
        let since = self.act(|_, cx| Ok(cx.now)).unwrap();
        Presence { epoch, since }
    }

    /// What the bank does with a frame of online clearing.
    fn carry_out_frame(&self, frame: &[u8]) -> Result<Vec<u8>, DeskError> {
        self.frames.fetch_add(1, Ordering::SeqCst);
        let opened = self.act(|_, cx| self.clearing.check(frame, &*cx.tx));
        let checked = opened.map_err(|_| DeskError::Unknown("no such frame is taken here".into()))?;
        self.act(|_, cx| self.clearing.apply(cx, checked)).map_err(|why| match why {
            Halt::Refused(refusal) => DeskError::Refused(refusal),
            Halt::Store(fault) => panic!("{fault}"),
        })
    }

    /// Opens an account with so many micros in it.
    pub(super) fn enrol(&self, peer: PeerId, micros: u64) {
        let unique = [u8::try_from(self.funded.fetch_add(1, Ordering::SeqCst)).unwrap(); 32];
        let (from, to) = (account(AccountKind::World, PeerId([0; 32])), account(AccountKind::Customer, peer));
        self.act(|_, cx| {
            let now = cx.now;
            let mut ledger = Ledger(&mut *cx.tx);
            ledger.open(Account::new(to, AccountKind::Customer, Currency::XTS, Some(peer), now))?;
            let deposit = account(AccountKind::Deposit, peer);
            ledger.open(Account::new(deposit, AccountKind::Deposit, Currency::XTS, Some(peer), now))?;
            if micros > 0 {
                ledger.post(Transfer {
                    id: TransferId(timed(now, &unique)),
                    debit: from,
                    credit: to,
                    amount: Currency::XTS.micros(micros).unwrap(),
                    reason: Reason(1),
                    reference: [0; 32],
                    at: now,
                    hold: None,
                })?;
            }
            Ok(())
        })
        .unwrap();
    }

    pub(super) fn balance(&self, peer: PeerId) -> u64 {
        let books = self.books.lock().unwrap();
        let found = books.reader().account(account(AccountKind::Customer, peer)).unwrap();
        found.map_or(0, |account| u64::try_from(account.balance()).unwrap())
    }

    /// Everything leaves an account, by a way that its wallet does not know.
    pub(super) fn empty(&self, peer: PeerId) {
        let amount = Currency::XTS.micros(self.balance(peer)).unwrap();
        self.act(|_, cx| {
            let transfer = Transfer {
                id: TransferId(timed(cx.now, &[250; 32])),
                debit: account(AccountKind::Customer, peer),
                credit: account(AccountKind::World, PeerId([0; 32])),
                amount,
                reason: Reason(2),
                reference: [0; 32],
                at: cx.now,
                hold: None,
            };
            Ledger(&mut *cx.tx).post(transfer)?;
            Ok(())
        })
        .unwrap();
    }

    pub(super) fn is_suspended(&self, peer: PeerId) -> bool {
        let books = self.books.lock().unwrap();
        books.reader().account(account(AccountKind::Customer, peer)).unwrap().is_some_and(|account| account.frozen)
    }

    /// Sets money aside for a session, as its seller asks.
    pub(super) fn authorise(&self, seller: PeerId, request: AuthRequest) -> AuthAnswer {
        let checked = self.coupons.check_authorise(seller, request).unwrap();
        self.act(|_, cx| self.coupons.authorise(cx, &checked)).unwrap()
    }

    /// What becomes of a question on its way there and back. After [`Line::Breaks`] questions it is cut.
    fn over_the_line(&self, work: impl FnOnce() -> Result<Vec<u8>, DeskError>) -> Result<Vec<u8>, DeskError> {
        let now = {
            let mut line = self.line.lock().unwrap();
            let now = *line;
            *line = match now {
                Line::Breaks { after: 0, heard } => {
                    if heard {
                        Line::Deaf
                    } else {
                        Line::Down
                    }
                }
                Line::Breaks { after, heard } => Line::Breaks { after: after - 1, heard },
                same => same,
            };
            if matches!(now, Line::Breaks { after: 0, .. }) { *line } else { now }
        };
        match now {
            Line::Down => Err(DeskError::NotSent("the line is down".into())),
            Line::Unknown => Err(DeskError::Unknown("nobody answered".into())),
            Line::Up | Line::Breaks { .. } => work(),
            Line::Deaf => {
                let _ = work();
                Err(DeskError::Unknown("the answer was lost".into()))
            }
        }
    }

    /// Gives back what has fallen due, and settles cases.
    pub(super) fn tick(&self) {
        while self.act(|_, cx| self.drafts.tick(cx)).unwrap() {}
        while self.act(|netpay, cx| Ok(netpay.refund_due(cx)? | netpay.settle_due(cx)?)).unwrap() {}
    }

    /// What backs chains that are not over.
    pub(super) fn backing(&self) -> i128 {
        let books = self.books.lock().unwrap();
        let accounts = books.reader().accounts(None, 10_000).unwrap();
        conservation(&accounts).get(&Currency::XTS).map_or(0, |totals| totals.of(AccountKind::Backing))
    }

    fn act<R>(&self, step: impl FnOnce(&NetPay, &mut Context<'_>) -> Result<R, Halt>) -> Result<R, Halt> {
        let mut books = self.books.lock().unwrap();
        let done = books.run(|cx| step(&self.netpay, cx));
        let accounts = books.reader().accounts(None, 10_000).unwrap();
        assert!(conservation(&accounts).values().all(|totals| totals.is_conserved()), "money was made or lost");
        done
    }

    /// What the bank does with a question, once for each id.
    pub(super) fn carry_out(
        &self,
        key: &SecretKey,
        id: RequestId,
        kind: u16,
        message: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        self.carry_out_as(key, self.epoch(key.id()), id, kind, message)
    }

    /// Refuses what another copy of a wallet asks than the one that spends.
    fn require_present(&self, account: PeerId, epoch: u64) -> Result<(), Refusal> {
        if self.epoch(account) == epoch { Ok(()) } else { Err(Refusal::new(Code::Epoch, "another copy spends")) }
    }

    fn account_of(&self, key: PeerId) -> PeerId {
        let holder = self.act(|_, cx| Ok(self.drafts.holder_of(&*cx.tx, key)?)).unwrap();
        holder.map_or(key, |holder| holder.account)
    }

    /// The same for the copy of a wallet of that number.
    fn carry_out_as(
        &self,
        key: &SecretKey,
        epoch: u64,
        id: RequestId,
        kind: u16,
        message: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        self.asked.lock().unwrap().push((kind, id));
        if let Some((before, reply)) = self.replies.lock().unwrap().get(&id) {
            assert_eq!(before, message, "a repeated request was not the same");
            return Ok(reply.clone());
        }
        if kind == said::kind::TAKE_OVER {
            let ask: said::TakeOver = wire::decode(message)?;
            return Ok(wire::encode(&self.take_over(key.id(), ask.copy)));
        }
        let guarded = [
            clearing::kind::ENROL,
            kind::OPEN,
            said::kind::PAYOUT,
            said::kind::DEPOSIT,
            draft::kind::RECONCILE,
            draft::kind::CLOSE,
            draft::kind::STOP,
        ];
        if guarded.contains(&kind) {
            self.require_present(self.account_of(key.id()), epoch)?;
        }
        let reply = self.act(|netpay, cx| match kind {
            clearing::kind::ENROL => {
                let ask: clearing::Enrol = wire::decode(message).map_err(Refusal::from)?;
                Ok(wire::encode(&self.clearing.enrol(cx, key.id(), id, &ask)?))
            }
            draft::kind::ENROL..=draft::kind::CLOSE | draft::kind::DEPOSIT..=draft::kind::PROVE => {
                self.on_draft(cx, key, id, kind, message)
            }
            coupon::INQUIRE => {
                let inquiry: Inquiry = wire::decode(message).map_err(Refusal::from)?;
                Ok(wire::encode(&self.coupons.inquire(cx, key.id(), &inquiry)?))
            }
            _ => answer(netpay, cx, key, id, kind, message),
        });
        let reply = reply.map_err(|why| match why {
            Halt::Refused(refusal) => refusal,
            Halt::Store(fault) => panic!("{fault}"),
        });
        if let Ok(reply) = &reply {
            self.replies.lock().unwrap().insert(id, (message.to_vec(), reply.clone()));
        }
        reply
    }
}

impl Bank {
    fn on_draft(
        &self,
        cx: &mut Context<'_>,
        key: &SecretKey,
        id: RequestId,
        kind: u16,
        message: &[u8],
    ) -> Result<Vec<u8>, Halt> {
        let (drafts, sender) = (&self.drafts, key.id());
        let body = RequestBody { id, to: drafts.bank(), kind, message: message.to_vec(), epoch: None };
        let proof = wire::encode(&key.sign(NETWORK, &body));
        let read = Refusal::from;
        Ok(match kind {
            draft::kind::ENROL => {
                let ask: Enrol = wire::decode(message).map_err(read)?;
                let key = ask.alias.claimed_signer();
                wire::encode(&Enrolled { key, account: drafts.enrol(cx, sender, ask)?.account })
            }
            draft::kind::RECONCILE => {
                let ask: Reconcile = wire::decode(message).map_err(read)?;
                wire::encode(&drafts.reconcile(cx, sender, &ask)?)
            }
            draft::kind::LOG_PAGE => {
                let page: LogPage = wire::decode(message).map_err(read)?;
                wire::encode(&drafts.page(cx, sender, &page, &proof)?)
            }
            draft::kind::CLOSE => {
                let reply = drafts.close(cx, sender, wire::decode(message).map_err(read)?)?;
                let signed = reply.certificate.map(|body| SecretKey::from_seed(&[2; 32]).sign(NETWORK, &body));
                wire::encode(&Closed { said: reply.said, certificate: signed })
            }
            draft::kind::DEPOSIT => {
                let deposit = wire::decode(message).map_err(read)?;
                let request = DepositRequest { payee: sender, id, proof, deposit };
                let checked = drafts.check_deposits(vec![request]).pop().unwrap();
                wire::encode(&drafts.deposit(cx, checked)?)
            }
            draft::kind::CONFIRM => {
                let answer = drafts.confirm(cx, sender, wire::decode(message).map_err(read)?)?;
                wire::encode(&match answer {
                    Answer::Yes(said) => Confirmation::Yes(*said),
                    Answer::No(why) => Confirmation::No(why),
                })
            }
            draft::kind::STOP => wire::encode(&drafts.stop(cx, sender, wire::decode(message).map_err(read)?)?),
            _ => {
                let proof: Proof = wire::decode(message).map_err(read)?;
                wire::encode(&drafts.prove(cx, sender, proof)?)
            }
        })
    }
}

/// What certificates state.
fn limits() -> Limits {
    let micros = |micros| Currency::XTS.micros(micros).unwrap();
    Limits { per_item: micros(1_000_000), total: micros(5_000_000) }
}

fn account(kind: AccountKind, owner: PeerId) -> AccountId {
    Account::id_for(NETWORK, kind, &owner.0, Currency::XTS)
}

fn answer(
    netpay: &NetPay,
    cx: &mut Context<'_>,
    key: &SecretKey,
    id: RequestId,
    asked: u16,
    message: &[u8],
) -> Result<Vec<u8>, Halt> {
    let sender = key.id();
    Ok(match asked {
        kind::OPEN => {
            let open: OpenChain = wire::decode(message).map_err(Refusal::from)?;
            wire::encode(&netpay.open(cx, sender, id, &open)?)
        }
        kind::CLAIM => {
            let claims: Claims = wire::decode(message).map_err(Refusal::from)?;
            let body = RequestBody { id, to: netpay.bank(), kind: asked, message: message.to_vec(), epoch: None };
            let proof = wire::encode(&key.sign(NETWORK, &body));
            let request = ClaimRequest { payee: sender, id, proof, claims };
            let checked = netpay.check_claims(vec![request], &*cx.tx).pop().unwrap()?;
            wire::encode(&netpay.claim(cx, checked)?)
        }
        kind::ASK_RELEASE => {
            let ask: AskRelease = wire::decode(message).map_err(Refusal::from)?;
            wire::encode(&netpay.broker_release(cx, sender, ask.reserve)?)
        }
        kind::DEFEND => {
            let defend: Defend = wire::decode(message).map_err(Refusal::from)?;
            wire::encode(&netpay.defend(cx, sender, defend)?)
        }
        said::kind::PAYOUT => {
            let payout: said::Payout = wire::decode(message).map_err(Refusal::from)?;
            let (from, to) = (account(AccountKind::Customer, sender), account(AccountKind::World, PeerId([0; 32])));
            let transfer = Transfer {
                id: TransferId(id.0),
                debit: from,
                credit: to,
                amount: payout.amount,
                reason: Reason(2),
                reference: [0; 32],
                at: cx.now,
                hold: None,
            };
            Ledger(&mut *cx.tx).post(transfer)?;
            wire::encode(&said::Progress::Waiting { number: 1, until: cx.now })
        }
        said::kind::OPEN_ACCOUNT => {
            let customer = account(AccountKind::Customer, sender);
            if cx.tx.account(customer)?.is_none() {
                let new = Account::new(customer, AccountKind::Customer, Currency::XTS, Some(sender), cx.now);
                Ledger(&mut *cx.tx).open(new)?;
            }
            let opened = said::AccountOpened { customer, deposit: customer, currency: Currency::XTS, opened: cx.now };
            wire::encode(&opened)
        }
        said::kind::CASES => {
            let cases = NetPay::cases_of(&*cx.tx, sender)?;
            wire::encode(&Cases { netpay: Bounded::new(cases).unwrap() })
        }
        said::kind::STATEMENT => {
            let found = cx.tx.account(account(AccountKind::Customer, sender))?;
            let suspended = found.as_ref().is_some_and(|account| account.frozen);
            let balance = found.and_then(|account| account.balance_amount()).unwrap_or(Currency::XTS.zero());
            let zero = Currency::XTS.zero();
            let balances = Balances { balance, held: zero, deposit: zero };
            let lines = Bounded::empty();
            wire::encode(&Statement { balances, suspended, lines, last: 0, time: cx.now })
        }
        _ => return Err(Refusal::new(Code::Unknown, "no such request").into()),
    })
}

impl Desk for Bank {
    fn ask<'a>(
        &'a self,
        key: &'a SecretKey,
        id: RequestId,
        kind: u16,
        message: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, DeskError>> {
        self.ask_as(key, self.epoch(key.id()), id, kind, message)
    }

    fn ask_as<'a>(
        &'a self,
        key: &'a SecretKey,
        epoch: u64,
        id: RequestId,
        kind: u16,
        message: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, DeskError>> {
        let work = || self.carry_out_as(key, epoch, id, kind, &message).map_err(DeskError::Refused);
        let answer = self.over_the_line(work);
        Box::pin(std::future::ready(answer))
    }

    fn clear(&self, frame: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, DeskError>> {
        let answer = self.over_the_line(|| self.carry_out_frame(&frame));
        Box::pin(std::future::ready(answer))
    }

    fn facts(&self) -> Option<BankFacts> {
        Some(BankFacts { authority: SecretKey::from_seed(&[2; 32]).id(), limits: limits() })
    }

    fn slips(&self) -> Option<SealPublic> {
        Some(self.coupons.slips())
    }
}
