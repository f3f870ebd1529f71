//! What shows a facilitator that it is the server itself that asks.
//!
//! Anybody who sees a payment can bring it to be settled, and that does no harm: it is settled in
//! full, for the server it names. To settle for less, or to let a payment go, takes the server's
//! word; else a buyer would settle its own payments for nothing while the server works.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::sign::{SecretKey, Signed, Statement};
use farthing_core::time::Time;
use farthing_core::wire;
use minicbor::{Decode, Encode};

/// The longest pass that is read.
const PASS_BYTES_MAX: usize = 1 << 10;

/// Signed by the account that is paid: whoever shows this speaks for me to the facilitator. It goes
/// into the server's configuration, as `Authorization: Bearer …`.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct FacilitatorPass {
    /// The first moment at which it is worth nothing any more.
    #[n(0)]
    pub until: Time,
}

impl Statement for FacilitatorPass {
    const KIND: u16 = 0x0372;
}

impl FacilitatorPass {
    /// A pass, as text.
    #[must_use]
    pub fn issue(key: &SecretKey, network: NetworkId, until: Time) -> String {
        URL_SAFE_NO_PAD.encode(wire::encode(&key.sign(network, &Self { until })))
    }

    /// Who speaks, by the value of an `Authorization` header; nobody if the pass is not good.
    pub(crate) fn holder(header: &str, network: NetworkId, now: Time) -> Option<PeerId> {
        let text = header.strip_prefix("Bearer ").filter(|text| text.len() <= PASS_BYTES_MAX)?;
        let signed: Signed<Self> = wire::decode(&URL_SAFE_NO_PAD.decode(text.trim()).ok()?).ok()?;
        let verified = signed.verify(network).ok()?;
        (now < verified.body().until).then(|| verified.signer())
    }
}
