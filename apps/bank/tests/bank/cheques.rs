//! Banks on loopback that collect cheques from each other.

use farthing_bank::messages::{
    Decided, Difference, OpenPeer, OpenRoute, PeerDayOf, PeerLine, Progress, SettlePeer, Text,
};
use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::id::OrderId;
use farthing_core::refusal::Code;
use farthing_core::time::Span;
use farthing_draft::interbank::messages::{Answer, Cashier, Certify, Digest, Fate, Final, Presentation};
use farthing_draft::interbank::{check_certified, day_of, endorse};

use crate::town::{ORDER, Town, key, micros, refused, units};
use crate::wallets::{Writer, item, verified};

/// The operators of every bank.
const OPERATORS: [u8; 2] = [90, 91];
/// How often an exchange is tried until it has come to its end.
const ROUNDS: usize = 40;

/// Banks in a row: each knows its neighbours, and the others by way of them. Alice is a customer of
/// the first, Carol of the last.
struct Country {
    towns: Vec<Town>,
    alice: Writer,
}

impl Country {
    async fn new(count: usize) -> Self {
        let mut towns = Vec::new();
        for _ in 0..count {
            towns.push(Town::with(|config| config.operators = OPERATORS.map(|seed| key(seed).id()).to_vec()).await);
        }
        let mut alice = Writer::new(&towns[0], 1, 10).await;
        alice.reconcile(&towns[0], 8_000_000).await.unwrap();
        towns[count - 1].customer(2, 0).await;
        let country = Self { towns, alice };
        for at in 0..count {
            for peer in at.saturating_sub(1)..(at + 2).min(count) {
                if peer != at {
                    country.open(at, peer).await;
                }
            }
            for far in (0..count).filter(|far| at.abs_diff(*far) > 1) {
                let via = country.towns[if far > at { at + 1 } else { at - 1 }].client.bank();
                let there = &country.towns[far].client;
                let ask = OpenRoute { bank: there.bank(), network: there.network(), via };
                let here = &country.towns[at];
                here.client.open_route(&key(OPERATORS[0]), here.id(), &ask).await.unwrap();
            }
        }
        country
    }

    /// Opens accounts with a peer, or tells where it is now.
    async fn open(&self, at: usize, peer: usize) {
        let (here, there) = (&self.towns[at], &self.towns[peer].client);
        let url = Text::new(there.address().to_string()).unwrap();
        let ask = OpenPeer { bank: there.bank(), network: there.network(), url, limit: units(5) };
        here.client.open_peer(&key(OPERATORS[0]), here.id(), &ask).await.unwrap();
    }

    /// The operator of the first bank takes the only line out of its books.
    async fn forget_what_was_paid(&mut self) {
        self.towns[0].stop().await;
        let books = rusqlite::Connection::open(self.towns[0].home().join("bank.db")).unwrap();
        assert_eq!(books.execute("DELETE FROM records_cheque_paid", []).unwrap(), 1);
        drop(books);
        self.towns[0].restart().await;
        self.open(1, 0).await;
    }

    fn last(&self) -> &Town {
        self.towns.last().unwrap()
    }

    /// A cheque of Alice's for Carol, endorsed for deposit at Carol's bank.
    fn cheque(&mut self, micros: u64) -> Presentation {
        let drawn = self.alice.draw(&self.towns[0], key(2).id(), micros);
        let item = item(&drawn);
        let bank = self.last().client.bank();
        endorse(&key(2), &verified(&item.draft), item.serial, bank, self.last().now()).unwrap()
    }

    async fn present(&self, cheque: &Presentation) -> Answer {
        let last = self.last();
        last.client.present_cheque(&key(2), last.id(), cheque).await.unwrap()
    }

    /// Lets time pass and banks talk until the cheque has come to its end.
    async fn end_of(&self, cheque: &Presentation) -> Final {
        for _ in 0..ROUNDS {
            self.later(Span::from_secs(600)).await;
            if let Answer::Final(end) = self.present(cheque).await {
                return *end;
            }
        }
        panic!("the cheque has no end");
    }

