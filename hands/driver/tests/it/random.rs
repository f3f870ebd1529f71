//! Many callers, repeats and crashes in any order, against a reckoning from the replies alone.

use std::collections::BTreeMap;

use farthing_core::id::PeerId;
use farthing_core::refusal::Code;
use farthing_driver::NoReply;
use farthing_role::Request;
use proptest::prelude::*;

use crate::toy::{Ask, committed, next, number, peer, request};
use crate::watched::{Break, memory};
use crate::{NOW, rig};

/// What one caller asks for, in order: whose request, which of twelve, adding or giving, how much.
type Script = Vec<(u8, u64, bool, u64)>;

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    let ask = (0..4_u8, 0..12_u64, any::<bool>(), 1..20_u64);
    prop::collection::vec(prop::collection::vec(ask, 1..25), 1..5)
}

fn crashes() -> impl Strategy<Value = Vec<(usize, Break)>> {
    prop::collection::vec((1..12_usize, prop_oneof![Just(Break::Before), Just(Break::After)]), 0..5)
}

fn asked(&(sender, unique, add, amount): &(u8, u64, bool, u64)) -> Request {
    request(peer(sender), NOW, unique, if add { Ask::Add } else { Ask::Give }, amount)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_crashes_each_request_happens_once_and_every_answer_stays_true(
        scripts in scripts(),
        crashes in crashes(),
    ) {
        let mut store = memory();
        let mut answers: BTreeMap<Vec<u8>, (Request, Vec<u8>)> = BTreeMap::new();
        let mut rest: Vec<Script> = scripts;
        // Each life of the driver but the last ends with a crash, if it comes to that commit.
        for crash in crashes.into_iter().map(Some).chain([None]) {
            let rig = rig(store);
            if let Some((commit, how)) = crash {
                rig.watch.break_commit(commit, how);
            }
            let heard: Vec<Vec<(Request, Vec<u8>)>> = std::thread::scope(|scope| {
                let callers: Vec<_> = rest.iter_mut().map(|script| scope.spawn(|| play(&rig.handle, script))).collect();
                callers.into_iter().map(|caller| caller.join().unwrap()).collect()
            });
            for (request, reply) in heard.into_iter().flatten() {
                let name = [&request.id.0[..], &request.sender.0].concat();
                let (first, before) = answers.entry(name).or_insert((request.clone(), reply.clone()));
                prop_assert_eq!(&*first, &request, "two requests were carried out under one id");
                prop_assert_eq!(&*before, &reply, "a repeat got another reply");
            }
            rig.handle.stop_blocking();
            store = rig.watch.take_back();
        }
        prop_assert!(rest.iter().all(Vec::is_empty));

        let mut owed: BTreeMap<PeerId, i128> = (0..4).map(|number| (peer(number), 0)).collect();
        for (request, _) in answers.values() {
            let amount = i128::from(number(&request.message));
            if request.kind == Ask::Add as u16 {
                *owed.get_mut(&request.sender).unwrap() += amount;
            } else {
                *owed.get_mut(&request.sender).unwrap() -= amount;
                *owed.get_mut(&next(request.sender)).unwrap() += amount;
            }
        }
        for (peer, owed) in owed {
            prop_assert_eq!(i128::from(committed(&*store, peer)), owed);
        }
    }
}

/// Plays a script until it ends or the driver does, and gives the requests carried out with
/// their replies. What was left unanswered stays at its beginning, to be asked again.
fn play(handle: &farthing_driver::DriverHandle, script: &mut Script) -> Vec<(Request, Vec<u8>)> {
    let mut heard = Vec::new();
    while let Some(next) = script.first() {
        let request = asked(next);
        match handle.submit_blocking(request.clone()) {
            Ok(reply) => heard.push((request, reply)),
            Err(NoReply::Refused(why)) => assert!(matches!(why.code, Code::Funds | Code::Conflict), "{why}"),
            Err(NoReply::Unknown | NoReply::Down) => return heard,
        }
        script.remove(0);
    }
    heard
}
