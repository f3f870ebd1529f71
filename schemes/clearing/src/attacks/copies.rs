//! Copies of one wallet, and keys that were stolen.

use farthing_core::id::RequestId;
use farthing_core::refusal::{Code, Remedy};
use farthing_core::seal::SealKey;

use crate::compare::{Fate, Next};
use crate::messages::{Enrol, Rotate};
use crate::testing::{ALICE, CAROL, HERE, World, key, micros};
use crate::wallet::{Standing, open_grant};

#[test]
fn of_two_live_copies_of_one_wallet_only_the_one_that_compared_last_pays() {
    let (mut world, [mut alice, ..]) = World::new();
    world.pay(&mut alice, CAROL, 10, 1);
    let mut copy = alice.clone();
    copy.rng = crate::testing::rng(99);
    copy.wallet.restored();
    assert_eq!(
        copy.wallet.pay(world.now, &crate::testing::transfer(CAROL, 1, 2), None, &mut copy.rng).unwrap_err().code,
        Code::Reconcile,
        "a restored wallet asks first"
    );
    assert_eq!(world.compare(&mut copy), Next::Agreed(None));
    world.pay(&mut copy, CAROL, 10, 3);
    // The first one is still alive and knows nothing of it.
    let frame = alice.ask(world.now, CAROL, 10, 4);
    let why = world.refused(&mut alice, &frame);
    assert_eq!((why.code, why.remedy), (Code::Epoch, Remedy::Reconcile));
    assert!(why.detail.contains("another copy"));
    // It did the live copy no harm.
    world.pay(&mut copy, CAROL, 10, 5);
    // It compares as well: now the other one is out, and nothing was paid twice.
    assert_eq!(world.compare(&mut alice), Next::Agreed(Some(Fate::NotPaid)));
    world.pay(&mut alice, CAROL, 10, 6);
    let frame = copy.ask(world.now, CAROL, 10, 7);
    assert_eq!(world.refused(&mut copy, &frame).code, Code::Epoch);
    assert_eq!(world.balance(CAROL), 40);
    assert_eq!(alice.outgoing.len(), 4);
}

#[test]
fn a_wallet_restored_from_an_old_copy_learns_what_it_forgot_before_it_pays() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    world.pay_and_deliver(&mut alice, &mut carol, 10, 1);
    let mut backup = alice.clone();
    let frame = backup.ask(world.now, CAROL, 77, 2); // It was asking for something then.
    world.hand(&frame).unwrap();
    alice = backup.clone();
    let pending = alice.wallet.pending().unwrap().frame.clone();
    let answer = world.hand(&pending).unwrap();
    alice.hear(&answer).unwrap();
    for order in 3..9 {
        world.pay_and_deliver(&mut alice, &mut carol, 10, order);
    }
    world.compare(&mut alice);
    world.pay_and_deliver(&mut carol, &mut alice, 5, 9);
    backup.wallet.restored();
    assert_eq!(world.compare(&mut backup), Next::Agreed(Some(Fate::Paid(None))), "long ago; the ticket is gone");
    assert_eq!(backup.wallet.log(), alice.wallet.log());
    assert_eq!(backup.wallet.balances(), [micros(crate::testing::FUNDED - 10 - 77 - 60 + 5)]);
    world.pay(&mut backup, CAROL, 1, 10);
}

#[test]
fn a_wallet_that_is_restored_unaware_pays_nothing_twice() {
    let (mut world, [mut alice, ..]) = World::new();
    let mut old = alice.clone();
    old.rng = crate::testing::rng(99);
    for order in 1..4 {
        world.pay(&mut alice, CAROL, 10, order);
    }
    let frame = old.ask(world.now, CAROL, 10, 1);
    let why = world.refused(&mut old, &frame);
    assert_eq!((why.code, why.remedy), (Code::Sequence, Remedy::Reconcile));
    assert_eq!(old.wallet.standing(), Standing::MustReconcile);
    assert_eq!(world.compare(&mut old), Next::Agreed(Some(Fate::NotPaid)));
    assert_eq!(world.balance(CAROL), 30);
}

