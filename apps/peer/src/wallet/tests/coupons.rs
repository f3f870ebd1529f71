//! Coupons: sessions opened, paid from side by side, interrupted, and gone on with.

use std::collections::HashSet;

use farthing_core::order::Order;
use farthing_core::seal::SealKey;
use farthing_core::sign::SecretKey;
use farthing_core::time::Span;
use farthing_core::vault::Protection;
use farthing_coupon::messages::{AuthAnswer, Confirm};
use farthing_coupon::micro::{Ack, micro_order};
use farthing_coupon::secret::Digest;
use farthing_coupon::seller::{Committed, Seller, Terms};
use farthing_coupon::session::{PayError, Session};
use farthing_coupon::spender::SpendError;
use farthing_driver::Clock;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::bank::{Line, NETWORK};
use super::world::{FUNDS, World, micros, seed};
use crate::wallet::coupon::{CouponSession, Spend, Ticket, Wish};
use crate::wallet::{Cap, Policy, PolicyRefusal, Wallet, WalletError};

const SITE: &str = "https://shop.example";
const UNIT: u64 = 100;

/// A seller and what it has opened.
struct Shop {
    seller: Seller,
    order: Order,
}

impl Shop {
    fn new(world: &World, name: &str) -> Self {
        let key = SecretKey::from_seed(&[name.len().try_into().unwrap(); 32]);
        world.bank.enrol(key.id(), 0);
        let order = world.order(key.id(), UNIT, 0);
        let seal = SealKey::from_seed(&[3; 32]);
        let seller = Seller { key, seal, network: NETWORK, bank: world.bank.id(), terms: Terms::default() };
        Self { seller, order }
    }

    fn wish(&self, units: u32) -> Wish {
        Wish { site: SITE.into(), order: self.order.clone(), units, at_most: None, not_after: None }
    }

    /// The seller's half, up to the bank's answer.
    fn confirm(&self, world: &World, committed: &Committed) -> (Session, Confirm) {
        let AuthAnswer::Answered(signed) = world.bank.authorise(self.seller.key.id(), committed.request().clone())
        else {
            panic!("the bank saw a conflict");
        };
        self.seller.on_authorisation(committed, signed).unwrap()
    }

    async fn open(&self, world: &World, wallet: &Wallet, wish: Wish) -> (CouponSession, Session) {
        let (asking, initiate) = wallet.coupon_ask(wish).await.unwrap();
        let mut rng = ChaCha20Rng::from_seed([4; 32]);
        let (invoiced, invoice) = self.seller.invoice(world.clock.now(), &self.order, &initiate, &mut rng).unwrap();
        let opening = asking.on_invoice(invoice).await.unwrap();
        let committed = self.seller.on_payment(&invoiced, opening.payment().clone()).unwrap();
        let (theirs, confirm) = self.confirm(world, &committed);
        (opening.on_confirm(confirm).await.unwrap(), theirs)
    }
}

fn request(n: u8) -> [u8; 32] {
    [n; 32]
}

const fn spend(units: u32, n: u8) -> Spend<'static> {
    Spend { units, request: [n; 32], tool: None }
}

/// Takes a payment as the seller does, and answers it.
fn serve(world: &World, theirs: &mut Session, ticket: &Ticket, n: u8, charged: u32) -> Result<Ack, PayError> {
    let pay = ticket.coupon().about(micro_order(theirs.realm(), &request(n)));
    let accepted = theirs.accept(world.clock.now(), &pay, pay.units)?;
    if charged < pay.units {
        theirs.give_back(&accepted.entry, charged);
    }
    Ok(theirs.ack(&accepted.entry, charged, Digest([0; 32])))
}

#[tokio::test]
async fn a_session_pays_for_requests_and_what_was_not_charged_is_used_again() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    let (ours, mut theirs) = shop.open(&world, &wallet, shop.wish(1)).await;
    assert_eq!(world.bank.balance(wallet.me()), FUNDS);
    let ticket = ours.pay(spend(10, 1)).await.unwrap();
    let ack = serve(&world, &mut theirs, &ticket, 1, 4).unwrap();
    assert_eq!(ticket.answered(&ack).await.unwrap(), micros(4 * UNIT));
    let again = ours.pay(spend(6, 2)).await.unwrap();
    assert_eq!(again.pay().index, 10, "units that were given back come first");
    let ack = serve(&world, &mut theirs, &again, 2, 6).unwrap();
    assert_eq!(again.answered(&ack).await.unwrap(), micros(6 * UNIT));
    ours.flush().await.unwrap();
    assert_eq!(wallet.budget(None).await.unwrap().spent, micros(10 * UNIT));
}

