//! Why there is no reply.

use farthing_core::refusal::{Code, Fault, Money, Refusal, Remedy};

/// Why a caller got no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// Refused: the request changed nothing.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The outcome is unknown: money may have moved. The same request, asked again later, tells;
    /// a new one may pay twice.
    #[error("the outcome is unknown and money may have moved; ask again later with the very same request")]
    Unknown,
    /// The driver has stopped, or its store has failed. This call did nothing; an earlier one with
    /// the same request may have.
    #[error("not taken: the service is stopping; ask again later with the very same request")]
    Down,
}

impl NoReply {
    /// The same as a refusal to send to whoever asked.
    #[must_use]
    pub fn into_refusal(self) -> Refusal {
        let money = match self {
            Self::Refused(refusal) => return refusal,
            Self::Unknown => Money::Unknown,
            Self::Down => Money::Unmoved,
        };
        Refusal::new(Code::State, self.to_string()).blame(Fault::Us).money(money).remedy(Remedy::Again)
    }
}

/// The refusal when too much is waiting.
pub(crate) fn busy() -> Refusal {
    Refusal::new(Code::Rate, "busy: too many requests are waiting; send the very same again in a moment")
        .blame(Fault::Us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_learns_from_every_answer_where_the_money_is() {
        assert_eq!(NoReply::Unknown.into_refusal().money, Money::Unknown);
        assert_eq!(NoReply::Unknown.into_refusal().remedy, Remedy::Again);
        assert_eq!(NoReply::Down.into_refusal().money, Money::Unmoved);
        let funds = Refusal::new(Code::Funds, "too little");
        assert_eq!(NoReply::Refused(funds.clone()).into_refusal(), funds);
    }
}
