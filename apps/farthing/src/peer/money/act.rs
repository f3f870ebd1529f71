//! Paying and being paid, with an open wallet.

use std::sync::Arc;

use farthing_bank::client::BankClient;
use farthing_core::amount::Amount;
use farthing_core::id::PeerId;
use farthing_core::order::{DESCRIPTION_MAX, Order};
use farthing_core::refusal::{Money, Remedy};
use farthing_core::seal::SealPublic;
use farthing_core::sign::Signed;
use farthing_core::time::Span;
use farthing_core::wire;
use farthing_net::peer::{Multiaddr, OpenError, PeerStream};
use farthing_peer::talk::buying::Guest;
use farthing_peer::talk::handover::{ByHand, Terms};
use farthing_peer::talk::owing::{Owing, check_owed};
use farthing_peer::talk::{Deadlines, TalkError, text};
use farthing_peer::wallet::{
    Circumstances, Contact, Handover, Outgoing, OutgoingState, PaymentRequest, Purchase, Scheme, Wallet, Want, choose,
};

use super::outbox::{Errand, Outbox};
use super::{PaidNow, Pay, PayState, Resumed};
use crate::fail::{Failure, Kind};
use crate::peer::attendant::Attendant;

/// How long an order that the payer made can be paid: as long as the longest draft for it.
const ORDER_LIFE: Span = farthing_draft::messages::DRAFT_LIFE_MAX;

/// How long it is waited for the bank when it is not known whether it is there.
const BANK_TIME: std::time::Duration = std::time::Duration::from_secs(5);

/// How long it is waited for the bank to make a payment. Then it is not known whether it did; the same
/// request is sent again later.
const CLEARING_TIME: std::time::Duration = std::time::Duration::from_secs(20);

/// Why nothing is known of a payment.
const UNANSWERED: &str = "the bank has not answered yet";

/// What is said of a payment that is on its way already.
const BEGUN: &str = "it was begun before: it is finished, and not paid anew";

/// How often it is tried to hand over what waits.
const HAND_OVER_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// Whom to pay what, once names and requests are looked up.
struct Target {
    payee: PeerId,
    name: Option<String>,
    seal: Option<SealPublic>,
    addresses: Vec<String>,
    takes: Vec<Scheme>,
    /// What it is for: the payee's order, or one of ours.
    order: Order,
    amount: Amount,
    /// Whether the order is the payee's.
    requested: bool,
}

/// The bank, if it answers soon.
pub(crate) async fn bank(at: &Attendant) -> Option<BankClient> {
    match tokio::time::timeout(BANK_TIME, at.wallet().connect()).await {
        Ok(Ok(bank)) => Some(bank),
        Ok(Err(why)) => {
            tracing::info!(%why, "without the bank");
            None
        }
        Err(_) => None,
    }
}

