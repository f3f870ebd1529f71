//! A seller and a buyer of coupons, who go to the bank through the front door.

use farthing_bank::client::AskError;
use farthing_core::chain::SEED_BYTES;
use farthing_core::order::Order;
use farthing_core::seal::SealKey;
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::Span;
use farthing_core::wire::Bounded;
use farthing_coupon::buyer::{Buyer, Purchase};
use farthing_coupon::clearing::{ClearLine, Clearing, Clearings};
use farthing_coupon::messages::{Answer, AuthAnswer, AuthRequest, Authorisation, Confirm};
use farthing_coupon::micro::micro_order;
use farthing_coupon::seller::{Committed, Seller, Terms};
use farthing_coupon::session::Session;
use farthing_coupon::spender::Spender;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::town::{Town, key, micros};

/// What one coupon is worth, in micros.
pub(crate) const UNIT: u64 = 1_000;
/// How long the sessions here run.
pub(crate) const SESSION_SPAN: Span = Span::from_hours(24);

/// A purchase that the buyer has signed and the bank has not seen.
pub(crate) struct Bought {
    pub(crate) purchase: Purchase,
    pub(crate) committed: Committed,
}

impl Town {
    pub(crate) fn seller(&self, seed: u8) -> Seller {
        let (network, bank) = (self.client.network(), self.client.bank());
        Seller { key: key(seed), seal: SealKey::from_seed(&[seed; 32]), network, bank, terms: Terms::default() }
    }

    pub(crate) fn buyer<'a>(&self, account: &'a SecretKey, pseudonym: &'a SecretKey) -> Buyer<'a> {
        let (network, bank) = (self.client.network(), self.client.bank());
        Buyer { account, pseudonym, network, bank, bank_seal: self.client.info().body().seal }
    }

    /// Initiate, Invoice and Payment between the two, with dice of the seller's choice.
    pub(crate) fn buy(&self, account: &SecretKey, pseudonym: u8, seller: &Seller, units: u32, dice: u8) -> Bought {
        self.buy_as(account, pseudonym, seller, units, dice, None)
    }

    /// The same by one copy of the buyer's wallet.
    pub(crate) fn buy_as(
        &self,
        account: &SecretKey,
        pseudonym: u8,
        seller: &Seller,
        units: u32,
        dice: u8,
        epoch: Option<u64>,
    ) -> Bought {
        let signs = key(pseudonym);
        let buyer = self.buyer(account, &signs);
        let order = Order {
            payee: seller.key.id(),
            content: None,
            size: 0,
            piece: 1,
            price: micros(UNIT),
            description: "requests".into(),
            created: self.now(),
            expires: self.now().after(Span::from_hours(1)),
            nonce: [0; 16],
        };
        let (mut ours, mut theirs) = (ChaCha20Rng::from_seed([pseudonym; 32]), ChaCha20Rng::from_seed([dice; 32]));
        let not_after = self.now().after(SESSION_SPAN);
        let (asked, initiate) = buyer.initiate(&order, units, not_after, [pseudonym; SEED_BYTES], &mut ours).unwrap();
        let (invoiced, invoice) = seller.invoice(self.now(), &order, &initiate, &mut theirs).unwrap();
        let (pending, purchase) = buyer.on_invoice_as(self.now(), asked, invoice, epoch, &mut ours).unwrap();
        let committed = seller.on_payment(&invoiced, pending.payment().clone()).unwrap();
        Bought { purchase, committed }
    }

    /// Auth-Request, and the bank's signed yes or no.
    pub(crate) async fn authorise(&self, seller: &Seller, request: &AuthRequest) -> Signed<Authorisation> {
        match self.client.authorise(&seller.key, self.id(), request).await.unwrap() {
            AuthAnswer::Answered(signed) => signed,
            AuthAnswer::Conflict { .. } => panic!("the bank sees a conflict"),
        }
    }

    /// A whole purchase: an open session on both sides.
    pub(crate) async fn session(
        &self,
        account: &SecretKey,
        pseudonym: u8,
        seller: &Seller,
        units: u32,
    ) -> (Spender, Session) {
        let Bought { purchase, committed } = self.buy(account, pseudonym, seller, units, pseudonym);
        let signed = self.authorise(seller, committed.request()).await;
        let (session, confirm) = seller.on_authorisation(&committed, signed).unwrap();
        let signs = key(pseudonym);
        let spender = confirmed(purchase, &self.buyer(account, &signs), confirm);
        (spender, session)
    }

    pub(crate) async fn clear(&self, seller: &Seller, items: Vec<Clearing>) -> Result<Vec<ClearLine>, AskError> {
        let clearings = Clearings { items: Bounded::new(items).unwrap() };
        let receipt = self.client.clear(&seller.key, self.id(), &clearings).await?;
        Ok(receipt.body().lines.as_slice().to_vec())
    }
}

fn confirmed(purchase: Purchase, buyer: &Buyer<'_>, confirm: Confirm) -> Spender {
    match purchase.on_confirm(buyer, confirm) {
        Ok(spender) => spender,
        Err(refused) => panic!("{}", refused.1),
    }
}

/// Pays so many units, one request after the other.
pub(crate) fn pay(town: &Town, spender: &mut Spender, session: &mut Session, units: u32) {
    let order = micro_order(spender.realm(), &[7; 32]);
    for _ in 0..units {
        let pay = spender.pay(1, order).unwrap();
        let accepted = session.accept(town.now(), &pay, 1).unwrap();
        spender.on_ack(&session.ack(&accepted.entry, 1, order)).unwrap();
    }
}

/// Whether the bank said yes.
pub(crate) fn is_yes(signed: &Signed<Authorisation>) -> bool {
    matches!(signed.peek().unwrap().answer, Answer::Yes { .. })
}
