//! Being paid: requests, and payments that come by hand.

use farthing_bank::client::BankClient;
use farthing_core::order::{Order, Receipt};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::Signed;
use farthing_core::wire;
use farthing_peer::shop::Till;
use farthing_peer::talk::handover::ByHand;
use farthing_peer::talk::owing::check_owed;
use farthing_peer::talk::text;
use farthing_peer::wallet::{RequestState, Requested, Scheme, Wallet, WalletError};

use super::{AskFor, Asked, Received};
use crate::fail::Failure;
use crate::peer::Done;
use crate::show::moment;

/// Sees to it that a wallet can pay and be paid by tickets and drafts, now and without the bank. What
/// cannot be had now is had when it is needed.
pub(crate) async fn be_ready(wallet: &Wallet, bank: &BankClient) {
    let tell = |what, result: Result<(), WalletError>| {
        if let Err(why) = result {
            tracing::info!(%why, "not ready for {what} yet");
        }
    };
    tell("tickets", wallet.join_clearing(bank).await);
    let book = wallet.draft_books().await.ok().and_then(|books| books.into_iter().find(|book| book.alias.is_none()));
    // A certificate states what the account holds: after funding it is more.
    if book.is_none_or(|book| book.left.is_zero()) {
        tell("drafts", wallet.renew_drafts(bank, None).await.map(drop));
    }
}

/// Makes a request for payment.
pub(crate) async fn ask_for(wallet: &Wallet, ask: &AskFor, addresses: &[String]) -> Result<Asked, Failure> {
    let takes = Till::takes(wallet).await?;
    let request = wallet.request_payment(ask.amount, &ask.note, &takes, addresses, ask.life).await?;
    let order = request.peek().map_err(Refusal::from)?.order;
    let uri = text::write(&request).ok_or_else(|| Failure::usage("the note is too long").next("make it shorter"))?;
    Ok(Asked { uri, order: order.id(), amount: ask.amount, until: moment(order.expires), open: !addresses.is_empty() })
}

/// The payment of a request, if it was paid.
pub(crate) async fn paid(wallet: &Wallet, requested: Requested) -> Result<Option<Received>, Failure> {
    let RequestState::Paid(paid) = requested.state else { return Ok(None) };
    Ok(Some(Received {
        payer: paid.payer,
        name: wallet.name_of(paid.payer).await?,
        amount: paid.amount,
        note: requested.body.order.description.clone(),
        order: requested.body.order.id(),
        scheme: paid.scheme,
        receipt: None,
        again: false,
    }))
}

/// Takes a payment that came as text, without asking anybody.
pub(crate) async fn take(wallet: &Wallet, text: &str) -> Result<Received, Failure> {
    let ByHand { order, payment } = text::read(text).map_err(|why| {
        Failure::usage(why).next("have it copied again; a receipt goes into: farthing pay --receipt FILE")
    })?;
    if order.payee != wallet.me() {
        return Err(Refusal::new(Code::NotPayee, "this payment is for somebody else").into());
    }
    check_owed(&order, wallet.now())?;
    Till::terms(wallet, &order).await?;
    let before: Vec<_> = wallet.drafts_held().await?.into_iter().map(|held| held.instrument).collect();
    let receipt = Till::take(wallet, &order, payment).await?;
    received(wallet, &order, &receipt, &before).await
}

async fn received(
    wallet: &Wallet,
    order: &Order,
    receipt: &Signed<Receipt>,
    before: &[[u8; 32]],
) -> Result<Received, Failure> {
    let said = receipt.peek().map_err(Refusal::from)?;
    Ok(Received {
        payer: said.payer,
        name: wallet.name_of(said.payer).await?,
        amount: said.amount,
        note: order.description.clone(),
        order: order.id(),
        scheme: Scheme::Draft,
        receipt: text::write(receipt),
        again: before.contains(&said.payment.instrument),
    })
}

/// Takes in the receipt for a payment that was handed over by hand.
pub(crate) async fn take_receipt(wallet: &Wallet, text: &str) -> Result<Done, Failure> {
    let receipt: Signed<Receipt> = match hex::decode(text.trim()) {
        Ok(bytes) if !bytes.is_empty() => wire::decode(&bytes).map_err(Refusal::from)?,
        _ => text::read(text).map_err(Failure::usage)?,
    };
    let out = wallet.on_receipt(receipt).await?;
    let who = wallet.name_of(out.payee).await?.unwrap_or_else(|| out.payee.short());
    Ok(Done { words: format!("{who} has the {} over {}. The receipt is kept.", noun(out.scheme), out.amount) })
}

/// What a payment of a scheme is called.
pub(crate) const fn noun(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Draft => "draft",
        Scheme::Clearing => "ticket",
        Scheme::Netpay | Scheme::Coupon => "payment",
    }
}