/// Pays, or says how it would be paid.
pub(crate) async fn pay(at: &Attendant, pay: Pay) -> Result<PaidNow, Failure> {
    let wallet = at.wallet();
    let target = look_up(wallet, &pay).await?;
    if let Some((out, errand)) = begun(at, &target, &pay).await? {
        let shown = shown_again(wallet, &out).await?;
        if pay.dry_run {
            return Ok(shown);
        }
        let (payee, order, part) = (out.payee, out.order, out.part);
        let brought = bring(at, out, &errand).await?;
        let answered = wallet.handover(payee, order, part).await?.is_some();
        return if answered { Ok(brought) } else { Err(unknown(UNANSWERED)) };
    }
    let bank = bank(at).await;
    let choice = choose(&Circumstances {
        amount: target.amount,
        payments: 1,
        again: false,
        takes: if pay.by_hand { only(&target.takes, Scheme::Draft) } else { target.takes.clone() },
        alias: pay.alias.is_some(),
        online: bank.is_some(),
        session: false,
        chains: wallet.ready().await?,
        drafts: left(wallet, pay.alias).await?,
        wanted: pay.scheme,
    })?;
    let mut paid = PaidNow {
        payee: target.payee,
        name: target.name.clone(),
        amount: target.amount,
        note: target.order.description.clone(),
        order: None,
        scheme: choice.scheme,
        because: choice.reason.to_owned(),
        state: PayState::Planned,
        why: None,
        text: None,
        receipt: None,
    };
    if pay.dry_run {
        return Ok(paid);
    }
    paid.order = Some(target.order.id());
    if choice.scheme == Scheme::Netpay {
        return by_units(at, &target, paid).await;
    }
    if pay.by_hand && target.seal.is_none() {
        return Err(Failure::usage("the payee's key to seal a draft to is not known; nothing was paid")
            .next("have a request of theirs: farthing contacts add NAME farthing:request1…, or pay the request"));
    }
    let errand = Errand { order: target.order.clone(), addresses: target.addresses.clone(), by_hand: pay.by_hand };
    // A payee that is there is asked first: what it does not want is not paid.
    let reached = if pay.by_hand { None } else { Some(reach(at, &errand).await) };
    match &reached {
        Some(Err(why)) if why.refused => {
            return Err(Failure::new(Kind::Refused, &why.words).money(Money::Unmoved));
        }
        Some(Ok(reached)) if !reached.takes(choice.scheme) => {
            let why = format!("the payee takes no payment by {}", choice.scheme);
            return Err(Failure::new(Kind::Refused, why).money(Money::Unmoved).next("try another --scheme"));
        }
        _ => {}
    }
    let outbox = Outbox::of(at.settings());
    outbox.keep(&errand)?;
    let purchase = Purchase {
        payee: target.payee,
        seal: target.seal.filter(|_| pay.by_hand),
        amount: target.amount,
        order: target.order.id(),
        part: 0,
        description: target.order.description.clone(),
        alias: pay.alias,
        life: None,
    };
    let made = make(wallet, bank.as_ref(), choice.scheme, &purchase).await;
    let payment = match made {
        Ok(payment) => payment,
        Err(failure) => {
            // What may have been paid is handed over when that is known.
            if failure.kind() != Kind::OutcomeUnknown {
                outbox.done(target.order.id());
            }
            return Err(failure);
        }
    };
    if pay.by_hand {
        paid.state = PayState::Written;
        paid.text = text::write(&ByHand { order: target.order, payment });
        return if paid.text.is_some() { Ok(paid) } else { Err(Failure::other("the payment is too long to be text")) };
    }
    match reached {
        Some(reached) => hand_over(at, &errand, reached, payment, paid).await,
        None => Ok(paid),
    }
}

/// What may still be promised by drafts under that name.
async fn left(wallet: &Wallet, alias: Option<u32>) -> Result<Amount, Failure> {
    let books = wallet.draft_books().await?;
    let book = books.into_iter().find(|book| book.alias == alias);
    Ok(book.map_or_else(|| wallet.settings().currency().zero(), |book| book.left))
}

fn only(takes: &[Scheme], scheme: Scheme) -> Vec<Scheme> {
    takes.iter().copied().filter(|takes| *takes == scheme).collect()
}

