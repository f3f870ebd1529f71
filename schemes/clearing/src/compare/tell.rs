//! KSR-3 from the customer's side: its log, page by page.

use farthing_core::audit::{AuditLog, Direction, Entry, SubChain};
use farthing_core::refusal::{Code, Fault, Refusal, Remedy};
use farthing_core::sign::SecretKey;
use farthing_core::wire::Bounded;
use rand_core::CryptoRng;

use super::{Comparison, Entries, Extent, Next, Phase, Progress};
use crate::frame::{FrameKind, MessageId};
use crate::reconciliation::{Closing, LOG_PAGE_MAX, LogStatement, Page};
use crate::wallet::Wallet;

impl Comparison {
    /// From where the log is told: what was agreed on, if the wallet still has as much.
    pub(super) fn start(&self, wallet: &Wallet, agreed: &AuditLog) -> AuditLog {
        let empty = AuditLog::new(wallet.me);
        let pick = |agreed: SubChain, own: SubChain, empty| {
            if self.extent == Extent::SinceAgreed && agreed.n <= own.n { agreed } else { empty }
        };
        AuditLog {
            outgoing: pick(agreed.outgoing, wallet.log.outgoing, empty.outgoing),
            incoming: pick(agreed.incoming, wallet.log.incoming, empty.incoming),
        }
    }

    /// KSR-3: the next page.
    #[allow(clippy::too_many_arguments, reason = "the wallet, its store and its dice are handed in, not owned")]
    pub(super) fn tell(
        &mut self,
        wallet: &Wallet,
        answers: MessageId,
        start: Option<AuditLog>,
        at: (u64, u64),
        entries: Entries<'_>,
        signer: Option<&SecretKey>,
        rng: &mut dyn CryptoRng,
    ) -> Result<Progress, Refusal> {
        let log = wallet.log;
        let outgoing = portion(Direction::Out, at.0, log.outgoing.n, LOG_PAGE_MAX, entries)?;
        let room = LOG_PAGE_MAX - outgoing.len();
        let incoming = portion(Direction::In, at.1, log.incoming.n, room, entries)?;
        let told = (at.0 + outgoing.len() as u64, at.1 + incoming.len() as u64);
        let closing = (told == (log.outgoing.n, log.incoming.n)).then(|| Closing {
            log,
            pending: wallet.pending.as_ref().map(|pending| pending.auth),
            signed: signer.map(|signer| signer.sign(wallet.network, &LogStatement { epoch: wallet.epoch, log })),
        });
        let bounded = |entries| Bounded::new(entries).unwrap_or_else(Bounded::empty);
        let page = Page { answers, start, outgoing: bounded(outgoing), incoming: bounded(incoming), closing };
        let frame = wallet.frame(FrameKind::Page, &page, rng);
        self.sent = MessageId::of(&frame);
        self.phase = Phase::Telling { outgoing: told.0, incoming: told.1 };
        Ok(Progress { repaired: Vec::new(), next: Next::Send(frame) })
    }
}

/// The next entries of one direction.
fn portion(
    direction: Direction,
    after: u64,
    upto: u64,
    room: usize,
    entries: Entries<'_>,
) -> Result<Vec<Entry>, Refusal> {
    let wanted = usize::try_from(upto.saturating_sub(after)).unwrap_or(usize::MAX).min(room);
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let found = entries(direction, after, wanted);
    if found.len() == wanted {
        return Ok(found);
    }
    let why = "entries of this wallet's own log are gone: restore them, or take over the bank's books";
    Err(Refusal::new(Code::Log, why).blame(Fault::Us).remedy(Remedy::Appeal))
}
