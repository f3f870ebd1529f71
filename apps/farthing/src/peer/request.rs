//! What can be asked of an open wallet, and the answers: for another process, and for `--json`.

use std::path::PathBuf;

use farthing_client::Closed;
use farthing_core::amount::Amount;
use farthing_core::id::{ContentId, NetworkId, OrderId, PeerId};
use serde::{Deserialize, Serialize};

use super::money;
use crate::fail::Failure;
use crate::secrets::Hidden;

/// What can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Whether anybody is there.
    Ping,
    /// What there is.
    Standing,
    /// Money from outside.
    Fund { amount: Amount, note: String },
    /// Money to outside.
    Payout { amount: Amount, to: String },
    /// Money into the deposit, or out of it.
    Deposit { amount: Amount, withdraw: bool },
    /// What was earned and not redeemed.
    Earnings,
    /// Redeem all of it.
    Redeem,
    /// What could be lost.
    Exposure,
    /// What happened, the last lines.
    History { limit: usize },
    /// Every receipt.
    Receipts,
    /// End the sessions with a web site.
    EndSessions { site: String },
    /// Compare books with the bank after a restore.
    Reconcile,
    /// Write a backup, protected as the wallet is.
    Backup { file: PathBuf, passphrase: Option<Hidden> },
    /// Buy a file.
    Buy(Buy),
    /// Sell what the shares say now: to whoever sells.
    Reshare,
    /// Pay somebody.
    Pay(money::Pay),
    /// Hand over what could not be handed over before, to a payee that is perhaps there.
    Resume { at: Option<String> },
    /// Ask to be paid.
    AskFor(money::AskFor),
    /// Wait until a request is paid.
    AwaitPaid { order: OrderId },
    /// Take a payment that came as text.
    Take { text: String },
    /// Take in a receipt that came as text.
    TakeReceipt { text: String },
    /// The owner's names for others.
    Contacts,
    /// One more.
    AddContact(money::Known),
    /// Another name.
    RenameContact { name: String, new: String },
    /// One less.
    RemoveContact { name: String },
    /// Drafts written and held.
    Drafts,
    /// Have the bank pay those held.
    DepositDrafts,
    /// Have the bank not pay one written.
    StopDraft { draft: String },
    /// Show the bank what became of one that was stopped.
    DisputeDraft { draft: String },
}

/// A purchase.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Buy {
    /// Which content.
    pub(crate) content: ContentId,
    /// Where to.
    pub(crate) folder: PathBuf,
    /// The most to spend.
    pub(crate) most: Amount,
    /// A part of it is welcome, where that is not enough for all of it.
    #[serde(default)]
    pub(crate) partial: bool,
    /// By what many pieces are paid for together; by units of a chain, one by one, if nothing is named.
    #[serde(default)]
    pub(crate) scheme: Option<farthing_peer::wallet::Scheme>,
    /// Which index to ask who sells it.
    pub(crate) index: String,
}

impl Request {
    /// As it is asked.
    pub(crate) fn to_json(&self) -> Result<serde_json::Value, Failure> {
        serde_json::to_value(self).map_err(Failure::other)
    }

    /// What to say while it is carried out.
    pub(crate) const fn doing(&self) -> &'static str {
        match self {
            Self::Fund { .. } | Self::Payout { .. } | Self::Deposit { .. } => "asking the bank",
            Self::Redeem => "redeeming",
            Self::Reconcile => "comparing books with the bank",
            Self::Backup { .. } => "writing the backup",
            Self::Buy(_) => "buying",
            Self::Pay(pay) if !pay.dry_run => "paying",
            Self::Resume { .. } => "handing over what had waited",
            Self::DepositDrafts | Self::StopDraft { .. } | Self::DisputeDraft { .. } => "asking the bank",
            _ => "looking",
        }
    }
}

/// What came of ending sessions with a web site.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionsEnded {
    /// How many ended.
    pub(crate) closed: u32,
    /// What was set aside for them at the bank.
    pub(crate) held: Amount,
    /// What the seller charged, by its own word on each payment.
    pub(crate) charged: Amount,
    /// Paid without such a word.
    pub(crate) unanswered: Amount,
    /// What comes back at the least.
    pub(crate) returns: Amount,
}