/// The same payment where one is on its way: asked of the bank and not answered, or not handed over.
/// A request is one payment by itself; else it is the same payee, amount and note. What was written to
/// be brought by hand is on nobody's way.
async fn begun(at: &Attendant, target: &Target, pay: &Pay) -> Result<Option<(Outgoing, Errand)>, Failure> {
    if pay.by_hand {
        return Ok(None);
    }
    let (wallet, mut open) = (at.wallet(), Vec::new());
    for errand in Outbox::of(at.settings()).all().into_iter().filter(|errand| !errand.by_hand) {
        let order = errand.order.id();
        let same = if target.requested { order == target.order.id() } else { errand.order.payee == target.payee };
        let Some(out) = wallet.payment(errand.order.payee, order, 0).await?.filter(|_| same) else { continue };
        let wanted = target.requested || out.description == target.order.description;
        if wanted && is_open(&out) && (out.amount, out.alias) == (target.amount, pay.alias) {
            let addresses = if target.addresses.is_empty() { errand.addresses } else { target.addresses.clone() };
            open.push((out, Errand { addresses, ..errand }));
        }
    }
    open.sort_by_key(|(out, _)| out.at);
    if let Some(order) = pay.order {
        // It was planned to finish that one, and it may have been finished since.
        return match open.into_iter().find(|(out, _)| out.order == order) {
            Some(found) => Ok(Some(found)),
            None => Err(Failure::new(Kind::Refused, "the payment that was begun before is finished by now")
                .money(Money::MovedBefore)
                .next("see it: farthing history; to pay once more, run the same command again")),
        };
    }
    Ok(open.into_iter().next())
}

/// Whether a payment has not come to its payee yet.
const fn is_open(out: &Outgoing) -> bool {
    matches!(out.state, OutgoingState::Asked | OutgoingState::ToHandOver)
}

/// A payment of which nobody knows whether the bank made it.
fn unknown(what: &str) -> Failure {
    Failure::new(Kind::OutcomeUnknown, what)
        .money(Money::Unknown)
        .next("farthing pay --resume finishes this payment, and pays nothing twice")
}

/// Asks the bank for a payment, and waits only so long.
async fn clear(wallet: &Wallet, bank: &BankClient, purchase: &Purchase) -> Result<Handover, Failure> {
    match tokio::time::timeout(CLEARING_TIME, wallet.pay_clearing(bank, purchase)).await {
        Ok(Ok(handover)) => Ok(handover),
        Ok(Err(why)) => Err(match Failure::from(why) {
            failure if failure.kind() == Kind::OutcomeUnknown => unknown(failure.what()),
            failure => failure,
        }),
        Err(_) => Err(unknown(UNANSWERED)),
    }
}

/// Makes the payment: the same one, if it was made before.
async fn make(
    wallet: &Wallet,
    bank: Option<&BankClient>,
    scheme: Scheme,
    purchase: &Purchase,
) -> Result<Handover, Failure> {
    match (scheme, bank) {
        (Scheme::Draft, _) => Ok(wallet.pay_draft(purchase).await?),
        (_, Some(bank)) => clear(wallet, bank, purchase).await,
        (_, None) => Err(Failure::new(Kind::NotReachable, "the bank does not answer, and this scheme asks it")
            .money(Money::Unmoved)
            .next("--scheme draft needs no bank; or see that it runs: farthing doctor")),
    }
}

/// A payee that is there, and has said how it wants to be paid.
struct Reached {
    owing: Owing<PeerStream>,
    terms: Terms,
    contact: Option<Contact>,
}

impl Reached {
    fn takes(&self, scheme: Scheme) -> bool {
        self.terms.takes.as_slice().contains(&scheme)
    }
}

/// Why a payee was not reached or a payment not handed over.
struct Unhanded {
    words: String,
    /// The payee is there and does not want it.
    refused: bool,
}

impl From<TalkError> for Unhanded {
    fn from(why: TalkError) -> Self {
        let refused = matches!(&why, TalkError::TurnedDown(refusal) if refusal.remedy != Remedy::Again);
        Self { words: why.to_string(), refused }
    }
}

fn away(words: impl Into<String>) -> Unhanded {
    Unhanded { words: words.into(), refused: false }
}

/// Goes to the payee and names the order.
async fn reach(at: &Attendant, errand: &Errand) -> Result<Reached, Unhanded> {
    let (guest, contact) = greet(at, &errand.order, &errand.addresses).await?;
    let (owing, terms) = guest.owe(&errand.order).await?;
    Ok(Reached { owing, terms, contact })
}

