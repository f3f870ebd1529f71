//! Requests to the bank that move money: written down with their id before they are first sent,
//! and sent again, byte for byte, until the bank has answered.

use farthing_core::id::{RequestId, timed};
use farthing_core::refusal::{Money, Refusal};
use farthing_core::sign::{Signed, Statement, Verified};
use farthing_core::wire;
use farthing_role::{Context, Scan};
use farthing_store::Reader;

use super::desk::{Desk, DeskError};
use super::error::WalletError;
use super::home::random;
use super::records::{self, About, Pending, REQUESTS, What};
use super::{Wallet, means, start};

/// How many unanswered requests there may be.
pub(crate) const REQUESTS_MAX: usize = 256;

/// What came of a request.
pub(crate) enum Answered {
    /// A chain is open: its number.
    Opened(u64),
    /// Claims were looked at.
    Redeemed(super::redeem::Paid),
    /// An abandoned reserve was released.
    Released,
    /// A case was answered.
    Defended,
    /// The account was asked about; the bank's reply.
    Account(Vec<u8>),
}

impl Wallet {
    /// A fresh id for a request made now.
    pub(crate) fn new_id(&self) -> Result<RequestId, WalletError> {
        Ok(RequestId(timed(self.checked_now()?, &random()?)))
    }

    /// Writes a request down and sends it. One that certainly never left is forgotten again, so that
    /// whoever asks once more does not ask for two.
    ///
    /// The caller holds [`Inner::errand`](super::Inner).
    pub(crate) async fn request(
        &self,
        desk: &dyn Desk,
        kind: u16,
        message: Vec<u8>,
        about: About,
    ) -> Result<Answered, WalletError> {
        let id = self.new_id()?;
        let pending = Pending { kind, message, about };
        let row = pending.clone();
        let leaves = means::outflow(pending.kind, &pending.message, self.inner.settings.currency());
        self.inner
            .handle
            .transact(move |cx| {
                if !leaves.is_zero() {
                    means::take_out(cx, leaves)?;
                }
                records::put(cx.tx, REQUESTS, &id.0, &row);
                Ok(())
            })
            .await?;
        let sent = self.send(desk, id, pending).await;
        if let Err(WalletError::Bank(DeskError::NotSent(_))) = &sent {
            let forgotten = move |cx: &mut Context<'_>| {
                cx.tx.delete(REQUESTS, &id.0);
                means::put_back(cx, leaves)
            };
            self.inner.handle.transact(forgotten).await?;
        }
        sent
    }

    /// Sends a request that is written down, once more perhaps. Only an answer of the bank's own
    /// ends it: a silence does not, and neither does a refusal by somebody on the way.
    pub(crate) async fn send(&self, desk: &dyn Desk, id: RequestId, pending: Pending) -> Result<Answered, WalletError> {
        match self.ask(desk, &self.inner.key, id, pending.kind, pending.message.clone()).await {
            Ok(reply) => self.take_answer(id, pending, &reply).await,
            Err(why) => {
                // What the owner asked for and the bank refused is over too: nobody wants to find it
                // carried out weeks later.
                let asked = pending.about == About::Account;
                let refused = why.last_word().or_else(|| why.refused_unmoved().filter(|_| asked));
                if let Some(refusal) = refused {
                    self.drop_request(id, &pending, refusal.clone()).await?;
                }
                Err(why.into())
            }
        }
    }

    async fn take_answer(&self, id: RequestId, pending: Pending, reply: &[u8]) -> Result<Answered, WalletError> {
        match pending.about {
            About::Open(origin) => {
                let touchstone = self.signed_by_bank(reply)?;
                self.take_touchstone(id, origin, &pending.message, touchstone).await.map(Answered::Opened)
            }
            About::Claim(visits) => {
                let receipt = self.signed_by_bank(reply)?;
                self.take_receipt(id, visits.into_vec(), receipt).await.map(Answered::Redeemed)
            }
            About::Release(purse) => {
                let release = self.signed_by_bank(reply)?;
                self.take_broker_release(id, purse, release).await.map(|()| Answered::Released)
            }
            About::Defend(case) => {
                let done = move |cx: &mut Context<'_>| {
                    cx.tx.delete(REQUESTS, &id.0);
                    start::note(cx, What::Defended(case));
                    Ok(())
                };
                self.inner.handle.transact(done).await?;
                Ok(Answered::Defended)
            }
            About::Account => {
                // The bank's statement tells what came of it: no line of our own.
                let done = move |cx: &mut Context<'_>| {
                    cx.tx.delete(REQUESTS, &id.0);
                    Ok(())
                };
                self.inner.handle.transact(done).await?;
                Ok(Answered::Account(reply.to_vec()))
            }
        }
    }

    /// Ends a request that the bank has refused.
    async fn drop_request(&self, id: RequestId, asked: &Pending, why: Refusal) -> Result<(), WalletError> {
        let unmoved = why.money == Money::Unmoved;
        let stayed = means::outflow(asked.kind, &asked.message, self.inner.settings.currency());
        let what = What::Refused { kind: asked.kind, why };
        let done = move |cx: &mut Context<'_>| {
            cx.tx.delete(REQUESTS, &id.0);
            if unmoved {
                means::put_back(cx, stayed)?;
            }
            start::note(cx, what);
            Ok(())
        };
        Ok(self.inner.handle.transact(done).await?)
    }

    /// Requests that were not answered, the oldest first.
    pub(crate) async fn pending(&self) -> Result<Vec<(RequestId, Pending)>, WalletError> {
        self.inner.handle.read(pending).await?
    }

    /// Sends everything unanswered again; what could not be settled stays for the next time.
    /// Gives what was answered, and the first thing that went wrong.
    pub(crate) async fn settle(&self, desk: &dyn Desk) -> Result<(Vec<Answered>, Option<WalletError>), WalletError> {
        let mut answered = Vec::new();
        let mut trouble = None;
        for (id, pending) in self.pending().await? {
            match self.send(desk, id, pending).await {
                Ok(answer) => answered.push(answer),
                // Refused for good, it is over; refused for now, it is known where the money is.
                Err(WalletError::Bank(why)) if why.last_word().or(why.refused_unmoved()).is_some() => {}
                // Out of reach for one, it is for all.
                Err(why @ WalletError::Bank(DeskError::NotSent(_))) => {
                    trouble.get_or_insert(why);
                    break;
                }
                Err(why) => {
                    trouble.get_or_insert(why);
                }
            }
        }
        Ok((answered, trouble))
    }

    /// Reads a statement in a reply, which must be the bank's.
    pub(crate) fn signed_by_bank<T: Statement>(&self, reply: &[u8]) -> Result<Verified<T>, WalletError> {
        let signed: Signed<T> = wire::decode(reply).map_err(|_| WalletError::FalseAnswer("it cannot be read"))?;
        let verified = signed.verify_by(self.network(), self.bank());
        verified.map_err(|_| WalletError::FalseAnswer("it is not signed by the bank"))
    }
}

fn pending(reader: &dyn Reader) -> Result<Vec<(RequestId, Pending)>, WalletError> {
    let rows = reader.scan(REQUESTS, Scan { prefix: &[], after: None, limit: REQUESTS_MAX })?;
    let read = |(key, value): (Vec<u8>, Vec<u8>)| {
        let id = key.try_into().map_err(|_| farthing_ledger::StoreFault("a request without an id".into()))?;
        Ok((RequestId(id), records::read(REQUESTS, &value)?))
    };
    rows.into_iter().map(read).collect()
}
