//! A few banks with their books, customers who write cheques, and a clock that the test moves.

use farthing_core::amount::{Amount, Currency};
use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::id::{AccountId, NetworkId, OrderId, PeerId, RequestId, TransferId, timed};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::{SecretKey, Signed, Verified};
use farthing_core::time::{Span, Time};
use farthing_core::wire;
use farthing_ledger::{Account, AccountKind, Hold, Ledger, Reason, Transfer, conservation};
use farthing_role::{Context, EVIDENCE, Filed, Halt, Records, Scan, Table};
use farthing_store::{MemoryStore, Overlay, Reader, Store};
use minicbor::{Decode, Encode};

use super::messages::{Answer, Digest, Fate, Final, Presentation};
use super::records::OUTBOX;
use super::{Interbank, Outgoing, Payers, PeerTerms, Progress, TABLES, Terms, endorse};
use crate::messages::Draft;
use crate::rows::read;

/// The payor, at bank 0.
pub(crate) const ALICE: u8 = 10;
/// The payee, at bank 1.
pub(crate) const CAROL: u8 = 20;
/// The serial of every payor's certificate here.
pub(crate) const SERIAL: u64 = 7;
/// What each customer begins with, in micros.
pub(crate) const FUNDS: u64 = 1_000_000;

const NUMBERS: Table = Table("test_numbers");

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

pub(crate) fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).unwrap()
}

pub(crate) fn network(bank: usize) -> NetworkId {
    NetworkId([bank as u8 + 1; 16])
}

pub(crate) fn bank_key(bank: usize) -> SecretKey {
    key(200 + bank as u8)
}

/// The drafts of a bank at their simplest: each key is an account, each number is drawn once.
pub(crate) struct Numbers(pub(crate) NetworkId);

/// A number that belongs to a draft.
#[derive(Encode, Decode)]
struct Bound {
    #[n(0)]
    draft: Digest,
    #[n(1)]
    hold: Option<TransferId>,
    #[n(2)]
    paid: bool,
}

impl Numbers {
    fn bound(&self, cx: &Context<'_>, draft: &Verified<Draft>) -> Result<Option<Bound>, Halt> {
        let bound: Option<Bound> = read(&*cx.tx, NUMBERS, &Self::key(draft))?;
        match bound {
            Some(bound) if bound.paid || bound.draft.0 != draft.digest() => {
                Err(Refusal::new(Code::Conflict, "the number is used up").into())
            }
            found => Ok(found),
        }
    }

    fn key(draft: &Verified<Draft>) -> Vec<u8> {
        [&draft.signer().0[..], &draft.body().number.to_be_bytes()].concat()
    }

    fn account(&self, peer: PeerId) -> AccountId {
        Account::id_for(self.0, AccountKind::Customer, &peer.0, Currency::XTS)
    }
}

impl Payers for Numbers {
    fn set_aside(
        &self,
        cx: &mut Context<'_>,
        asker: PeerId,
        draft: &Verified<Draft>,
        _: u64,
        until: Time,
    ) -> Result<TransferId, Halt> {
        if asker != draft.signer() {
            return Err(Refusal::new(Code::Policy, "not the payor").into());
        }
        self.bound(cx, draft)?;
        let hold = TransferId(timed(draft.body().time, &draft.digest()));
        let aside = Hold::new(hold, self.account(draft.signer()), draft.body().amount, until, draft.digest());
        Ledger(&mut *cx.tx).hold(aside, cx.now)?;
        let bound = Bound { draft: Digest(draft.digest()), hold: Some(hold), paid: false };
        cx.tx.put(NUMBERS, &Self::key(draft), wire::encode(&bound));
        Ok(hold)
    }