/// Hands a payment over and takes the receipt, or keeps it for later.
async fn hand_over(
    at: &Attendant,
    errand: &Errand,
    reached: Result<Reached, Unhanded>,
    payment: Handover,
    mut paid: PaidNow,
) -> Result<PaidNow, Failure> {
    let handed = async {
        let Reached { owing, terms, contact } = reached?;
        let receipt = owing.hand(payment).await?;
        let kept = at.wallet().on_receipt(receipt.clone()).await;
        kept.map_err(|why| away(format!("the payee's receipt is not believed: {why}")))?;
        Ok::<_, Unhanded>((receipt, terms, contact))
    };
    match handed.await {
        Ok((receipt, terms, contact)) => {
            Outbox::of(at.settings()).done(errand.order.id());
            if let Some(contact) = contact.filter(|contact| contact.seal != Some(terms.seal)) {
                // Known from now on, to seal drafts to without a connection.
                let learnt = at.wallet().add_contact(Contact { seal: Some(terms.seal), ..contact }).await;
                learnt.unwrap_or_else(|why| tracing::info!(%why, "a contact is kept as it was"));
            }
            (paid.state, paid.receipt) = (PayState::Received, Some(hex::encode(wire::encode(&receipt))));
        }
        Err(why) => (paid.state, paid.why) = (PayState::Waiting, Some(why.words)),
    }
    Ok(paid)
}

/// A stream to a payee, and the contact it is, if it is one.
async fn greet(
    at: &Attendant,
    order: &Order,
    addresses: &[String],
) -> Result<(Guest<PeerStream>, Option<Contact>), Unhanded> {
    let wallet = at.wallet();
    let contacts = wallet.contacts().await.unwrap_or_default();
    let contact = contacts.into_iter().find(|contact| contact.peer == order.payee);
    let mut known: Vec<String> = addresses.to_vec();
    known.extend(contact.as_ref().and_then(|contact| contact.address.clone()));
    let known: Vec<Multiaddr> = known.iter().filter_map(|address| address.parse().ok()).collect();
    let node = at.node().await.map_err(|why| away(why.what()))?;
    let stream = node.open(order.payee, &known).await.map_err(|why| {
        tracing::info!(payee = %order.payee.short(), %why, "the payee cannot be reached");
        away(match why {
            OpenError::Unreachable(_) => "the payee cannot be reached".to_owned(),
            why => why.to_string(),
        })
    })?;
    Ok((Guest::greet(stream, order.payee, wallet.network(), Deadlines::default()).await?, contact))
}

/// Pays with units of a chain: only while the payee is there.
async fn by_units(at: &Attendant, target: &Target, mut paid: PaidNow) -> Result<PaidNow, Failure> {
    let not_paid = |why: &dyn std::fmt::Display| {
        Failure::new(Kind::NotReachable, why).money(Money::Unmoved).next("try again, or --scheme draft, which waits")
    };
    let (order, wallet) = (&target.order, at.wallet());
    let (guest, _) = greet(at, order, &target.addresses).await.map_err(|why| not_paid(&why.words))?;
    let (owing, _) = guest.owe(order).await.map_err(|why| not_paid(&why))?;
    let resumed = wallet.resume(target.payee, order.id()).await?;
    let want =
        || Want { payee: target.payee, order: order.clone(), units_per_piece: 1, pieces: 1, max_total: target.amount };
    let (visit, mut spending) = match resumed {
        Some(resumed) => resumed,
        None => wallet.begin(want()).await?,
    };
    let unknown = |why: &dyn std::fmt::Display| {
        Failure::new(Kind::OutcomeUnknown, format_args!("the payment may have arrived: {why}"))
            .money(Money::Unknown)
            .next("ask the payee; paying the same request again pays it once")
    };
    let (owing, accepted) = match owing.begin(visit).await {
        Ok(begun) => begun,
        Err(why) => {
            spending.abandon().await?;
            return Err(not_paid(&why));
        }
    };
    spending.agree(accepted.through)?;
    let units = farthing_peer::talk::messages::units_per_piece(order.price, spending.unit()).map_err(Failure::other)?;
    let pay = match accepted.last {
        Some(_) => None,
        None => Some(spending.pay(units).await?),
    };
    let through = pay.as_ref().map_or(accepted.through, |pay| pay.index);
    let released = match owing.pay(pay).await {
        Ok(released) => released,
        Err(why) => {
            spending.abandon().await?;
            return Err(unknown(&why));
        }
    };
    let Some(release) = released.release else { return Err(unknown(&"the payee gave no release")) };
    let receipt = released.receipt.filter(|receipt| {
        let sound = receipt.clone().verify_by(wallet.network(), target.payee);
        sound.is_ok_and(|sound| sound.body().order == order.id() && sound.body().amount == target.amount)
    });
    spending.finish(release, receipt.clone(), through).await?;
    let Some(receipt) = receipt else { return Err(unknown(&"the payee gave no receipt")) };
    (paid.state, paid.receipt) = (PayState::Received, Some(hex::encode(wire::encode(&receipt))));
    Ok(paid)
}

