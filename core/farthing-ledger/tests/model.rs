//! Random batches against a second ledger, written without looking at the first.

mod common;

use std::collections::HashMap;

use common::{Memory, account, at, eur, hold, id, transfer};
use farthing_core::amount::{AMOUNT_MAX_MICROS, Currency};
use farthing_ledger::{
    AccountKind, Entry, HoldState, LedgerError, LedgerRefusal as No, Posted, Replay, Transfer, conservation,
};
use proptest::prelude::*;

/// Accounts 0 and 1 are the outside in two currencies, 2 to 4 hold the first, 5 and 6 the second;
/// 7 was never opened.
const ACCOUNTS: u8 = 8;
const OPENED: u8 = 7;

#[derive(Clone, Debug)]
enum Op {
    Pay { id: u8, from: u8, to: u8, micros: u64, euro: bool, hold: Option<u8>, at: u64 },
    Hold { id: u8, on: u8, micros: u64, euro: bool, until: u64, at: u64 },
    Release { id: u8, at: u64 },
    Expire { now: u64, limit: usize },
    Freeze { on: u8, frozen: bool },
}

fn is_euro(account: u8) -> bool {
    matches!(account, 1 | 5 | 6)
}

/// Money as a child would count it: what each has, what each promised, and what was said before.
#[derive(Default)]
struct Model {
    has: HashMap<u8, i128>,
    promised: HashMap<u8, i128>,
    frozen: HashMap<u8, bool>,
    paid: HashMap<u8, (u8, u8, u64, bool, Option<u8>)>,
    holds: HashMap<u8, Kept>,
}

struct Kept {
    /// On whom, how much, in which currency, until when.
    made: (u8, u64, bool, u64),
    rest: u64,
    how: &'static str,
}

impl Model {
    fn run(&mut self, op: &Op) -> &'static str {
        match *op {
            Op::Pay { id, from, to, micros, euro, hold, at } => {
                let said = (from, to, micros, euro, hold);
                if micros == 0 {
                    return "nothing";
                }
                if from == to {
                    return "self";
                }
                if let Some(before) = self.paid.get(&id) {
                    return if *before == said { "before" } else { "taken" };
                }
                if self.holds.contains_key(&id) {
                    return "taken";
                }
                if from >= OPENED || to >= OPENED {
                    return "unknown";
                }
                if is_euro(from) != euro || is_euro(to) != euro {
                    return "currency";
                }
                if self.frozen.get(&from) == Some(&true) {
                    return "frozen";
                }
                let promised = *self.promised.get(&from).unwrap_or(&0);
                if let Some(h) = hold {
                    let Some(Kept { made, rest, how }) = self.holds.get(&h) else { return "no hold" };
                    if made.0 != from {
                        return "others";
                    }
                    if *how != "open" {
                        return "ended";
                    }
                    if made.3 <= at {
                        return "over";
                    }
                    if *rest < micros {
                        return "short";
                    }
                } else if from > 1 && self.has.get(&from).unwrap_or(&0) - promised < i128::from(micros) {
                    return "poor";
                }
                if to > 1 && self.has.get(&to).unwrap_or(&0) + i128::from(micros) > 1 << 56 {
                    return "full";
                }
                if let Some(h) = hold.and_then(|h| self.holds.get_mut(&h)) {
                    h.rest -= micros;
                    if h.rest == 0 {
                        h.how = "captured";
                    }
                    *self.promised.entry(from).or_default() -= i128::from(micros);
                }
                *self.has.entry(from).or_default() -= i128::from(micros);
                *self.has.entry(to).or_default() += i128::from(micros);
                self.paid.insert(id, said);
                "now"
            }
            Op::Hold { id, on, micros, euro, until, at } => {
                let said = (on, micros, euro, until);
                if micros == 0 {
                    return "nothing";
                }
                if let Some(before) = self.holds.get(&id) {
                    return if before.made == said { "before" } else { "taken" };
                }
                if self.paid.contains_key(&id) {
                    return "taken";
                }
                if on >= OPENED {
                    return "unknown";
                }
                if is_euro(on) != euro {
                    return "currency";
                }
                if self.frozen.get(&on) == Some(&true) {
                    return "frozen";
                }
                if until <= at {
                    return "over";
                }
                let free = self.has.get(&on).unwrap_or(&0) - self.promised.get(&on).unwrap_or(&0);
                if on > 1 && free < i128::from(micros) {
                    return "poor";
                }
                *self.promised.entry(on).or_default() += i128::from(micros);
                self.holds.insert(id, Kept { made: said, rest: micros, how: "open" });
                "now"
            }
            Op::Release { id, .. } => match self.holds.get(&id) {
                None => "no hold",
                Some(Kept { how: "open", .. }) => self.end(id, "released"),
                Some(Kept { how: "released", .. }) => "before",
                Some(_) => "ended",
            },
            Op::Expire { now, limit } => {
                let mut due: Vec<(u64, u8)> = self
                    .holds
                    .iter()
                    .filter(|(_, h)| h.how == "open" && h.made.3 <= now)
                    .map(|(id, h)| (h.made.3, *id))
                    .collect();
                due.sort_unstable();
                due.iter().take(limit).for_each(|(_, id)| _ = self.end(*id, "expired"));
                "now"
            }
            Op::Freeze { on, .. } if on >= OPENED => "unknown",
            Op::Freeze { on, frozen } => {
                if self.frozen.insert(on, frozen).unwrap_or(false) == frozen {
                    "before"
                } else {
                    "now"
                }
            }
        }
    }

    fn end(&mut self, id: u8, how: &'static str) -> &'static str {
        let hold = self.holds.get_mut(&id).unwrap();
        *self.promised.get_mut(&hold.made.0).unwrap() -= i128::from(hold.rest);
        (hold.rest, hold.how) = (0, how);
        "now"
    }
}

