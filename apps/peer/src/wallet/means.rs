//! What the account is known to have free, and what of it drafts promise.
//!
//! The bank says what the account has; each outflow of this wallet lowers that in the transaction that
//! notes the outflow; and what drafts promise and nobody is known to have deposited is kept back. So
//! drafts promise no more than is free, and nothing else takes away what they promise. Money that came
//! in counts once the bank has said so.

use farthing_bank::messages::{Deposit, Payout, kind as bank_kind};
use farthing_core::amount::{Amount, Currency};
use farthing_core::refusal::{Code, Money, Refusal, Remedy};
use farthing_core::wire;
use farthing_netpay::messages::{OpenChain, kind};
use farthing_role::{Context, Halt, Records, Scan};
use farthing_store::Reader;
use minicbor::{Decode, Encode};

use super::Wallet;
use super::coupon::openings_at_most;
use super::draft::ALIAS_MAX;
use super::error::WalletError;
use super::records::{self, MEANS};

/// Under which key stands what the account has.
const KNOWN: &[u8] = b"known";

/// With what the keys begin under which stands what the drafts of each name promise.
const PROMISED: &[u8] = b"promised";

/// What the account has, as the bank said last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
struct Known {
    /// In it, less what is set aside and owed.
    #[n(0)]
    has: Amount,
    /// What has left it since, or was on its way then.
    #[n(1)]
    left: Amount,
    /// Whether nothing may leave it.
    #[n(2)]
    suspended: bool,
    /// Counts what the bank said.
    #[n(3)]
    learned: u64,
}

/// What the drafts of one name promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
struct Promised {
    /// Written, and not known as deposited.
    #[n(0)]
    sum: Amount,
    /// Of that, since a closing was signed last.
    #[n(1)]
    since: Amount,
}

/// What the account is known to have, for its owner to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Means {
    /// What drafts promise that nobody is known to have deposited: kept back from all else.
    pub promised: Amount,
    /// What may be promised or paid besides; none before the bank has said what the account has.
    pub free: Option<Amount>,
}

/// How things stood before the bank was asked: what is in flight may or may not be in its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    known: Option<Known>,
    in_flight: Amount,
}

/// What the bank says the account has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) has: Amount,
    pub(crate) suspended: bool,
}

impl Wallet {
    /// What the account is known to have free, and what drafts promise of it.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn means(&self) -> Result<Means, WalletError> {
        let currency = self.inner.settings.currency();
        let read = move |reader: &dyn Reader| -> Result<Means, WalletError> {
            let names = reader.scan(MEANS, names())?;
            let promised = sum_of(&names, currency)?;
            let known: Option<Known> = records::look(reader, MEANS, KNOWN)?;
            Ok(Means { promised, free: known.map(|known| known.free(promised)) })
        };
        self.inner.handle.read(read).await?
    }

    /// How things stand before the bank is asked what the account has.
    pub(crate) async fn before_asking(&self) -> Result<Before, WalletError> {
        // In this order: what begins later is counted in `left`.
        let known = self.inner.handle.read(|reader| records::look(reader, MEANS, KNOWN)).await??;
        let mut in_flight = openings_at_most(self).await?;
        for (_, row) in self.pending().await? {
            in_flight = in_flight.checked_add(outflow(row.kind, &row.message, in_flight.currency()))?;
        }
        if let Some(asked) =
            self.clearing_state().await?.and_then(|state| state.pending().map(|one| one.request.amount))
        {
            in_flight = in_flight.checked_add(asked)?;
        }
        Ok(Before { known, in_flight })
    }
}

/// Notes what the bank said; false where it has said something else meanwhile.
pub(crate) fn learn(cx: &mut Context<'_>, before: Before, said: Said) -> Result<bool, Halt> {
    let now: Option<Known> = records::get(&*cx.tx, MEANS, KNOWN)?;
    let count = |known: Option<Known>| known.map_or(0, |known| known.learned);
    if count(now) != count(before.known) {
        return Ok(false);
    }
    let zero = said.has.currency().zero();
    let left = |known: Option<Known>| known.map_or(zero, |known| known.left);
    let since = less(left(now), left(before.known));
    let left = before.in_flight.checked_add(since).map_err(Refusal::from)?;
    let learned = count(now).saturating_add(1);
    records::put(cx.tx, MEANS, KNOWN, &Known { has: said.has, left, suspended: said.suspended, learned });
    Ok(true)
}

/// Counts money that leaves the account by anything but a draft, unless drafts promise it.
pub(crate) fn take_out(cx: &mut Context<'_>, amount: Amount) -> Result<(), Halt> {
    let Some(mut known) = records::get::<Known>(&*cx.tx, MEANS, KNOWN)? else { return Ok(()) };
    let promised = promised(&*cx.tx, amount.currency())?;
    let free = known.free(promised);
    if !promised.is_zero() && exceeds(amount, free)? {
        let why = format!(
            "drafts promise {promised} of what the account holds until they are deposited, so {free} may leave it and \
             not {amount}: compare books (farthing wallet reconcile), fund the account, or pay less; nothing was paid"
        );
        return Err(Refusal::new(Code::Funds, why).money(Money::Unmoved).remedy(Remedy::Reconcile).into());
    }
    known.left = known.left.checked_add(amount).map_err(Refusal::from)?;
    records::put(cx.tx, MEANS, KNOWN, &known);
    Ok(())
}