/// Hands over what could not be handed over before.
pub(crate) async fn resume(at: &Attendant, address: Option<&str>) -> Result<Resumed, Failure> {
    let (wallet, outbox) = (at.wallet(), Outbox::of(at.settings()));
    let mut payments = Vec::new();
    for mut errand in outbox.all() {
        // Only the payee has its key: at an address of somebody else it is not found.
        errand.addresses.splice(..0, address.map(str::to_owned));
        let (payee, order) = (errand.order.payee, errand.order.id());
        match wallet.payment(payee, order, 0).await? {
            Some(out) if is_open(&out) => payments.push(bring(at, out, &errand).await?),
            // Its receipt came another way, or it was stopped.
            Some(_) => outbox.done(order),
            // Perhaps about to be paid.
            None if errand.order.expires > wallet.now() => {}
            None => outbox.done(order),
        }
    }
    let waiting = payments.iter().filter(|paid| paid.state == PayState::Waiting).count();
    Ok(Resumed { payments, waiting: waiting as u64 })
}

/// Sees to what the bank has to know of us, then hands over what waits, again and again.
pub(crate) async fn keep_handing_over(at: Arc<Attendant>) {
    let mut clock = tokio::time::interval(HAND_OVER_EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        if let Some(bank) = bank(&at).await {
            super::take::be_ready(at.wallet(), &bank).await;
        }
        match resume(&at, None).await {
            Ok(resumed) if resumed.waiting > 0 => tracing::info!(waiting = resumed.waiting, "payments wait for payees"),
            Ok(_) => {}
            Err(why) => tracing::info!(%why, "payments wait; they are handed over later"),
        }
    }
}

/// A payment made before, not handed over yet.
async fn shown_again(wallet: &Wallet, out: &Outgoing) -> Result<PaidNow, Failure> {
    Ok(PaidNow {
        payee: out.payee,
        name: wallet.name_of(out.payee).await?,
        amount: out.amount,
        note: out.description.clone(),
        order: Some(out.order),
        scheme: out.scheme,
        because: BEGUN.to_owned(),
        state: PayState::Planned,
        why: None,
        text: None,
        receipt: None,
    })
}

