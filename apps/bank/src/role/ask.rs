//! Reading requests.

use farthing_core::refusal::{Code, Refusal};
use farthing_core::wire::{self, Wire};
use farthing_coupon::bank::{CheckedAuth, CheckedClearings};
use farthing_coupon::clearing::Refund;
use farthing_coupon::messages::{Inquiry, kind as coupon};
use farthing_netpay::bank::CheckedClaims;
use farthing_netpay::messages::{AskRelease, Defend, OpenChain, Register, kind as netpay};

use crate::messages::{
    Certify, Decide, Deposit, EvidencePartOf, Fund, ListEvidence, ListPending, OpenAccount, Payout, StatementOf,
    Suspend, kind,
};

/// What somebody asks for.
pub(super) enum Ask {
    OpenAccount(OpenAccount),
    Certify(Certify),
    Statement(StatementOf),
    Deposit(Deposit),
    Fund(Fund),
    Payout(Payout),
    Cases,
    ListPending(ListPending),
    Decide(Decide),
    Suspend(Suspend),
    ListEvidence(ListEvidence),
    EvidencePart(EvidencePartOf),
    OpenChain(Box<OpenChain>),
    Register(Box<Register>),
    Claim(Box<CheckedClaims>),
    Release(Box<AskRelease>),
    Defend(Box<Defend>),
    Authorise(Box<CheckedAuth>),
    Inquire(Inquiry),
    Clear(Box<CheckedClearings>),
    Refund(Refund),
}

/// Reads a request of any kind whose check needs nothing but its bytes: claims, authorisations and
/// clearings take more.
pub(super) fn read(kind: u16, bytes: &[u8]) -> Result<Ask, Refusal> {
    Ok(match kind {
        kind::OPEN_ACCOUNT => Ask::OpenAccount(message(bytes)?),
        kind::CERTIFY => Ask::Certify(message(bytes)?),
        kind::STATEMENT => Ask::Statement(message(bytes)?),
        kind::DEPOSIT => Ask::Deposit(message(bytes)?),
        kind::FUND => Ask::Fund(message(bytes)?),
        kind::PAYOUT => Ask::Payout(message(bytes)?),
        kind::CASES if bytes.is_empty() => Ask::Cases,
        kind::CASES => return Err(Refusal::new(Code::Malformed, "this request has no message")),
        kind::LIST_PENDING => Ask::ListPending(message(bytes)?),
        kind::DECIDE => Ask::Decide(message(bytes)?),
        kind::SUSPEND => Ask::Suspend(message(bytes)?),
        kind::LIST_EVIDENCE => Ask::ListEvidence(message(bytes)?),
        kind::EVIDENCE_PART => Ask::EvidencePart(message(bytes)?),
        netpay::OPEN => Ask::OpenChain(message(bytes)?),
        netpay::REGISTER => Ask::Register(message(bytes)?),
        netpay::ASK_RELEASE => Ask::Release(message(bytes)?),
        netpay::DEFEND => Ask::Defend(message(bytes)?),
        coupon::INQUIRE => Ask::Inquire(message(bytes)?),
        coupon::REFUND => Ask::Refund(message(bytes)?),
        _ => {
            let why = "this bank does not know such a request: it may be older than your program";
            return Err(Refusal::new(Code::Version, why));
        }
    })
}

/// Reads a message of a known kind.
pub(super) fn message<M: Wire>(bytes: &[u8]) -> Result<M, Refusal> {
    wire::decode(bytes).map_err(Refusal::from)
}
