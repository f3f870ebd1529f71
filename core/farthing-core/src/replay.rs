//! A window over sequence numbers: tells a first arrival from a repeat, in any order.
//!
//! Messages overtake each other, so "not above the last" is no sign of a repeat (Kelsey and
//! Schneier, §3.2.1(c): "there needs to be some room for error"). The window remembers the last
//! [`REPLAY_WINDOW`] numbers one by one, as RFC 4303 (§3.4.3) does, and takes nothing older.

use minicbor::{Decode, Encode};

/// How many numbers, up to the highest seen, are told apart: 1,024.
pub const REPLAY_WINDOW: u64 = 1_024;

const WORDS: usize = (REPLAY_WINDOW / 64) as usize;

/// Which numbers were seen, from 1.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ReplayWindow {
    /// The highest seen; 0 before any was.
    #[n(0)]
    highest: u64,
    /// One bit for each of the numbers up to it, at the number's place modulo the window.
    #[n(1)]
    seen: [u64; WORDS],
}

/// Why a number is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Repeated {
    /// It was seen before.
    #[error("number {0} came before")]
    Seen(u64),
    /// It lies so far back that nobody can tell.
    #[error("number {0} lies too far back to tell whether it came before")]
    TooOld(u64),
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::through(0)
    }
}

impl ReplayWindow {
    /// Every number up to this one counts as seen.
    #[must_use]
    pub const fn through(highest: u64) -> Self {
        Self { highest, seen: [u64::MAX; WORDS] }
    }

    /// The highest number seen.
    #[must_use]
    pub const fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether a number would be taken.
    ///
    /// # Errors
    /// [`Repeated`].
    pub const fn check(&self, number: u64) -> Result<(), Repeated> {
        if number > self.highest {
            return Ok(());
        }
        if self.highest - number >= REPLAY_WINDOW {
            return Err(Repeated::TooOld(number));
        }
        let (word, bit) = place(number);
        if self.seen[word] & bit == 0 { Ok(()) } else { Err(Repeated::Seen(number)) }
    }

    /// Takes a number, once. A jump costs at most one pass over the window.
    ///
    /// # Errors
    /// [`Repeated`]; the window is as before.
    pub fn take(&mut self, number: u64) -> Result<(), Repeated> {
        self.check(number)?;
        if number > self.highest {
            let fresh = (number - self.highest).min(REPLAY_WINDOW);
            for back in 0..fresh {
                let (word, bit) = place(number - back);
                self.seen[word] &= !bit;
            }
            self.highest = number;
        }
        let (word, bit) = place(number);
        self.seen[word] |= bit;
        Ok(())
    }
}

const fn place(number: u64) -> (usize, u64) {
    let at = number % REPLAY_WINDOW;
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn receiver_takes_each_number_once_and_nothing_older_than_the_window() {
        let mut window = ReplayWindow::default();
        assert_eq!(window.take(0), Err(Repeated::Seen(0)), "numbers begin at 1");
        assert_eq!(window.take(3), Ok(()));
        assert_eq!(window.take(1), Ok(()));
        assert_eq!(window.take(3), Err(Repeated::Seen(3)));
        assert_eq!(window.take(REPLAY_WINDOW + 2), Ok(()));
        assert_eq!(window.take(2), Err(Repeated::TooOld(2)));
        assert_eq!(window.take(4), Ok(()));
        assert_eq!(window.take(u64::MAX), Ok(()), "a giant jump costs one pass");
        assert_eq!(window.take(u64::MAX - REPLAY_WINDOW + 1), Ok(()));
        assert_eq!(window.take(5), Err(Repeated::TooOld(5)));
    }

    #[test]
    fn a_window_set_to_a_number_takes_only_later_ones_and_survives_the_wire() {
        let mut window = ReplayWindow::through(7);
        assert_eq!(window.take(7), Err(Repeated::Seen(7)));
        assert_eq!(window.take(9), Ok(()));
        let mut back: ReplayWindow = crate::wire::decode(&crate::wire::encode(&window)).unwrap();
        assert_eq!(back, window);
        assert_eq!(back.take(8), Ok(()));
        assert_eq!(back.highest(), 9);
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set_of_all_numbers(numbers in proptest::collection::vec(1_u64..4_000, 0..400)) {
            let (mut window, mut set) = (ReplayWindow::default(), BTreeSet::new());
            for number in numbers {
                let highest = set.last().copied().unwrap_or(0);
                let fresh = !set.contains(&number) && (number > highest || highest - number < REPLAY_WINDOW);
                prop_assert_eq!(window.take(number).is_ok(), fresh);
                if fresh { set.insert(number); }
            }
        }
    }
}
