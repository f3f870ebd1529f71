//! The seller during 3KP: invoices, forwards, and opens the session when the bank says yes.

use farthing_core::chain::{CHAIN_LEN_MAX, Scheme};
use farthing_core::id::{NetworkId, OrderId, PeerId};
use farthing_core::order::Order;
use farthing_core::refusal::{Code, Refusal, Remedy};
use farthing_core::seal::SealKey;
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{Span, Time};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use crate::messages::{
    Answer, AuthRequest, Authorisation, Clear, Common, Confirm, Initiate, Payment, Random, SellerTerms, description,
    sealed_digest,
};
use crate::micro::SessionKey;
use crate::secret::Secret;
use crate::session::Session;

/// What a seller insists on.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The shortest a session may run.
    pub life_min: Span,
    /// The shortest time to clear that the bank must leave after a session has ended.
    pub grace_min: Span,
}

impl Default for Terms {
    fn default() -> Self {
        Self { life_min: Span::from_secs(60), grace_min: Span::from_hours(1) }
    }
}

/// What a seller needs to sell.
#[derive(Debug)]
pub struct Seller {
    /// Signs invoices.
    pub key: SecretKey,
    /// Opens session secrets. A new one every day leaves yesterday's sessions unreadable to a thief.
    pub seal: SealKey,
    /// The network of its bank.
    pub network: NetworkId,
    /// Its bank, whose authorisations it believes.
    pub bank: PeerId,
    /// What it insists on.
    pub terms: Terms,
}

/// A purchase that was invoiced. Written down before the invoice leaves.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Invoiced {
    #[n(0)]
    common: Common,
    #[n(1)]
    realm: OrderId,
    /// `V`.
    #[n(2)]
    accept: Secret,
    /// `V′`.
    #[n(3)]
    clear: Secret,
    #[n(4)]
    signed: Signed<Clear>,
}

/// A purchase that the buyer signed. Written down before the bank is asked.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Committed {
    #[n(0)]
    invoiced: Invoiced,
    #[n(1)]
    key: SessionKey,
    #[n(2)]
    request: AuthRequest,
}

impl Seller {
    /// Answers Initiate by Invoice. `order` is what this seller offers: its price is `v`.
    ///
    /// # Errors
    /// A [`Refusal`] that tells the buyer what to mend.
    pub fn invoice(
        &self,
        now: Time,
        order: &Order,
        initiate: &Initiate,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Invoiced, Signed<Clear>), Refusal> {
        let header = &initiate.header;
        if header.scheme != Scheme::Coupon || order.payee != self.key.id() {
            return Err(Refusal::new(Code::Version, "this is not a purchase by coupons from us"));
        }
        if header.units == 0 || header.units > CHAIN_LEN_MAX {
            return Err(Refusal::new(Code::Limit, format!("a session holds from 1 to {CHAIN_LEN_MAX} units")));
        }
        if header.unit != order.price || header.unit.is_zero() {
            return Err(Refusal::new(Code::Amount, "a unit is worth what the offer says"));
        }
        if now >= order.expires || header.not_after < now.after(self.terms.life_min) {
            return Err(Refusal::new(Code::Expired, "the offer or the session ends too soon").remedy(Remedy::Mend));
        }
        let mut random = || {
            let mut bytes = [0; 16];
            rng.fill_bytes(&mut bytes);
            Random(bytes)
        };
        let (tid, nonce) = (random(), random());
        let (accept, clear) = (Secret::draw(rng), Secret::draw(rng));
        let terms = SellerTerms {
            tid,
            nonce,
            date: now,
            accept: accept.commitment(),
            clear: clear.commitment(),
            session: self.seal.public(),
        };
        let common = Common {
            header: header.clone(),
            root: initiate.root,
            description: description(order.id(), initiate.salt),
            buyer: initiate.buyer,
            terms: terms.clone(),
        };
        if common.seller() != Some(self.key.id()) {
            return Err(Refusal::new(Code::NotPayee, "the chain is for another seller"));
        }
        let body = Clear { terms, root: initiate.root, common: common.digest() };
        let signed = self.key.sign(self.network, &body);
        Ok((Invoiced { common, realm: order.id(), accept, clear, signed: signed.clone() }, signed))
    }

    /// Takes Payment: `SIG_B` must hold, and the session's secret open.
    ///
    /// # Errors
    /// A [`Refusal`]; the invoice stands.
    pub fn on_payment(&self, invoiced: &Invoiced, payment: Payment) -> Result<Committed, Refusal> {
        let Payment { slip, consent, session } = payment;
        let verified = consent.verify_by(self.network, invoiced.common.header.payer)?;
        let said = verified.body();
        if said.common != invoiced.common.digest()
            || said.slip != sealed_digest(&slip)
            || said.session != sealed_digest(&session)
        {
            return Err(Refusal::new(Code::Order, "the buyer signed for something else"));
        }
        let secret = self.seal.open(self.network, &session)?;
        let request = AuthRequest {
            clear: invoiced.signed.clone(),
            description: invoiced.common.description,
            slip,
            consent: verified.into_signed(),
        };
        let key = SessionKey::new(&secret.0, &invoiced.common);
        Ok(Committed { invoiced: invoiced.clone(), key, request })
    }

    /// Takes Auth-Response: on a yes the session opens, and Confirm goes to the buyer.
    ///
    /// # Errors
    /// A [`Refusal`]; the bank's own where it said no. Ask the bank again with the same request
    /// where its answer went missing.
    pub fn on_authorisation(
        &self,
        committed: &Committed,
        signed: Signed<Authorisation>,
    ) -> Result<(Session, Confirm), Refusal> {
        let common = &committed.invoiced.common;
        let verified = signed.verify_by(self.network, self.bank)?;
        let body = verified.body();
        if body.common != common.digest() || body.chain != common.chain() {
            return Err(Refusal::new(Code::Order, "the bank's answer is about another purchase"));
        }
        match &body.answer {
            Answer::No(why) => return Err(why.clone()),
            Answer::Yes { grace, .. } if *grace < self.terms.grace_min => {
                return Err(Refusal::new(Code::Policy, "the bank gives too little time to clear"));
            }
            Answer::Yes { .. } => {}
        }
        let (key, clear) = (committed.key.clone(), committed.invoiced.clear.clone());
        let session = Session::open(common.header.clone(), common.root, committed.invoiced.realm, key, clear);
        let accept = committed.invoiced.accept.clone();
        Ok((session, Confirm { authorisation: verified.into_signed(), accept }))
    }
}

impl Committed {
    /// Auth-Request, for the bank; the same bytes at every repeat.
    #[must_use]
    pub const fn request(&self) -> &AuthRequest {
        &self.request
    }
}
