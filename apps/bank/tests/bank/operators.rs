use farthing_bank::home::RailName;
use farthing_bank::messages::{Decided, Direction, Progress, Text};
use farthing_bank::rail::{PENDING_PER_CUSTOMER_MAX, PENDING_SPAN};
use farthing_core::evidence::{EvidenceKind, Verdict};
use farthing_core::refusal::Code;
use farthing_core::sign::SecretKey;
use farthing_core::time::Span;
use farthing_core::wire;
use farthing_netpay::messages::{Register, RegisterAnswer};
use farthing_netpay::payer::Purse;
use farthing_role::Filed;

use crate::town::{ORDER, Town, key, refused, units};

/// Ada and Ben are operators.
fn ada() -> SecretKey {
    key(101)
}

fn ben() -> SecretKey {
    key(102)
}

async fn town() -> Town {
    Town::with(|config| {
        config.rail = RailName::Operators;
        config.operators = vec![ada().id(), ben().id()];
    })
    .await
}

async fn ask_fund(town: &Town, who: &SecretKey, amount: u64) -> u64 {
    let note = Text::new("by post").unwrap();
    match town.client.fund(who, town.id(), units(amount), note).await.unwrap() {
        Progress::Waiting { number, .. } => number,
        Progress::Done(_) => panic!("nobody has approved it"),
    }
}

async fn ask_payout(town: &Town, who: &SecretKey, amount: u64) -> u64 {
    let to = Text::new("account 12-345").unwrap();
    match town.client.payout(who, town.id(), units(amount), to).await.unwrap() {
        Progress::Waiting { number, .. } => number,
        Progress::Done(_) => panic!("nobody has approved it"),
    }
}

async fn decide(town: &Town, who: &SecretKey, number: u64, approve: bool) -> Result<Decided, Code> {
    match town.client.decide(who, town.id(), number, approve).await {
        Ok(decided) => Ok(decided),
        refusal => Err(refused(refusal)),
    }
}

