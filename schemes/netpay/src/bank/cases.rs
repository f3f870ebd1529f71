//! Cases: two reserves over the same units, a payer who may answer, and a computed verdict.

use farthing_core::amount::Amount;
use farthing_core::evidence::{Evidence, EvidenceKind, StatementBytes, Verdict};
use farthing_core::hash::{Purpose, hash};
use farthing_core::id::{AccountId, ChainId, PeerId, RequestId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Signed;
use farthing_core::time::Time;
use farthing_core::wire::{self, Bounded};
use farthing_ledger::{Ledger, StoreFault, Transfer};
use farthing_role::{Context, Filed, Halt, Records, Scan};
use minicbor::{Decode, Encode};

use super::records::{self, CASES, CASES_DUE, CASES_OF, CLAIMS, ChainRecord, Taken};
use super::{NetPay, REASON_VERDICT, transfer_id};
use crate::messages::{Defend, Freed, Reserve};
use crate::payee::freed_by;
use crate::verdict;

/// The most cases settled in one tick.
const CASES_PER_TICK: usize = 64;

/// The most cases shown to one party at once.
const CASES_SHOWN: usize = 64;

/// One of the two sides of a case.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Party {
    /// Who was to be paid.
    #[n(0)]
    pub payee: PeerId,
    /// Under which reserve.
    #[n(1)]
    pub reserve: Signed<Reserve>,
    /// The request that claimed under it.
    #[n(2)]
    pub claim: Option<RequestId>,
}

impl From<&Taken> for Party {
    fn from(taken: &Taken) -> Self {
        Self { payee: taken.payee, reserve: taken.reserve.clone(), claim: taken.claim }
    }
}

/// Two reserves of one payer over the same units.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Case {
    /// Its number: the same for the same two reserves.
    #[n(0)]
    pub number: u64,
    /// The chain.
    #[n(1)]
    pub chain: ChainId,
    /// Whose account opened the chain; it may answer, and is liable.
    #[n(2)]
    pub accused: PeerId,
    /// The side that came first and holds the units.
    #[n(3)]
    pub first: Party,
    /// The side that came second and was not paid for them.
    #[n(4)]
    pub second: Party,
    /// How many units the second claimed and was not paid.
    #[n(5)]
    pub contested: u32,
    /// What they are worth.
    #[n(6)]
    pub amount: Amount,
    /// When it was opened.
    #[n(7)]
    pub opened: Time,
    /// Until when the payer may answer.
    #[n(8)]
    pub deadline: Time,
    /// What came of it.
    #[n(9)]
    pub state: CaseState,
    /// What the second side got back.
    #[n(10)]
    pub compensated: Amount,
}

/// What came of a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum CaseState {
    /// The payer may still answer.
    #[n(0)]
    Open,
    /// The payer reserved the units twice.
    #[n(1)]
    PayerGuilty,
    /// A payee claimed beyond its own release.
    #[n(2)]
    PayeeGuilty(#[n(0)] PeerId),
    /// Nobody is shown to have cheated.
    #[n(3)]
    Dismissed,
}

impl NetPay {
    /// Opens a case between two reserves, or adds to the one that is open between them. Where the
    /// second side can show at once that the first was released, it is settled at once.
    pub(super) fn open_case(
        &self,
        cx: &mut Context<'_>,
        chain: &ChainRecord,
        first: &Taken,
        second: &Taken,
        contested: u32,
        defence: Option<&Freed>,
    ) -> Result<u64, Halt> {
        let number = case_number(&first.reserve.digest(), &second.reserve.digest());
        let unit = chain.touchstone.header.unit;
        let known: Option<Case> = records::read(&*cx.tx, CASES, &number.to_be_bytes())?;
        let mut case = known.unwrap_or_else(|| Case {
            number,
            chain: chain.touchstone.chain,
            accused: chain.owner,
            first: first.into(),
            second: second.into(),
            contested: 0,
            amount: unit.currency().zero(),
            opened: cx.now,
            deadline: cx.now.after(self.terms.answer_time),
            state: CaseState::Open,
            compensated: unit.currency().zero(),
        });
        case.contested = case.contested.saturating_add(contested);
        case.amount = unit.checked_mul(case.contested.into()).map_err(Refusal::from)?;
        case.second.claim = second.claim;
        let settled = case.state != CaseState::Open;
        cx.tx.put(CASES_OF, &[&case.accused.0[..], &number.to_be_bytes()].concat(), Vec::new());
        cx.tx.put(CASES_DUE, &records::due_key(case.deadline, &number.to_be_bytes()), Vec::new());
        cx.tx.put(CASES, &number.to_be_bytes(), wire::encode(&case));
        let cleared = defence.is_some_and(|freed| self.clears(&case, freed.clone()).is_some());
        if settled || cleared {
            self.settle(cx, case, defence.cloned())?;
        }
        Ok(number)
    }

