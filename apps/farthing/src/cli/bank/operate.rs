//! What operators do. They ask the bank's server as anybody does, with the key of their own wallet.

use std::path::Path;

use farthing_bank::client::{AskError, BankClient};
use farthing_bank::messages::{Decided, Direction};
use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::id::{PeerId, RequestId};
use farthing_core::refusal::Money;
use farthing_core::sign::SecretKey;
use farthing_driver::{Clock, SystemClock};
use farthing_peer::wallet::Wallet;
use serde_json::json;

use super::super::App;
use crate::fail::{Context, Failure, Kind};
use crate::show::{Column, bytes, moment, table};

/// The longest piece of evidence fetched.
const EVIDENCE_BYTES_MAX: u32 = 16 << 20;

/// An operator at work.
pub(super) struct Operator {
    pub(super) bank: BankClient,
    wallet: Wallet,
}

impl Operator {
    pub(super) async fn of(app: &App) -> Result<Self, Failure> {
        if !app.settings.wallet_home().exists() {
            let home = app.settings.home.display();
            return Err(Failure::usage(format_args!(
                "operators do this with their own wallet; there is none in {home}"
            ))
            .next("name the home folder of an operator's wallet: --home DIR"));
        }
        let (wallet, bank) = crate::peer::owner(app).await?;
        Ok(Self { bank, wallet })
    }

    pub(super) fn key(&self) -> &SecretKey {
        self.wallet.key()
    }

    pub(super) fn id() -> Result<RequestId, Failure> {
        Ok(BankClient::new_id(SystemClock.now())?)
    }
}

/// Shows what waits for a decision.
pub(super) async fn pending(app: &App) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let list = operator.bank.pending(operator.key(), Operator::id()?, 0).await?;
    let items = list.items.as_slice();
    let way = |direction: Direction| match direction {
        Direction::In => "in",
        Direction::Out => "out",
        Direction::FromBank => "from a bank",
        Direction::ToBank => "to a bank",
    };
    let json: Vec<_> = items
        .iter()
        .map(|item| {
            json!({
                "number": item.number, "direction": way(item.direction), "customer": item.customer,
                "amount": item.amount, "note": item.note.as_str(), "until": moment(item.until),
                "approved_by": item.approved,
            })
        })
        .collect();
    app.out.result(&json!({ "pending": json }), || {
        if items.is_empty() {
            return "Nothing waits.".to_owned();
        }
        let columns = [
            Column::Number("number"),
            Column::Text("way"),
            Column::Number("amount"),
            Column::Text("customer"),
            Column::Text("approved by"),
            Column::Text("until (UTC)"),
            Column::Text("note"),
        ];
        let rows = items.iter().map(|item| {
            [
                item.number.to_string(),
                way(item.direction).to_owned(),
                item.amount.to_string(),
                item.customer.short(),
                item.approved.map_or_else(|| "nobody yet".to_owned(), |who| who.short()),
                moment(item.until),
                item.note.as_str().to_owned(),
            ]
        });
        table(&columns, rows)
    })
}

/// Approves or rejects.
pub(super) async fn decide(app: &App, number: u64, approve: bool) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let decided = operator.bank.decide(operator.key(), Operator::id()?, number, approve).await?;
    let (name, words) = match decided {
        Decided::OneOfTwo => ("one-of-two", "Noted. Another operator must approve it too."),
        Decided::CarriedOut => ("carried-out", "Both have approved, and the money has moved."),
        Decided::Rejected => ("rejected", "Rejected. What was set aside went back."),
    };
    app.out.result(&json!({ "number": number, "decided": name }), || words)
}

/// Suspends a customer, or lets it go on.
pub(super) async fn suspend(app: &App, customer: PeerId, suspended: bool) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let done = operator.bank.suspend(operator.key(), Operator::id()?, customer, suspended).await?;
    let words =
        if done.suspended { "Nothing leaves this account any more." } else { "Money may leave this account again." };
    app.out.result(&json!({ "customer": done.customer, "suspended": done.suspended }), || words)
}

