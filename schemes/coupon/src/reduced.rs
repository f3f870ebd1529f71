//! 1KP and 2KP, for tests: what is missing where fewer parties have keys. No network node can reach
//! them.
//!
//! iKP's number counts who signs: in 1KP the acquirer alone, in 2KP the seller too, in 3KP also the
//! buyer. What is missing is replaced by a PIN inside the slip, which the buyer shares with the bank
//! and can therefore not prove anything with.

use std::collections::{BTreeMap, BTreeSet};

use farthing_core::id::{NetworkId, PeerId};
use farthing_core::refusal::{Code, Refusal};
use farthing_core::sign::{SecretKey, Signed};

use crate::messages::{Answer, Authorisation, Clear, Common};

/// Which parties have keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The acquirer.
    One,
    /// Acquirer and seller.
    Two,
}

/// The slip of 1KP and 2KP, as opened by the acquirer.
#[derive(Clone, Debug)]
pub struct PinSlip {
    /// What the buyer agreed on.
    pub common: Common,
    /// `BAN`.
    pub account: PeerId,
    /// Known to the buyer and the bank.
    pub pin: u32,
}

/// Auth-Request of 1KP and 2KP.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whoever sent it.
    pub sender: PeerId,
    /// `CLEAR`; in 2KP with `SIG_S`.
    pub clear: Clear,
    /// `SIG_S`.
    pub signed: Option<Signed<Clear>>,
    /// What the buyer sealed.
    pub slip: PinSlip,
}

/// An acquirer that knows PINs.
#[derive(Debug)]
pub struct Acquirer {
    /// Its key.
    pub key: SecretKey,
    /// The network.
    pub network: NetworkId,
    /// Which form it speaks.
    pub mode: Mode,
    /// PINs by account.
    pub pins: BTreeMap<PeerId, u32>,
    /// Purchases authorised.
    pub held: BTreeSet<[u8; 32]>,
}

impl Acquirer {
    /// Authorises, once for each purchase.
    ///
    /// # Errors
    /// A [`Refusal`] where a check of this mode fails; there are fewer of them than in 3KP.
    pub fn authorise(&mut self, request: &Request) -> Result<Signed<Authorisation>, Refusal> {
        let Request { clear, slip, .. } = request;
        if self.mode == Mode::Two {
            let signed = request
                .signed
                .clone()
                .ok_or_else(|| Refusal::new(Code::Signature, "2KP takes a seller's signature"))?;
            let seller = slip.common.seller().ok_or_else(|| Refusal::new(Code::NotPayee, "no seller"))?;
            if signed.verify_by(self.network, seller)?.body() != clear {
                return Err(Refusal::new(Code::Malformed, "the seller signed another invoice"));
            }
        }
        let common = slip.common.digest();
        if clear.common != common {
            return Err(Refusal::new(Code::Malformed, "seller and buyer do not mean the same purchase"));
        }
        if self.pins.get(&slip.account) != Some(&slip.pin) {
            return Err(Refusal::new(Code::Signature, "the PIN is not the account's"));
        }
        self.held.insert(common.0);
        let chain = slip.common.chain();
        let hold = farthing_core::id::TransferId([0; 16]);
        let answer = Answer::Yes { hold, grace: farthing_core::time::Span::from_hours(1) };
        let body = Authorisation { common, chain, answer, time: clear.terms.date };
        Ok(self.key.sign(self.network, &body))
    }
}