async fn fund(town: &Town, who: &SecretKey, amount: u64) {
    let number = ask_fund(town, who, amount).await;
    assert_eq!(decide(town, &ada(), number, true).await, Ok(Decided::OneOfTwo));
    assert_eq!(decide(town, &ben(), number, true).await, Ok(Decided::CarriedOut));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_money_moves_by_one_operator_however_often_it_asks() {
    let town = town().await;
    let peer = town.customer(1, 0).await;
    let number = ask_fund(&town, &peer, 10).await;
    assert_eq!(decide(&town, &peer, number, true).await, Err(Code::Policy));
    assert_eq!(decide(&town, &ada(), number, true).await, Ok(Decided::OneOfTwo));
    assert_eq!(decide(&town, &ada(), number, true).await, Err(Code::Policy));
    assert_eq!(town.balance(&peer).await, 0);
    let waiting = town.client.pending(&ben(), town.id(), 0).await.unwrap();
    let [pending] = waiting.items.as_slice() else { panic!("{waiting:?}") };
    assert_eq!((pending.direction, pending.customer, pending.approved), (Direction::In, peer.id(), Some(ada().id())));
    assert_eq!(decide(&town, &ben(), number, true).await, Ok(Decided::CarriedOut));
    assert_eq!(town.balance(&peer).await, 10_000_000);
    assert_eq!(decide(&town, &ben(), number, true).await, Err(Code::Unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_is_set_aside_until_two_approve_or_one_rejects_or_it_lapses() {
    let town = town().await;
    let peer = town.customer(1, 0).await;
    fund(&town, &peer, 10).await;
    let number = ask_payout(&town, &peer, 6).await;
    assert_eq!(town.balances(&peer).await.held, units(6));
    let to = || Text::new("twice").unwrap();
    assert_eq!(refused(town.client.payout(&peer, town.id(), units(6), to()).await), Code::Funds);
    assert_eq!(decide(&town, &ada(), number, false).await, Ok(Decided::Rejected));
    assert_eq!(town.balances(&peer).await.held, units(0));
    assert_eq!(decide(&town, &ben(), number, true).await, Err(Code::Unknown));

    let number = ask_payout(&town, &peer, 6).await;
    assert_eq!(decide(&town, &ben(), number, true).await, Ok(Decided::OneOfTwo));
    assert_eq!(decide(&town, &ada(), number, true).await, Ok(Decided::CarriedOut));
    let left = town.balances(&peer).await;
    assert_eq!((left.balance, left.held), (units(4), units(0)));

    let number = ask_payout(&town, &peer, 4).await;
    town.clock.advance(PENDING_SPAN);
    assert_eq!(decide(&town, &ada(), number, true).await, Err(Code::Expired));
    town.bank().tick_now().await.unwrap();
    assert_eq!(decide(&town, &ada(), number, true).await, Err(Code::Unknown));
    let left = town.balances(&peer).await;
    assert_eq!((left.balance, left.held), (units(4), units(0)));
    let report = town.bank().count_and_publish().await.unwrap();
    assert_eq!((report.customer, report.funded), (4_000_000, 4_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_does_not_decide_on_its_own_money_nor_one_that_is_none_any_more() {
    let mut town = town().await;
    let operator = town.customer(101, 0).await;
    let number = ask_fund(&town, &operator, 10).await;
    assert_eq!(decide(&town, &ada(), number, true).await, Err(Code::Policy));
    assert_eq!(decide(&town, &ben(), number, true).await, Ok(Decided::OneOfTwo));
    // Ben leaves, Cleo comes: his approval goes with him.
    town.stop().await;
    let file = town.home().join("bank.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let cleo = key(103);
    std::fs::write(&file, config.replace(&ben().id().to_string(), &cleo.id().to_string())).unwrap();
    town.restart().await;
    assert_eq!(decide(&town, &ben(), number, true).await, Err(Code::Policy));
    assert_eq!(decide(&town, &cleo, number, true).await, Ok(Decided::OneOfTwo));
    assert_eq!(town.balance(&operator).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_cannot_flood_the_operators() {
    let town = town().await;
    let peer = town.customer(1, 0).await;
    let mut last = 0;
    for _ in 0..PENDING_PER_CUSTOMER_MAX {
        last = ask_fund(&town, &peer, 1).await;
    }
    let note = || Text::new("more").unwrap();
    assert_eq!(refused(town.client.fund(&peer, town.id(), units(1), note()).await), Code::Limit);
    assert_eq!(decide(&town, &ada(), last, false).await, Ok(Decided::Rejected));
    assert!(town.client.fund(&peer, town.id(), units(1), note()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_a_suspended_account_until_an_operator_lets_it() {
    let town = town().await;
    let (peer, payer) = (town.customer(1, 0).await, town.customer(2, 0).await);
    fund(&town, &peer, 10).await;
    fund(&town, &payer, 10).await;
    let number = ask_payout(&town, &peer, 2).await;
    assert_eq!(decide(&town, &ada(), number, true).await, Ok(Decided::OneOfTwo));
    assert_eq!(refused(town.client.suspend(&payer, town.id(), peer.id(), true).await), Code::Policy);
    assert!(town.client.suspend(&ada(), town.id(), peer.id(), true).await.unwrap().suspended);
    // What was asked for before does not leave either.
    assert_eq!(decide(&town, &ben(), number, true).await, Err(Code::Suspended));
    let to = Text::new("away").unwrap();
    assert_eq!(refused(town.client.payout(&peer, town.id(), units(1), to).await), Code::Suspended);
    assert_eq!(refused(town.client.deposit(&peer, town.id(), units(1), false).await), Code::Suspended);
    assert_eq!(refused(town.client.deposit(&peer, town.id(), units(1), true).await), Code::Suspended);
    // It is paid all the same.
    let mut purse = town.chain(&payer, 100).await;
    let (claim, _) = town.visit(&mut purse, &payer, &peer, 5);
    town.claim(&peer, vec![claim]).await.unwrap();
    assert_eq!(town.balance(&peer).await, 10_005_000);
    assert!(!town.client.suspend(&ben(), town.id(), peer.id(), false).await.unwrap().suspended);
    assert_eq!(decide(&town, &ben(), number, true).await, Ok(Decided::CarriedOut));
    assert_eq!(town.balance(&peer).await, 8_005_000);
    assert_eq!(refused(town.client.suspend(&ada(), town.id(), key(9).id(), true).await), Code::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_fetch_the_evidence_that_convicts_a_double_spender() {
    let town = town().await;
    let (payer, shop, other) = (town.customer(1, 0).await, town.customer(2, 0).await, town.customer(3, 0).await);
    fund(&town, &payer, 10).await;
    let mut purse = town.chain(&payer, 100).await;
    let mut twin = Purse::resume(purse.state().clone(), payer.id().0).unwrap();
    let network = town.client.network();
    for (purse, payee) in [(&mut purse, &shop), (&mut twin, &other)] {
        let expires = town.now().after(Span::from_hours(1));
        let visit = purse.reserve(&payer, network, payee.id(), ORDER, 10, expires).unwrap();
        let register = Register { reserve: visit.reserve, previous: None };
        let answer = town.client.register(payee, town.id(), &register).await.unwrap();
        assert_eq!(matches!(answer, RegisterAnswer::Taken { .. }), payee.id() == other.id());
    }
    town.clock.advance(Span::from_hours(49));
    town.bank().tick_now().await.unwrap();
    assert_eq!(refused(town.client.evidence(&payer, town.id(), None).await), Code::Policy);
    let list = town.client.evidence(&ada(), town.id(), None).await.unwrap();
    let [piece] = list.items.as_slice() else { panic!("{list:?}") };
    assert_eq!((piece.kind, piece.accused), (EvidenceKind::DoubleReserve, payer.id()));
    assert!(town.client.evidence(&ada(), town.id(), Some(piece.id)).await.unwrap().items.as_slice().is_empty());
    let whole = town.client.evidence_part(&ada(), town.id(), piece.id, 0).await.unwrap();
    assert_eq!(whole.total, piece.bytes);
    let filed: Filed = wire::decode(&whole.bytes).unwrap();
    let verdict = farthing_netpay::verdict::judge(network, town.client.bank(), &filed.evidence);
    assert_eq!((verdict, filed.verdict), (Verdict::Guilty(payer.id()), piece.verdict));
    let rest = town.client.evidence_part(&ada(), town.id(), piece.id, 10).await.unwrap();
    assert_eq!(rest.bytes, whole.bytes[10..]);
    assert_eq!(refused(town.client.evidence_part(&ada(), town.id(), [9; 16], 0).await), Code::Unknown);
}
