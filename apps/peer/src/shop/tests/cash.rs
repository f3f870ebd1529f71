//! Payments that come whole, and payers that cheat with them.

use farthing_clearing::messages::Payment as Ticket;
use farthing_core::id::PeerId;
use farthing_core::order::Receipt;
use farthing_core::sign::Signed;
use farthing_core::time::Span;

use super::*;
use crate::talk::handover::Lot;
use crate::wallet::Handover;

fn ticket(bytes: &[u8]) -> Handover {
    Handover::Ticket(Ticket { ticket: bytes.to_vec(), sign: true })
}

/// An order that a payer made up.
fn owed(payee: PeerId, price: u64) -> Order {
    let now = SystemClock.now();
    Order {
        payee,
        content: None,
        size: 1,
        piece: 1,
        price: micros(price),
        description: "two coffees".to_owned(),
        created: now,
        expires: now.after(Span::from_hours(1)),
        nonce: [4; 16],
    }
}

impl World {
    /// A stream on which this order was named.
    async fn owe(&self, order: &Order) -> (Line<DuplexStream>, JoinHandle<Sold>) {
        let (mut line, served) = self.enter(9);
        line.say(&hello()).await.unwrap();
        line.answer(TIME).await.unwrap();
        line.say(&Ask::Owe(Box::new(order.clone()))).await.unwrap();
        (line, served)
    }

    async fn refuses_to_be_owed(&self, order: &Order) -> Code {
        let (mut line, _served) = self.owe(order).await;
        refused(&mut line).await
    }
}

fn thanked(answer: Answer) -> Signed<Receipt> {
    let Answer::Thanks(thanks) = answer else { panic!("no thanks: {answer:?}") };
    *thanks
}

#[tokio::test]
async fn payee_thanks_twice_for_the_same_payment_and_counts_it_once() {
    let world = World::new(PRICE);
    let order = owed(key(2).id(), 70);
    for _ in 0..2 {
        let (mut line, served) = world.owe(&order).await;
        assert!(matches!(line.answer(TIME).await.unwrap(), Answer::Terms(_)));
        for _ in 0..2 {
            line.say(&Ask::Hand(Box::new(ticket(b"good")))).await.unwrap();
            let receipt = thanked(line.answer(TIME).await.unwrap());
            assert_eq!(receipt.peek().unwrap().order, order.id());
        }
        line.say(&Ask::Done).await.unwrap();
        drop(line);
        served.await.unwrap();
    }
    assert_eq!(world.till.earned(), 70);
    let (mut line, _served) = world.owe(&order).await;
    line.answer(TIME).await.unwrap();
    line.say(&Ask::Hand(Box::new(ticket(b"good too")))).await.unwrap();
    assert_eq!((refused(&mut line).await, world.till.earned()), (Code::Replay, 70));
}

#[tokio::test]
async fn payee_is_not_owed_what_names_another_is_early_or_is_content() {
    let world = World::new(PRICE);
    let me = key(2).id();
    assert_eq!(world.refuses_to_be_owed(&owed(key(3).id(), 7)).await, Code::NotPayee);
    let early = Order { created: SystemClock.now().after(Span::from_hours(2)), ..owed(me, 7) };
    assert_eq!(world.refuses_to_be_owed(&early).await, Code::NotYet);
    let content = Order { content: Some(world.manifest.root), ..owed(me, 7) };
    assert_eq!(world.refuses_to_be_owed(&content).await, Code::Order);
    let hidden = Order { description: "\u{202e}gift".to_owned(), ..owed(me, 7) };
    assert_eq!(world.refuses_to_be_owed(&hidden).await, Code::Malformed);
    let many = Order { size: 3, ..owed(me, 7) };
    assert_eq!(world.refuses_to_be_owed(&many).await, Code::Order);
}

