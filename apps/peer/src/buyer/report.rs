//! What came of a purchase, and how it goes meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use farthing_core::amount::Amount;
use farthing_core::id::PeerId;
use farthing_core::meter::Counts;
use farthing_core::order::Receipt;
use farthing_core::refusal::Refusal;
use farthing_core::sign::Signed;
use farthing_net::content::ContentError;
use farthing_net::peer::OpenError;

use super::PocketError;
use crate::talk::TalkError;

/// How a purchase goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Pieces in place.
    pub pieces: u64,
    /// Pieces in all; nothing until a seller has told the size.
    pub of: u64,
    /// Bytes of content in place.
    pub bytes: u64,
    /// Bytes of content in all.
    pub size: u64,
    /// Spent in this run, the sum over all sellers.
    pub spent: Option<Amount>,
    /// Each seller that was visited.
    pub sellers: Vec<SellerProgress>,
}

/// How it goes with one seller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SellerProgress {
    /// Who.
    pub seller: PeerId,
    /// Good pieces from it.
    pub pieces: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What it was paid in this run.
    pub spent: Option<Amount>,
}

/// How a purchase ended.
#[derive(Debug)]
pub enum Outcome {
    /// The file is complete, here.
    Complete(PathBuf),
    /// Some pieces are missing; buying again goes on from here and pays for none twice.
    Partial {
        /// How many are missing; `None` if no seller has told the size.
        missing: Option<u64>,
        /// Why it stopped.
        why: Stopped,
    },
}

/// Why a purchase stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// No seller is left.
    #[error("no seller is left that has the missing pieces; search again later")]
    NoSeller,
    /// The next piece would exceed the budget.
    #[error("the budget is used up; raise it to go on")]
    Budget,
    /// We were asked to.
    #[error("stopped as asked; buy again to go on")]
    Asked,
    /// The disk refused.
    #[error(transparent)]
    Disk(ContentError),
}

/// What came of one seller.
#[derive(Debug)]
pub struct SellerReport {
    /// Who.
    pub seller: PeerId,
    /// Good pieces from it.
    pub pieces: u64,
    /// Their bytes of content.
    pub bytes: u64,
    /// What it was paid in this run; nothing if it never quoted a price.
    pub paid: Option<Amount>,
    /// Payments made, one for each piece.
    pub payments: u64,
    /// What dealing with it cost this side.
    pub cost: Counts,
    /// Its receipts, one for each visit that ended well.
    pub receipts: Vec<Signed<Receipt>>,
    /// Visits that ended without a release: their reserves come back by way of the bank.
    pub abandoned: u64,
    /// Why it was left before the end, if it was.
    pub left: Option<Left>,
}

/// Why a seller was left.
#[derive(Debug, thiserror::Error)]
pub enum Left {
    /// It cannot be reached.
    #[error(transparent)]
    Unreachable(#[from] OpenError),
    /// The dialogue failed, or it refused.
    #[error(transparent)]
    Talk(#[from] TalkError),
    /// It sent something else than the piece that was paid for.
    #[error("it does not deliver: {0}")]
    BadPiece(ContentError),
    /// It was paid for a piece, the line broke, and now it does not know the piece any more.
    #[error("it was paid for piece {piece} and does not hand it out after the line broke")]
    Undelivered {
        /// Which.
        piece: u64,
    },
    /// It claims another size of the content than another seller has proved.
    #[error("it claims {claimed} bytes, the content has {size}")]
    WrongSize {
        /// What it says.
        claimed: u64,
        /// What is proved.
        size: u64,
    },
    /// It asks more than we are ready to pay for a piece.
    #[error("it asks {price} for a piece")]
    TooDear {
        /// How much.
        price: Amount,
    },
    /// It claims to have been paid what it was not, or releases something else.
    #[error("its account of the visit is false: {0}")]
    FalseRelease(PocketError),
    /// Our wallet does not pay it.
    #[error("the wallet does not pay: {0}")]
    Wallet(PocketError),
}

impl Left {
    /// True if the seller broke the rules, and should be avoided; false if it is merely gone, full,
    /// dear, or the fault is ours.
    #[must_use]
    pub const fn is_a_cheat(&self) -> bool {
        match self {
            Self::BadPiece(_) | Self::WrongSize { .. } | Self::FalseRelease(_) => true,
            Self::Talk(why) => matches!(why, TalkError::Malformed(_) | TalkError::Unproven(_) | TalkError::OutOfTurn),
            Self::Unreachable(_) | Self::Undelivered { .. } | Self::TooDear { .. } | Self::Wallet(_) => false,
        }
    }

    /// What the seller itself said, if it refused.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Talk(TalkError::TurnedDown(refusal)) => Some(refusal),
            _ => None,
        }
    }
}

/// What came of a purchase.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Pieces that an earlier run had fetched.
    pub pieces_before: u64,
    /// Each seller that was visited.
    pub sellers: Vec<SellerReport>,
    /// Paid in this run, the sum over all sellers.
    pub paid: Option<Amount>,
    /// How long it took.
    pub time: Duration,
}

impl Report {
    /// What the whole purchase cost this side: messages, bytes, hashes, signatures.
    #[must_use]
    pub fn cost(&self) -> Counts {
        self.sellers.iter().fold(Counts::default(), |sum, seller| sum.plus(seller.cost))
    }
}