    /// So much later everywhere; then all that are up talk.
    async fn later(&self, span: Span) {
        self.towns.iter().for_each(|town| town.clock.advance(span));
        for bank in self.towns.iter().filter_map(|town| town.bank.as_ref()) {
            bank.exchange_now().await.unwrap();
        }
    }

    async fn carol(&self) -> u64 {
        self.last().balance(&key(2)).await
    }

    async fn peer(&self, at: usize, peer: usize) -> PeerLine {
        let (here, bank) = (&self.towns[at], self.towns[peer].client.bank());
        let peers = here.client.peers(&key(OPERATORS[0]), here.id()).await.unwrap();
        peers.items.as_slice().iter().find(|line| line.bank == bank).unwrap().clone()
    }

    /// No bank has made or lost money; what two of them owe each other adds up to nothing.
    async fn check_books(&self) {
        for (at, town) in self.towns.iter().enumerate() {
            let report = town.bank().count_and_publish().await.unwrap();
            assert!(report.is_conserved(), "{report:?}");
            farthing_bank::audit::audit(&town.home()).unwrap();
            for peer in [at.wrapping_sub(1), at + 1].into_iter().filter(|peer| *peer < self.towns.len()) {
                let (ours, theirs) = (self.peer(at, peer).await, self.peer(peer, at).await);
                assert_eq!((ours.owed + theirs.owed, ours.collecting), (0, 0));
            }
        }
    }
}