/// Lists the evidence.
pub(super) async fn evidence(app: &App) -> Result<(), Failure> {
    let operator = Operator::of(app).await?;
    let list = operator.bank.evidence(operator.key(), Operator::id()?, None).await?;
    let items = list.items.as_slice();
    let json: Vec<_> = items
        .iter()
        .map(|item| {
            json!({
                "id": hex::encode(item.id), "accused": item.accused, "kind": kind_name(item.kind).to_owned(),
                "verdict": verdict_name(item.verdict).to_owned(), "filed": moment(item.filed), "bytes": item.bytes,
            })
        })
        .collect();
    app.out.result(&json!({ "evidence": json }), || {
        if items.is_empty() {
            return "No evidence was filed.".to_owned();
        }
        let columns = [
            Column::Text("id"),
            Column::Text("against"),
            Column::Text("of"),
            Column::Text("verdict"),
            Column::Text("filed (UTC)"),
            Column::Number("length"),
        ];
        let rows = items.iter().map(|item| {
            [
                hex::encode(item.id),
                item.accused.short(),
                kind_name(item.kind).to_owned(),
                verdict_name(item.verdict).to_owned(),
                moment(item.filed),
                bytes(item.bytes.into()),
            ]
        });
        table(&columns, rows)
    })
}

const fn kind_name(kind: EvidenceKind) -> &'static str {
    match kind {
        EvidenceKind::LogFork => "two histories",
        EvidenceKind::RequestFork => "two requests under one id",
        EvidenceKind::DoubleReserve => "units reserved twice",
        EvidenceKind::ClaimBeyondRelease => "claimed what was released",
        EvidenceKind::InvoiceFork => "two invoices under one number",
        EvidenceKind::AuthorisationFork => "two answers of the bank about one purchase",
        EvidenceKind::OrderLogFork => "two logs over the same coupons",
        EvidenceKind::BrokenPromise => "sealed goods that break the promise",
        EvidenceKind::DraftFork => "two drafts under one number",
        EvidenceKind::StopAfterDelivery => "stopped a draft whose goods it acknowledged",
        EvidenceKind::DepositAfterReturn => "deposited a draft that it had given back",
        EvidenceKind::ConcealedDraft => "a log that leaves out a draft",
        EvidenceKind::DepositReceiptFork => "two deposits under one receipt number",
        EvidenceKind::ClearingRequestFork => "two requests under one sequence number",
        EvidenceKind::ClearingReceiptFork => "two receipts for one authorisation",
        EvidenceKind::ClearingLogFork => "two logs of one epoch",
        EvidenceKind::TitleFork => "handed on twice",
        EvidenceKind::OutcomeFork => "two answers to one cheque",
        EvidenceKind::OutcomeDenied => "a statement that leaves out a cleared cheque",
        EvidenceKind::FalseOutcome => "an answer that the cheque rules out",
        EvidenceKind::StatementFork => "two statements of one day",
    }
}

const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Guilty(_) => "guilty",
        Verdict::Insufficient => "not shown",
    }
}

/// Fetches one piece of evidence into a file, for anybody to judge.
pub(super) async fn fetch(app: &App, id: &str, file: &Path) -> Result<(), Failure> {
    let wrong = || Failure::usage("this is no piece of evidence").next("see them all: farthing bank evidence");
    let piece: [u8; 16] = hex::decode(id).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)?;
    let operator = Operator::of(app).await?;
    let mut whole = Vec::new();
    loop {
        let offset = u32::try_from(whole.len()).map_err(Failure::other)?;
        let part = operator.bank.evidence_part(operator.key(), Operator::id()?, piece, offset).await?;
        if part.total > EVIDENCE_BYTES_MAX || part.bytes.is_empty() {
            return Err(Failure::other("the bank sends evidence that is too long or has no end"));
        }
        whole.extend_from_slice(&part.bytes);
        if whole.len() >= part.total as usize {
            break;
        }
    }
    std::fs::write(file, &whole).or_fail(format_args!("cannot write {}", file.display()))?;
    app.out.result(&json!({ "file": file, "bytes": whole.len() }), || {
        format!("{} of evidence in {}", bytes(whole.len() as u64), file.display())
    })
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused { refusal, .. } => refusal.into(),
            AskError::NotSent(_) => Self::new(Kind::NotReachable, "the bank does not answer")
                .money(Money::Unmoved)
                .next("see that it runs and that its address is right: farthing doctor"),
            AskError::Unknown(_) => Self::new(Kind::OutcomeUnknown, "the bank's answer went missing on the way")
                .money(Money::Unknown)
                .next("run the same command again"),
        }
    }
}