fn currency(euro: bool) -> Currency {
    if euro { eur() } else { Currency::XTS }
}

fn run(books: &mut Memory, op: &Op) -> &'static str {
    let answer = match *op {
        Op::Pay { id: n, from, to, micros, euro, hold, at: now } => {
            let plain = transfer(n, from, to, currency(euro).micros(micros).unwrap());
            books.ledger().post(Transfer { hold: hold.map(id), at: at(now), ..plain })
        }
        Op::Hold { id, on, micros, euro, until, at: now } => {
            let mut hold = hold(id, on, currency(euro).micros(micros).unwrap());
            hold.until = at(until);
            books.ledger().hold(hold, at(now))
        }
        Op::Release { id: n, at: now } => books.ledger().release(id(n), at(now)),
        Op::Expire { now, limit } => books.ledger().expire_due(at(now), limit).map(|_| Posted::Now),
        Op::Freeze { on, frozen: true } => books.ledger().freeze(account(on), at(1)),
        Op::Freeze { on, frozen: false } => books.ledger().unfreeze(account(on), at(1)),
    };
    match answer {
        Ok(Posted::Now) => "now",
        Ok(Posted::Before) => "before",
        Err(LedgerError::Store(fault)) => panic!("{fault}"),
        Err(LedgerError::Refused(why)) => match why {
            No::ZeroAmount => "nothing",
            No::SameAccount(_) => "self",
            No::IdTaken(_) => "taken",
            No::UnknownDebit(_) | No::UnknownCredit(_) => "unknown",
            No::Currency => "currency",
            No::Frozen(_) => "frozen",
            No::UnknownHold(_) => "no hold",
            No::OthersHold(_) => "others",
            No::HoldEnded(..) => "ended",
            No::HoldOver(_) => "over",
            No::HoldShort(_) => "short",
            No::Funds(_) => "poor",
            No::Overflow(_) => "full",
            other => panic!("{other}"),
        },
    }
}

fn micros() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 1..30u64, 1 => Just(0), 1 => Just(AMOUNT_MAX_MICROS), 1 => Just(AMOUNT_MAX_MICROS - 10)]
}

fn any_op() -> impl Strategy<Value = Op> {
    // Few ids and accounts, so that repeats, contradictions and overlaps are common.
    let (ids, who) = (0..24u8, 0..ACCOUNTS);
    let pay = (ids.clone(), who.clone(), who.clone(), micros(), any::<bool>(), 0..40u64).prop_map(
        |(id, from, to, micros, flip, at)| {
            let euro = is_euro(from) ^ (flip && id % 4 == 0);
            Op::Pay { id, from, to, micros, euro, hold: None, at }
        },
    );
    let capture = (ids.clone(), who.clone(), who.clone(), 1..20u64, ids.clone(), 0..40u64).prop_map(
        |(id, from, to, micros, hold, at)| Op::Pay { id, from, to, micros, euro: is_euro(from), hold: Some(hold), at },
    );
    let hold = (ids.clone(), who.clone(), micros(), 1..60u64, 0..40u64)
        .prop_map(|(id, on, micros, until, at)| Op::Hold { id, on, micros, euro: is_euro(on), until, at });
    prop_oneof![
        6 => pay,
        4 => capture,
        4 => hold,
        2 => (ids, 0..40u64).prop_map(|(id, at)| Op::Release { id, at }),
        1 => (0..60u64, 0..4usize).prop_map(|(now, limit)| Op::Expire { now, limit }),
        1 => (who, any::<bool>()).prop_map(|(on, frozen)| Op::Freeze { on, frozen: frozen && on % 2 == 0 }),
    ]
}