    fn pay(&self, cx: &mut Context<'_>, draft: &Verified<Draft>, serial: u64, to: AccountId) -> Result<(), Halt> {
        if serial != SERIAL {
            return Err(Refusal::new(Code::Certificate, "no such certificate").into());
        }
        let hold = self.bound(cx, draft)?.and_then(|bound| bound.hold);
        let transfer = Transfer {
            id: TransferId(timed(draft.body().time, &draft.digest().map(|byte| !byte))),
            debit: self.account(draft.signer()),
            credit: to,
            amount: draft.body().amount,
            reason: Reason(1),
            reference: draft.digest(),
            at: cx.now,
            hold,
        };
        Ledger(&mut *cx.tx).post(transfer)?;
        let bound = Bound { draft: Digest(draft.digest()), hold, paid: true };
        cx.tx.put(NUMBERS, &Self::key(draft), wire::encode(&bound));
        Ok(())
    }
}

/// One bank.
pub(crate) struct Bank {
    pub(crate) store: MemoryStore,
    pub(crate) cheques: Interbank,
    pub(crate) payers: Numbers,
}

/// Banks in a row, each a peer of the next; the first and the last know each other by way of those
/// between.
pub(crate) struct Town {
    pub(crate) banks: Vec<Bank>,
    pub(crate) now: Time,
    numbers: u64,
}

impl Town {
    /// `count` banks. Alice is a customer of the first, Carol of the last; anybody else is enrolled.
    pub(crate) fn new(count: usize) -> Self {
        let now = Time::from_millis(20_000 * 86_400_000 + 3_600_000);
        let bank = |nth| {
            let tables: Vec<_> = TABLES.into_iter().chain([EVIDENCE, NUMBERS]).collect();
            let cheques = Interbank::new(network(nth), bank_key(nth), Terms::default());
            Bank { store: MemoryStore::new(&tables), cheques, payers: Numbers(network(nth)) }
        };
        let mut town = Self { banks: (0..count).map(bank).collect(), now, numbers: 0 };
        for nth in 0..count {
            let outside = town.outside(nth);
            let world = Account::new(outside, AccountKind::World, Currency::XTS, None, now);
            town.act(nth, |_, cx| Ok(Ledger(&mut *cx.tx).open(world)?)).unwrap();
            for peer in nth.saturating_sub(1)..(nth + 2).min(count) {
                if peer != nth {
                    town.open_peer(nth, peer, FUNDS);
                }
            }
        }
        for nth in 0..count {
            for far in (0..count).filter(|far| nth.abs_diff(*far) > 1) {
                let via = bank_key(if far > nth { nth + 1 } else { nth - 1 }).id();
                let (far, there) = (bank_key(far).id(), network(far));
                town.act(nth, |bank, cx| bank.cheques.open_route(cx, far, there, Currency::XTS, via)).unwrap();
            }
        }
        town.enrol(0, ALICE, FUNDS);
        town.enrol(count - 1, CAROL, 0);
        town
    }

    pub(crate) fn open_peer(&mut self, at: usize, peer: usize, limit: u64) {
        let terms = PeerTerms { bank: bank_key(peer).id(), network: network(peer), limit: micros(limit) };
        self.act(at, |bank, cx| bank.cheques.open_peer(cx, terms)).unwrap();
    }

    pub(crate) fn outside(&self, at: usize) -> AccountId {
        Account::id_for(network(at), AccountKind::World, b"world", Currency::XTS)
    }

    pub(crate) fn account(&self, at: usize, peer: u8) -> AccountId {
        Account::id_for(network(at), AccountKind::Customer, &key(peer).id().0, Currency::XTS)
    }

    pub(crate) fn enrol(&mut self, at: usize, peer: u8, amount: u64) {
        let (id, outside, now) = (self.account(at, peer), self.outside(at), self.now);
        self.act(at, |_, cx| {
            let mut ledger = Ledger(&mut *cx.tx);
            ledger.open(Account::new(id, AccountKind::Customer, Currency::XTS, Some(key(peer).id()), now))?;
            if amount > 0 {
                ledger.post(Transfer {
                    id: TransferId(timed(now, &[peer; 32])),
                    debit: outside,
                    credit: id,
                    amount: micros(amount),
                    reason: Reason(2),
                    reference: [0; 32],
                    at: now,
                    hold: None,
                })?;
            }
            Ok(())
        })
        .unwrap();
    }

