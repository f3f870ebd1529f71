//! One family of refusals: what was wrong, whose doing, whether money may have moved, what next.

use std::borrow::Cow;

use minicbor::{Decode, Encode};

/// What was wrong (protocol book §1.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Not a message at all, or not in canonical form.
    #[n(0)]
    Malformed,
    /// A version or feature this side does not speak.
    #[n(1)]
    Version,
    /// Sealed for somebody else, or damaged.
    #[n(2)]
    Decrypt,
    /// A signature that does not hold.
    #[n(3)]
    Signature,
    /// A certificate that is missing, unknown or not enough.
    #[n(4)]
    Certificate,
    /// The clock of the refusing side stands before a signed time.
    #[n(5)]
    Clock,
    /// Too late.
    #[n(6)]
    Expired,
    /// Too early.
    #[n(7)]
    NotYet,
    /// Said before.
    #[n(8)]
    Replay,
    /// Out of sequence.
    #[n(9)]
    Sequence,
    /// The two sides must compare their books first.
    #[n(10)]
    Reconcile,
    /// The audit log does not fit.
    #[n(11)]
    Log,
    /// Nobody and nothing by that name.
    #[n(12)]
    Unknown,
    /// Meant for another payee.
    #[n(13)]
    NotPayee,
    /// An amount of nothing, too large, or of the wrong currency.
    #[n(14)]
    Amount,
    /// Not enough money.
    #[n(15)]
    Funds,
    /// A named limit would be exceeded.
    #[n(16)]
    Limit,
    /// A word that does not lie on its chain.
    #[n(17)]
    Chain,
    /// An index outside what was reserved, or not above the last.
    #[n(18)]
    Range,
    /// Paid out already.
    #[n(19)]
    Spent,
    /// Contradicts something said before; kept as evidence.
    #[n(20)]
    Conflict,
    /// The goods are not what was ordered.
    #[n(21)]
    Goods,
    /// The order is unknown, closed or different.
    #[n(22)]
    Order,
    /// Not possible in this state.
    #[n(23)]
    State,
    /// The account is suspended.
    #[n(24)]
    Suspended,
    /// Somebody's policy forbids it.
    #[n(25)]
    Policy,
    /// Too much at once.
    #[n(26)]
    Rate,
    /// A restored copy that must be confirmed first.
    #[n(27)]
    Epoch,
    /// A puzzle unsolved.
    #[n(28)]
    Puzzle,
    /// Too few signatures of a set.
    #[n(29)]
    Quorum,
}

/// Whose doing it is that a request was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The sender's.
    #[n(0)]
    Sender,
    /// The refusing side's.
    #[n(1)]
    Us,
    /// Perhaps nobody's: a race, a lost answer, a moment too late.
    #[n(2)]
    Nobody,
    /// Somebody else's, whom the evidence names.
    #[n(3)]
    Third,
}

/// Whether money may have moved in spite of the refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Money {
    /// None has.
    #[n(0)]
    Unmoved,
    /// Unknown: ask again with the very same request, never with a new one.
    #[n(1)]
    Unknown,
    /// It has, by an earlier request.
    #[n(2)]
    MovedBefore,
}

/// What the sender does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// Nothing will help; stop.
    #[n(0)]
    Stop,
    /// Send the very same bytes again, later.
    #[n(1)]
    Again,
    /// Mend the request and send a new one.
    #[n(2)]
    Mend,
    /// Put money into the account first.
    #[n(3)]
    Fund,
    /// Get a new certificate first.
    #[n(4)]
    Renew,
    /// Compare books with the other side first.
    #[n(5)]
    Reconcile,
    /// Talk to the operator, or bring the evidence to the judge.
    #[n(6)]
    Appeal,
}

/// A refusal: the request changed nothing, and here is why.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// What was wrong.
    #[n(0)]
    pub code: Code,
    /// Whose doing.
    #[n(1)]
    pub fault: Fault,
    /// Whether money may have moved.
    #[n(2)]
    pub money: Money,
    /// What to do next.
    #[n(3)]
    pub remedy: Remedy,
    /// The same for people, in a sentence.
    #[n(4)]
    pub detail: Cow<'static, str>,
}

impl Refusal {
    /// The sender's mistake, no money moved; the remedy is the usual one of the code.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let (fault, money, remedy) = match code {
            Code::Expired | Code::NotYet | Code::Rate => (Fault::Nobody, Money::Unmoved, Remedy::Again),
            Code::Clock => (Fault::Us, Money::Unmoved, Remedy::Again),
            Code::Funds => (Fault::Sender, Money::Unmoved, Remedy::Fund),
            Code::Certificate => (Fault::Sender, Money::Unmoved, Remedy::Renew),
            Code::Reconcile | Code::Epoch | Code::Log => (Fault::Nobody, Money::Unmoved, Remedy::Reconcile),
            Code::Suspended | Code::Conflict => (Fault::Sender, Money::Unmoved, Remedy::Appeal),
            Code::Spent | Code::Replay => (Fault::Nobody, Money::MovedBefore, Remedy::Stop),
            Code::Limit | Code::Amount | Code::Range | Code::Order | Code::Policy => {
                (Fault::Sender, Money::Unmoved, Remedy::Mend)
            }
            _ => (Fault::Sender, Money::Unmoved, Remedy::Stop),
        };
        Self { code, fault, money, remedy, detail: detail.into() }
    }

    /// The same, with another party to blame.
    #[must_use]
    pub fn blame(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    /// The same, with another remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = remedy;
        self
    }

    /// The same, with another answer to where the money is.
    #[must_use]
    pub fn money(mut self, money: Money) -> Self {
        self.money = money;
        self
    }
}

impl From<crate::sign::Unproven> for Refusal {
    fn from(why: crate::sign::Unproven) -> Self {
        let code = match why {
            crate::sign::Unproven::Malformed => Code::Malformed,
            _ => Code::Signature,
        };
        Self::new(code, why.to_string())
    }
}

impl From<crate::wire::Malformed> for Refusal {
    fn from(why: crate::wire::Malformed) -> Self {
        Self::new(Code::Malformed, why.to_string())
    }
}

impl From<crate::time::ClockBehind> for Refusal {
    fn from(why: crate::time::ClockBehind) -> Self {
        Self::new(Code::Clock, why.to_string())
    }
}

impl From<crate::amount::AmountError> for Refusal {
    fn from(why: crate::amount::AmountError) -> Self {
        Self::new(Code::Amount, why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_wire() {
        let refusal = Refusal::new(Code::Funds, "the account holds 0.50 USD, the chain costs 1.00 USD");
        let bytes = crate::wire::encode(&refusal);
        assert_eq!(crate::wire::decode::<Refusal>(&bytes).unwrap(), refusal);
        assert_eq!(refusal.remedy, Remedy::Fund);
    }
}
