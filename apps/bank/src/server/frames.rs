//! Where frames of the clearing arrive: opened beside everything else, carried out in a transaction.

use farthing_clearing::frame::{Frame, MessageId};
use farthing_core::refusal::{Code, Money, Refusal};
use farthing_core::wire;
use farthing_driver::NoReply;
use farthing_net::http::problem::Problem;
use farthing_role::Halt;
use farthing_store::Overlay;
use std::sync::Arc;

use super::desk::{Desk, later, unknown_yet};
use crate::messages::{Answer, AnswerOutcome, FrameAnswer};

impl Desk {
    /// Answers a frame. One that does not open gets the same few bytes whatever is wrong with it, and
    /// nothing is counted or changed; one that does is answered under its customer's key, or by a
    /// refusal that the bank signs.
    pub(super) async fn frame(&self, bytes: &[u8]) -> Result<Vec<u8>, Problem> {
        // Rubbish costs no look into the books.
        if wire::decode::<Frame>(bytes).is_err() {
            metrics::counter!("farthing_bank_frames_total", "outcome" => "unopened").increment(1);
            return Err(not_opened().into());
        }
        let role = Arc::clone(&self.role);
        let checked = self.driver.read(|books| role.clearing().check(bytes, &Overlay::new(books))).await;
        let checked = match checked {
            Ok(Ok(checked)) => checked,
            Ok(Err(Halt::Refused(_))) => {
                metrics::counter!("farthing_bank_frames_total", "outcome" => "unopened").increment(1);
                return Err(not_opened().into());
            }
            Ok(Err(Halt::Store(fault))) => {
                tracing::error!(%fault, "a frame could not be looked at");
                return Err(later("the bank is closing; send it again in a while".into()));
            }
            Err(_) => return Err(later("the bank is closing; send it again in a while".into())),
        };
        let customer = checked.customer();
        self.rates.check(customer)?;
        let told = match self.driver.transact(move |cx| role.on_frame(cx, checked)).await {
            Ok(frame) => FrameAnswer::Frame(frame),
            Err(NoReply::Refused(why)) if why.code == Code::Rate => return Err(later(why.detail)),
            Err(NoReply::Refused(why)) => {
                tracing::info!(customer = %customer.short(), code = ?why.code, "a frame was refused");
                let answer = Answer { request: MessageId::of(bytes).0, outcome: AnswerOutcome::Refused(why) };
                FrameAnswer::Refused(self.key.sign(self.network, &answer))
            }
            Err(NoReply::Down) => return Err(later("the bank is closing; send it again in a while".into())),
            Err(NoReply::Unknown) => return Err(unknown_yet()),
        };
        metrics::counter!("farthing_bank_frames_total", "outcome" => "answered").increment(1);
        Ok(wire::encode(&told))
    }
}

/// What everybody hears whose frame does not open: it says nothing about who has a key here.
fn not_opened() -> Refusal {
    let why = "no such frame is taken here: if it is your wallet's, its key was replaced or its books are old; compare \
               them with the bank (farthing reconcile)";
    Refusal::new(Code::Decrypt, why).money(Money::Unknown)
}