    /// Runs one step of a bank as the driver would: all of its writes, or none. Whatever happens, the
    /// bank's books balance.
    pub(crate) fn act<R>(
        &mut self,
        at: usize,
        step: impl FnOnce(&Bank, &mut Context<'_>) -> Result<R, Halt>,
    ) -> Result<R, Halt> {
        self.act_or_crash(at, false, step)
    }

    /// The same, or the bank dies before it commits: nothing it did is kept.
    pub(crate) fn act_or_crash<R>(
        &mut self,
        at: usize,
        crash: bool,
        step: impl FnOnce(&Bank, &mut Context<'_>) -> Result<R, Halt>,
    ) -> Result<R, Halt> {
        let now = self.now;
        let (answer, changes) = {
            let bank = &self.banks[at];
            let mut overlay = Overlay::new(&bank.store);
            let answer = overlay.attempt(|tx| step(bank, &mut Context { now, dice: [0; 32], tx }));
            (answer, overlay.into_write_set())
        };
        if crash {
            return Err(Refusal::new(Code::State, "the bank died").into());
        }
        self.banks[at].store.commit(&changes).unwrap();
        let accounts = self.banks[at].store.accounts(None, 10_000).unwrap();
        assert!(conservation(&accounts).values().all(|totals| totals.is_conserved()), "the books do not balance");
        answer
    }

    /// A cheque by a customer of bank 0, for Carol, for a day.
    pub(crate) fn cheque(&mut self, payor: u8, amount: u64) -> Verified<Draft> {
        self.numbers += 1;
        let draft = self.draft(self.numbers, amount);
        self.signed(payor, &draft)
    }

    pub(crate) fn draft(&self, number: u64, amount: u64) -> Draft {
        Draft {
            number,
            network: network(0),
            bank: bank_key(0).id(),
            payee: key(CAROL).id(),
            amount: micros(amount),
            order: OrderId([1; 32]),
            deposit_by: self.now.after(Span::from_days(1)),
            log: [0; 32],
            time: self.now,
        }
    }

    pub(crate) fn signed(&self, payor: u8, draft: &Draft) -> Verified<Draft> {
        key(payor).sign(draft.network, draft).verify(draft.network).unwrap()
    }

    /// What Carol sends to bank `at` to deposit a cheque.
    pub(crate) fn endorsed(&self, cheque: &Verified<Draft>, at: usize) -> Presentation {
        endorse(&key(CAROL), cheque, SERIAL, bank_key(at).id(), self.now).unwrap()
    }

    /// Presents a cheque as the network would: checked, then handled.
    pub(crate) fn present(&mut self, at: usize, from: PeerId, presented: &Presentation) -> Result<Answer, Halt> {
        self.present_or_crash(at, from, presented, false)
    }

    pub(crate) fn present_or_crash(
        &mut self,
        at: usize,
        from: PeerId,
        presented: &Presentation,
        crash: bool,
    ) -> Result<Answer, Halt> {
        let checked = self.banks[at].cheques.check(from, presented.clone())?;
        self.act_or_crash(at, crash, |bank, cx| bank.cheques.present(cx, &bank.payers, &checked))
    }

    /// Carol deposits at the last bank.
    pub(crate) fn deposit(&mut self, cheque: &Verified<Draft>) -> (Presentation, Answer) {
        let last = self.banks.len() - 1;
        let presented = self.endorsed(cheque, last);
        let answer = self.present(last, key(CAROL).id(), &presented).unwrap();
        (presented, answer)
    }

    pub(crate) fn send_due(&mut self, at: usize) -> Vec<Outgoing> {
        self.act(at, |bank, cx| bank.cheques.send_due(cx, 100)).unwrap()
    }

    /// Carries one request to its bank and the answer back.
    pub(crate) fn carry(&mut self, from: usize, sent: &Outgoing) -> Result<Progress, Halt> {
        let to = self.bank_of(sent.to);
        let presented: Presentation = wire::decode(&sent.message).unwrap();
        let answer = self.present(to, bank_key(from).id(), &presented)?;
        let (matter, to) = (sent.matter, sent.to);
        self.act(from, |bank, cx| bank.cheques.on_answer(cx, to, matter, answer))
    }

    pub(crate) fn bank_of(&self, id: PeerId) -> usize {
        (0..self.banks.len()).find(|nth| bank_key(*nth).id() == id).unwrap()
    }

    /// Carries everything, until nobody waits for an answer.
    pub(crate) fn run(&mut self) {
        for _ in 0..400 {
            for at in 0..self.banks.len() {
                for sent in self.send_due(at) {
                    let _ = self.carry(at, &sent);
                }
            }
            if (0..self.banks.len()).all(|at| self.is_quiet(at)) {
                return;
            }
            self.now = self.now.after(Span::from_secs(600));
        }
        panic!("the banks never fell silent");
    }

    fn is_quiet(&self, at: usize) -> bool {
        let waiting = Scan { prefix: &[], after: None, limit: 1 };
        Overlay::new(&self.banks[at].store).scan(OUTBOX, waiting).unwrap().is_empty()
    }

    /// What a customer has.
    pub(crate) fn balance(&self, at: usize, peer: u8) -> i128 {
        self.balance_of(at, self.account(at, peer))
    }

    pub(crate) fn balance_of(&self, at: usize, account: AccountId) -> i128 {
        self.banks[at].store.account(account).unwrap().map_or(0, |account| account.balance())
    }

    /// What is credited to a customer provisionally.
    pub(crate) fn provisional(&self, at: usize, peer: PeerId) -> i128 {
        let label = [&b"cheques"[..], &peer.0].concat();
        self.balance_of(at, Account::id_for(network(at), AccountKind::Suspense, &label, Currency::XTS))
    }

    /// What bank `of` owes bank `at`: for cheques cleared, and for cheques not answered.
    pub(crate) fn owed(&mut self, at: usize, of: usize) -> (i128, i128) {
        let of = bank_key(of).id();
        let position = self.act(at, |bank, cx| bank.cheques.position(cx, of, Currency::XTS)).unwrap();
        (position.owed, position.collecting)
    }

    /// The evidence filed at a bank, as others would judge it again.
    pub(crate) fn evidence(&self, at: usize) -> Vec<(EvidenceKind, Verdict)> {
        let store = Overlay::new(&self.banks[at].store);
        let rows = store.scan(EVIDENCE, Scan { prefix: &[], after: None, limit: 100 }).unwrap();
        let filed = rows.into_iter().map(|(_, row)| wire::decode::<Filed>(&row).unwrap());
        filed.map(|filed| (filed.evidence.kind, filed.verdict)).collect()
    }

    pub(crate) fn request_id(&mut self) -> RequestId {
        self.numbers += 1;
        RequestId(timed(self.now, &[self.numbers as u8; 32]))
    }
}

pub(crate) fn code<T>(answer: Result<T, Halt>) -> Code {
    match answer {
        Err(Halt::Refused(why)) => why.code,
        Err(Halt::Store(why)) => panic!("{why}"),
        Ok(_) => panic!("not refused"),
    }
}

pub(crate) fn end(answer: Answer) -> Final {
    match answer {
        Answer::Final(end) => *end,
        Answer::Pending { next } => panic!("pending at {next}"),
    }
}

pub(crate) fn fate(answer: Answer) -> Fate {
    end(answer).drawee.peek().unwrap().fate
}

/// A statement with something changed, signed by its signer's key.
pub(crate) fn altered<T: farthing_core::sign::Statement>(
    by: &SecretKey,
    network: NetworkId,
    said: &Signed<T>,
    change: impl FnOnce(&mut T),
) -> Signed<T> {
    let mut body = said.peek().unwrap();
    change(&mut body);
    by.sign(network, &body)
}
