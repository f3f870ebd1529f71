//! A buyer at a broker: a wallet's session with it, and what is bought there.
//!
//! The wallet writes down what it pays, so a request that was lost is made again with the same
//! coupon: [`Customer`] only carries it.

use farthing_core::amount::{Amount, AmountError};
use farthing_core::evidence::{Evidence, EvidenceKind, StatementBytes, Verdict};
use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Money, Refusal, Remedy};
use farthing_core::time::{Span, Time};
use farthing_core::wire::{self, Bounded};
use farthing_coupon::broker::{Form, Want};
use farthing_coupon::exchange::stall::{Item, Shelf};
use farthing_coupon::exchange::{Goods, request_of};
use farthing_coupon::micro::micro_order;
use farthing_coupon::spender::SpendError;
use farthing_coupon::verdict;
use farthing_dialects::quote::request_digest;
use farthing_dialects::service::{CloseSession, Offer};
use farthing_net::http::client::ClientError;
use farthing_net::http::endpoint::Endpoint;
use farthing_peer::wallet::coupon::{CouponSession, Opening, Spend, Ticket, Wish};
use farthing_peer::wallet::{Wallet, WalletError};

use crate::client::{BrokerAskError, BrokerClient};
use crate::messages::{
    ExchangeAnswer, ExchangeAsk, Passed, PrefetchAsk, SellerLine, SellerList, SerialAnswer, SerialAsk,
};
use crate::pocket::{Asked, Kept, Pocket, PocketError};

/// How long a session with a broker runs.
const LIFE: Span = Span::from_hours(24);
/// A session is asked to run so much longer than its broker insists on, for clocks that differ.
const LIFE_SLACK_SECS: u64 = 60;
/// Where the account does not hold what a session is worth, one worth so much less is tried.
const SMALLER_PART: u64 = 4;

/// Why nothing was bought.
#[derive(Debug, thiserror::Error)]
pub enum BuyError {
    /// The broker gave no answer, or said no.
    #[error(transparent)]
    Broker(#[from] BrokerAskError),
    /// The wallet does not pay.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The tokens cannot be written down.
    #[error(transparent)]
    Pocket(#[from] PocketError),
    /// No way to the broker.
    #[error(transparent)]
    Http(#[from] ClientError),
    /// Out of range.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// Another bank.
    #[error("the broker is paid through another bank than this wallet's; nothing was paid")]
    OtherBank,
    /// No such seller.
    #[error("the broker does not buy from {0}; nothing was paid")]
    NoSeller(String),
    /// A seller that the broker cannot buy from just now.
    #[error("the broker buys from {0}, but has no session there at present; nothing was paid")]
    NotReady(String),
    /// More than is allowed.
    #[error("it costs {price}, which is above {most}; nothing was paid")]
    Dear {
        /// What it costs, the broker's fee with it.
        price: Amount,
        /// What it may cost.
        most: Amount,
    },
    /// The exchange was called off: the coupon is good again.
    #[error("the exchange was called off: {why}; the coupon is good again")]
    Off {
        /// Why.
        why: Refusal,
        /// What convicts the seller, judged.
        evidence: Option<Box<Evidence>>,
    },
    /// The broker gave something that is not what it says, and took the coupon.
    #[error("{what}; at most {at_most} was lost: do not buy here again")]
    Cheated {
        /// What it did.
        what: &'static str,
        /// One payment.
        at_most: Amount,
        /// What convicts the seller, where it was the seller.
        evidence: Option<Box<Evidence>>,
    },
}

impl BuyError {
    /// Whether money may have moved.
    #[must_use]
    pub fn money(&self) -> Money {
        match self {
            Self::Broker(BrokerAskError::Refused(why)) => why.money,
            Self::Broker(BrokerAskError::Unknown(_)) => Money::Unknown,
            Self::Cheated { .. } => Money::MovedBefore,
            _ => Money::Unmoved,
        }
    }
}

/// A wallet's owner at a broker.
pub struct Customer {
    client: BrokerClient,
    wallet: Wallet,
    site: String,
    offer: Offer,
    list: SellerList,
}

impl std::fmt::Debug for Customer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Customer at {}", self.site)
    }
}

#[allow(clippy::missing_errors_doc, reason = "each fails with BuyError, which says what became of the money")]
impl Customer {
    /// Asks a broker what it is and whom it buys from.
    pub async fn meet(wallet: Wallet, broker: Endpoint) -> Result<Self, BuyError> {
        let site = broker.url("").origin().ascii_serialization();
        let client = BrokerClient::new(broker)?;
        let (offer, list) = (client.offer().await?, client.sellers().await?);
        if offer.network != wallet.network() || offer.bank != wallet.bank() {
            return Err(BuyError::OtherBank);
        }
        Ok(Self { client, wallet, site, offer, list })
    }

