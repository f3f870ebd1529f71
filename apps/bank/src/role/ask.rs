//! Reading requests.

use farthing_clearing::messages::{Enrol, Rotate, kind as clearing};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::wire::{self, Wire};
use farthing_coupon::bank::{CheckedAuth, CheckedClearings};
use farthing_coupon::clearing::Refund;
use farthing_coupon::messages::{Inquiry, kind as coupon};
use farthing_draft::interbank::messages::kind as cheque;
use farthing_draft::messages::kind as draft;
use farthing_netpay::bank::CheckedClaims;
use farthing_netpay::messages::{AskRelease, Defend, OpenChain, Register, kind as netpay};

use super::drafts::{ChequeAsk, DraftAsk};
use crate::messages::{
    About, Certify, Decide, Deposit, EvidencePartOf, Fund, JudgeStop, ListCases, ListEvidence, ListPending,
    OpenAccount, OpenPeer, OpenRoute, Pardon, Payout, PeerDayOf, PeerNamed, SettlePeer, StatementOf, Suspend, TakeOver,
    kind,
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
    TakeOver(TakeOver),
    Office(OfficeAsk),
    OpenChain(Box<OpenChain>),
    Register(Box<Register>),
    Claim(Box<CheckedClaims>),
    Release(Box<AskRelease>),
    Defend(Box<Defend>),
    Authorise(Box<CheckedAuth>),
    Inquire(Inquiry),
    Clear(Box<CheckedClearings>),
    Refund(Refund),
    EnrolClearing(Enrol),
    RotateClearing(Rotate),
    Draft(DraftAsk),
    Cheque(ChequeAsk),
}

/// What operators ask for.
pub(super) enum OfficeAsk {
    ListPending(ListPending),
    Decide(Decide),
    Suspend(Suspend),
    ListEvidence(ListEvidence),
    EvidencePart(EvidencePartOf),
    ListCases(ListCases),
    SettleDispute(About),
    RetireKey(About),
    Pardon(Pardon),
    JudgeStop(JudgeStop),
    Report(About),
    OpenPeer(Box<OpenPeer>),
    ListPeers,
    ClosePeer(PeerNamed),
    OpenRoute(OpenRoute),
    SettlePeer(SettlePeer),
    PeerDay(PeerDayOf),
    ListCheques,
}

/// Reads a request of any kind whose check needs nothing but its bytes: claims, authorisations,
/// clearings, deposited drafts and cheques take more.
pub(super) fn read(kind: u16, bytes: &[u8]) -> Result<Ask, Refusal> {
    Ok(match kind {
        kind::OPEN_ACCOUNT => Ask::OpenAccount(message(bytes)?),
        kind::CERTIFY => Ask::Certify(message(bytes)?),
        kind::STATEMENT => Ask::Statement(message(bytes)?),
        kind::DEPOSIT => Ask::Deposit(message(bytes)?),
        kind::FUND => Ask::Fund(message(bytes)?),
        kind::PAYOUT => Ask::Payout(message(bytes)?),
        kind::CASES => empty(bytes).map(|()| Ask::Cases)?,
        kind::TAKE_OVER => Ask::TakeOver(message(bytes)?),
        netpay::OPEN => Ask::OpenChain(message(bytes)?),
        netpay::REGISTER => Ask::Register(message(bytes)?),
        netpay::ASK_RELEASE => Ask::Release(message(bytes)?),
        netpay::DEFEND => Ask::Defend(message(bytes)?),
        coupon::INQUIRE => Ask::Inquire(message(bytes)?),
        coupon::REFUND => Ask::Refund(message(bytes)?),
        clearing::ENROL => Ask::EnrolClearing(message(bytes)?),
        clearing::ROTATE => Ask::RotateClearing(message(bytes)?),
        draft::ENROL => Ask::Draft(DraftAsk::Enrol(message(bytes)?)),
        draft::RECONCILE => Ask::Draft(DraftAsk::Reconcile(message(bytes)?)),
        draft::CLOSE => Ask::Draft(DraftAsk::Close(message(bytes)?)),
        draft::CONFIRM => Ask::Draft(DraftAsk::Confirm(message(bytes)?)),
        draft::STOP => Ask::Draft(DraftAsk::Stop(message(bytes)?)),
        draft::PROVE => Ask::Draft(DraftAsk::Prove(message(bytes)?)),
        cheque::CERTIFY => Ask::Cheque(ChequeAsk::Certify(message(bytes)?)),
        cheque::CASHIER => Ask::Cheque(ChequeAsk::Cashier(message(bytes)?)),
        cheque::PAGE => Ask::Cheque(ChequeAsk::Page(message(bytes)?)),
        cheque::INQUIRE => Ask::Cheque(ChequeAsk::Inquire(message(bytes)?)),
        _ => Ask::Office(office(kind, bytes)?),
    })
}

fn office(kind: u16, bytes: &[u8]) -> Result<OfficeAsk, Refusal> {
    Ok(match kind {
        kind::LIST_PENDING => OfficeAsk::ListPending(message(bytes)?),
        kind::DECIDE => OfficeAsk::Decide(message(bytes)?),
        kind::SUSPEND => OfficeAsk::Suspend(message(bytes)?),
        kind::LIST_EVIDENCE => OfficeAsk::ListEvidence(message(bytes)?),
        kind::EVIDENCE_PART => OfficeAsk::EvidencePart(message(bytes)?),
        kind::LIST_CASES => OfficeAsk::ListCases(message(bytes)?),
        kind::SETTLE_DISPUTE => OfficeAsk::SettleDispute(message(bytes)?),
        kind::RETIRE_KEY => OfficeAsk::RetireKey(message(bytes)?),
        kind::PARDON => OfficeAsk::Pardon(message(bytes)?),
        kind::JUDGE_STOP => OfficeAsk::JudgeStop(message(bytes)?),
        kind::REPORT => OfficeAsk::Report(message(bytes)?),
        kind::OPEN_PEER => OfficeAsk::OpenPeer(message(bytes)?),
        kind::LIST_PEERS => empty(bytes).map(|()| OfficeAsk::ListPeers)?,
        kind::CLOSE_PEER => OfficeAsk::ClosePeer(message(bytes)?),
        kind::OPEN_ROUTE => OfficeAsk::OpenRoute(message(bytes)?),
        kind::SETTLE_PEER => OfficeAsk::SettlePeer(message(bytes)?),
        kind::PEER_DAY => OfficeAsk::PeerDay(message(bytes)?),
        kind::LIST_CHEQUES => empty(bytes).map(|()| OfficeAsk::ListCheques)?,
        _ => {
            let why = "this bank does not know such a request: it may be older than your program";
            return Err(Refusal::new(Code::Version, why));
        }
    })
}

fn empty(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.is_empty() { Ok(()) } else { Err(Refusal::new(Code::Malformed, "this request has no message")) }
}

/// Reads a message of a known kind.
pub(super) fn message<M: Wire>(bytes: &[u8]) -> Result<M, Refusal> {
    wire::decode(bytes).map_err(Refusal::from)
}
