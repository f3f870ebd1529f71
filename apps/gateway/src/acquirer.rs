//! The bank, as a gateway needs it.

use std::sync::Arc;

use farthing_bank::client::{AskError, BankClient};
use farthing_core::id::RequestId;
use farthing_core::sign::SecretKey;
use farthing_coupon::clearing::{ClearReceipt, Clearings};
use farthing_coupon::messages::{AuthAnswer, AuthRequest};
use futures::future::BoxFuture;

/// iKP's acquirer: says yes to purchases and pays for coupons. The same id with the same message
/// has the same answer, however often it is asked.
pub trait Acquirer: Send + Sync + 'static {
    /// Asks for an authorisation (Auth-Request).
    fn authorise<'a>(&'a self, id: RequestId, request: &'a AuthRequest) -> BoxFuture<'a, Result<AuthAnswer, AskError>>;

    /// Clears sessions (C-1) and gives the receipt (C-2), whose signature was checked.
    fn clear<'a>(&'a self, id: RequestId, clearings: &'a Clearings) -> BoxFuture<'a, Result<ClearReceipt, AskError>>;
}

/// A bank asked over HTTP.
#[derive(Debug)]
pub struct BankDesk {
    client: BankClient,
    key: Arc<SecretKey>,
}

impl BankDesk {
    /// Asks that bank as the owner of that key.
    #[must_use]
    pub const fn new(client: BankClient, key: Arc<SecretKey>) -> Self {
        Self { client, key }
    }
}

impl Acquirer for BankDesk {
    fn authorise<'a>(&'a self, id: RequestId, request: &'a AuthRequest) -> BoxFuture<'a, Result<AuthAnswer, AskError>> {
        Box::pin(self.client.authorise(&self.key, id, request))
    }

    fn clear<'a>(&'a self, id: RequestId, clearings: &'a Clearings) -> BoxFuture<'a, Result<ClearReceipt, AskError>> {
        Box::pin(async move { Ok(self.client.clear(&self.key, id, clearings).await?.body().clone()) })
    }
}