impl SessionsEnded {
    /// Of what the client says.
    pub(crate) fn of(closed: &Closed) -> Result<Self, Failure> {
        let Closed { sessions, held, charged, unanswered } = *closed;
        let paid = charged.checked_add(unanswered).map_err(Failure::other)?;
        let returns = held.checked_sub(paid).map_err(Failure::other)?;
        Ok(Self { closed: sessions, held, charged, unanswered, returns })
    }
}

/// How a purchase goes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Pieces in place.
    pub(crate) pieces: u64,
    /// Pieces in all.
    pub(crate) of: u64,
    /// Bytes in place.
    pub(crate) bytes: u64,
    /// Spent so far.
    pub(crate) spent: Amount,
}

/// What there is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Whose wallet.
    pub(crate) peer: PeerId,
    /// Where the bank is.
    pub(crate) bank: String,
    /// In the account at the bank; nothing if the bank does not answer.
    pub(crate) balance: Option<Amount>,
    /// Of that, set aside for pay-outs.
    pub(crate) held: Option<Amount>,
    /// Deposited against cheating.
    pub(crate) deposit: Option<Amount>,
    /// Ready to be spent without the bank.
    pub(crate) ready: Amount,
    /// Set aside for sessions with web sites, and not spent in them.
    pub(crate) in_sessions: Amount,
    /// Earned and not redeemed.
    pub(crate) unredeemed: Amount,
    /// Spent so far.
    pub(crate) spent: Amount,
    /// The bank lets nothing leave.
    pub(crate) suspended: bool,
    /// Restored, and not yet compared with the bank's books.
    pub(crate) restored: bool,
}

/// What came of funding, a pay-out or a deposit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Moved {
    /// How much.
    pub(crate) amount: Amount,
    /// Operators decide first; under this number.
    pub(crate) waiting: Option<u64>,
    /// Until when they may.
    pub(crate) waits_until: Option<String>,
    /// In the account afterwards.
    pub(crate) balance: Option<Amount>,
    /// Deposited afterwards.
    pub(crate) deposit: Option<Amount>,
    /// Ready to be spent without the bank.
    pub(crate) ready: Amount,
}

/// It is done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// In words.
    pub(crate) words: String,
}

/// What was earned.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Earnings {
    /// Not redeemed yet.
    pub(crate) unredeemed: Amount,
    /// From so many visits of buyers.
    pub(crate) visits: u64,
    /// Until when the first of it must be redeemed, in UTC.
    pub(crate) redeem_before: Option<String>,
    /// Too late to redeem.
    pub(crate) lapsed: Amount,
    /// Taken in coupons by the gateway of this home, and not cleared at the bank.
    pub(crate) uncleared: Amount,
    /// Taken in coupons by the gateway of this home since it began.
    pub(crate) by_gateway: Amount,
}

/// What was redeemed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Redeemed {
    /// How much.
    pub(crate) paid: Amount,
    /// From so many visits of buyers.
    pub(crate) visits: u32,
    /// In so many requests.
    pub(crate) requests: u32,
    /// Units that somebody else claims too.
    pub(crate) contested: u64,
    /// What the bank turned away, and why.
    pub(crate) refused: Vec<String>,
    /// Still not redeemed.
    pub(crate) rest: Amount,
    /// Taken in coupons by the gateway of this home, and not cleared at the bank.
    pub(crate) uncleared: Amount,
}

/// What could be lost.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Exposure {
    /// Each risk.
    pub(crate) risks: Vec<Risk>,
    /// All together.
    pub(crate) total: Amount,
    /// Open sessions with web sites.
    pub(crate) sessions: Vec<Session>,
}

/// An open session with a web site.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Where.
    pub(crate) site: String,
    /// Who is paid.
    pub(crate) seller: PeerId,
    /// Set aside for it at the bank.
    pub(crate) held: Amount,
    /// Paid of that.
    pub(crate) paid: Amount,
    /// For so many requests.
    pub(crate) requests: u32,
    /// The last receipt.
    pub(crate) receipt: Option<String>,
    /// When it ends, in UTC; what was not charged comes back then.
    pub(crate) until: String,
}

