//! What is said between a bank and its customers and operators, besides the schemes' own messages.
//!
//! A request is a [`RequestBody`](farthing_role::RequestBody) signed by its sender and sealed to
//! the bank; [`kind`] says how its message is to be read. The answer is an [`Answer`] signed by the
//! bank: refusals too, so that nobody on the way can turn a yes into a no.

mod answer;
mod banks;
mod clearing;
mod copies;
mod customer;
mod drafts;
mod operator;
mod public;
mod report;

pub use answer::{Answer, AnswerOutcome};
pub use banks::{
    CHEQUES_SHOWN_MAX, ChequeLine, ChequeList, DISCREPANCIES_MAX, Difference, OpenPeer, OpenRoute, PEERS_MAX, PeerDay,
    PeerDayOf, PeerLine, PeerList, PeerNamed, SettlePeer, URL_MAX,
};
pub use clearing::{About, CASES_LISTED_MAX, CaseList, FrameAnswer, ListCases, ListedCase};
pub use copies::{Presence, TakeOver};
pub use customer::{
    AccountOpened, Balances, Cases, Certify, DESTINATION_MAX, Deposit, Fund, LINES_SHOWN_MAX, Line, NOTE_MAX,
    OpenAccount, Payout, Progress, Statement, StatementOf, Text,
};
pub use drafts::{Closed, Confirmation, Enrolled};
pub use operator::{
    Decide, Decided, Direction, EVIDENCE_PART_BYTES, EVIDENCE_SHOWN_MAX, EvidenceList, EvidencePart, EvidencePartOf,
    EvidenceSummary, ListEvidence, ListPending, PENDING_SHOWN_MAX, Pending, PendingList, Suspend, Suspended,
};
pub use public::{BankInfo, LiabilityReport, NAME_MAX, network_of};
pub use report::{CustomerReport, DraftKey, Finding, JudgeStop, OpenStop, Pardon, Standing, StopReason};

/// The bank's own numbering of requests. Each scheme numbers its own:
/// [`farthing_netpay::messages::kind`], [`farthing_coupon::messages::kind`],
/// [`farthing_clearing::messages::kind`], [`farthing_draft::messages::kind`],
/// [`farthing_draft::interbank::messages::kind`].
pub mod kind {
    /// [`OpenAccount`](super::OpenAccount), answered by [`AccountOpened`](super::AccountOpened).
    pub const OPEN_ACCOUNT: u16 = 0x0010;
    /// [`Certify`](super::Certify), answered by a signed
    /// [`Certificate`](farthing_core::cert::Certificate).
    pub const CERTIFY: u16 = 0x0011;
    /// [`StatementOf`](super::StatementOf), answered by [`Statement`](super::Statement).
    pub const STATEMENT: u16 = 0x0012;
    /// [`Deposit`](super::Deposit), answered by [`Balances`](super::Balances).
    pub const DEPOSIT: u16 = 0x0013;
    /// [`Fund`](super::Fund), answered by [`Progress`](super::Progress).
    pub const FUND: u16 = 0x0014;
    /// [`Payout`](super::Payout), answered by [`Progress`](super::Progress).
    pub const PAYOUT: u16 = 0x0015;
    /// An empty message, answered by [`Cases`](super::Cases).
    pub const CASES: u16 = 0x0016;
    /// [`TakeOver`](super::TakeOver), answered by [`Presence`](super::Presence).
    pub const TAKE_OVER: u16 = 0x0017;

    /// Operators: [`ListPending`](super::ListPending), answered by
    /// [`PendingList`](super::PendingList).
    pub const LIST_PENDING: u16 = 0x0020;
    /// Operators: [`Decide`](super::Decide), answered by [`Decided`](super::Decided).
    pub const DECIDE: u16 = 0x0021;
    /// Operators: [`Suspend`](super::Suspend), answered by [`Suspended`](super::Suspended).
    pub const SUSPEND: u16 = 0x0022;
    /// Operators: [`ListEvidence`](super::ListEvidence), answered by
    /// [`EvidenceList`](super::EvidenceList).
    pub const LIST_EVIDENCE: u16 = 0x0023;
    /// Operators: [`EvidencePartOf`](super::EvidencePartOf), answered by
    /// [`EvidencePart`](super::EvidencePart).
    pub const EVIDENCE_PART: u16 = 0x0024;
    /// Operators: [`ListCases`](super::ListCases), answered by [`CaseList`](super::CaseList).
    pub const LIST_CASES: u16 = 0x0025;
    /// Operators: [`About`](super::About), whose dispute over its books is settled; answered by the
    /// same.
    pub const SETTLE_DISPUTE: u16 = 0x0026;
    /// Operators: [`About`](super::About), whose key for clearing is replaced; answered by the same.
    pub const RETIRE_KEY: u16 = 0x0027;
    /// Operators: [`Pardon`](super::Pardon), answered by the same.
    pub const PARDON: u16 = 0x0028;
    /// Operators: [`JudgeStop`](super::JudgeStop), answered by the same.
    pub const JUDGE_STOP: u16 = 0x0029;
    /// Operators: [`About`](super::About), answered by [`CustomerReport`](super::CustomerReport).
    pub const REPORT: u16 = 0x002a;