    /// The accused payer answers with the release that ended one of the two reserves.
    ///
    /// # Errors
    /// [`Halt`]; the case stays open after a release that answers nothing.
    pub fn defend(&self, cx: &mut Context<'_>, payer: PeerId, defend: Defend) -> Result<Case, Halt> {
        let case: Option<Case> = records::read(&*cx.tx, CASES, &defend.case.to_be_bytes())?;
        let case = case.filter(|case| case.accused == payer);
        let case = case.ok_or_else(|| Refusal::new(Code::Unknown, "there is no such case against you"))?;
        if case.state != CaseState::Open {
            return Err(Refusal::new(Code::State, "the case is settled").into());
        }
        if self.clears(&case, defend.freed.clone()).is_none() {
            return Err(Refusal::new(Code::Order, "this release does not show that the reserves do not overlap").into());
        }
        self.settle(cx, case, Some(defend.freed))
    }

    /// Cases against a party, newest state, at most a page.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub fn cases_of(tx: &dyn Records, accused: PeerId) -> Result<Vec<Case>, StoreFault> {
        let rows = tx.scan(CASES_OF, Scan { prefix: &accused.0, after: None, limit: CASES_SHOWN })?;
        let mut cases = Vec::with_capacity(rows.len());
        for (key, _) in rows {
            cases.extend(records::read::<Case>(tx, CASES, key.get(32..).unwrap_or_default())?);
        }
        Ok(cases)
    }

    /// Settles cases whose deadline is over, a bounded portion; says whether more waits.
    ///
    /// # Errors
    /// [`Halt::Store`].
    pub fn settle_due(&self, cx: &mut Context<'_>) -> Result<bool, Halt> {
        let rows = cx.tx.scan(CASES_DUE, Scan { prefix: &[], after: None, limit: CASES_PER_TICK })?;
        let full = rows.len() == CASES_PER_TICK;
        for (key, _) in rows {
            let (at, number) = key.split_at_checked(8).ok_or_else(|| StoreFault("a due case is damaged".into()))?;
            if cx.now.as_millis() < at.try_into().map_or(u64::MAX, u64::from_be_bytes) {
                return Ok(false);
            }
            let case: Option<Case> = records::read(&*cx.tx, CASES, number)?;
            if let Some(case) = case.filter(|case| case.state == CaseState::Open) {
                self.settle(cx, case, None)?;
            }
            cx.tx.delete(CASES_DUE, &key);
        }
        Ok(full)
    }

    /// Which side a release clears the payer of: the release must end one reserve below the other.
    fn clears(&self, case: &Case, freed: Freed) -> Option<Party> {
        for (ended, other) in [(&case.first, &case.second), (&case.second, &case.first)] {
            let other = other.reserve.peek().ok()?;
            let release = freed_by(self.network, self.bank(), ended.payee, freed.clone()).ok();
            let release = release.filter(|r| r.reserve == ended.reserve.digest() && r.through < other.from);
            if release.is_some() {
                return Some(ended.clone());
            }
        }
        None
    }

    /// Computes the verdict and carries it out. Money moves only from the guilty side's own accounts.
    fn settle(&self, cx: &mut Context<'_>, mut case: Case, freed: Option<Freed>) -> Result<Case, Halt> {
        let cleared = freed.clone().and_then(|freed| self.clears(&case, freed));
        let currency = case.amount.currency();
        match cleared {
            None => {
                let statements = [wire::encode(&case.first.reserve), wire::encode(&case.second.reserve)];
                let evidence = evidence(EvidenceKind::DoubleReserve, case.accused, statements);
                let verdict = verdict::judge(self.network, self.bank(), &evidence);
                Filed::file(cx, evidence, verdict);
                if matches!(verdict, Verdict::Guilty(_)) {
                    case.state = CaseState::PayerGuilty;
                    let deposit = self.deposit(case.accused, currency);
                    self.compensate(cx, &mut case, deposit)?;
                    self.suspend(cx, case.accused, &case)?;
                } else {
                    // A signature that only the fast check believed: whoever presented it vouches
                    // for it, and neither side is paid twice.
                    case.state = CaseState::Dismissed;
                }
            }
            Some(ended) => {
                let statements = self.claim_beyond(cx, &ended, freed)?;
                let evidence = evidence(EvidenceKind::ClaimBeyondRelease, ended.payee, statements);
                let verdict = verdict::judge(self.network, self.bank(), &evidence);
                if matches!(verdict, Verdict::Guilty(_)) {
                    Filed::file(cx, evidence, verdict);
                    case.state = CaseState::PayeeGuilty(ended.payee);
                    if ended.payee != case.second.payee {
                        let customer = self.customer(ended.payee, currency);
                        self.compensate(cx, &mut case, customer)?;
                    }
                    self.suspend(cx, ended.payee, &case)?;
                } else {
                    case.state = CaseState::Dismissed;
                }
            }
        }
        cx.tx.put(CASES, &case.number.to_be_bytes(), wire::encode(&case));
        Ok(case)
    }

    fn claim_beyond(&self, cx: &Context<'_>, ended: &Party, freed: Option<Freed>) -> Result<Vec<Vec<u8>>, Halt> {
        let claim = match ended.claim {
            Some(id) => cx.tx.get(CLAIMS, &id.0)?,
            None => None,
        };
        let release = match freed {
            Some(Freed::Payee(signed)) => Some(wire::encode(&signed)),
            _ => None,
        };
        Ok(claim.into_iter().chain(release).collect())
    }

    /// Pays the second side what it was not paid, as far as the guilty side's account reaches.
    fn compensate(&self, cx: &mut Context<'_>, case: &mut Case, from: AccountId) -> Result<(), Halt> {
        let owed = case.amount.checked_sub(case.compensated).map_err(Refusal::from)?;
        let there =
            cx.tx.account(from)?.filter(|account| !account.frozen).and_then(|account| account.available_amount());
        let Some(there) = there else { return Ok(()) };
        let amount = if there.as_micros() < owed.as_micros() { there } else { owed };
        if amount.is_zero() {
            return Ok(());
        }
        let parts: [&[u8]; 4] =
            [b"verdict", &case.number.to_be_bytes(), &from.0, &case.compensated.as_micros().to_be_bytes()];
        let transfer = Transfer {
            id: transfer_id(case.opened, &parts),
            debit: from,
            credit: self.customer(case.second.payee, amount.currency()),
            amount,
            reason: REASON_VERDICT,
            reference: case.chain.0,
            at: cx.now,
            hold: None,
        };
        Ledger(&mut *cx.tx).post(transfer)?;
        case.compensated = case.compensated.checked_add(amount).map_err(Refusal::from)?;
        Ok(())
    }

    /// Nothing leaves the account of a convicted party until the operator has looked at it.
    fn suspend(&self, cx: &mut Context<'_>, who: PeerId, case: &Case) -> Result<(), Halt> {
        let account = self.customer(who, case.amount.currency());
        if cx.tx.account(account)?.is_some() {
            Ledger(&mut *cx.tx).freeze(account, cx.now)?;
        }
        Ok(())
    }
}

fn evidence(kind: EvidenceKind, accused: PeerId, statements: impl IntoIterator<Item = Vec<u8>>) -> Evidence {
    let statements = statements.into_iter().map(StatementBytes).collect();
    Evidence { kind, accused, statements: Bounded::new(statements).unwrap_or_else(Bounded::empty) }
}

/// The number of a case: the same for the same two reserves, in whichever order.
fn case_number(a: &[u8; 32], b: &[u8; 32]) -> u64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    let digest = hash(Purpose::Statement, &[b"double-reserve", low, high]);
    digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
