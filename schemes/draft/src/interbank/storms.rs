//! Two and three banks under loss, repetition, reordering and deaths: money is conserved at each bank,
//! each cheque is drawn at most once, and when all is quiet the banks agree.

use farthing_core::amount::Currency;
use farthing_core::sign::Verified;
use farthing_core::time::Span;
use farthing_core::wire;
use proptest::prelude::*;

use super::messages::{Answer, Fate, Presentation};
use super::testing::*;
use super::{Matter, Outgoing, day_of};
use crate::messages::Draft;

/// Everything that is under way.
enum Packet {
    Deposit(Presentation),
    Request(usize, Outgoing),
    Answer(usize, usize, Matter, Answer),
}

struct Storm {
    town: Town,
    packets: Vec<Packet>,
    cheques: Vec<(Verified<Draft>, Presentation)>,
}

impl Storm {
    fn last(&self) -> usize {
        self.town.banks.len() - 1
    }

    /// Delivers a packet; its bank may die on it, and it may come again.
    fn deliver(&mut self, nth: usize, dies: bool, again: bool) {
        if self.packets.is_empty() {
            return;
        }
        let nth = nth % self.packets.len();
        let packet = if again { self.packets[nth].copy() } else { self.packets.swap_remove(nth) };
        let last = self.last();
        match packet {
            Packet::Deposit(presented) => {
                let _ = self.town.present_or_crash(last, key(CAROL).id(), &presented, dies);
            }
            Packet::Request(from, sent) => {
                let to = self.town.bank_of(sent.to);
                let presented: Presentation = wire::decode(&sent.message).unwrap();
                if let Ok(answer) = self.town.present_or_crash(to, bank_key(from).id(), &presented, dies) {
                    self.packets.push(Packet::Answer(from, to, sent.matter, answer));
                }
            }
            Packet::Answer(at, from, matter, answer) => {
                let from = bank_key(from).id();
                let _ = self.town.act_or_crash(at, dies, |bank, cx| bank.cheques.on_answer(cx, from, matter, answer));
            }
        }
    }

    fn send(&mut self, at: usize, dies: bool) {
        let at = at % self.town.banks.len();
        let sent = self.town.act_or_crash(at, dies, |bank, cx| bank.cheques.send_due(cx, 3)).unwrap_or_default();
        self.packets.extend(sent.into_iter().map(|sent| Packet::Request(at, sent)));
    }

    /// What holds at every instant, whatever is under way.
    fn check(&mut self) {
        let banks = self.town.banks.len();
        let spent = i128::from(FUNDS) - self.town.balance(0, ALICE);
        let due: i128 = self.cheques.iter().map(|(cheque, _)| i128::from(cheque.body().amount.as_micros())).sum();
        assert!((0..=due).contains(&spent), "each cheque is drawn at most once");
        for at in 1..banks {
            let below = at - 1;
            let (claims, debts) = (self.town.owed(at, below).0, -self.town.owed(below, at).0);
            assert!(claims <= debts, "a bank believes to be owed no more than the other knows it owes");
        }
        assert!(self.town.balance(banks - 1, CAROL) <= spent, "nothing is available that was not paid");
        assert!((0..banks).all(|at| self.town.evidence(at).is_empty()), "everybody is honest here");
    }
}

impl Packet {
    fn copy(&self) -> Self {
        match self {
            Self::Deposit(presented) => Self::Deposit(presented.clone()),
            Self::Request(from, sent) => Self::Request(*from, sent.clone()),
            Self::Answer(at, from, matter, answer) => Self::Answer(*at, *from, *matter, answer.clone()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_loss_repetition_reordering_or_death_makes_or_loses_money_between_banks(
        banks in 2_usize..4,
        amounts in prop::collection::vec(1_u64..FUNDS, 1..6),
        steps in prop::collection::vec((0_u8..12, any::<usize>(), any::<bool>()), 0..90),
    ) {
        let mut storm = Storm { town: Town::new(banks), packets: Vec::new(), cheques: Vec::new() };
        for amount in amounts {
            let cheque = storm.town.cheque(ALICE, amount);
            let presented = storm.town.endorsed(&cheque, banks - 1);
            storm.packets.push(Packet::Deposit(presented.clone()));
            storm.cheques.push((cheque, presented));
        }
        for (step, nth, dies) in steps {
            match step {
                0..4 => storm.deliver(nth, dies && nth % 3 == 0, false),
                4..6 => storm.deliver(nth, false, true),
                6..9 => storm.send(nth, dies && nth % 3 == 0),
                9 if !storm.packets.is_empty() => {
                    let nth = nth % storm.packets.len();
                    drop(storm.packets.swap_remove(nth));
                }
                10 => storm.town.now = storm.town.now.after(Span::from_secs(600)),
                _ => {}
            }
            storm.check();
        }
        // Carol sends what was not taken again; then everything arrives.
        let mut taken = 0;
        for (cheque, presented) in storm.cheques.clone() {
            let known = storm.town.present(banks - 1, key(CAROL).id(), &presented);
            storm.town.run();
            let Ok(_) = known else { continue };
            let end = end(storm.town.present(banks - 1, key(CAROL).id(), &presented).unwrap());
            if end.drawee.peek().unwrap().fate == Fate::Cleared {
                taken += i128::from(cheque.body().amount.as_micros());
            }
        }
        storm.check();
        prop_assert_eq!(storm.town.balance(banks - 1, CAROL), taken);
        prop_assert_eq!(storm.town.balance(0, ALICE), i128::from(FUNDS) - taken);
        for at in 1..banks {
            prop_assert_eq!(storm.town.owed(at, at - 1), (taken, 0));
            prop_assert_eq!(storm.town.owed(at - 1, at), (-taken, 0));
        }
        // The day's statements agree in every line.
        let (first, last) = (20_000, day_of(storm.town.now));
        storm.town.now = storm.town.now.after(Span::from_days(2));
        let mut agreed = 0;
        for day in first..=last {
            for at in 1..banks {
                let (to, from) = (bank_key(at).id(), bank_key(at - 1).id());
                let page = storm.town.act(at - 1, |bank, cx| bank.cheques.state_day(cx, to, Currency::XTS, day, None));
                let page = page.unwrap();
                let found = storm.town.act(at, |bank, cx| bank.cheques.compare(cx, from, page)).unwrap();
                prop_assert!(found.discrepancies.is_empty());
                agreed += found.agreed;
            }
        }
        prop_assert!(taken == 0 || agreed >= banks - 1);
    }
}