#[tokio::test]
async fn a_hundred_payments_side_by_side_share_no_unit() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    let (ours, mut theirs) = shop.open(&world, &wallet, shop.wish(100)).await;
    let pays = (0..100).map(|n| {
        let ours = ours.clone();
        async move { (n, ours.pay(spend(1 + u32::from(n % 3), n)).await.unwrap()) }
    });
    let tickets = futures::future::join_all(pays).await;
    let mut units = HashSet::new();
    for (n, ticket) in tickets.into_iter().rev() {
        let pay = *ticket.pay();
        assert!((pay.index - pay.units + 1..=pay.index).all(|unit| units.insert(unit)), "a unit was used twice");
        let ack = serve(&world, &mut theirs, &ticket, n, pay.units).unwrap();
        ticket.answered(&ack).await.unwrap();
    }
}

#[tokio::test]
async fn wallet_sends_the_same_payment_again_for_a_request_whose_answer_went_missing() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    let (ours, _) = shop.open(&world, &wallet, shop.wish(4)).await;
    let first = ours.pay(spend(2, 1)).await.unwrap();
    let beside = ours.pay(spend(2, 1)).await.unwrap();
    assert_ne!(first.pay().index, beside.pay().index, "two requests at once are two requests");
    let lost = *first.pay();
    drop(first);
    let again = ours.pay(spend(2, 1)).await.unwrap();
    assert!(again.is_repeated());
    assert_eq!(*again.pay(), lost);
    assert!(!ours.pay(spend(2, 2)).await.unwrap().is_repeated(), "another request is another payment");
}

#[tokio::test]
async fn a_session_goes_on_after_a_crash_above_everything_that_may_have_been_sent() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    let (ours, mut theirs) = shop.open(&world, &wallet, shop.wish(4)).await;
    let mut highest = 0;
    for n in 0..40 {
        let ticket = ours.pay(spend(2, n)).await.unwrap();
        highest = highest.max(ticket.pay().index);
        let ack = serve(&world, &mut theirs, &ticket, n, 1).unwrap();
        ticket.answered(&ack).await.unwrap();
    }
    let spent = wallet.budget(None).await.unwrap().spent;
    // A crash: nothing more is written.
    wallet.inner.handle.stop().await;
    let home = wallet.home().to_owned();
    drop((ours, wallet));
    let wallet = world.open_at(&home).await.unwrap();
    let found = wallet.coupon_session(SITE, shop.order.payee, shop.order.id(), micros(UNIT), 1).await.unwrap().unwrap();
    for n in 100..140 {
        let ticket = found.pay(spend(2, n)).await.unwrap();
        assert!(ticket.pay().index - ticket.pay().units >= highest, "a unit was used twice");
        let ack = serve(&world, &mut theirs, &ticket, n, 2).unwrap();
        ticket.answered(&ack).await.unwrap();
    }
    assert!(wallet.budget(None).await.unwrap().spent.as_micros() > spent.as_micros());
}

#[tokio::test]
async fn a_payment_written_down_without_an_answer_is_sent_again_after_a_restart() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    let (ours, _) = shop.open(&world, &wallet, shop.wish(4)).await;
    let lost = *ours.pay(spend(3, 7)).await.unwrap().pay();
    drop(ours);
    let wallet = world.reopen(wallet).await;
    let found = wallet.coupon_session(SITE, shop.order.payee, shop.order.id(), micros(UNIT), 1).await.unwrap().unwrap();
    let again = found.pay(spend(3, 7)).await.unwrap();
    assert!(again.is_repeated());
    assert_eq!(*again.pay(), lost);
}

