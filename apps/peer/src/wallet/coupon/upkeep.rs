//! What falls due with coupons: sessions that have ended, purchases that were never confirmed.

use farthing_core::time::{SKEW, Time};
use farthing_role::Context;

use super::rows;
use super::{OPENINGS, SESSIONS};
use crate::wallet::error::WalletError;
use crate::wallet::history::{Exposure, Risk};
use crate::wallet::records::What;
use crate::wallet::{Wallet, start};

impl Wallet {
    /// Writes every session down as it stands.
    pub(crate) async fn flush_coupons(&self) -> Result<(), WalletError> {
        let open: Vec<_> = self.inner.coupons.open().values().map(std::sync::Arc::clone).collect();
        for open in open {
            super::CouponSession::new(self.clone(), open).flush().await?;
        }
        self.flush_tools().await
    }

    /// Notes sessions that have ended, whose rest the bank gives back; how many.
    pub(crate) async fn close_coupons(&self, now: Time) -> Result<u32, WalletError> {
        self.flush_coupons().await?;
        let mut ended = 0_u32;
        for session in self.coupon_take_all().await? {
            if session.not_after().after(SKEW) <= now {
                let info = session.finish().await?;
                let about = info.held.checked_sub(info.paid)?;
                self.note_refund(What::Refunded { chain: info.chain, about }).await?;
                ended = ended.saturating_add(1);
            }
        }
        let meta = self.inner.meta().clone();
        let (sessions, openings) = self
            .inner
            .handle
            .read(|reader| Ok::<_, WalletError>((rows::sessions(reader)?, rows::openings(reader)?)))
            .await??;
        // Those of an earlier epoch are nobody's to pay from; the bank settles them by itself.
        let retired =
            sessions.into_iter().filter(|row| !row.origin.is_current(&meta)).map(|row| (SESSIONS, row.origin));
        let over =
            openings.into_iter().filter(|row| row.not_after.after(SKEW) <= now).map(|row| (OPENINGS, row.origin));
        let gone: Vec<_> = retired.chain(over).map(|(table, origin)| (table, origin.index.to_be_bytes())).collect();
        if !gone.is_empty() {
            let forget = move |cx: &mut Context<'_>| {
                gone.iter().for_each(|(table, key)| cx.tx.delete(*table, key));
                Ok(())
            };
            self.inner.handle.transact(forget).await?;
        }
        Ok(ended)
    }

    /// What could be lost in open sessions: paid and not answered, or given back and not used again.
    pub(crate) async fn coupon_exposure(&self) -> Result<Vec<Exposure>, WalletError> {
        let mut found = Vec::new();
        for info in self.coupon_sessions().await? {
            if !info.at_risk.is_zero() {
                found.push(Exposure {
                    to: info.seller,
                    at_most: info.at_risk,
                    until: info.not_after,
                    risk: Risk::Session,
                });
            }
        }
        Ok(found)
    }

    async fn note_refund(&self, what: What) -> Result<(), WalletError> {
        let noted = move |cx: &mut Context<'_>| {
            start::note(cx, what);
            Ok(())
        };
        Ok(self.inner.handle.transact(noted).await?)
    }
}
