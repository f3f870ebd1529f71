//! Why a visit ended early.

use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Unproven;
use farthing_core::wire::Malformed;
use farthing_net::frame::FrameError;

/// Why a dialogue did not go on. Payments that were answered for are settled; the last one may or
/// may not have arrived, which taking the visit up again finds out.
#[derive(Debug, thiserror::Error)]
pub enum TalkError {
    /// The stream failed, or the other side was too slow.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The other side left without a word.
    #[error("the other side left without a word; connect again to go on")]
    Gone,
    /// What the other side said is not a message.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A statement of the other side does not hold.
    #[error(transparent)]
    Unproven(#[from] Unproven),
    /// The other side said something it may not say now.
    #[error("the other side spoke out of turn")]
    OutOfTurn,
    /// We refuse what the other side said.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The other side refuses.
    #[error("the other side refuses: {0}")]
    TurnedDown(Refusal),
}

impl TalkError {
    /// What to tell the other side; nothing where it is gone or has told us.
    #[must_use]
    pub fn to_say(&self) -> Option<Refusal> {
        match self {
            Self::Frame(FrameError::TooLong { .. }) => Some(Refusal::new(Code::Limit, "the message is too long")),
            Self::Frame(FrameError::TooSlow(_)) => Some(Refusal::new(Code::Expired, "that took too long")),
            Self::Frame(_) | Self::Gone | Self::TurnedDown(_) => None,
            Self::Malformed(why) => Some((*why).into()),
            Self::Unproven(why) => Some((*why).into()),
            Self::OutOfTurn => Some(Refusal::new(Code::State, "this cannot be said now")),
            Self::Refused(refusal) => Some(refusal.clone()),
        }
    }

    /// Whether connecting again may help: nobody did anything wrong as far as we know.
    #[must_use]
    pub const fn is_a_broken_line(&self) -> bool {
        matches!(self, Self::Gone | Self::Frame(FrameError::Truncated | FrameError::Closed | FrameError::Io(_)))
    }
}
