//! Being paid: the ticket is booked once, and says whether to serve.

use farthing_clearing::messages::Payment;
use farthing_clearing::payee::Expected as Due;
use farthing_clearing::reconciliation::Line;
use farthing_core::order::Receipt;
use farthing_core::refusal::{Code, Money, Refusal};
use farthing_core::sign::Signed;
use farthing_role::{Context, Halt};

use super::keep::{self, Keeper, Kept};
use super::pay::not_joined;
use crate::wallet::choice::Scheme;
use crate::wallet::error::WalletError;
use crate::wallet::orders::{self, Paid};
use crate::wallet::records::What;
use crate::wallet::single::{Expected, Taken, TakenRow};
use crate::wallet::{Wallet, start};

impl Wallet {
    /// Takes a ticket for what is expected, or for an open request of this wallet's where nothing is
    /// said. The bank need not be reached. The money is on the account in any case.
    ///
    /// # Errors
    /// [`WalletError`]; nothing is to be served. The refusal says whether money has come.
    pub async fn take_ticket(&self, payment: Payment, expected: Option<Expected>) -> Result<Taken, WalletError> {
        self.checked_now()?;
        let (keep, key, network) = (self.keeper(), self.inner.seed.identity(), self.network());
        let sign = move |receipt: &Receipt| key.sign(network, receipt);
        Ok(self.inner.handle.transact(move |cx| take(cx, &keep, &sign, &payment, expected)).await??)
    }
}

/// Signs receipts.
type Sign<'a> = &'a dyn Fn(&Receipt) -> Signed<Receipt>;

/// Books it, whatever it was for; a refusal inside is one to serve.
fn take(
    cx: &mut Context<'_>,
    keep: &Keeper,
    sign: Sign<'_>,
    payment: &Payment,
    expected: Option<Expected>,
) -> Result<Result<Taken, Refusal>, Halt> {
    let Kept(mut state) = keep.read(cx)?.ok_or_else(not_joined)?;
    let open = state.open_ticket(payment)?;
    let ticket = open.ticket().clone();
    let instrument = ticket.auth.0;
    if let Some(row) = TakenRow::find(cx, &instrument)? {
        return Ok(again(row, instrument));
    }
    let due = match expected {
        Some(Expected { order, amount }) => Ok(Due { order, amount }),
        None => match orders::expect(cx, ticket.order, ticket.amount) {
            Ok(amount) => Ok(Due { order: ticket.order, amount }),
            Err(Halt::Refused(why)) => Err(why),
            Err(halt) => return Err(halt),
        },
    };
    let received = state.receive(cx.now, open, due.as_ref().ok())?;
    received.entries.iter().for_each(|entry| keep::append(cx, entry));
    keep.write(cx, &Kept(state));
    // What this wallet's own book says is told rather than that no order is open.
    let outcome = match (received.outcome, due) {
        (Err(_), Err(why)) => Err(why.money(Money::MovedBefore)),
        (outcome, _) => outcome,
    };
    let line = Line { auth: ticket.auth, peer: ticket.payer, amount: ticket.amount, order: ticket.order };
    let row = book(cx, &line, outcome.as_ref().ok().map(sign))?;
    Ok(match (outcome, row.receipt) {
        (Ok(_), Some(receipt)) => {
            let Line { peer: payer, amount, order, .. } = line;
            Ok(Taken::Serve { payer, order, amount, instrument, receipt, again: false })
        }
        (Err(why), _) => Err(why),
        (Ok(_), None) => Err(settle_it()),
    })
}

/// Writes down that money came, for an order where it was served for.
pub(super) fn book(cx: &mut Context<'_>, line: &Line, receipt: Option<Signed<Receipt>>) -> Result<TakenRow, Halt> {
    let Line { auth, peer: payer, amount, order } = *line;
    let (scheme, matched) = (Scheme::Clearing, receipt.is_some());
    let note = if matched {
        orders::paid(cx, order, Paid { scheme, payer, instrument: auth.0, amount, at: cx.now })?
    } else {
        None
    };
    let description = note.unwrap_or_default();
    let row = TakenRow {
        scheme,
        payer,
        order,
        amount,
        description: description.clone(),
        number: 0,
        at: cx.now,
        receipt,
        until: None,
    };
    row.write(cx, &auth.0);
    start::note(cx, What::Received { scheme, payer, order, description, amount, matched });
    Ok(row)
}

/// What a ticket gets that came before: its receipt, and nothing served.
fn again(row: TakenRow, instrument: [u8; 32]) -> Result<Taken, Refusal> {
    let TakenRow { payer, order, amount, receipt, .. } = row;
    let receipt = receipt.ok_or_else(settle_it)?;
    Ok(Taken::Serve { payer, order, amount, instrument, receipt, again: true })
}

fn settle_it() -> Refusal {
    let why = "this payment came before, and nothing was to be served for it: settle it with the payee";
    Refusal::new(Code::Replay, why).money(Money::MovedBefore)
}
