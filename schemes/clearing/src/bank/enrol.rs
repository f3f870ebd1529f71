//! Keys for customers: the first one, and others in its place. Both come in by the bank's ordinary,
//! signed requests, whose repeats get the stored reply.

use farthing_core::id::{PeerId, RequestId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seal::{SealPublic, Sealed, seal};
use farthing_core::sign::Signed;
use farthing_role::{Context, Halt};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::log::{self, LogEvent};
use super::records::{self, AccountRecord, Standing};
use super::{Clearing, replaced, unknown};
use crate::messages::{Enrol, KeyGrant, Rotate};

impl Clearing {
    /// Gives a customer its key. One that has a key already lost it, or its whole wallet: it gets
    /// the same key again and must compare books before it pays, and so must every other copy.
    ///
    /// # Errors
    /// [`Halt`]: a sealing key that cannot be used.
    pub fn enrol(
        &self,
        cx: &mut Context<'_>,
        customer: PeerId,
        request: RequestId,
        enrol: &Enrol,
    ) -> Result<Sealed<Signed<KeyGrant>>, Halt> {
        let (record, fresh) = match records::account(&*cx.tx, customer)? {
            Some(mut known) => {
                if known.standing == Standing::Active {
                    known.standing = Standing::MustReconcile;
                }
                (known, false)
            }
            None => {
                let record = AccountRecord::new(customer, cx.now);
                log::append(cx, LogEvent::Key { customer, version: record.version })?;
                (record, true)
            }
        };
        records::put_account(cx, customer, &record);
        self.grant(cx, customer, request, &enrol.seal, record.version, fresh)
    }

    /// Gives a customer another key. The old one says nothing from then on; what was asked under it
    /// is found out by comparing books, and tickets under it are repaired the same way.
    ///
    /// # Errors
    /// [`Halt`]: an unknown customer, another version than the present one, or a sealing key that
    /// cannot be used.
    pub fn rotate(
        &self,
        cx: &mut Context<'_>,
        customer: PeerId,
        request: RequestId,
        rotate: &Rotate,
    ) -> Result<Sealed<Signed<KeyGrant>>, Halt> {
        let mut record = records::account(&*cx.tx, customer)?.ok_or_else(unknown)?;
        if rotate.version == record.version {
            record.version = record.version.checked_add(1).ok_or_else(replaced)?;
            if record.standing == Standing::Active {
                record.standing = Standing::MustReconcile;
            }
            log::append(cx, LogEvent::Key { customer, version: record.version })?;
            records::put_account(cx, customer, &record);
        } else if rotate.version.checked_add(1) != Some(record.version) {
            return Err(replaced().into());
        }
        self.grant(cx, customer, request, &rotate.seal, record.version, false)
    }

    /// Replaces a customer's key without being asked, because it may be known to others or because
    /// another copy of the wallet took over: what was sealed under the old one says nothing any more,
    /// and whoever may enrol gets the new one.
    ///
    /// # Errors
    /// [`Halt`]: an unknown customer.
    pub fn retire(&self, cx: &mut Context<'_>, customer: PeerId) -> Result<(), Halt> {
        let mut record = records::account(&*cx.tx, customer)?.ok_or_else(unknown)?;
        record.version = record.version.checked_add(1).ok_or_else(replaced)?;
        if record.standing == Standing::Active {
            record.standing = Standing::MustReconcile;
        }
        log::append(cx, LogEvent::Key { customer, version: record.version })?;
        records::put_account(cx, customer, &record);
        Ok(())
    }

    /// Lets a customer whose books differed compare them again, once the operator has found out
    /// why. If it was the customer's books that were wrong, it takes over the bank's
    /// ([`Wallet::adopt`](crate::wallet::Wallet::adopt)).
    ///
    /// # Errors
    /// [`Halt`]: an unknown customer, or one without a dispute.
    pub fn settle(&self, cx: &mut Context<'_>, customer: PeerId) -> Result<(), Halt> {
        let mut record = records::account(&*cx.tx, customer)?.ok_or_else(unknown)?;
        if record.standing != Standing::Disputed {
            return Err(Refusal::new(Code::State, "there is no dispute with this customer").into());
        }
        record.standing = Standing::MustReconcile;
        log::append(cx, LogEvent::Settled { customer })?;
        records::put_account(cx, customer, &record);
        Ok(())
    }

    fn grant(
        &self,
        cx: &Context<'_>,
        customer: PeerId,
        request: RequestId,
        to: &SealPublic,
        version: u32,
        fresh: bool,
    ) -> Result<Sealed<Signed<KeyGrant>>, Halt> {
        let grant = KeyGrant { customer, request, key: self.master.customer(customer, version), fresh };
        let signed = self.key.sign(self.network, &grant);
        let mut rng = ChaCha20Rng::from_seed(cx.dice);
        let sealed = seal(self.network, to, &signed, &mut rng);
        Ok(sealed.map_err(|why| Refusal::new(Code::Malformed, why.to_string()))?)
    }
}