fn opened() -> Memory {
    let kind = |n: u8| if n < 2 { AccountKind::World } else { AccountKind::Customer };
    (0..OPENED).fold(Memory::default(), |books, n| books.with(n, kind(n), currency(is_euro(n))))
}

/// Everybody is funded through the front door.
fn funding() -> impl Iterator<Item = Op> {
    (2..OPENED).map(|to| Op::Pay {
        id: 200 + to,
        from: u8::from(is_euro(to)),
        to,
        micros: 60,
        euro: is_euro(to),
        hold: None,
        at: 0,
    })
}

fn cases() -> ProptestConfig {
    let standard = ProptestConfig::default();
    ProptestConfig { cases: standard.cases.max(2_000), ..standard }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_batch_makes_loses_or_misplaces_money(ops in prop::collection::vec(any_op(), 0..80)) {
        let (mut books, mut model) = (opened(), Model::default());
        for op in funding().chain(ops) {
            prop_assert_eq!(run(&mut books, &op), model.run(&op), "{:?}", op);
            // Applied twice is applied once: a repeat of what happened writes nothing.
            let after = books.clone();
            run(&mut books, &op);
            if matches!(op, Op::Expire { .. }) {
                model.run(&op); // It goes on with what its limit left over.
            } else {
                prop_assert_eq!(&books.entries, &after.entries, "{:?}", op);
            }
        }
        for n in 0..OPENED {
            let found = books.accounts[&account(n)];
            prop_assert_eq!(found.balance(), *model.has.get(&n).unwrap_or(&0));
            prop_assert_eq!(i128::from(found.held), *model.promised.get(&n).unwrap_or(&0));
            prop_assert!(found.is_sound());
        }
        for (n, Kept { rest, how, .. }) in &model.holds {
            let found = books.holds[&id(*n)];
            let state = match *how {
                "open" => HoldState::Open,
                "captured" => HoldState::Captured,
                "released" => HoldState::Released,
                _ => HoldState::Expired,
            };
            prop_assert_eq!((found.rest.as_micros(), found.state), (*rest, state));
        }
        for totals in conservation(books.accounts.values()).values() {
            prop_assert!(totals.is_conserved());
        }
    }

    #[test]
    fn the_journal_alone_gives_the_books_again(ops in prop::collection::vec(any_op(), 0..80)) {
        let mut books = opened();
        funding().chain(ops).for_each(|op| _ = run(&mut books, &op));
        let mut replay = Replay::default();
        for entry in &books.entries {
            let bytes = farthing_core::wire::encode(entry);
            let read: Entry = farthing_core::wire::decode(&bytes).unwrap();
            prop_assert_eq!(&read, entry);
            if let Some(ended) = replay.apply(&read).unwrap() {
                prop_assert_eq!(books.holds.get(&ended.id), Some(&ended));
            }
        }
        prop_assert_eq!(replay.accounts(), &books.accounts);
        let open = books.holds.into_iter().filter(|(_, h)| h.state == HoldState::Open);
        prop_assert!(open.eq(replay.open_holds().iter().map(|(id, hold)| (*id, *hold))));
    }

    #[test]
    fn payments_between_different_pairs_may_change_places(
        first in (2..4u8, 1..70u64),
        second in (5..7u8, 1..70u64),
    ) {
        let pay = |n: u8, (from, micros): (u8, u64)| Op::Pay {
            id: n, from, to: u8::from(is_euro(from)), micros, euro: is_euro(from), hold: None, at: 0,
        };
        let (first, second) = (pay(1, first), pay(2, second));
        let after = |order: [&Op; 2]| {
            let mut books = opened();
            funding().for_each(|op| _ = run(&mut books, &op));
            order.iter().for_each(|op| _ = run(&mut books, op));
            books.accounts
        };
        prop_assert_eq!(after([&first, &second]), after([&second, &first]));
    }
}
