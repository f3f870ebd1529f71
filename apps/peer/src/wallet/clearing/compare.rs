//! Comparing books with the bank: four messages, more for long logs. What this wallet lacked is
//! written down, and what became of a request that was never answered.

use farthing_clearing::compare::{Comparison, Extent, Fate, Next, Repaired};
use farthing_clearing::frame::MessageId;
use farthing_clearing::payee::Expected as Due;
use farthing_clearing::reconciliation::Line;
use farthing_clearing::wallet::Standing;
use farthing_core::audit::Direction;
use farthing_core::order::{PaymentRef, Receipt};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::time::Span;
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::keep::{self, Keeper, Kept};
use super::pay::{not_joined, note_made, note_not_made};
use super::take::book;
use crate::wallet::desk::{Desk, DeskError};
use crate::wallet::error::WalletError;
use crate::wallet::records::What;
use crate::wallet::single::TakenRow;
use crate::wallet::{Wallet, orders, start};

/// At most so many messages in one comparison: a log of a million entries, told and fetched.
const STEPS_MAX: usize = 4_096;

/// What a comparison came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compared {
    /// Lines that the bank had and this wallet lacked.
    pub repaired: u32,
    /// What became of a request that was never answered.
    pub fate: Option<Fate>,
}

/// A step's outcome, with the comparison to go on with.
type Stepped = (Comparison, Next, u32);

impl Wallet {
    /// Compares books with the bank, by online clearing.
    ///
    /// # Errors
    /// [`WalletError`]; [`WalletError::Disputed`] where they differ.
    pub async fn compare_books(&self, desk: &dyn Desk) -> Result<Compared, WalletError> {
        self.may_pay()?;
        let _counter = self.inner.counter.lock().await;
        self.compare_clearing(desk).await
    }

    /// Whether books should be compared: something is missing, or it is asked for before paying.
    pub(crate) async fn comparison_is_due(&self) -> Result<bool, WalletError> {
        let state = self.clearing_state().await?;
        Ok(state.is_some_and(|state| state.standing() == Standing::MustReconcile || state.lacks_receipts()))
    }

    /// The same for who holds the counter, and for a wallet that is being reconciled.
    pub(crate) async fn compare_clearing(&self, desk: &dyn Desk) -> Result<Compared, WalletError> {
        match self.compare_once(desk, Extent::SinceAgreed).await {
            // A frame that the bank cannot open gets no answer that could be believed: the key may have been
            // replaced. Who asks for it again gets the present one.
            Err(WalletError::Bank(DeskError::Unknown(_) | DeskError::TurnedAway(_))) => {
                self.get_key(desk).await?;
                self.compare_once(desk, Extent::SinceAgreed).await
            }
            // Books that differ are told whole, so that the entries are named.
            Err(WalletError::Disputed(_)) => self.compare_once(desk, Extent::Whole).await,
            compared => compared,
        }
    }

    /// One comparison. Each is dated later than the one before it, of whichever copy: where two fall
    /// into one moment, the later one says so.
    async fn compare_once(&self, desk: &dyn Desk, extent: Extent) -> Result<Compared, WalletError> {
        for ahead in [0, 1, 2, 4, 8, 16, 32] {
            match self.compare_at(desk, extent, Span::from_millis(ahead)).await {
                Err(WalletError::Bank(DeskError::Refused(why))) if why.code == Code::Sequence => {}
                compared => return compared,
            }
        }
        self.compare_at(desk, extent, Span::from_secs(1)).await
    }

