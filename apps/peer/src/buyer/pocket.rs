//! What a buyer needs of a wallet: a pocket.

use std::future::Future;

use farthing_core::amount::Amount;
use farthing_core::id::{NetworkId, OrderId, PeerId};
use farthing_core::order::{Order, Receipt};
use farthing_core::sign::Signed;
use farthing_netpay::messages::{Pay, Release, Reserve, Visit};

use crate::wallet::{Handover, Purchase as Single, Scheme, Spending, Wallet, WalletError, Want};

/// Why a wallet does not pay, in its own words. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PocketError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// The paying side of a wallet. Everything it hands out is on the disk before.
pub trait Pocket: Clone + Send + Sync + 'static {
    /// A visit under way.
    type Spending: Spend;

    /// The network it pays in.
    fn network(&self) -> NetworkId;

    /// Reserves units for an order: for at most `pieces` of its pieces, and not above `max_total`.
    ///
    /// # Errors
    /// [`PocketError`]; the policy forbids it, or there is no chain.
    fn begin(
        &self,
        order: &Order,
        pieces: u64,
        max_total: Amount,
    ) -> impl Future<Output = Result<(Visit, Self::Spending), PocketError>> + Send;

    /// Takes up the reserve of a visit for this order that broke off, if there is one.
    ///
    /// # Errors
    /// [`PocketError`].
    fn resume(
        &self,
        payee: PeerId,
        order: OrderId,
    ) -> impl Future<Output = Result<Option<(Visit, Self::Spending)>, PocketError>> + Send;

    /// Pays an order whole, by a draft or a ticket. Asked for the same again, it is the same payment.
    ///
    /// # Errors
    /// [`PocketError`]; the policy forbids it, or the scheme cannot pay it now.
    fn pay_whole(&self, scheme: Scheme, order: &Order) -> impl Future<Output = Result<Handover, PocketError>> + Send;

    /// The payee's receipt for such a payment.
    ///
    /// # Errors
    /// [`PocketError`]; it is not the payee's, or for another payment.
    fn on_whole_receipt(&self, receipt: Signed<Receipt>) -> impl Future<Output = Result<(), PocketError>> + Send;
}

/// The paying side of one visit.
pub trait Spend: Send + 'static {
    /// What one unit is worth.
    fn unit(&self) -> Amount;

    /// Units left in the reserve.
    fn left(&self) -> u32;

    /// Agrees with the payee on how far it was paid.
    ///
    /// # Errors
    /// [`PocketError`]; the payee claims what it was never given.
    fn agree(&mut self, through: u32) -> impl Future<Output = Result<(), PocketError>> + Send;

    /// Pays so many units more.
    ///
    /// # Errors
    /// [`PocketError`].
    fn pay(&mut self, units: u32) -> impl Future<Output = Result<Pay, PocketError>> + Send;

    /// Reserves further units, none being left.
    ///
    /// # Errors
    /// [`PocketError`]; this visit cannot go on, another may.
    fn extend(&mut self) -> impl Future<Output = Result<Signed<Reserve>, PocketError>> + Send;

    /// Ends the visit with the payee's release, which may not claim less than `paid_at_least`.
    ///
    /// # Errors
    /// [`PocketError`]; the release is not believed and the reserve stays out of use.
    fn finish(
        self,
        release: Signed<Release>,
        receipt: Option<Signed<Receipt>>,
        paid_at_least: u32,
    ) -> impl Future<Output = Result<(), PocketError>> + Send;

    /// Gives the visit up: the payee is gone.
    ///
    /// # Errors
    /// [`PocketError`].
    fn abandon(self) -> impl Future<Output = Result<(), PocketError>> + Send;
}

impl From<WalletError> for PocketError {
    fn from(why: WalletError) -> Self {
        Self(Box::new(why))
    }
}

impl Pocket for Wallet {
    type Spending = Spending;

    fn network(&self) -> NetworkId {
        self.network()
    }

    async fn begin(&self, order: &Order, pieces: u64, max_total: Amount) -> Result<(Visit, Spending), PocketError> {
        let want = Want { payee: order.payee, order: order.clone(), units_per_piece: 1, pieces, max_total };
        Ok(self.begin(want).await?)
    }

    async fn resume(&self, payee: PeerId, order: OrderId) -> Result<Option<(Visit, Spending)>, PocketError> {
        Ok(self.resume(payee, order).await?)
    }

    async fn pay_whole(&self, scheme: Scheme, order: &Order) -> Result<Handover, PocketError> {
        let purchase = Single {
            payee: order.payee,
            seal: None,
            amount: order.total().map_err(WalletError::from)?,
            order: order.id(),
            part: 0,
            description: order.description.clone(),
            alias: None,
            life: None,
        };
        if scheme == Scheme::Draft {
            return Ok(self.pay_draft(&purchase).await?);
        }
        let desk = self.desk().await?;
        Ok(self.pay_clearing(&*desk, &purchase).await?)
    }

    async fn on_whole_receipt(&self, receipt: Signed<Receipt>) -> Result<(), PocketError> {
        self.on_receipt(receipt).await?;
        Ok(())
    }
}

impl Spend for Spending {
    fn unit(&self) -> Amount {
        self.unit()
    }

    fn left(&self) -> u32 {
        self.left()
    }

    async fn agree(&mut self, through: u32) -> Result<(), PocketError> {
        Ok(Self::agree(self, through)?)
    }

    async fn pay(&mut self, units: u32) -> Result<Pay, PocketError> {
        Ok(Self::pay(self, units).await?)
    }

    async fn extend(&mut self) -> Result<Signed<Reserve>, PocketError> {
        Ok(Self::extend(self).await?)
    }

    async fn finish(
        self,
        release: Signed<Release>,
        receipt: Option<Signed<Receipt>>,
        paid_at_least: u32,
    ) -> Result<(), PocketError> {
        Self::finish(self, release, receipt, paid_at_least).await?;
        Ok(())
    }

    async fn abandon(self) -> Result<(), PocketError> {
        Ok(Self::abandon(self).await?)
    }
}