#[tokio::test]
async fn a_purchase_interrupted_before_its_confirmation_is_gone_on_with_after_a_restart() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    let (asking, initiate) = wallet.coupon_ask(shop.wish(1)).await.unwrap();
    let mut rng = ChaCha20Rng::from_seed([4; 32]);
    let (invoiced, invoice) = shop.seller.invoice(world.clock.now(), &shop.order, &initiate, &mut rng).unwrap();
    let payment = asking.on_invoice(invoice).await.unwrap().payment().clone();
    let wallet = world.reopen(wallet).await;
    let opening = wallet.coupon_openings(SITE).await.unwrap().pop().unwrap();
    assert_eq!(*opening.payment(), payment, "Payment is the same at every repeat");
    // The bank was never asked: it knows nothing yet, and the purchase stands.
    assert!(matches!(opening.inquire().await, Err(WalletError::Bank(_))));
    let opening = wallet.coupon_openings(SITE).await.unwrap().pop().unwrap();
    let committed = shop.seller.on_payment(&invoiced, payment).unwrap();
    let (_, confirm) = shop.confirm(&world, &committed);
    let opening = opening.inquire().await.unwrap().expect("the bank said yes");
    opening.on_confirm(confirm).await.unwrap().pay(spend(1, 1)).await.unwrap();
    assert!(wallet.coupon_openings(SITE).await.unwrap().is_empty());
}

#[tokio::test]
async fn wallet_believes_no_answer_that_is_not_the_sellers_to_this_payment() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    let (ours, mut theirs) = shop.open(&world, &wallet, shop.wish(4)).await;
    let (one, two) = (ours.pay(spend(2, 1)).await.unwrap(), ours.pay(spend(2, 2)).await.unwrap());
    let ack = serve(&world, &mut theirs, &one, 1, 2).unwrap();
    let other = serve(&world, &mut theirs, &two, 2, 2).unwrap();
    for wrong in [other, Ack { charged: 1, ..ack }, Ack { index: two.pay().index, ..ack }] {
        let ticket = ours.pay(spend(2, 1)).await;
        drop(ticket);
        let ticket = ours.pay(spend(2, 9)).await.unwrap();
        assert!(matches!(ticket.answered(&wrong).await, Err(WalletError::Coupon(SpendError::Forged))));
    }
    assert_eq!(one.answered(&ack).await.unwrap(), micros(2 * UNIT));
}

#[tokio::test]
async fn policy_counts_what_is_paid_in_sessions_and_refuses_above_each_cap() {
    for (policy, which) in [
        (Policy { per_request: Some(micros(2 * UNIT)), ..Policy::default() }, Cap::Request),
        (Policy { per_payee: Some(micros(5 * UNIT)), ..Policy::default() }, Cap::Payee),
        (Policy { per_hour: Some(micros(5 * UNIT)), ..Policy::default() }, Cap::Hour),
        (Policy { total: Some(micros(5 * UNIT)), ..Policy::default() }, Cap::Total),
        (Policy { per_tool: Some(micros(5 * UNIT)), ..Policy::default() }, Cap::Tool),
    ] {
        let world = World::new();
        let mut settings = world.settings();
        settings.policy = policy;
        let (wallet, shop) = (world.wallet_with("buyer", &settings).await, Shop::new(&world, "shop"));
        let (ours, _) = shop.open(&world, &wallet, Wish { at_most: Some(micros(20 * UNIT)), ..shop.wish(1) }).await;
        let (mut paid, mut refused) = (0, None);
        for n in 0..10 {
            let units = if which == Cap::Request { 3 } else { 1 };
            match ours.pay(Spend { tool: Some("search"), ..spend(units, n) }).await {
                Ok(ticket) => paid += ticket.pay().units,
                Err(WalletError::Policy(PolicyRefusal::Over { which, .. })) => refused = Some(which),
                // The session itself was made no larger than the cap.
                Err(WalletError::Coupon(SpendError::UsedUp { .. })) => refused = Some(which),
                Err(why) => panic!("{why}"),
            }
        }
        assert_eq!((paid, refused), (if which == Cap::Request { 0 } else { 5 }, Some(which)));
        if which == Cap::Tool {
            assert!(ours.pay(Spend { tool: Some("read"), ..spend(1, 1) }).await.is_ok(), "another tool has its own");
        }
    }
}

#[tokio::test]
async fn wallet_pays_no_other_key_at_a_site_than_the_one_it_knows() {
    let world = World::new();
    let (wallet, shop, thief) = (world.wallet("buyer").await, Shop::new(&world, "shop"), Shop::new(&world, "thief"));
    shop.open(&world, &wallet, shop.wish(1)).await;
    let refused = wallet.coupon_ask(thief.wish(1)).await;
    assert!(matches!(refused, Err(WalletError::SellerChanged { known, .. }) if known == shop.order.payee));
    wallet.coupon_trust(SITE, thief.order.payee).await.unwrap();
    assert!(wallet.coupon_ask(thief.wish(1)).await.is_ok());
}

