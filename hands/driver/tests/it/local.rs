//! The same without threads.

use farthing_core::refusal::{Code, Refusal};
use farthing_core::time::{SKEW, Span};
use farthing_driver::{Config, Driver, Local, ManualClock, NoReply, NoRole, OsEntropy};
use farthing_ledger::StoreFault;
use farthing_role::Halt;

use crate::toy::{Ask, committed, counter, peer, request, set};
use crate::watched::{Break, Watched, memory, on_both};
use crate::{NOW, code};

#[test]
fn each_local_transaction_is_durable_or_leaves_no_trace() {
    on_both(|store| {
        let (store, watch) = Watched::new(store);
        let clock = ManualClock::at(NOW);
        let mut local = Local::open(store, clock.clone(), OsEntropy).unwrap();
        assert_eq!(local.run(|cx| Ok((cx.now, set(cx.tx, peer(1), 7)))).unwrap().0, NOW);
        assert_eq!(watch.commits(), 1);
        let refused = local.run(|cx| {
            set(cx.tx, peer(1), 8);
            Err::<(), Halt>(Refusal::new(Code::Policy, "no").into())
        });
        assert!(matches!(refused, Err(Halt::Refused(_))));
        assert_eq!(committed(local.reader(), peer(1)), 7);
        clock.set(NOW.before(SKEW).before(Span::from_millis(1)));
        let Err(Halt::Refused(why)) = local.run(|_| Ok(())) else { panic!("a clock set back was believed") };
        assert_eq!(why.code, Code::Clock);
        assert_eq!(watch.commits(), 1);
    });
}

#[test]
fn after_a_failed_commit_a_local_caller_gets_no_further() {
    let (store, watch) = Watched::new(memory());
    watch.break_commit(1, Break::After);
    let mut local = Local::open(store, ManualClock::at(NOW), OsEntropy).unwrap();
    assert!(matches!(local.run(|cx| Ok(set(cx.tx, peer(1), 7))), Err(Halt::Store(_))));
    assert!(matches!(local.run(|_| Ok(())), Err(Halt::Store(_))));
}

#[test]
fn a_local_transaction_that_meets_a_fault_commits_nothing() {
    let (store, watch) = Watched::new(memory());
    let mut local = Local::open(store, ManualClock::at(NOW), OsEntropy).unwrap();
    let fault = local.run(|cx| {
        set(cx.tx, peer(1), 7);
        Err::<(), Halt>(StoreFault("as asked for".to_owned()).into())
    });
    assert!(matches!(fault, Err(Halt::Store(_))));
    assert_eq!(watch.commits(), 0);
}

#[test]
fn a_party_without_a_role_shares_commits_and_answers_nobody() {
    let role = std::sync::Arc::new(NoRole);
    let handle = Driver::start(role, memory_store(), ManualClock::at(NOW), OsEntropy, Config::default()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let add = |cx: &mut farthing_role::Context<'_>| {
                        let sum = counter(cx.tx, peer(1))? + 1;
                        set(cx.tx, peer(1), sum);
                        Ok(())
                    };
                    handle.transact_blocking(add).unwrap();
                }
            });
        }
    });
    assert_eq!(handle.read_blocking(|reader| committed(reader, peer(1))), Ok(400));
    assert_eq!(code(handle.submit_blocking(request(peer(1), NOW, 1, Ask::Add, 1))), Code::Unknown);
    handle.stop_blocking();
    assert_eq!(handle.transact_blocking(|_| Ok(())), Err(NoReply::Down));
}

fn memory_store() -> Watched {
    Watched::new(memory()).0
}
