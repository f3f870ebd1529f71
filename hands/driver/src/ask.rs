//! A request on its way through the role.

use std::sync::Arc;

use farthing_core::id::{PeerId, RequestId, time_of};
use farthing_core::refusal::{Code, Money, Refusal, Remedy};
use farthing_core::time::Time;
use farthing_core::wire::MESSAGE_MAX;
use farthing_role::{Context, Halt, Outcome, Request, Role, is_timely};
use tokio::sync::oneshot;

use crate::job::Job;
use crate::no_reply::NoReply;
use crate::queue::Weight;
use crate::replies::{self, Conflict, Stored};
use crate::room::Seat;

/// What became of a request.
pub(crate) type Answer = Result<Vec<u8>, NoReply>;

/// A request as it came in.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) caller: oneshot::Sender<Answer>,
    pub(crate) seat: Seat,
}

impl Weight for Asked {
    fn bytes(&self) -> usize {
        self.seat.bytes()
    }
}

/// A request the role has checked, for better or worse.
pub(crate) struct Ask<R: Role> {
    pub(crate) role: Arc<R>,
    pub(crate) sender: PeerId,
    pub(crate) id: RequestId,
    pub(crate) digest: [u8; 32],
    pub(crate) proof: Vec<u8>,
    /// What the role's check said.
    pub(crate) verdict: Option<Result<R::Checked, Halt>>,
    pub(crate) answer: Option<Answer>,
    pub(crate) caller: oneshot::Sender<Answer>,
}

impl<R: Role> Job for Ask<R> {
    fn run(&mut self, cx: &mut Context<'_>) -> Result<(), Halt> {
        if !is_timely(self.id, cx.now) {
            return Err(untimely(self.id, cx.now).into());
        }
        // The stored reply comes before the verdict of the check: what was carried out once stays
        // answered, even if the same would be refused today.
        let key = replies::key(self.id, self.sender);
        if let Some(before) = replies::find(cx.tx, &key)? {
            self.answer = Some(if before.digest == self.digest {
                Ok(before.reply)
            } else {
                let proof = std::mem::take(&mut self.proof);
                let conflict = Conflict { first: before.digest, second: self.digest, at: cx.now, proof };
                Err(NoReply::Refused(replies::contradict(cx.tx, &key, conflict)?))
            });
            return Ok(());
        }
        let Some(verdict) = self.verdict.take() else { return Ok(()) };
        let Outcome { reply } = self.role.apply(cx, self.sender, verdict?)?;
        if reply.len() > MESSAGE_MAX {
            return Err(Refusal::new(Code::Limit, "the reply would be too long; ask for less at once").into());
        }
        let stored = Stored { digest: self.digest, reply };
        replies::keep(cx.tx, &key, &stored);
        self.answer = Some(Ok(stored.reply));
        Ok(())
    }

    fn speak(self: Box<Self>, refused: Option<Refusal>) {
        let answer = match refused {
            Some(why) => Err(NoReply::Refused(why)),
            None => self.answer.unwrap_or(Err(NoReply::Unknown)),
        };
        if let Err(NoReply::Refused(why)) = &answer {
            metrics::counter!("farthing_driver_refused_total", "code" => format!("{:?}", why.code)).increment(1);
        }
        // Whoever gave up waiting changes nothing.
        let _ = self.caller.send(answer);
    }
}

/// The refusal of a request that is too old, or made by a clock that is ahead.
fn untimely(id: RequestId, now: Time) -> Refusal {
    if now < time_of(&id.0) {
        return Refusal::new(
            Code::NotYet,
            "the request's id lies in the future: set your clock right and use a new id",
        )
        .remedy(Remedy::Mend);
    }
    // Its reply may be forgotten, so nobody can tell here whether it was carried out.
    Refusal::new(Code::Expired, "the request is too old; compare books to learn whether it was carried out in its time")
        .money(Money::Unknown)
        .remedy(Remedy::Reconcile)
}
