//! The paper's own form (§4), so that its flaws can be shown. For tests, models and simulations; no
//! network node can reach it.
//!
//! As printed: a draft is a number, the payor's account and the payee's; no amount. A deposit is
//! sealed under the *payee's* key. A draft is honoured for any amount while its certificate lasts,
//! whatever the account holds. A stop-payment is the payor's signed word and nothing more.

use std::collections::{BTreeMap, BTreeSet};

use farthing_core::id::{NetworkId, PeerId};
use farthing_core::seal::{SealKey, SealPublic, Sealed, Unsealed, seal};
use farthing_core::sign::{SecretKey, Signed, Statement};
use farthing_core::time::Time;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

/// `X0`: the draft of §4.1, field by field.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PlainDraft {
    /// The draft sequence number.
    #[n(0)]
    pub number: u64,
    /// The payor's account.
    #[n(1)]
    pub payor: PeerId,
    /// The payee's account.
    #[n(2)]
    pub payee: PeerId,
    /// `T0`.
    #[n(3)]
    pub time: Time,
}

impl Statement for PlainDraft {
    const KIND: u16 = 0x0610;
}

/// `M1` of §4.2: the deposit, under the key the paper prints, which is the payee's own.
///
/// # Errors
/// [`Unsealed`].
pub fn deposit(
    network: NetworkId,
    payee: SealPublic,
    draft: &Signed<PlainDraft>,
    rng: &mut dyn CryptoRng,
) -> Result<Sealed<Signed<PlainDraft>>, Unsealed> {
    seal(network, &payee, draft, rng)
}

/// The bank of §4: it believes every signed draft and every signed stop.
#[derive(Debug)]
pub struct Bank {
    /// Its network.
    pub network: NetworkId,
    /// What opens its mail.
    pub seal: SealKey,
    /// What accounts hold; below nothing where the payor had not enough.
    pub balances: BTreeMap<PeerId, i64>,
    /// Draft numbers that were paid.
    pub paid: BTreeSet<(PeerId, u64)>,
    /// Draft numbers that were stopped.
    pub stopped: BTreeSet<(PeerId, u64)>,
}

impl Bank {
    /// Pays a draft what the depositor says it is for: the draft does not say.
    pub fn pay(&mut self, draft: Signed<PlainDraft>, claimed: i64) -> bool {
        let Ok(draft) = draft.verify(self.network) else { return false };
        let (payor, body) = (draft.signer(), draft.body());
        let number = (payor, body.number);
        if body.payor != payor || self.stopped.contains(&number) || !self.paid.insert(number) {
            return false;
        }
        *self.balances.entry(payor).or_default() -= claimed;
        *self.balances.entry(body.payee).or_default() += claimed;
        true
    }

    /// "Alice can contact the bank and send a signed request to have a stop-payment put on that
    /// draft."
    pub fn stop(&mut self, payor: &SecretKey, number: u64) {
        self.stopped.insert((payor.id(), number));
    }
}