fn fate(end: &Final) -> Fate {
    end.drawee.peek().unwrap().fate
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cheque_is_collected_through_a_correspondent_and_the_day_compares_and_is_settled_by_two() {
    let mut country = Country::new(3).await;
    let cheque = country.cheque(2_000_000);
    let answer = country.present(&cheque).await;
    assert_eq!(answer, Answer::Pending { next: country.towns[1].client.bank() });
    // What is credited provisionally cannot be spent.
    assert_eq!(country.carol().await, 0);
    assert_eq!(fate(&country.end_of(&cheque).await), Fate::Cleared);
    assert_eq!((country.towns[0].balance(&key(1)).await, country.carol().await), (8_000_000, 2_000_000));
    country.check_books().await;
    assert_eq!((country.peer(2, 1).await.owed, country.peer(0, 1).await.owed), (2_000_000, -2_000_000));
    // Presented again, nothing moves.
    country.present(&cheque).await;
    assert_eq!(country.carol().await, 2_000_000);

    // The day is over: each asks the other for its statement.
    let (last, middle) = (country.last(), country.towns[1].client.bank());
    let day = day_of(last.now());
    country.later(Span::from_hours(25)).await;
    for _ in 0..ROUNDS {
        country.later(Span::from_secs(700)).await;
        if country.peer(2, 1).await.compared >= Some(day) && country.peer(0, 1).await.compared >= Some(day) {
            break;
        }
    }
    let found = last.client.peer_day(&key(90), last.id(), PeerDayOf { bank: middle, day }).await.unwrap();
    assert_eq!((found.paid, found.received, found.stated), (micros(0), units(2), true));
    assert_eq!((found.agreed, found.discrepancies.as_slice().len()), (1, 0));

    // It is paid off outside, and two operators say so.
    let settle = |amount, paid| SettlePeer { bank: middle, amount, paid };
    let [first, second] = OPERATORS.map(key);
    let wrong = last.client.settle_peer(&first, last.id(), &settle(units(3), false)).await;
    assert_eq!(refused(wrong), Code::Amount);
    assert_eq!(refused(last.client.settle_peer(&first, last.id(), &settle(units(1), true)).await), Code::Amount);
    let progress = last.client.settle_peer(&first, last.id(), &settle(units(2), false)).await.unwrap();
    let Progress::Waiting { number, .. } = progress else { panic!("{progress:?}") };
    assert_eq!(refused(last.client.decide(&first, last.id(), number, true).await), Code::Policy);
    assert_eq!(country.peer(2, 1).await.owed, 2_000_000);
    assert_eq!(last.client.decide(&second, last.id(), number, true).await.unwrap(), Decided::CarriedOut);
    assert_eq!(country.peer(2, 1).await.owed, 0);
    assert!(last.bank().count_and_publish().await.unwrap().is_conserved());
    // Now the accounts may be closed, and nothing comes by that way any more.
    last.client.close_peer(&first, last.id(), middle).await.unwrap();
    country.alice.reconcile(&country.towns[0], 1_000_000).await.unwrap();
    let cheque = country.cheque(1_000_000);
    let last = country.last();
    assert_eq!(refused(last.client.present_cheque(&key(2), last.id(), &cheque).await), Code::Unknown);
    assert_eq!(refused(last.client.peers(&key(2), last.id()).await), Code::Policy);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cheque_that_its_payor_does_not_cover_bounces_at_every_bank_on_the_way() {
    let mut country = Country::new(3).await;
    let cheque = country.cheque(5_000_000);
    let home = &country.towns[0];
    home.client.payout(&key(1), home.id(), units(9), Text::new("away").unwrap()).await.unwrap();
    assert!(matches!(country.present(&cheque).await, Answer::Pending { .. }));
    assert_eq!(fate(&country.end_of(&cheque).await), Fate::Bounced(Code::Funds));
    assert_eq!((country.towns[0].balance(&key(1)).await, country.carol().await), (1_000_000, 0));
    country.check_books().await;
    // The payor can ask its own bank.
    let digest = Digest(verified(&cheque.cheque).digest());
    let end = country.towns[0].client.inquire_cheque(&key(1), country.towns[0].id(), digest).await.unwrap();
    assert_eq!(fate(&end), Fate::Bounced(Code::Funds));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_is_down_for_days_and_another_that_restarts_keep_a_cheque_waiting_and_lose_nothing() {
    let mut country = Country::new(3).await;
    let cheque = country.cheque(1_000_000);
    country.towns[0].stop().await;
    assert!(matches!(country.present(&cheque).await, Answer::Pending { .. }));
    for hours in [1, 30, 50] {
        country.later(Span::from_hours(hours)).await;
    }
    assert!(matches!(country.present(&cheque).await, Answer::Pending { .. }));
    // The correspondent is restarted half-way, at another address; then the first one comes back.
    country.towns[1].restart().await;
    country.open(2, 1).await;
    country.towns[0].restart().await;
    for (at, peer) in [(0, 1), (1, 0)] {
        country.open(at, peer).await;
    }
    country.later(Span::from_hours(1)).await;
    assert_eq!(fate(&country.end_of(&cheque).await), Fate::Cleared);
    assert_eq!((country.towns[0].balance(&key(1)).await, country.carol().await), (9_000_000, 1_000_000));
    country.check_books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_leaves_a_cleared_cheque_out_of_its_statement_is_convicted() {
    let mut country = Country::new(2).await;
    let cheque = country.cheque(1_000_000);
    country.present(&cheque).await;
    assert_eq!(fate(&country.end_of(&cheque).await), Fate::Cleared);
    let (liar, day) = (country.towns[0].client.bank(), day_of(country.last().now()));
    country.forget_what_was_paid().await;
    for _ in 0..ROUNDS {
        country.later(Span::from_hours(1)).await;
        if country.peer(1, 0).await.compared >= Some(day) {
            break;
        }
    }
    let last = country.last();
    let found = last.client.peer_day(&key(90), last.id(), PeerDayOf { bank: liar, day }).await.unwrap();
    assert!(matches!(found.discrepancies.as_slice(), [Difference::Denied { stated: None, .. }]), "{found:?}");
    let evidence = last.client.evidence(&key(90), last.id(), None).await.unwrap();
    let kinds: Vec<_> = evidence.items.as_slice().iter().map(|item| (item.kind, item.verdict)).collect();
    assert_eq!(kinds, [(EvidenceKind::OutcomeDenied, Verdict::Guilty(liar))]);
    // What Carol was paid stays hers.
    assert_eq!(country.carol().await, 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_denies_the_day_on_which_the_accounts_were_closed_is_convicted() {
    let mut country = Country::new(2).await;
    let cheque = country.cheque(1_000_000);
    country.present(&cheque).await;
    assert_eq!(fate(&country.end_of(&cheque).await), Fate::Cleared);
    let (liar, day) = (country.towns[0].client.bank(), day_of(country.last().now()));
    country.forget_what_was_paid().await;
    // What is owed is paid, and Carol's bank wants no more of the other.
    let last = country.last();
    let [first, second] = OPERATORS.map(key);
    let settle = SettlePeer { bank: liar, amount: units(1), paid: false };
    let progress = last.client.settle_peer(&first, last.id(), &settle).await.unwrap();
    let Progress::Waiting { number, .. } = progress else { panic!("{progress:?}") };
    last.client.decide(&second, last.id(), number, true).await.unwrap();
    for _ in 0..2 {
        last.client.close_peer(&first, last.id(), liar).await.unwrap();
    }
    let peers = last.client.peers(&first, last.id()).await.unwrap();
    assert!(peers.items.as_slice().is_empty());
    let mut filed = Vec::new();
    for _ in 0..ROUNDS {
        country.later(Span::from_hours(1)).await;
        let evidence = last.client.evidence(&key(90), last.id(), None).await.unwrap();
        filed = evidence.items.as_slice().iter().map(|item| (item.kind, item.verdict)).collect();
        if !filed.is_empty() {
            break;
        }
    }
    assert_eq!(filed, [(EvidenceKind::OutcomeDenied, Verdict::Guilty(liar))]);
    let found = last.client.peer_day(&key(90), last.id(), PeerDayOf { bank: liar, day }).await.unwrap();
    assert!(found.stated);
    // Of a bank that never was a peer there is nothing to say.
    let stranger = PeerDayOf { bank: key(66).id(), day };
    assert_eq!(refused(last.client.peer_day(&key(90), last.id(), stranger).await), Code::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_nobody_opened_is_a_stranger_and_nobody_answers_in_a_peers_place() {
    let mut country = Country::new(2).await;
    let stranger = Town::new().await;
    // Carol endorses to a bank that is no peer of Alice's, and its statement key presents it there.
    let drawn = country.alice.draw(&country.towns[0], key(2).id(), 1_000_000);
    let item = item(&drawn);
    let outsider = key(66);
    let to = endorse(&key(2), &verified(&item.draft), item.serial, outsider.id(), stranger.now()).unwrap();
    let home = &country.towns[0];
    assert_eq!(refused(home.client.present_cheque(&outsider, home.id(), &to).await), Code::Unknown);
    let page = farthing_draft::interbank::messages::PageRequest {
        day: 1,
        currency: farthing_core::amount::Currency::XTS,
        after: None,
    };
    assert_eq!(refused(home.client.statement_page(&outsider, home.id(), &page).await), Code::Unknown);
    // Another bank at the peer's address is not taken for it: the cheque waits.
    let (last, peer) = (country.last(), country.towns[0].client.bank());
    let network = country.towns[0].client.network();
    let elsewhere = stranger.client.address().endpoint().to_string();
    let url = Text::new(elsewhere).unwrap();
    let ask = OpenPeer { bank: peer, network, url, limit: units(5) };
    last.client.open_peer(&key(90), last.id(), &ask).await.unwrap();
    let named = OpenPeer { url: Text::new(stranger.client.address().to_string()).unwrap(), ..ask };
    assert_eq!(refused(last.client.open_peer(&key(90), last.id(), &named).await), Code::Malformed);
    let cheque = country.cheque(1_000_000);
    country.present(&cheque).await;
    for _ in 0..3 {
        country.later(Span::from_secs(100)).await;
    }
    assert!(matches!(country.present(&cheque).await, Answer::Pending { .. }));
    country.open(1, 0).await;
    country.later(Span::from_hours(1)).await;
    assert_eq!(fate(&country.end_of(&cheque).await), Fate::Cleared);
}

#[tokio::test(flavor = "multi_thread")]
async fn certified_and_cashiers_cheques_clear_whatever_their_payor_spends_afterwards() {
    let mut country = Country::new(2).await;
    let drawn = country.alice.draw(&country.towns[0], key(2).id(), 3_000_000);
    let item = item(&drawn);
    let home = &country.towns[0];
    let certify = Certify { cheque: item.draft.clone(), serial: item.serial };
    let said = home.client.certify_cheque(&key(1), home.id(), &certify).await.unwrap();
    check_certified(&verified(&item.draft), said.into_signed()).unwrap();
    let order = OrderId([8; 32]);
    let deposit_by = home.now().after(Span::from_days(3));
    let cashier = Cashier { payee: key(2).id(), amount: units(2), order, deposit_by };
    let bought = home.client.cashiers_cheque(&key(1), home.id(), &cashier).await.unwrap();
    assert_eq!(ORDER, order);
    home.client.payout(&key(1), home.id(), units(5), Text::new("away").unwrap()).await.unwrap();
    let (last, now) = (country.last().client.bank(), country.last().now());
    let cheques = [
        endorse(&key(2), &verified(&item.draft), item.serial, last, now).unwrap(),
        endorse(&key(2), &bought, 0, last, now).unwrap(),
    ];
    for cheque in &cheques {
        country.present(cheque).await;
        assert_eq!(fate(&country.end_of(cheque).await), Fate::Cleared);
    }
    assert_eq!((country.towns[0].balance(&key(1)).await, country.carol().await), (0, 5_000_000));
    country.check_books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_presents_worthless_cheques_fills_no_disk() {
    let town = Town::with(|config| config.banks.cheques_per_day = 3).await;
    town.customer(2, 0).await;
    // Drawn on this bank by keys that nobody knows.
    let worthless = |seed: u8| {
        let draft = farthing_draft::messages::Draft {
            number: 1,
            network: town.client.network(),
            bank: town.client.bank(),
            payee: key(2).id(),
            amount: micros(1),
            order: ORDER,
            deposit_by: town.now().after(Span::from_days(3)),
            log: [0; 32],
            time: town.now(),
        };
        let cheque = key(seed).sign(town.client.network(), &draft);
        endorse(&key(2), &verified(&cheque), 1, town.client.bank(), town.now()).unwrap()
    };
    for seed in 100..103 {
        let answer = town.client.present_cheque(&key(2), town.id(), &worthless(seed)).await.unwrap();
        let Answer::Final(end) = answer else { panic!("{answer:?}") };
        assert!(matches!(fate(&end), Fate::Bounced(_)));
    }
    let too_many = town.client.present_cheque(&key(2), town.id(), &worthless(103)).await;
    assert_eq!(refused(too_many), Code::Limit);
    // What was presented is still answered, and tomorrow is another day.
    town.client.present_cheque(&key(2), town.id(), &worthless(100)).await.unwrap();
    town.clock.advance(Span::from_hours(24));
    town.client.present_cheque(&key(2), town.id(), &worthless(104)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_takes_no_more_cheques_on_a_peer_than_that_may_owe() {
    let mut country = Country::new(2).await;
    let (first, second) = (country.cheque(4_000_000), country.cheque(2_000_000));
    country.present(&first).await;
    let last = country.last();
    assert_eq!(refused(last.client.present_cheque(&key(2), last.id(), &second).await), Code::Limit);
    let bank = country.towns[0].client.bank();
    assert_eq!(refused(last.client.close_peer(&key(90), last.id(), bank).await), Code::State);
}
