//! The buyer during 3KP: asks, checks the invoice against what it knows itself, signs, and believes
//! only what the bank signed.

use farthing_core::chain::{Header, Pebbles, SEED_BYTES, Scheme, Scope};
use farthing_core::id::{NetworkId, OrderId, PeerId};
use farthing_core::order::Order;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::seal::{SealPublic, seal};
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{SKEW, Time};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use crate::messages::{
    Answer, Authorisation, Clear, Common, Confirm, Consent, Initiate, Inquiry, Payment, Random, SessionSecret, Slip,
    buyer_id, description, sealed_digest,
};
use crate::micro::SessionKey;
use crate::secret::Secret;
use crate::spender::Spender;

/// Who a buyer is, to whom.
#[derive(Debug)]
pub struct Buyer<'a> {
    /// The key of the account, `BAN`; only the bank learns it.
    pub account: &'a SecretKey,
    /// The key that signs as the chain's payer: a fresh one for every purchase, if the buyer likes.
    pub pseudonym: &'a SecretKey,
    /// The network of its bank.
    pub network: NetworkId,
    /// Its bank.
    pub bank: PeerId,
    /// The bank's key for slips.
    pub bank_seal: SealPublic,
}

/// A purchase that was asked for; nothing is signed yet and nothing can be lost.
pub struct Asked {
    common: CommonParts,
    pebbles: Pebbles,
}

struct CommonParts {
    header: Header,
    order: OrderId,
    salt: Random,
    blind: Secret,
    buyer: crate::secret::Digest,
}

/// A purchase that the buyer signed: the bank may set the money aside. Written down before Payment
/// leaves (the paper's `pend`).
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Pending {
    #[n(0)]
    common: Common,
    #[n(1)]
    order: OrderId,
    #[n(2)]
    salt: Random,
    #[n(3)]
    key: SessionKey,
    #[n(4)]
    payment: Payment,
}

impl Buyer<'_> {
    /// Asks for up to `units` coupons of the order's price (Initiate).
    ///
    /// # Errors
    /// [`Code::Limit`] for no units or too many.
    pub fn initiate(
        &self,
        order: &Order,
        units: u32,
        not_after: Time,
        seed: [u8; SEED_BYTES],
        rng: &mut dyn CryptoRng,
    ) -> Result<(Asked, Initiate), Refusal> {
        let mut random = || {
            let mut bytes = [0; 16];
            rng.fill_bytes(&mut bytes);
            bytes
        };
        let (chain_salt, salt) = (random(), Random(random()));
        let blind = Secret::draw(rng);
        let header = Header {
            payer: self.pseudonym.id(),
            scheme: Scheme::Coupon,
            units,
            unit: order.price,
            scope: Scope::Payee(order.payee),
            salt: chain_salt,
            not_after,
        };
        let too_long = || Refusal::new(Code::Limit, "a session holds from 1 to 1048576 units");
        let pebbles = Pebbles::new(&header, seed).ok_or_else(too_long)?;
        let buyer = buyer_id(&blind, self.account.id());
        let initiate = Initiate { header: header.clone(), root: pebbles.root(), salt, buyer };
        Ok((Asked { common: CommonParts { header, order: order.id(), salt, blind, buyer }, pebbles }, initiate))
    }

    /// Takes Invoice and signs Payment. `COMMON` is rebuilt from what the buyer asked for, so a
    /// seller that changed the price, the description or anything else is found out here.
    ///
    /// # Errors
    /// A [`Refusal`]; nothing was signed.
    pub fn on_invoice(
        &self,
        now: Time,
        asked: Asked,
        invoice: Signed<Clear>,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Pending, Purchase), Refusal> {
        self.on_invoice_as(now, asked, invoice, None, rng)
    }

    /// The same for a wallet whose copies the bank numbers: the slip says which one signs.
    ///
    /// # Errors
    /// A [`Refusal`]; nothing was signed.
    pub fn on_invoice_as(
        &self,
        now: Time,
        asked: Asked,
        invoice: Signed<Clear>,
        epoch: Option<u64>,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Pending, Purchase), Refusal> {
        let Asked { common: parts, pebbles } = asked;
        let Scope::Payee(seller) = parts.header.scope else {
            return Err(Refusal::new(Code::NotPayee, "the chain names no seller"));
        };
        let verified = invoice.verify_by(self.network, seller)?;
        let said = verified.body();
        if now.since(said.terms.date) > SKEW || said.terms.date.since(now) > SKEW {
            return Err(Refusal::new(Code::Expired, "the invoice is stale, or the clocks differ: ask again"));
        }
        let common = Common {
            header: parts.header,
            root: pebbles.root(),
            description: description(parts.order, parts.salt),
            buyer: parts.buyer,
            terms: said.terms.clone(),
        };
        if said.common != common.digest() || said.root != common.root {
            return Err(Refusal::new(
                Code::Order,
                "the invoice is not for what was asked: another price, offer or chain",
            ));
        }
        let slip = Slip { header: common.header.clone(), common: said.common, blind: parts.blind, epoch };
        let slip = self.account.sign(self.network, &slip);
        let bad_key = |why: farthing_core::seal::Unsealed| Refusal::new(Code::Decrypt, why.to_string());
        let slip = seal(self.network, &self.bank_seal, &slip, &mut *rng).map_err(bad_key)?;
        let secret = Secret::draw(rng);
        let session =
            seal(self.network, &common.terms.session, &SessionSecret(secret.clone()), rng).map_err(bad_key)?;
        let consent = Consent { slip: sealed_digest(&slip), common: said.common, session: sealed_digest(&session) };
        let consent = self.pseudonym.sign(self.network, &consent);
        let key = SessionKey::new(&secret, &common);
        let payment = Payment { slip, consent, session };
        let pending = Pending { common, order: parts.order, salt: parts.salt, key, payment };
        Ok((pending.clone(), Purchase { pending, pebbles }))
    }
}