#[test]
fn who_asks_for_its_key_again_gets_the_same_and_must_compare_books() {
    let (mut world, [mut alice, ..]) = World::new();
    world.pay(&mut alice, CAROL, 10, 1);
    let mut fresh = world.enrol(ALICE);
    assert_eq!(fresh.wallet.key_version(), 1);
    assert_eq!(fresh.wallet.standing(), Standing::MustReconcile);
    let frame = alice.ask(world.now, CAROL, 10, 2);
    assert_eq!(world.refused(&mut alice, &frame).code, Code::Reconcile, "and so must every other copy");
    assert_eq!(world.compare(&mut fresh), Next::Agreed(None));
    world.pay(&mut fresh, CAROL, 10, 3);
}

#[test]
fn weakness_5_a_stolen_key_is_worth_nothing_once_it_was_replaced() {
    let (mut world, [mut alice, ..]) = World::new();
    world.pay(&mut alice, CAROL, 10, 1);
    let mut thief = alice.clone();
    let pending = alice.ask(world.now, CAROL, 20, 2); // Asked under the old key, and it never arrived.
    world.rotate(&mut alice);
    assert_eq!(alice.wallet.key_version(), 2);
    let frame = thief.ask(world.now, crate::testing::DAVE, 900, 3);
    assert_eq!(world.hand(&frame), Err(Code::Certificate));
    assert_eq!(world.hand(&pending), Err(Code::Certificate));
    let mut rash = alice.clone();
    (rash.wallet.standing, rash.wallet.pending) = (Standing::Ready, None);
    let frame = rash.ask(world.now, CAROL, 20, 2);
    assert_eq!(world.refused(&mut rash, &frame).code, Code::Reconcile, "the bank insists on it too");
    assert_eq!(world.compare(&mut alice), Next::Agreed(Some(Fate::NotPaid)));
    world.pay(&mut alice, CAROL, 10, 4);
    assert_eq!((world.balance(CAROL), world.balance(crate::testing::DAVE)), (20, 0));
    // The old key does not open what is said under the new one.
    let (_, hello) = alice.wallet.compare(
        world.now.after(farthing_core::time::Span::from_secs(9)),
        crate::compare::Extent::Whole,
        &mut alice.rng,
    );
    let answer = world.hand(&hello);
    assert!(answer.is_ok());
    assert!(thief.hear(&answer.unwrap()).is_err());
}

#[test]
fn a_key_is_replaced_once_for_each_version_that_is_named() {
    let (mut world, [alice, ..]) = World::new();
    let seal = SealKey::from_seed(&[5; 32]);
    let mut ask = |version, request: u8| {
        let rotate = Rotate { seal: seal.public(), version };
        let sealed = world.act(|bank, cx| bank.rotate(cx, alice.id(), RequestId([request; 16]), &rotate));
        sealed.map(|sealed| open_grant(HERE, alice.id(), key(1).id(), &seal, &sealed).unwrap())
    };
    let first = ask(1, 1).unwrap();
    let again = ask(1, 2).unwrap();
    assert_eq!((first.key.version(), &first.key), (2, &again.key), "a second request replaces nothing more");
    assert!(ask(5, 3).is_err());
    assert_eq!(ask(2, 4).unwrap().key.version(), 3);
    assert!(ask(1, 5).is_err());
}

#[test]
fn nobody_reads_or_uses_anothers_grant() {
    let (mut world, [alice, ..]) = World::new();
    let (seal, thief) = (SealKey::from_seed(&[5; 32]), SealKey::from_seed(&[6; 32]));
    let enrol = Enrol { seal: seal.public() };
    let grant = world.act(|bank, cx| bank.enrol(cx, alice.id(), RequestId([9; 16]), &enrol)).unwrap();
    let bank = world.bank.bank();
    assert_eq!(open_grant(HERE, alice.id(), bank, &thief, &grant).unwrap_err().code, Code::Decrypt);
    assert_eq!(open_grant(HERE, key(CAROL).id(), bank, &seal, &grant).unwrap_err().code, Code::NotPayee);
    assert_eq!(open_grant(HERE, alice.id(), key(7).id(), &seal, &grant).unwrap_err().code, Code::Signature);
}

#[test]
fn a_wallet_survives_the_wire_and_shows_nothing_of_its_key() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    world.pay_and_deliver(&mut alice, &mut carol, 10, 1);
    let _frame = alice.ask(world.now, CAROL, 10, 2);
    let bytes = farthing_core::wire::encode(&alice.wallet);
    assert_eq!(farthing_core::wire::decode::<crate::wallet::Wallet>(&bytes).unwrap(), alice.wallet);
    assert!(format!("{:?}", alice.wallet).contains("CustomerKey(version 1)"));
}