    /// The broker's site: tokens and sessions are kept under it.
    #[must_use]
    pub fn site(&self) -> &str {
        &self.site
    }

    /// Whom it buys from.
    #[must_use]
    pub fn sellers(&self) -> &[SellerLine] {
        self.list.sellers.as_slice()
    }

    /// The seller with this key, or at this address.
    pub fn seller(&self, name: &str) -> Result<&SellerLine, BuyError> {
        let is_it = |line: &&SellerLine| line.seller.to_string() == name || same_site(&line.origin, name);
        self.sellers().iter().find(is_it).ok_or_else(|| self.nobody(name))
    }

    /// The seller with this key, who says to be at this address.
    pub fn seller_at(&self, seller: PeerId, site: &str) -> Result<&SellerLine, BuyError> {
        self.sellers().iter().find(|line| line.seller == seller).ok_or_else(|| self.nobody(site))
    }

    /// Where sellers are that the broker has no session with at present.
    #[must_use]
    pub fn waiting(&self) -> &[String] {
        self.list.waiting.as_slice()
    }

    fn nobody(&self, name: &str) -> BuyError {
        let waits = self.waiting().iter().any(|origin| same_site(origin, name));
        if waits { BuyError::NotReady(name.to_owned()) } else { BuyError::NoSeller(name.to_owned()) }
    }

    /// What a seller of small products has on its shelf, by its own word.
    pub async fn shelf(&self, line: &SellerLine) -> Result<Shelf, BuyError> {
        let shelf = self.client.shelf(line.seller).await?;
        let lie = |_| Refusal::new(Code::Signature, "the broker shows a shelf that is not the seller's");
        let shelf = shelf.verify_by(self.wallet.network(), line.seller).map_err(lie);
        let mut shelf = shelf.map_err(BrokerAskError::Refused)?.body().clone();
        let plain = |item: &Item| !item.name.chars().any(char::is_control);
        // A name that would play tricks with a terminal is no name.
        shelf.items =
            Bounded::new(shelf.items.into_vec().into_iter().filter(plain).collect()).unwrap_or_else(Bounded::empty);
        Ok(shelf)
    }

    /// What so many of a seller's units cost here, the fee with it: in coupons, and in money.
    pub fn price(&self, line: &SellerLine, units: u32) -> Result<(u32, Amount), BuyError> {
        let coupon = self.offer.order.price;
        let price =
            line.unit.checked_mul(units.into())?.units_of(coupon).and_then(|coupons| u32::try_from(coupons).ok());
        let coupons = price.and_then(|coupons| coupons.checked_add(self.list.fee)).ok_or(AmountError::TooLarge)?;
        Ok((coupons, coupon.checked_mul(coupons.into())?))
    }

    /// Buys a small product; gives it, and what it cost.
    pub async fn buy(
        &self,
        line: &SellerLine,
        item: &Item,
        most: Option<Amount>,
    ) -> Result<(Vec<u8>, Amount), BuyError> {
        let (product, seller, units) = (item.product, line.seller, item.units);
        let want =
            Want { seller, units, request: request_of(product), form: Form::Exchange { product: Some(product) } };
        let ticket = self.pay(line, &want, most).await?;
        let ask = ExchangeAsk { chain: ticket.session().chain(), pay: *ticket.pay(), want };
        let (ticket, answer) = settled(ticket, self.client.exchange(&ask).await).await?;
        let at_most = ticket.price();
        match answer {
            ExchangeAnswer::Fair { goods, ack } => {
                let cost = ticket.answered(&ack).await?;
                let order = micro_order(line.realm, &want.request);
                // Whenever the answer came: the promise stood when the broker looked.
                match goods.open(self.wallet.network(), seller, Time::default(), order, Some(product)) {
                    Ok(product) => Ok((product, cost)),
                    Err(_) => {
                        let what = "the broker took the coupon and gave goods that are not what was ordered";
                        Err(BuyError::Cheated { what, at_most, evidence: self.broken(seller, &goods) })
                    }
                }
            }
            ExchangeAnswer::Off { ack, why, evidence } => {
                if !ticket.answered(&ack).await?.is_zero() {
                    let what = "the broker called the exchange off and kept the coupon";
                    return Err(BuyError::Cheated { what, at_most, evidence: None });
                }
                let evidence = evidence.filter(|evidence| self.convicts(seller, evidence)).map(Box::new);
                Err(BuyError::Off { why, evidence })
            }
        }
    }