#[tokio::test]
async fn a_session_that_has_ended_pays_nothing_and_is_closed_by_upkeep() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    let (ours, _) = shop.open(&world, &wallet, shop.wish(1)).await;
    ours.pay(spend(1, 1)).await.unwrap();
    assert_eq!(wallet.exposure().await.unwrap().len(), 1);
    world.clock.advance(Span::from_hours(25));
    assert!(matches!(ours.pay(spend(1, 2)).await, Err(WalletError::Session(_))));
    let found = wallet.coupon_session(SITE, shop.order.payee, shop.order.id(), micros(UNIT), 1).await.unwrap();
    assert!(found.is_none());
    world.bank.set(Line::Up);
    assert_eq!(wallet.upkeep(&*world.bank).await.unwrap().refunded, 1);
    assert!(wallet.coupon_sessions().await.unwrap().is_empty());
    assert_eq!(wallet.budget(None).await.unwrap().spent, micros(UNIT), "only what was paid stays counted");
}

#[tokio::test]
async fn a_copied_wallet_pays_from_no_session_of_the_first() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    shop.open(&world, &wallet, shop.wish(1)).await;
    let backup = world.home("backup");
    wallet.backup(&backup, &Protection::None).await.unwrap();
    let home = world.home("copy");
    let copy = Wallet::restore(&home, &backup, &Protection::None, world.options()).await.unwrap();
    copy.set_desk(world.bank.clone()).await;
    let look = || copy.coupon_session(SITE, shop.order.payee, shop.order.id(), micros(UNIT), 1);
    assert!(matches!(look().await, Err(WalletError::Restored)));
    copy.reconcile(&*world.bank).await.unwrap();
    assert!(look().await.unwrap().is_none(), "the session belongs to the first wallet");
    assert_eq!(copy.me(), farthing_core::sign::SecretKey::id(&seed("buyer").identity()));
}

#[tokio::test]
async fn a_delegate_and_all_its_copies_together_spend_no_more_than_its_cap() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    let (file, cap) = (world.home("tool"), micros(50 * UNIT));
    let expires = world.clock.now().after(Span::from_hours(2));
    wallet.delegate(&*world.bank, &file, cap, expires).await.unwrap();
    let kept = std::fs::read(&file).unwrap();
    assert_eq!(world.money(&[&wallet]), i128::from(FUNDS - 50 * UNIT));
    // A thief has the file alone, on another machine.
    let stolen = world.home("stolen");
    std::fs::copy(&file, &stolen).unwrap();
    let mut taken = 0;
    for copy in [&file, &stolen] {
        // Where only the file is, the bank must be asked first; nobody answers at that address.
        let opened = Wallet::open_delegate(copy, world.options()).await;
        let tool = match opened {
            Ok(tool) => tool.wallet,
            Err(why) => {
                assert!(matches!(why, WalletError::Bank(_)), "{why}");
                let tool = world.open_at(&world.home("stolen.state")).await.unwrap();
                tool.reconcile(&*world.bank).await.unwrap();
                tool
            }
        };
        tool.set_desk(world.bank.clone()).await;
        let asking = tool.coupon_ask(Wish { not_after: Some(expires), ..shop.wish(30) }).await.unwrap();
        let mut rng = ChaCha20Rng::from_seed([taken; 32]);
        let (invoiced, invoice) = shop.seller.invoice(world.clock.now(), &shop.order, &asking.1, &mut rng).unwrap();
        let opening = asking.0.on_invoice(invoice).await.unwrap();
        let committed = shop.seller.on_payment(&invoiced, opening.payment().clone()).unwrap();
        let AuthAnswer::Answered(signed) = world.bank.authorise(shop.seller.key.id(), committed.request().clone())
        else {
            panic!("the bank saw a conflict");
        };
        taken += u8::from(shop.seller.on_authorisation(&committed, signed).is_ok());
        tool.close().await;
    }
    assert_eq!(taken, 1, "both copies together got more than the cap");
    assert_eq!(std::fs::read(&file).unwrap(), kept, "the file never changes");
}