#[tokio::test]
async fn payee_takes_the_price_in_units_once_and_nothing_else() {
    let world = World::new(PRICE);
    let order = owed(key(2).id(), PRICE);
    let pocket = pocket();
    let (mut line, served) = world.owe(&order).await;
    assert!(matches!(line.answer(TIME).await.unwrap(), Answer::Terms(_)));
    let (visit, mut spending) = pocket.begin(&order, 1, micros(100)).await.unwrap();
    line.say(&Ask::Begin(Box::new(visit))).await.unwrap();
    assert!(matches!(line.answer(TIME).await.unwrap(), Answer::Accepted(_)));
    let pay = spending.pay(2).await.unwrap();
    line.say_both(&Ask::Pay(PayFor { pay, piece: 0 }), &Ask::Done).await.unwrap();
    let Answer::Released(released) = line.answer(TIME).await.unwrap() else { panic!("no release") };
    assert!(released.receipt.is_some());
    drop(line);
    served.await.unwrap();
    assert_eq!(world.till.earned(), PRICE);
}

#[tokio::test]
async fn payee_refuses_units_that_are_not_the_price() {
    for units in [1, 3] {
        let world = World::new(PRICE);
        let order = owed(key(2).id(), PRICE);
        let (mut line, _served) = world.owe(&order).await;
        line.answer(TIME).await.unwrap();
        let (visit, mut spending) = pocket().begin(&order, 1, micros(100)).await.unwrap();
        line.say(&Ask::Begin(Box::new(visit))).await.unwrap();
        line.answer(TIME).await.unwrap();
        let pay = spending.pay(units).await.unwrap();
        line.say(&Ask::Pay(PayFor { pay, piece: 0 })).await.unwrap();
        assert_eq!((refused(&mut line).await, world.till.earned()), (Code::Range, 0));
    }
}

#[tokio::test]
async fn seller_sells_a_lot_once_and_hands_its_pieces_out_again_but_no_others() {
    let world = World::new(PRICE);
    let lot = Lot { pieces: Lot::runs(&[0, 2]), payment: ticket(b"good") };
    let (mut line, served, _) = world.order(9).await;
    line.say(&Ask::Lot(Box::new(lot))).await.unwrap();
    thanked(line.answer(TIME).await.unwrap());
    for piece in [2, 0, 2] {
        line.say(&Ask::Get(piece)).await.unwrap();
        assert_eq!(line.answer(TIME).await.unwrap(), Answer::Piece(piece));
        line.frame(TIME).await.unwrap();
    }
    line.say(&Ask::Get(1)).await.unwrap();
    assert_eq!(refused(&mut line).await, Code::Range);
    drop(line);
    served.await.unwrap();
    assert_eq!(world.till.earned(), 2 * PRICE);
}

#[tokio::test]
async fn seller_takes_no_money_for_a_lot_of_a_file_that_has_changed() {
    let world = World::new(PRICE);
    let (mut line, _served, _) = world.order(9).await;
    fs::write(&world.file, b"changed").unwrap();
    line.say(&Ask::Lot(Box::new(Lot { pieces: Lot::runs(&[0]), payment: ticket(b"good") }))).await.unwrap();
    assert_eq!((refused(&mut line).await, world.till.earned()), (Code::Goods, 0));
}

#[tokio::test]
async fn seller_refuses_a_lot_with_a_bad_payment_or_pieces_that_are_not_there() {
    for (pieces, payment, code) in [
        (Lot::runs(&[0]), ticket(b"forged"), Code::Decrypt),
        (Lot::runs(&[3, 4]), ticket(b"good"), Code::Range),
        (Lot::runs(&[]), ticket(b"good"), Code::Range),
    ] {
        let world = World::new(PRICE);
        let (mut line, _served, _) = world.order(9).await;
        line.say(&Ask::Lot(Box::new(Lot { pieces, payment }))).await.unwrap();
        assert_eq!((refused(&mut line).await, world.till.earned()), (code, 0));
    }
}