    /// Has a request carried out by a seller; gives its answer, and what it cost.
    pub async fn request(
        &self,
        line: &SellerLine,
        http: Passed,
        units: u32,
        most: Option<Amount>,
    ) -> Result<(SerialAnswer, Amount), BuyError> {
        let request = request_digest(&http.method, &http.path, &http.body);
        let want = Want { seller: line.seller, units, request, form: Form::Serial };
        let ticket = self.pay(line, &want, most).await?;
        let ask = SerialAsk { chain: ticket.session().chain(), pay: *ticket.pay(), want, http };
        let (ticket, answer) = settled(ticket, self.client.serial(&ask).await).await?;
        let cost = ticket.answered(&answer.ack).await?;
        Ok((answer, cost))
    }

    /// Gets a token of so many units to be spent with a seller within `life`, and keeps it. One that
    /// was asked for and never came is asked for again first; it is the one.
    pub async fn prefetch(
        &self,
        line: &SellerLine,
        units: u32,
        life: Span,
        most: Option<Amount>,
        pocket: &mut Pocket,
    ) -> Result<(Kept, Amount), BuyError> {
        let now = self.wallet.now();
        let asked = match pocket.asked(&self.site, line.seller, units, now)? {
            Some(asked) => asked,
            None => {
                // Worth nothing once the broker's own session with the seller has ended.
                let expires = now.after(life).min(line.ends);
                pocket.ask(Asked::new(self.site.clone(), line.seller, units, expires)?)?
            }
        };
        let ticket = self.pay(line, &asked.want, most).await?;
        let ask = PrefetchAsk { chain: ticket.session().chain(), pay: *ticket.pay(), want: asked.want };
        let (ticket, answer) = settled(ticket, self.client.prefetch(&ask).await).await?;
        let (at_most, broker) = (ticket.price(), self.offer.order.payee);
        let receipt = answer.receipt.clone().verify_by(self.wallet.network(), broker);
        let proven = receipt.is_ok_and(|said| said.body().paid == ask.pay.entry() && said.body().seller == line.seller);
        let token = &answer.token;
        if !proven || !asked.is_answered_by(token) || token.realm != line.realm {
            ticket.spent().await?;
            let what = "the broker took the coupon and gave a token that is not what was asked for";
            return Err(BuyError::Cheated { what, at_most, evidence: None });
        }
        let kept = Kept::new(answer, line, &self.site);
        pocket.keep(&asked, &kept)?;
        Ok((kept, ticket.spent().await?))
    }

    /// Ends every session with the broker; how many. What was not spent comes back.
    pub async fn close(&self) -> Result<u32, BuyError> {
        let mut ended = 0;
        for session in self.wallet.coupon_sessions_at(&self.site).await? {
            let said = session.sign(&CloseSession { chain: session.chain(), at: self.wallet.now() });
            match self.client.close(&said).await {
                Ok(_) => {}
                // One that the broker does not know has nothing to be ended there.
                Err(BrokerAskError::Refused(why)) if why.code == Code::Unknown => {}
                Err(why) => return Err(why.into()),
            }
            session.finish().await?;
            ended += 1;
        }
        Ok(ended)
    }

    /// Pays for a want, or finds what was paid for it and never answered.
    async fn pay(&self, line: &SellerLine, want: &Want, most: Option<Amount>) -> Result<Ticket, BuyError> {
        let (units, price) = self.price(line, want.units)?;
        if let Some(most) = most
            && price.compare(most)?.is_gt()
        {
            return Err(BuyError::Dear { price, most });
        }
        let spend = Spend { units, request: want.name(), tool: None };
        let (broker, realm, coupon) = (self.offer.order.payee, self.offer.order.id(), self.offer.order.price);
        for session in self.wallet.coupon_sessions_at(&self.site).await? {
            if (session.seller(), session.realm(), session.unit()) != (broker, realm, coupon) {
                continue;
            }
            match session.pay(spend).await {
                Err(
                    WalletError::Coupon(SpendError::UsedUp { .. } | SpendError::TooManyOpen) | WalletError::Session(_),
                ) => {}
                paid => return Ok(paid?),
            }
        }
        Ok(self.open(units).await?.pay(spend).await?)
    }