#[tokio::test]
async fn a_delegate_pays_nothing_once_it_has_ended_and_its_owner_takes_the_rest_back() {
    let world = World::new();
    let wallet = world.wallet("buyer").await;
    let file = world.home("tool");
    let expires = world.clock.now().after(Span::from_hours(1));
    wallet.delegate(&*world.bank, &file, micros(50 * UNIT), expires).await.unwrap();
    world.clock.advance(Span::from_hours(1));
    assert!(matches!(Wallet::open_delegate(&file, world.options()).await, Err(WalletError::Session(_))));
    let stranger = world.wallet("stranger").await;
    let refused = stranger.reclaim(&*world.bank, &file, &world.home("w1"), micros(0)).await;
    assert!(matches!(refused, Err(WalletError::Foreign(_))));
    let first = wallet.reclaim(&*world.bank, &file, &world.home("w2"), micros(0)).await.unwrap();
    assert_eq!((first.back, first.held), (micros(50 * UNIT), micros(0)));
    assert_eq!(wallet.budget(None).await.unwrap().spent, micros(0), "what came back is not spent");
    let second = wallet.reclaim(&*world.bank, &file, &world.home("w3"), micros(0)).await.unwrap();
    assert_eq!(second.back, micros(0));
}

#[tokio::test]
async fn a_file_that_is_no_delegate_or_open_to_others_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let wallet = world.wallet("buyer").await;
    let file = world.home("tool");
    let expires = world.clock.now().after(Span::from_hours(1));
    wallet.delegate(&*world.bank, &file, micros(UNIT), expires).await.unwrap();
    let again = wallet.delegate(&*world.bank, &file, micros(UNIT), expires).await;
    assert!(matches!(again, Err(WalletError::Exists(_))));
    let whole = std::fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert!(Wallet::open_delegate(&file, world.options()).await.is_err(), "byte {at} was changed unnoticed");
    }
    std::fs::write(&file, whole).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Wallet::open_delegate(&file, world.options()).await, Err(WalletError::Exposed { .. })));
}

#[tokio::test]
async fn a_delegate_that_could_not_be_paid_for_leaves_no_file_behind() {
    let world = World::new();
    let wallet = world.wallet("buyer").await;
    let file = world.home("tool");
    let expires = world.clock.now().after(Span::from_hours(1));
    assert!(wallet.delegate(&*world.bank, &file, micros(FUNDS + 1), expires).await.is_err());
    assert!(!file.exists() && !world.home("tool.state").exists());
    wallet.delegate(&*world.bank, &file, micros(50 * UNIT), expires).await.unwrap();
}

#[tokio::test]
async fn a_delegates_session_leaves_most_of_its_cap_for_the_next_site() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    let file = world.home("tool");
    let expires = world.clock.now().after(Span::from_hours(1));
    wallet.delegate(&*world.bank, &file, micros(50 * UNIT), expires).await.unwrap();
    let tool = Wallet::open_delegate(&file, world.options()).await.unwrap();
    assert_eq!(tool.cap, micros(50 * UNIT));
    tool.wallet.set_desk(world.bank.clone()).await;
    let (ours, _) = shop.open(&world, &tool.wallet, Wish { not_after: Some(expires), ..shop.wish(1) }).await;
    assert_eq!(ours.left().await, 5);
    assert_eq!(world.bank.balance(tool.wallet.me()), 50 * UNIT, "set aside, not paid");
    tool.wallet.close().await;
    // Its owner finds the session where the program left it, and can close it.
    let theirs = wallet.delegate_here(&file).await.unwrap().unwrap();
    assert_eq!(theirs.coupon_sessions().await.unwrap()[0].site, SITE);
}

/// What the policy has counted, and what is left in the one session there is.
async fn figures(wallet: &Wallet) -> (u64, u32, u64) {
    let info = &wallet.coupon_sessions().await.unwrap()[0];
    let spent = wallet.budget(None).await.unwrap().spent;
    (spent.as_micros() / UNIT, info.left, info.paid.as_micros() / UNIT)
}

