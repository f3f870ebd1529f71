use farthing_core::audit::{Direction, SubChain};
use farthing_store::Overlay;

use super::{RUN, following, sub_chain_at};
use crate::bank::account;
use crate::testing::World;

#[test]
fn lines_and_heads_are_found_whether_they_stand_in_a_run_or_in_the_record() {
    let (mut world, [mut alice, mut carol, _]) = World::new();
    for paid in 0..=2 * RUN + 1 {
        let books = Overlay::new(&world.store);
        for (customer, direction) in [(&alice, Direction::Out), (&carol, Direction::In)] {
            let entries = if direction == Direction::Out { &customer.outgoing } else { &customer.incoming };
            assert_eq!(entries.len(), paid);
            let record = account(&books, customer.id()).unwrap().unwrap();
            for after in 0..paid + 2 {
                for limit in 0..paid + 2 {
                    let lines = following(&books, customer.id(), &record, direction, after as u64, limit).unwrap();
                    let found = (after as u64 + 1..).zip(&lines).map(|(t, line)| line.entry(t, direction));
                    assert!(found.eq(entries.iter().skip(after).take(limit).copied()), "{limit} after {after}");
                }
                let start = SubChain::start(customer.id(), direction);
                let head = (after <= paid).then(|| entries[..after].iter().fold(start, |at, e| at.after(e).unwrap()));
                let found = sub_chain_at(&books, customer.id(), &record, direction, after as u64).unwrap();
                assert_eq!(found, head, "at {after} of {paid}");
            }
        }
        world.pay_and_deliver(&mut alice, &mut carol, 1, 1);
    }
}