    /// Operators: [`OpenPeer`](super::OpenPeer), answered by [`PeerNamed`](super::PeerNamed).
    pub const OPEN_PEER: u16 = 0x0030;
    /// Operators: an empty message, answered by [`PeerList`](super::PeerList).
    pub const LIST_PEERS: u16 = 0x0031;
    /// Operators: [`PeerNamed`](super::PeerNamed), answered by the same.
    pub const CLOSE_PEER: u16 = 0x0032;
    /// Operators: [`OpenRoute`](super::OpenRoute), answered by [`PeerNamed`](super::PeerNamed).
    pub const OPEN_ROUTE: u16 = 0x0033;
    /// Operators: [`SettlePeer`](super::SettlePeer), answered by [`Progress`](super::Progress).
    pub const SETTLE_PEER: u16 = 0x0034;
    /// Operators: [`PeerDayOf`](super::PeerDayOf), answered by [`PeerDay`](super::PeerDay).
    pub const PEER_DAY: u16 = 0x0035;
    /// Operators: an empty message, answered by [`ChequeList`](super::ChequeList).
    pub const LIST_CHEQUES: u16 = 0x0036;

    /// What a kind is called in logs and metrics; all that are unknown are called the same, so that
    /// nobody makes up names there.
    #[must_use]
    pub const fn name(kind: u16) -> &'static str {
        use farthing_clearing::messages::kind as clearing;
        use farthing_coupon::messages::kind as coupon;
        use farthing_draft::interbank::messages::kind as cheque;
        use farthing_draft::messages::kind as draft;
        use farthing_netpay::messages::kind as netpay;
        match kind {
            OPEN_ACCOUNT => "open-account",
            CERTIFY => "certify",
            STATEMENT => "statement",
            DEPOSIT => "deposit",
            FUND => "fund",
            PAYOUT => "payout",
            CASES => "cases",
            LIST_PENDING => "list-pending",
            DECIDE => "decide",
            SUSPEND => "suspend",
            LIST_EVIDENCE => "list-evidence",
            EVIDENCE_PART => "evidence-part",
            TAKE_OVER => "take-over",
            LIST_CASES => "list-cases",
            SETTLE_DISPUTE => "settle-dispute",
            RETIRE_KEY => "retire-key",
            PARDON => "pardon",
            JUDGE_STOP => "judge-stop",
            REPORT => "report",
            OPEN_PEER => "open-peer",
            LIST_PEERS => "list-peers",
            CLOSE_PEER => "close-peer",
            OPEN_ROUTE => "open-route",
            SETTLE_PEER => "settle-peer",
            PEER_DAY => "peer-day",
            LIST_CHEQUES => "list-cheques",
            netpay::OPEN => "netpay-open",
            netpay::REGISTER => "netpay-register",
            netpay::CLAIM => "netpay-claim",
            netpay::ASK_RELEASE => "netpay-ask-release",
            netpay::DEFEND => "netpay-defend",
            coupon::AUTHORISE => "coupon-authorise",
            coupon::INQUIRE => "coupon-inquire",
            coupon::CLEAR => "coupon-clear",
            coupon::REFUND => "coupon-refund",
            clearing::ENROL => "clearing-enrol",
            clearing::ROTATE => "clearing-rotate",
            draft::DEPOSIT => "draft-deposit",
            draft::CONFIRM => "draft-confirm",
            draft::STOP => "draft-stop",
            draft::PROVE => "draft-prove",
            draft::ENROL => "draft-enrol",
            draft::RECONCILE => "draft-reconcile",
            draft::LOG_PAGE => "draft-log-page",
            draft::CLOSE => "draft-close",
            cheque::PRESENT => "cheque-present",
            cheque::CERTIFY => "cheque-certify",
            cheque::CASHIER => "cheque-cashier",
            cheque::PAGE => "cheque-page",
            cheque::INQUIRE => "cheque-inquire",
            _ => "unknown",
        }
    }
}

/// The longest message inside a request: 192 KiB. With its signatures it still fits one statement
/// of evidence, and one answer.
pub const REQUEST_MESSAGE_MAX: usize = 192 << 10;

/// The longest body of an HTTP request: a message of [`REQUEST_MESSAGE_MAX`], signed and sealed.
pub const REQUEST_BYTES_MAX: usize = REQUEST_MESSAGE_MAX + 1_024;

const _: () = assert!(REQUEST_BYTES_MAX <= farthing_core::sign::BODY_MAX, "a request fits a statement");

/// The media type of requests and answers.
pub const CBOR: &str = "application/cbor";
