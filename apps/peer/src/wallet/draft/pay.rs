//! Writing a draft.

use farthing_core::refusal::{Refusal, Remedy};
use farthing_core::time::Span;
use farthing_draft::payer::{Drawn, Purchase as Draw};
use farthing_role::Context;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::wallet::Wallet;
use crate::wallet::choice::Scheme;
use crate::wallet::desk::DeskError;
use crate::wallet::error::WalletError;
use crate::wallet::home::random;
use crate::wallet::single::{self, Handover, OutgoingState, PaymentRow, Purchase, payment_key};

impl Wallet {
    /// Pays by a draft: policy and owner agree, it is counted and written down, and only then given
    /// back to be handed over. Asked for again it is the very same draft, whatever became of the
    /// answers. Without a certificate that covers it the bank is asked for the next one; otherwise
    /// nobody need be reached.
    ///
    /// # Errors
    /// [`WalletError`]; nothing was paid.
    pub async fn pay_draft(&self, it: &Purchase) -> Result<Handover, WalletError> {
        self.checked_now()?;
        self.may_pay()?;
        self.check_single(it)?;
        if let Some(row) = self.payment_row(payment_key(it.order, it.payee, it.part)).await? {
            row.is(Scheme::Draft, it)?;
            let over = WalletError::Order("paid for by a draft that was stopped or came back: ask for a new order");
            return self.handover_of(&row).await?.ok_or(over);
        }
        self.approve_single(it).await?;
        self.make_sure_present().await?;
        let drawn = match self.draw(it).await {
            Err(WalletError::Refused(why))
                if matches!(why.remedy, Remedy::Renew | Remedy::Reconcile | Remedy::Fund) =>
            {
                // Without the bank it stays as it is, and the first reason is the one to tell.
                let first = WalletError::Refused(why);
                let Ok(desk) = self.desk().await else { return Err(first) };
                match self.renew_drafts(&*desk, it.alias).await {
                    Ok(_) => self.draw(it).await?,
                    Err(WalletError::Bank(DeskError::NotSent(_))) => return Err(first),
                    Err(other) => return Err(other),
                }
            }
            drawn => drawn?,
        };
        Ok(handover(drawn))
    }

    /// Writes it, with its count and its line, in one transaction.
    async fn draw(&self, it: &Purchase) -> Result<Drawn, WalletError> {
        let drawer = self.drawer(it.alias)?;
        let (policy, it) = (self.inner.settings.policy, it.clone());
        let life = it.life.unwrap_or(Span::from_days(self.inner.settings.drafts.life_days));
        let mut rng = ChaCha20Rng::from_seed(random()?);
        let written = move |cx: &mut Context<'_>| {
            if let Some(row) = PaymentRow::find(cx, &payment_key(it.order, it.payee, it.part))? {
                return Ok(Ok(drawer.again(cx, row.number)?)); // Somebody else was quicker with the same.
            }
            let mut row = PaymentRow::new(Scheme::Draft, &it, cx.now, OutgoingState::ToHandOver);
            if let Err(no) = single::count(cx, &policy, &row)? {
                return Ok(Err(no));
            }
            let draw = Draw { payee: it.payee, seal: it.seal, amount: it.amount, order: it.order, life };
            let drawn = drawer.draw(cx, &draw, &mut rng)?;
            let draft = drawn.payment.draft.peek().map_err(Refusal::from)?;
            (row.number, row.instrument) = (draft.number, drawn.payment.draft.digest());
            row.noted = Some(single::note_paid(cx, &row));
            row.write(cx);
            Ok(Ok(drawn))
        };
        Ok(self.inner.handle.transact(written).await??)
    }

    /// A draft as it was written.
    pub(crate) async fn draft_again(&self, alias: Option<u32>, number: u64) -> Result<Handover, WalletError> {
        let drawer = self.drawer(alias)?;
        Ok(handover(self.inner.handle.transact(move |cx| drawer.again(cx, number)).await?))
    }
}

fn handover(drawn: Drawn) -> Handover {
    match drawn.sealed {
        Some(sealed) => Handover::Sealed(sealed),
        None => Handover::Bare(drawn.payment),
    }
}