    async fn compare_at(&self, desk: &dyn Desk, extent: Extent, ahead: Span) -> Result<Compared, WalletError> {
        self.checked_now()?;
        let keep = self.keeper();
        let begin = move |cx: &mut Context<'_>| {
            let Kept(mut state) = keep.read(cx)?.ok_or_else(not_joined)?;
            let auth = state.pending().map(|pending| pending.auth);
            let mut rng = ChaCha20Rng::from_seed(cx.dice);
            let (comparison, frame) = state.compare(cx.now.after(ahead), extent, &mut rng);
            keep.write(cx, &Kept(state));
            Ok((comparison, frame, auth))
        };
        let (mut comparison, mut frame, pending) = self.inner.handle.transact(begin).await?;
        let mut repaired = 0_u32;
        for _ in 0..STEPS_MAX {
            let answer = desk.clear(frame).await;
            if let Err(DeskError::Refused(why)) = &answer {
                self.heed(why).await;
            }
            let (next, step, lines) = self.take_step(comparison, answer?, pending).await?;
            repaired = repaired.saturating_add(lines);
            comparison = next;
            match step {
                Next::Send(more) => frame = more,
                Next::Agreed(fate) => return Ok(Compared { repaired, fate }),
                Next::Disputed(problems) => {
                    return Err(WalletError::Disputed(problems.iter().map(ToString::to_string).collect()));
                }
            }
        }
        Err(Refusal::new(Code::Limit, "the books are longer than are compared at once").into())
    }

    async fn take_step(
        &self,
        mut comparison: Comparison,
        answer: Vec<u8>,
        pending: Option<MessageId>,
    ) -> Result<Stepped, WalletError> {
        let (keep, key, network) = (self.keeper(), self.inner.seed.identity(), self.network());
        let step = move |cx: &mut Context<'_>| {
            let progress = advance(cx, &keep, &mut comparison, &answer)?;
            let lines = u32::try_from(progress.repaired.len()).unwrap_or(u32::MAX);
            for one in &progress.repaired {
                repair(cx, one, &|receipt| key.sign(network, receipt))?;
            }
            if let Next::Agreed(fate) = &progress.next {
                match (fate, pending) {
                    (Some(Fate::Paid(paid)), Some(auth)) => note_made(cx, auth.0, paid.as_deref())?,
                    (Some(Fate::NotPaid), auth) => note_not_made(cx, auth.map(|auth| auth.0))?,
                    _ => {}
                }
            }
            if lines > 0 {
                start::note(cx, What::Repaired { lines });
            }
            Ok((comparison, progress.next, lines))
        };
        Ok(self.inner.handle.transact(step).await?)
    }
}

/// One step of the comparison on what is kept.
fn advance(
    cx: &mut Context<'_>,
    keep: &Keeper,
    comparison: &mut Comparison,
    answer: &[u8],
) -> Result<farthing_clearing::compare::Progress, Halt> {
    let Kept(mut state) = keep.read(cx)?.ok_or_else(not_joined)?;
    let mut rng = ChaCha20Rng::from_seed(cx.dice);
    let mut fault: Option<StoreFault> = None;
    let stepped = {
        let cx = &*cx;
        let mut entries = |direction, after, limit| {
            keep::entries(cx, direction, after, limit).unwrap_or_else(|why| {
                fault = Some(why);
                Vec::new()
            })
        };
        comparison.step(&mut state, answer, &mut entries, None, &mut rng)
    };
    if let Some(fault) = fault {
        return Err(fault.into());
    }
    let progress = stepped?;
    progress.repaired.iter().for_each(|one| keep::append(cx, &one.entry));
    keep.write(cx, &Kept(state));
    Ok(progress)
}

/// A line that this wallet lacked: money that came pays the order it was for, if that is still open.
fn repair(
    cx: &mut Context<'_>,
    one: &Repaired,
    sign: &dyn Fn(&Receipt) -> farthing_core::sign::Signed<Receipt>,
) -> Result<(), Halt> {
    let entry = &one.entry;
    if entry.direction == Direction::Out || TakenRow::find(cx, &entry.reference)?.is_some() {
        return Ok(());
    }
    let line = Line { auth: MessageId(entry.reference), peer: entry.peer, amount: entry.amount, order: one.order };
    let due = match orders::expect(cx, line.order, line.amount) {
        Ok(amount) => Some(Due { order: line.order, amount }),
        Err(Halt::Refused(_)) => None,
        Err(halt) => return Err(halt),
    };
    let receipt = due.filter(|due| due.amount == line.amount).map(|due| {
        let payment = PaymentRef { instrument: entry.reference, from: 0, through: 0 };
        sign(&Receipt { order: due.order, payment, amount: due.amount, payer: entry.peer, time: cx.now })
    });
    book(cx, &line, receipt).map(drop)
}