    /// Opens a session of at least so many units: 3KP, the buyer's half.
    async fn open(&self, units: u32) -> Result<CouponSession, BuyError> {
        for opening in self.wallet.coupon_openings(&self.site).await? {
            if opening.seller() == self.offer.order.payee
                && opening.realm() == self.offer.order.id()
                && let Ok(session) = self.confirm(opening).await
                && session.left().await >= units
            {
                return Ok(session);
            }
        }
        let need = self.offer.order.price.checked_mul(units.into())?;
        let usual = need.currency().micros(self.wallet.settings().chains.value_micros)?;
        let mut worth = if usual.compare(need)?.is_gt() { usual } else { need };
        loop {
            match self.open_worth(units, worth).await {
                Err(BuyError::Broker(BrokerAskError::Refused(why))) if why.code == Code::Funds => {
                    if worth == need {
                        let detail = format!("{worth} cannot be set aside for a session with the broker: {why}");
                        return Err(BrokerAskError::Refused(Refusal { detail: detail.into(), ..why }).into());
                    }
                    // Not enough for a session to keep: a smaller one, in the end for this purchase only.
                    let part = worth.currency().micros(worth.as_micros() / SMALLER_PART)?;
                    worth = if part.compare(need)?.is_gt() { part } else { need };
                }
                opened => return opened,
            }
        }
    }

    async fn open_worth(&self, units: u32, worth: Amount) -> Result<CouponSession, BuyError> {
        let life = LIFE.max(Span::from_secs(self.offer.life_min_secs.saturating_add(LIFE_SLACK_SECS)));
        let not_after = Some(self.wallet.now().after(life));
        let (site, order, at_most) = (self.site.clone(), self.offer.order.clone(), Some(worth));
        let (asking, initiate) = self.wallet.coupon_ask(Wish { site, order, units, at_most, not_after }).await?;
        let invoice = self.client.initiate(&initiate).await?;
        self.confirm(asking.on_invoice(invoice).await?).await
    }

    async fn confirm(&self, opening: Opening) -> Result<CouponSession, BuyError> {
        match self.client.open(opening.payment()).await {
            Ok(confirm) => Ok(opening.on_confirm(confirm).await?),
            Err(BrokerAskError::Refused(why)) if why.money != Money::Unknown && why.remedy != Remedy::Again => {
                // It is over, whatever the bank was told: what it may have set aside comes back.
                opening.abandon().await?;
                Err(BrokerAskError::Refused(why).into())
            }
            // Written down: it is gone on with next time.
            Err(why) => Err(why.into()),
        }
    }

    /// Evidence against a seller whose goods break its own promise.
    fn broken(&self, seller: PeerId, goods: &Goods) -> Option<Box<Evidence>> {
        let statements = Bounded::new(vec![StatementBytes(wire::encode(goods))])?;
        let evidence = Evidence { kind: EvidenceKind::BrokenPromise, accused: seller, statements };
        self.convicts(seller, &evidence).then(|| Box::new(evidence))
    }

    fn convicts(&self, seller: PeerId, evidence: &Evidence) -> bool {
        verdict::judge(self.wallet.network(), self.wallet.bank(), evidence) == Verdict::Guilty(seller)
    }
}

/// Says to the wallet what a refusal means for the coupon: good again, used up, or open.
async fn settled<T>(ticket: Ticket, answer: Result<T, BrokerAskError>) -> Result<(Ticket, T), BuyError> {
    let why = match answer {
        Ok(answer) => return Ok((ticket, answer)),
        Err(why) => why,
    };
    match &why {
        BrokerAskError::Refused(refusal) => match refusal.money {
            // An earlier try may have been heard; this one was turned away at the door.
            Money::Unmoved if ticket.is_repeated() && refusal.remedy == Remedy::Again => {}
            Money::Unmoved => ticket.not_taken().await?,
            Money::MovedBefore => {
                ticket.spent().await?;
            }
            Money::Unknown => {}
        },
        BrokerAskError::NotSent(_) if !ticket.is_repeated() => ticket.not_taken().await?,
        BrokerAskError::NotSent(_) | BrokerAskError::Unknown(_) => {}
    }
    Err(why.into())
}

/// Whether an address of a seller is at the site of another one.
fn same_site(origin: &str, other: &str) -> bool {
    let site = |text: &str| reqwest::Url::parse(text).ok().map(|url| url.origin().ascii_serialization());
    site(origin).is_some_and(|origin| site(other) == Some(origin))
}

/// Evidence, to be written into a file and judged by anybody.
#[must_use]
pub fn evidence_bytes(evidence: &Evidence) -> Vec<u8> {
    wire::encode(evidence)
}

/// Judges a file of evidence: by what was signed, and by nothing else.
///
/// # Errors
/// A [`Refusal`] for bytes that are no evidence.
pub fn judge(wallet: &Wallet, bytes: &[u8]) -> Result<Verdict, Refusal> {
    let evidence: Evidence = wire::decode(bytes)?;
    Ok(verdict::judge(wallet.network(), wallet.bank(), &evidence))
}
