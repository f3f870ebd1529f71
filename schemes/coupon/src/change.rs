//! What changed in a session since it was last written down: a tenth of its bytes.
//!
//! A seller writes a session down whole when it opens, and then this with each batch of payments.
//! A change holds values and not steps, so one that is applied twice does nothing, and a later one
//! covers an earlier one where they meet.

use farthing_core::chain::Payword;
use minicbor::{Decode, Encode};

use crate::window::Part;

/// All that can change in a session, its window only as far as it was touched.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct SessionChange {
    #[n(0)]
    pub(crate) tip: Payword,
    #[n(1)]
    pub(crate) turn: u32,
    #[n(2)]
    pub(crate) cleared: u32,
    #[n(3)]
    pub(crate) charged: u32,
    #[n(4)]
    pub(crate) window: Part,
}

/// The most bytes that a change takes, written down: where all of its window was touched.
pub const CHANGE_BYTES_MAX: usize = 640;

/// The units touched since a session was last written down: from the lowest to the highest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Touched(Option<(u32, u32)>);

impl Touched {
    /// These too.
    pub(crate) fn add(&mut self, from: u32, upto: u32) {
        let (lowest, highest) = self.0.unwrap_or((from, upto));
        self.0 = Some((lowest.min(from), highest.max(upto)));
    }

    /// The units, if there are any; afterwards there are none.
    pub(crate) fn take(&mut self) -> Option<(u32, u32)> {
        self.0.take()
    }
}

#[cfg(test)]
mod tests {
    use farthing_core::wire;
    use proptest::prelude::*;

    use super::*;
    use crate::clearing::{ClearLine, ClearOutcome};
    use crate::micro::Pay;
    use crate::session::{Session, SessionState, WINDOW};
    use crate::testing::{ALIAS, S1, World, key, micros, order_in};

    /// A buyer who can pay for windows over and over.
    const RICH: u8 = 77;
    const UNITS: u32 = 6 * WINDOW;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// Pays, after leaving some units out for good.
        Pay {
            skip: u32,
            units: u32,
        },
        /// Answers one of the payments taken: so much of it was used.
        Answer {
            which: usize,
            charged: u32,
        },
        /// Brings the money for what was left out.
        Tip,
        Cleared,
        Write,
        WriteWhole,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..3_u32, 1..5_u32).prop_map(|(skip, units)| Step::Pay { skip, units }),
            4 => (0..WINDOW / 2, 1..=WINDOW / 8).prop_map(|(skip, units)| Step::Pay { skip, units }),
            1 => (0..WINDOW, 1..=WINDOW).prop_map(|(skip, units)| Step::Pay { skip, units }),
            6 => (any::<usize>(), 0..5_u32).prop_map(|(which, charged)| Step::Answer { which, charged }),
            1 => Just(Step::Tip),
            1 => Just(Step::Cleared),
            4 => Just(Step::Write),
            1 => Just(Step::WriteWhole),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_down_in_parts_is_what_stood_in_memory(
            steps in prop::collection::vec(any_step(), 0..80),
            repeated in any::<bool>(),
        ) {
            let mut world = World::new();
            world.enrol(key(RICH).id(), 1_000 * u64::from(UNITS));
            let (mut spender, mut session) = world.open(RICH, ALIAS, S1, UNITS);
            let (now, order) = (world.now, order_in(&spender, "anything"));
            let mut written: SessionState = session.state().clone();
            let mut taken: Vec<Pay> = Vec::new();
            for step in steps {
                match step {
                    Step::Pay { skip, units } => {
                        if skip > 0 && let Ok(lost) = spender.pay(skip, order) {
                            spender.give_up(lost.index).unwrap();
                        }
                        let Ok(pay) = spender.pay(units, order) else { continue };
                        match session.accept(now, &pay, units) {
                            Ok(_) => taken.push(pay),
                            Err(_) => spender.give_up(pay.index).unwrap(),
                        }
                    }
                    Step::Answer { which, charged } if !taken.is_empty() => {
                        let paid = taken.swap_remove(which % taken.len()).entry();
                        session.give_back(&paid, charged);
                        let _ = spender.on_ack(&session.ack(&paid, charged, order));
                    }
                    Step::Answer { .. } => {}
                    Step::Tip => {
                        if let Some(tip) = spender.tip() {
                            let _ = session.on_tip(now, &tip);
                        }
                    }
                    Step::Cleared => {
                        let outcome = ClearOutcome::Paid { amount: micros(1), through: session.charged() };
                        session.on_cleared(&ClearLine { chain: session.chain(), outcome });
                    }
                    Step::Write => {
                        let bytes = wire::encode(&session.take_change());
                        prop_assert!(bytes.len() <= CHANGE_BYTES_MAX, "{} bytes", bytes.len());
                        let change: SessionChange = wire::decode(&bytes).unwrap();
                        for _ in 0..=u8::from(repeated) {
                            prop_assert!(written.change(&change));
                        }
                        prop_assert_eq!(&written, session.state());
                    }
                    Step::WriteWhole => {
                        let _ = session.take_change();
                        written = session.state().clone();
                    }
                }
            }
            prop_assert!(written.change(&session.take_change()));
            let resumed = Session::resume(written);
            prop_assert_eq!(resumed.state(), session.state());
        }
    }

    #[test]
    fn a_payment_is_written_down_in_a_tenth_of_what_its_session_takes() {
        let mut world = World::new();
        let (mut spender, mut session) = world.open(crate::testing::BUYER, ALIAS, S1, 1_000);
        for _ in 0..500 {
            let pay = spender.pay(1, order_in(&spender, "a")).unwrap();
            session.accept(world.now, &pay, 1).unwrap();
            spender.give_up(pay.index).unwrap();
            let (part, whole) = (wire::encode(&session.take_change()), wire::encode(session.state()));
            assert!(part.len() * 10 < whole.len(), "{} of {} bytes", part.len(), whole.len());
        }
    }

    #[test]
    fn a_damaged_change_is_noticed_and_not_applied() {
        let mut world = World::new();
        let (_, mut session) = world.open(crate::testing::BUYER, ALIAS, S1, 10);
        let mut change = session.take_change();
        change.window = Part::damaged();
        let mut state = session.state().clone();
        assert!(!state.change(&change));
        assert_eq!(&state, session.state());
    }
}
