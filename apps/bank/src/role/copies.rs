//! Which copy of a wallet may spend: two live copies never both do.

use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::time::Time;
use farthing_core::wire;
use farthing_ledger::StoreFault;
use farthing_role::{Context, Halt, Records};
use minicbor::{Decode, Encode};

use super::BankRole;
use crate::chart::{COPIES, read};
use crate::messages::{Presence, TakeOver};

/// The copy of a customer's wallet that may spend.
#[derive(Clone, Encode, Decode)]
struct Copy {
    #[cbor(n(0), with = "minicbor::bytes")]
    copy: [u8; 32],
    #[n(1)]
    epoch: u64,
    #[n(2)]
    since: Time,
}

/// The epoch of an account; 0 while no wallet of it has ever taken over.
pub(super) fn epoch_of(tx: &(impl Records + ?Sized), account: PeerId) -> Result<u64, StoreFault> {
    Ok(read::<Copy>(tx, COPIES, &account.0)?.map_or(0, |present| present.epoch))
}

/// Refuses what another copy of an account's wallet asks than the present one.
///
/// # Errors
/// [`Code::Epoch`]; nothing has moved by this request.
pub(crate) fn require_present(cx: &Context<'_>, account: PeerId, epoch: u64) -> Result<(), Halt> {
    if epoch_of(&*cx.tx, account)? == epoch {
        return Ok(());
    }
    let why = "another copy of this wallet is the one that spends: no money moved by this request; if that copy is \
               lost, have this one compared with the bank (farthing reconcile), and let only one spend";
    Err(Refusal::new(Code::Epoch, why).into())
}

impl BankRole {
    /// Makes a copy the one that spends. The key for clearing is replaced, for frames carry no epoch
    /// of this kind: only the present copy can ask for the new one, and any other can say nothing.
    pub(super) fn take_over(&self, cx: &mut Context<'_>, customer: PeerId, ask: &TakeOver) -> Result<Presence, Halt> {
        let before: Option<Copy> = read(&*cx.tx, COPIES, &customer.0)?;
        let present = match before {
            Some(present) if present.copy == ask.copy => present,
            before => {
                let last = before.as_ref().map_or(0, |before| before.epoch);
                let too_often = || Refusal::new(Code::Limit, "this wallet was restored too often");
                let epoch = last.checked_add(1).ok_or_else(too_often)?;
                if farthing_clearing::bank::account(&*cx.tx, customer)?.is_some() {
                    self.clearing.retire(cx, customer)?;
                }
                let present = Copy { copy: ask.copy, epoch, since: cx.now };
                cx.tx.put(COPIES, &customer.0, wire::encode(&present));
                present
            }
        };
        Ok(Presence { epoch: present.epoch, since: present.since })
    }
}
