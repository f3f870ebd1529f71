//! The buyer's half: opens a session at a facilitator or gateway, and makes payments in it.

use farthing_bank::client::BankClient;
use farthing_bank::facilitator::{item_of, request_digest};
use farthing_core::amount::Currency;
use farthing_core::chain::SEED_BYTES;
use farthing_core::id::{ChainId, PeerId};
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_core::wire::{self, Wire};
use farthing_coupon::buyer::Buyer;
use farthing_coupon::messages::{Confirm, Payment};
use farthing_coupon::micro::{Ack, micro_order};
use farthing_coupon::spender::{SpendError, Spender};
use farthing_dialects::names::{CBOR, CLOSE_PATH, INITIATE_PATH, OFFER_PATH, OPEN_PATH};
use farthing_dialects::service::{CloseSession, Offer, SessionView};
use farthing_dialects::x402::{PaymentRequirements, SettleResponse, payload};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::Value;

use crate::key;

/// How long sessions run.
const SESSION_SPAN: Span = Span::from_hours(24);

/// A session, and the keys it was opened with.
pub struct Purse {
    origin: String,
    pseudonym: SecretKey,
    spender: Spender,
    /// What was sent to open it.
    pub payment: Payment,
    /// What was answered.
    pub confirm: Confirm,
}

impl Purse {
    /// Opens a session of so many units with whoever sells at that address.
    ///
    /// # Errors
    /// What the other side answered in place of a session.
    pub async fn open(
        bank: &BankClient,
        origin: &str,
        account: &SecretKey,
        pseudonym: u8,
        units: u32,
        now: Time,
    ) -> Result<Self, String> {
        let offer: Offer = ask(reqwest::Client::new().get(format!("{origin}{OFFER_PATH}"))).await?;
        let signs = key(pseudonym);
        let bank_seal = bank.info().body().seal;
        let buyer = Buyer { account, pseudonym: &signs, network: bank.network(), bank: bank.bank(), bank_seal };
        let mut rng = ChaCha20Rng::from_seed([pseudonym; 32]);
        let refused = |why: farthing_core::refusal::Refusal| why.to_string();
        let (asked, initiate) = buyer
            .initiate(&offer.order, units, now.after(SESSION_SPAN), [pseudonym; SEED_BYTES], &mut rng)
            .map_err(refused)?;
        let invoice = post(origin, INITIATE_PATH, wire::encode(&initiate)).await?;
        let (pending, purchase) = buyer.on_invoice(now, asked, invoice, &mut rng).map_err(refused)?;
        let payment = pending.payment().clone();
        let confirm: Confirm = post(origin, OPEN_PATH, wire::encode(&payment)).await?;
        let spender = purchase.on_confirm(&buyer, confirm.clone()).map_err(|refused| refused.1.to_string())?;
        Ok(Self { origin: origin.to_owned(), pseudonym: key(pseudonym), spender, payment, confirm })
    }

    /// Sends the last message of the opening once more.
    ///
    /// # Errors
    /// What was answered in place of the same.
    pub async fn open_again(&self, origin: &str) -> Result<Confirm, String> {
        post(origin, OPEN_PATH, wire::encode(&self.payment)).await
    }

    /// Makes a payment for what a server wants, as x402 carries it.
    ///
    /// # Errors
    /// Where it cannot be paid with this session.
    ///
    /// # Panics
    /// If the requirements make no sense.
    pub fn pay(&mut self, wanted: &Value) -> Result<Value, SpendError> {
        let read = PaymentRequirements::deserialize_loosely(wanted);
        let (units, order) = match read.quote() {
            // A gateway says itself which request it means.
            Ok((quote, _)) => (quote.units, micro_order(quote.realm, &quote.request)),
            Err(_) => {
                let currency: Currency = read.asset.parse().expect("a currency");
                let amount = currency.micros(read.amount.parse().expect("an amount")).expect("an amount");
                let pay_to: PeerId = read.pay_to.parse().expect("an account");
                let units = amount.units_of(self.spender.unit()).and_then(|units| u32::try_from(units).ok());
                let request = request_digest(item_of(wanted), pay_to, amount);
                (units.expect("a few coupons"), micro_order(self.spender.realm(), &request))
            }
        };
        let pay = self.spender.pay(units, order)?;
        Ok(payload(&pay.coupon(self.spender.chain())))
    }

    /// Takes what a server answered to a payment: how many units it used.
    ///
    /// # Errors
    /// Where the acknowledgement is not the seller's.
    pub fn on_response(&mut self, response: &Value) -> Result<u32, SpendError> {
        let response: SettleResponse = serde_json::from_value(response.clone()).expect("a response");
        let ack: Ack = response.ack().map_err(|_| SpendError::Forged)?;
        self.spender.on_ack(&ack)
    }

    /// The chain it spends.
    #[must_use]
    pub const fn chain(&self) -> ChainId {
        self.spender.chain()
    }

    /// What is left.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.spender.left()
    }

    /// Says that it is done.
    ///
    /// # Errors
    /// What was answered in place of a yes.
    pub async fn close(&self, bank: &BankClient, now: Time) -> Result<SessionView, String> {
        let ask = CloseSession { chain: self.spender.chain(), at: now };
        post(&self.origin, CLOSE_PATH, wire::encode(&self.pseudonym.sign(bank.network(), &ask))).await
    }
}

trait Loosely {
    fn deserialize_loosely(wanted: &Value) -> Self;
}

impl Loosely for PaymentRequirements {
    /// Version 1 has another name for the amount.
    fn deserialize_loosely(wanted: &Value) -> Self {
        let mut wanted = wanted.clone();
        let most = wanted.get("maxAmountRequired").cloned();
        if let (Some(parts), Some(most)) = (wanted.as_object_mut(), most) {
            parts.insert("amount".to_owned(), most);
        }
        serde_json::from_value(wanted).expect("what a server wants")
    }
}

async fn post<T: Wire>(origin: &str, path: &str, body: Vec<u8>) -> Result<T, String> {
    ask(reqwest::Client::new().post(format!("{origin}{path}")).header("content-type", CBOR).body(body)).await
}

async fn ask<T: Wire>(request: reqwest::RequestBuilder) -> Result<T, String> {
    let answer = request.send().await.map_err(|why| why.to_string())?;
    let is_good = answer.status().is_success();
    let body = answer.bytes().await.map_err(|why| why.to_string())?;
    if is_good {
        wire::decode(&body).map_err(|why| why.to_string())
    } else {
        Err(String::from_utf8_lossy(&body).into_owned())
    }
}