/// One way to lose money.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Risk {
    /// To whom.
    pub(crate) to: PeerId,
    /// How much at the most.
    pub(crate) at_most: Amount,
    /// Until when, in UTC.
    pub(crate) until: String,
    /// How.
    pub(crate) how: String,
}

/// What happened.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct History {
    /// The latest last.
    pub(crate) lines: Vec<Line>,
}

/// One thing that happened.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    /// When, in UTC.
    pub(crate) at: String,
    /// What.
    pub(crate) what: String,
    /// How much, if money is concerned.
    pub(crate) amount: Option<Amount>,
    /// The other side.
    pub(crate) with: Option<PeerId>,
    /// In words.
    pub(crate) detail: String,
}

/// Every receipt.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Receipts {
    /// The network that the signatures are for.
    pub(crate) network: NetworkId,
    /// Each receipt.
    pub(crate) receipts: Vec<ReceiptLine>,
    /// What was paid in sessions with web sites.
    pub(crate) sessions: Vec<SessionReceipt>,
}

/// What was paid in a session with a web site. Its seller's word on each payment is between the two
/// of them; the last payment it acknowledged is named as the seller's own log names it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionReceipt {
    /// Where.
    pub(crate) site: String,
    /// Who was paid.
    pub(crate) seller: PeerId,
    /// How much.
    pub(crate) paid: Amount,
    /// For how many requests.
    pub(crate) requests: u32,
    /// The last payment that was acknowledged.
    pub(crate) receipt: Option<String>,
    /// When it ended, in UTC; nothing while it goes on.
    pub(crate) ended: Option<String>,
}

/// One receipt.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReceiptLine {
    /// Who was paid, and signed.
    pub(crate) payee: PeerId,
    /// What for.
    pub(crate) order: OrderId,
    /// How much.
    pub(crate) amount: Amount,
    /// When, in UTC.
    pub(crate) at: String,
    /// The signed receipt: canonical CBOR in hexadecimal.
    pub(crate) signed: String,
}

/// What was bought.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Bought {
    /// Where it is; nothing if it is not complete.
    pub(crate) file: Option<PathBuf>,
    /// Which content.
    pub(crate) content: ContentId,
    /// Pieces in place from earlier runs.
    pub(crate) pieces_before: u64,
    /// What was paid now.
    pub(crate) paid: Amount,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Each seller.
    pub(crate) sellers: Vec<SellerPaid>,
    /// Pieces missing.
    pub(crate) missing: Option<u64>,
    /// Why it is not complete.
    pub(crate) why: Option<String>,
    /// The same for programs: `no-seller`, `wallet`, `budget`, `asked` or `disk`.
    pub(crate) stopped: Option<String>,
    /// What to do about it, if it is the wallet that stopped it.
    pub(crate) next: Option<String>,
    /// What it cost this side, payments included.
    pub(crate) cost: Cost,
}

/// What one seller got.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SellerPaid {
    /// Who.
    pub(crate) seller: PeerId,
    /// Good pieces from it.
    pub(crate) pieces: u64,
    /// Payments, one for each piece.
    pub(crate) payments: u64,
    /// How much.
    pub(crate) paid: Amount,
    /// Receipts it gave.
    pub(crate) receipts: usize,
    /// Why it was left early.
    pub(crate) left: Option<String>,
    /// It broke the rules.
    pub(crate) cheated: bool,
}

/// What something cost, as counted by the meter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Messages sent.
    pub(crate) messages: u64,
    /// Bytes sent.
    pub(crate) bytes: u64,
    /// Short hashes.
    pub(crate) hashes: u64,
    /// Signatures made.
    pub(crate) signed: u64,
    /// Signatures checked.
    pub(crate) checked: u64,
}

impl From<farthing_core::meter::Counts> for Cost {
    fn from(counts: farthing_core::meter::Counts) -> Self {
        use farthing_core::meter::Op;
        Self {
            messages: counts.of(Op::Message),
            bytes: counts.of(Op::Byte),
            hashes: counts.of(Op::Hash),
            signed: counts.of(Op::Sign),
            checked: counts.of(Op::Verify),
        }
    }
}