#[tokio::test]
async fn what_a_seller_gave_back_is_not_spent_and_is_used_by_the_next_run() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    let (ours, mut theirs) = shop.open(&world, &wallet, shop.wish(100)).await;
    let units = ours.left().await;
    drop(ours);
    let (mut wallet, mut charged) = (wallet, 0);
    for n in 0..6 {
        let find = wallet.coupon_session(SITE, shop.order.payee, shop.order.id(), micros(UNIT), 1);
        let ours = find.await.unwrap().unwrap();
        // A maximum is paid, and less is charged.
        let ticket = ours.pay(spend(10, n)).await.unwrap();
        let ack = serve(&world, &mut theirs, &ticket, n, 3).unwrap();
        ticket.answered(&ack).await.unwrap();
        let one = ours.pay(spend(1, 50 + n)).await.unwrap();
        let ack = serve(&world, &mut theirs, &one, 50 + n, 1).unwrap();
        one.answered(&ack).await.unwrap();
        charged += 4;
        drop(ours);
        wallet = world.reopen(wallet).await;
        assert_eq!(figures(&wallet).await, (charged.into(), units - charged, charged.into()), "after run {n}");
    }
    assert_eq!(theirs.charged(), charged);
    let info = &wallet.coupon_sessions().await.unwrap()[0];
    assert_eq!((info.requests, info.receipt.map(|(_, index)| index).is_some()), (12, true));
}

#[tokio::test]
async fn a_crash_counts_too_much_and_never_too_little() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    let (ours, mut theirs) = shop.open(&world, &wallet, shop.wish(100)).await;
    let ticket = ours.pay(spend(10, 1)).await.unwrap();
    let ack = serve(&world, &mut theirs, &ticket, 1, 3).unwrap();
    ticket.answered(&ack).await.unwrap();
    drop(ours);
    let wallet = world.reopen(wallet).await;
    assert_eq!(figures(&wallet).await.0, 3);
    let find = wallet.coupon_session(SITE, shop.order.payee, shop.order.id(), micros(UNIT), 1);
    let ours = find.await.unwrap().unwrap();
    let reused = *ours.pay(spend(7, 2)).await.unwrap().pay();
    assert_eq!(reused.index, 10, "what was given back is used first");
    // A crash: nothing more is written.
    wallet.inner.handle.stop().await;
    let home = wallet.home().to_owned();
    drop((ours, wallet));
    let wallet = world.open_at(&home).await.unwrap();
    assert!(figures(&wallet).await.0 >= 10);
    let find = wallet.coupon_session(SITE, shop.order.payee, shop.order.id(), micros(UNIT), 1);
    let next = *find.await.unwrap().unwrap().pay(spend(1, 3)).await.unwrap().pay();
    assert!(next.index > 10, "a unit that may have been sent was used again");
}

#[tokio::test]
async fn a_tool_that_runs_again_and_again_gets_all_of_its_cap_and_no_more() {
    let world = World::new();
    let mut settings = world.settings();
    settings.policy = Policy { per_tool: Some(micros(20 * UNIT)), ..Policy::default() };
    let (mut wallet, shop) = (world.wallet_with("buyer", &settings).await, Shop::new(&world, "shop"));
    shop.open(&world, &wallet, shop.wish(100)).await;
    for n in 0..22 {
        let find = wallet.coupon_session(SITE, shop.order.payee, shop.order.id(), micros(UNIT), 1);
        let paid = find.await.unwrap().unwrap().pay(Spend { tool: Some("search"), ..spend(1, n) }).await;
        assert_eq!(paid.is_ok(), n < 20, "run {n}");
        drop(paid);
        wallet = world.reopen(wallet).await;
    }
}

#[tokio::test]
async fn units_given_back_in_a_session_that_is_used_up_are_paid_once_across_a_crash() {
    let world = World::new();
    let (wallet, shop) = (world.wallet("buyer").await, Shop::new(&world, "shop"));
    let wish = Wish { at_most: Some(micros(10 * UNIT)), ..shop.wish(10) };
    let (ours, mut theirs) = shop.open(&world, &wallet, wish).await;
    let ticket = ours.pay(spend(10, 1)).await.unwrap();
    let ack = serve(&world, &mut theirs, &ticket, 1, 3).unwrap();
    ticket.answered(&ack).await.unwrap();
    drop(ours);
    let wallet = world.reopen(wallet).await;
    let look = |wallet: &Wallet| {
        let wallet = wallet.clone();
        let (seller, realm) = (shop.order.payee, shop.order.id());
        async move { wallet.coupon_session(SITE, seller, realm, micros(UNIT), 1).await.unwrap() }
    };
    look(&wallet).await.unwrap().pay(spend(7, 2)).await.unwrap();
    // A crash: nothing more is written.
    wallet.inner.handle.stop().await;
    let home = wallet.home().to_owned();
    drop(wallet);
    let wallet = world.open_at(&home).await.unwrap();
    assert!(look(&wallet).await.is_none(), "units that may have been sent are paid again");
    assert_eq!(figures(&wallet).await.0, 10);
}
