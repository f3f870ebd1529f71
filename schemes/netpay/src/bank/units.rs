//! Arithmetic on stretches of units.

/// Units from a first through a last one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stretch {
    pub(super) from: u32,
    pub(super) through: u32,
}

impl Stretch {
    /// How many units; none where it ends before it begins.
    pub(super) const fn count(self) -> u32 {
        if self.through < self.from { 0 } else { self.through - self.from + 1 }
    }

    /// What both have.
    pub(super) fn meet(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), through: self.through.min(other.through) }
    }
}

/// How many units of `whole` the others, which may overlap each other, have taken.
pub(super) fn overlap(whole: Stretch, others: &[Stretch]) -> u32 {
    let mut parts: Vec<Stretch> = others.iter().map(|o| whole.meet(*o)).filter(|p| p.count() > 0).collect();
    parts.sort_by_key(|part| part.from);
    let (mut taken, mut next) = (0_u32, whole.from);
    for part in parts {
        let fresh = Stretch { from: part.from.max(next), through: part.through };
        taken = taken.saturating_add(fresh.count());
        next = next.max(part.through.saturating_add(1));
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn overlap_counts_each_unit_once(
            whole in (1_u32..60, 0_u32..60),
            others in prop::collection::vec((1_u32..60, 0_u32..60), 0..8),
        ) {
            let stretch = |(from, through)| Stretch { from, through };
            let others: Vec<Stretch> = others.into_iter().map(stretch).collect();
            let whole = stretch(whole);
            let counted: BTreeSet<u32> = others
                .iter()
                .flat_map(|o| o.from..=o.through)
                .filter(|unit| (whole.from..=whole.through).contains(unit))
                .collect();
            prop_assert_eq!(overlap(whole, &others) as usize, counted.len());
        }
    }
}