/// Counts what certainly did not leave as there again.
pub(crate) fn put_back(cx: &mut Context<'_>, amount: Amount) -> Result<(), Halt> {
    if let Some(mut known) = records::get::<Known>(&*cx.tx, MEANS, KNOWN)? {
        known.left = less(known.left, amount);
        records::put(cx.tx, MEANS, KNOWN, &known);
    }
    Ok(())
}

/// Refuses to ask for what the bank is known to refuse.
pub(crate) fn may_leave(cx: &Context<'_>) -> Result<(), Halt> {
    if records::get::<Known>(&*cx.tx, MEANS, KNOWN)?.is_some_and(|known| known.suspended) {
        let why = "the account is suspended: nothing was paid; settle it with the bank's operator, then compare books \
                   (farthing wallet reconcile)";
        return Err(Refusal::new(Code::Suspended, why).money(Money::Unmoved).into());
    }
    Ok(())
}

/// Counts what a draft promises, if the account is known to have that free.
pub(crate) fn promise(cx: &mut Context<'_>, alias: Option<u32>, amount: Amount) -> Result<(), Halt> {
    let promised = promised(&*cx.tx, amount.currency())?;
    let known: Option<Known> = records::get(&*cx.tx, MEANS, KNOWN)?;
    if let Some(free) = known.map(|known| known.free(promised))
        && exceeds(amount, free)?
    {
        let why = format!(
            "{free} may still be promised, as far as is known, and not {amount} ({promised} is promised already): \
             compare books (farthing wallet reconcile), or fund the account; nothing was paid"
        );
        return Err(Refusal::new(Code::Funds, why).money(Money::Unmoved).remedy(Remedy::Reconcile).into());
    }
    let key = name_key(alias);
    let zero = amount.currency().zero();
    let mut row = records::get(&*cx.tx, MEANS, &key)?.unwrap_or(Promised { sum: zero, since: zero });
    row.sum = row.sum.checked_add(amount).map_err(Refusal::from)?;
    row.since = row.since.checked_add(amount).map_err(Refusal::from)?;
    records::put(cx.tx, MEANS, &key, &row);
    Ok(())
}

/// A closing is signed: what is promised from here on is not in the bank's answer to it.
pub(crate) fn closing(cx: &mut Context<'_>, alias: Option<u32>) -> Result<(), Halt> {
    let key = name_key(alias);
    if let Some(row) = records::get::<Promised>(&*cx.tx, MEANS, &key)? {
        records::put(cx.tx, MEANS, &key, &Promised { since: row.sum.currency().zero(), ..row });
    }
    Ok(())
}

/// The bank has said which drafts of that name nobody has deposited, and at the same moment what the
/// account has.
pub(crate) fn closed(
    cx: &mut Context<'_>,
    alias: Option<u32>,
    outstanding: Amount,
    before: Before,
    said: Said,
) -> Result<(), Halt> {
    if !learn(cx, before, said)? {
        return Ok(());
    }
    let key = name_key(alias);
    let zero = outstanding.currency().zero();
    let since = records::get::<Promised>(&*cx.tx, MEANS, &key)?.map_or(zero, |row| row.since);
    let sum = outstanding.checked_add(since).map_err(Refusal::from)?;
    records::put(cx.tx, MEANS, &key, &Promised { sum, since });
    Ok(())
}

/// What leaves the account if the bank does what is asked.
pub(crate) fn outflow(asked: u16, message: &[u8], currency: Currency) -> Amount {
    let amount = match asked {
        kind::OPEN => wire::decode::<OpenChain>(message).ok().and_then(|open| open.header.value().ok()),
        bank_kind::PAYOUT => wire::decode::<Payout>(message).ok().map(|payout| payout.amount),
        bank_kind::DEPOSIT => {
            wire::decode::<Deposit>(message).ok().filter(|move_in| !move_in.withdraw).map(|move_in| move_in.amount)
        }
        _ => None,
    };
    amount.filter(|amount| amount.currency() == currency).unwrap_or(currency.zero())
}

impl Known {
    fn free(&self, promised: Amount) -> Amount {
        less(less(self.has, self.left), promised)
    }
}

fn name_key(alias: Option<u32>) -> Vec<u8> {
    [PROMISED, &alias.map_or(0, |n| n.saturating_add(1)).to_be_bytes()].concat()
}

/// The rows of all names that write drafts.
const fn names() -> Scan<'static> {
    Scan { prefix: PROMISED, after: None, limit: ALIAS_MAX as usize + 2 }
}

fn promised(tx: &dyn Records, currency: Currency) -> Result<Amount, Halt> {
    let rows = tx.scan(MEANS, names())?;
    sum_of(&rows, currency).map_err(|why| match why {
        WalletError::Amount(why) => Refusal::from(why).into(),
        other => farthing_ledger::StoreFault(other.to_string()).into(),
    })
}

fn sum_of(rows: &[(Vec<u8>, Vec<u8>)], currency: Currency) -> Result<Amount, WalletError> {
    rows.iter()
        .try_fold(currency.zero(), |sum, (_, row)| Ok(sum.checked_add(records::read::<Promised>(MEANS, row)?.sum)?))
}

fn exceeds(amount: Amount, free: Amount) -> Result<bool, Halt> {
    Ok(amount.compare(free).map_err(Refusal::from)?.is_gt())
}

fn less(sum: Amount, amount: Amount) -> Amount {
    sum.checked_sub(amount).unwrap_or(sum.currency().zero())
}
