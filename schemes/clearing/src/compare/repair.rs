//! What a wallet does with lines that it lacked.

use farthing_core::audit::Direction;
use farthing_core::id::OrderId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::replay::ReplayWindow;

use super::{Fate, Repaired, unbelievable};
use crate::reconciliation::Line;
use crate::wallet::Wallet;

impl Wallet {
    /// Appends lines of the bank's, the first of which follows number `after`.
    pub(super) fn take_lines(
        &mut self,
        after: u64,
        lines: &[Line],
        direction: Direction,
    ) -> Result<Vec<Repaired>, Refusal> {
        let mut repaired = Vec::new();
        for (t, line) in (after + 1..).zip(lines) {
            let have = match direction {
                Direction::Out => self.log.outgoing.n,
                Direction::In => self.log.incoming.n,
            };
            if t <= have {
                continue; // It came by itself in the meantime.
            }
            if let Some(pending) = self.pending.as_mut().filter(|pending| pending.auth == line.auth) {
                pending.found |= direction == Direction::Out;
            }
            let entry = self.append(line, direction)?;
            repaired.push(Repaired { entry, order: line.order });
        }
        if direction == Direction::In {
            repaired.extend(self.settle_window()?);
        }
        Ok(repaired)
    }

    /// Everything in the log has been seen; what waited and now follows the log joins it.
    fn settle_window(&mut self) -> Result<Vec<Repaired>, Refusal> {
        let early = self.early.as_slice().to_vec();
        let orders: Vec<OrderId> =
            early.iter().filter(|one| one.number > self.log.incoming.n).map(|one| one.line.order).collect();
        let entries = self.settle_early(early)?;
        let mut window = ReplayWindow::through(self.log.incoming.n);
        for waiting in self.early.as_slice() {
            window.take(waiting.number).map_err(|why| Refusal::new(Code::Replay, why.to_string()))?;
        }
        self.window = window;
        Ok(entries.into_iter().zip(orders).map(|(entry, order)| Repaired { entry, order }).collect())
    }

    pub(super) fn fate(&self, outcome: Option<&[u8]>) -> Result<Option<Fate>, Refusal> {
        let Some(pending) = &self.pending else { return Ok(None) };
        let paid = outcome.map(|bytes| self.read_paid(bytes)).transpose()?.flatten();
        match (pending.found, paid) {
            (true, paid) => Ok(Some(Fate::Paid(paid.map(Box::new)))),
            (false, None) => Ok(Some(Fate::NotPaid)),
            (false, Some(_)) => Err(unbelievable()),
        }
    }
}