/// A signed purchase in progress: what is written down, and the chain.
#[derive(Debug)]
pub struct Purchase {
    pending: Pending,
    pebbles: Pebbles,
}

impl Pending {
    /// Payment, for the seller; the same bytes at every repeat.
    #[must_use]
    pub const fn payment(&self) -> &Payment {
        &self.payment
    }

    /// What to ask the bank where Confirm never came. It is asked by the account's key.
    #[must_use]
    pub fn inquiry(&self) -> Inquiry {
        Inquiry { common: self.common.digest() }
    }

    /// What opens `H(DESC, SALT_B)`, to prove later what the purchase was about.
    #[must_use]
    pub const fn description(&self) -> (OrderId, Random) {
        (self.order, self.salt)
    }
}

impl Purchase {
    /// A purchase taken up again after a crash, from what was written down and the chain's seed.
    ///
    /// # Errors
    /// [`Code::Chain`] if they do not belong together.
    pub fn resume(pending: Pending, seed: [u8; SEED_BYTES]) -> Result<Self, Refusal> {
        let pebbles = Pebbles::new(&pending.common.header, seed).filter(|chain| chain.root() == pending.common.root);
        let pebbles = pebbles.ok_or_else(|| Refusal::new(Code::Chain, "this seed is of another purchase"))?;
        Ok(Self { pending, pebbles })
    }

    /// What was written down.
    #[must_use]
    pub const fn pending(&self) -> &Pending {
        &self.pending
    }

    /// Takes Confirm: `SIG_A` must be the bank's yes to this very purchase, and `V` what the seller
    /// committed to, so that it cannot deny having accepted.
    ///
    /// # Errors
    /// A [`Refusal`], with the purchase as it stood; ask the bank by [`Pending::inquiry`].
    pub fn on_confirm(self, buyer: &Buyer<'_>, confirm: Confirm) -> Result<Spender, Box<(Self, Refusal)>> {
        match self.check(buyer, &confirm) {
            Ok(()) => {
                let Pending { common, order, key, .. } = self.pending;
                Ok(Spender::open(common, confirm.authorisation, order, key, self.pebbles))
            }
            Err(why) => Err(Box::new((self, why))),
        }
    }

    fn check(&self, buyer: &Buyer<'_>, confirm: &Confirm) -> Result<(), Refusal> {
        if let Answer::No(why) = self.on_answer(buyer, confirm.authorisation.clone())?.answer {
            return Err(why);
        }
        if confirm.accept.commitment() != self.pending.common.terms.accept {
            return Err(Refusal::new(Code::Order, "this is not the seller's word that it accepted"));
        }
        Ok(())
    }

    /// What the bank answered, by way of Confirm or of an inquiry.
    ///
    /// # Errors
    /// A [`Refusal`]: it is not the bank's answer, or about another purchase.
    pub fn on_answer(&self, buyer: &Buyer<'_>, signed: Signed<Authorisation>) -> Result<Authorisation, Refusal> {
        let verified = signed.verify_by(buyer.network, buyer.bank)?;
        let body = verified.body();
        if body.common != self.pending.common.digest() || body.chain != self.pending.common.chain() {
            return Err(Refusal::new(Code::Order, "the bank's answer is about another purchase"));
        }
        Ok(body.clone())
    }
}