async fn bring(at: &Attendant, out: Outgoing, errand: &Errand) -> Result<PaidNow, Failure> {
    let paid = PaidNow { state: PayState::Waiting, ..shown_again(at.wallet(), &out).await? };
    if out.state == OutgoingState::Asked
        && let Some(bank) = bank(at).await
    {
        let purchase = Purchase {
            payee: out.payee,
            seal: None,
            amount: out.amount,
            order: out.order,
            part: out.part,
            description: out.description,
            alias: out.alias,
            life: None,
        };
        clear(at.wallet(), &bank, &purchase).await?;
    }
    let brought = match at.wallet().handover(out.payee, out.order, out.part).await? {
        Some(payment) => hand_over(at, errand, reach(at, errand).await, payment, paid).await?,
        None => PaidNow { why: Some(UNANSWERED.to_owned()), ..paid },
    };
    // What is brought by hand need not be handed over by anybody else.
    let by_hand = errand.by_hand && brought.state == PayState::Waiting;
    Ok(if by_hand { PaidNow { state: PayState::Written, ..brought } } else { brought })
}

/// Looks up names, and reads requests.
async fn look_up(wallet: &Wallet, pay: &Pay) -> Result<Target, Failure> {
    let everything = vec![Scheme::Netpay, Scheme::Clearing, Scheme::Draft];
    let mut target = if text::claims::<Signed<PaymentRequest>>(&pay.payee) {
        let request: Signed<PaymentRequest> = text::read(&pay.payee).map_err(Failure::usage)?;
        let request = wallet.read_request(request)?;
        check_owed(&request.order, wallet.now())?;
        let amount = match (request.amount(), pay.amount) {
            (Some(asked), Some(given)) if asked != given => {
                return Err(Failure::usage(format_args!("the request is over {asked}, not {given}; nothing was paid"))
                    .next("leave the amount out, or ask for another request"));
            }
            (Some(asked), _) => asked,
            (None, Some(given)) => given,
            (None, None) => {
                return Err(
                    Failure::usage("the request leaves the amount to you").next("name one: farthing pay … AMOUNT")
                );
            }
        };
        Target {
            payee: request.order.payee,
            name: wallet.name_of(request.order.payee).await?,
            seal: Some(request.seal),
            addresses: request.addresses().map(str::to_owned).collect(),
            // Units divide a price that stands beforehand.
            takes: request
                .takes
                .as_slice()
                .iter()
                .copied()
                .filter(|s| request.amount().is_some() || *s != Scheme::Netpay)
                .collect(),
            order: request.order,
            amount,
            requested: true,
        }
    } else {
        let contact = match pay.payee.parse::<PeerId>() {
            Ok(peer) => {
                let known = wallet.contacts().await?.into_iter().find(|contact| contact.peer == peer);
                known.unwrap_or(Contact { name: String::new(), peer, seal: None, address: None })
            }
            Err(_) => wallet.contact(&pay.payee).await?.ok_or_else(|| {
                Failure::usage(format_args!("{:?} is no contact, no peer and no request", shown(&pay.payee)))
                    .next("see your contacts: farthing contacts list; or give peer1… whole")
            })?,
        };
        let amount = pay.amount.ok_or_else(|| Failure::usage("how much?").next("farthing pay PEER AMOUNT"))?;
        Target {
            payee: contact.peer,
            order: order(wallet, contact.peer, amount, &pay.note)?,
            name: Some(contact.name).filter(|name| !name.is_empty()),
            seal: contact.seal,
            addresses: contact.address.into_iter().collect(),
            takes: everything,
            amount,
            requested: false,
        }
    };
    if let Some(at) = &pay.at {
        target.addresses = vec![at.clone()];
    }
    Ok(target)
}

/// What was typed, short enough to be shown.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// An order of the payer's own making.
fn order(wallet: &Wallet, payee: PeerId, amount: Amount, note: &str) -> Result<Order, Failure> {
    let fits = farthing_bank::messages::Text::<DESCRIPTION_MAX>::new(note).is_some();
    if !fits {
        return Err(Failure::usage("the note is too long or holds hidden characters; nothing was paid"));
    }
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(Failure::other)?;
    let now = wallet.now();
    Ok(Order {
        payee,
        content: None,
        size: 1,
        piece: 1,
        price: amount,
        description: note.to_owned(),
        created: now,
        expires: now.after(ORDER_LIFE),
        nonce,
    })
}
