//! One moment for a batch, and never an earlier one.

use farthing_core::refusal::Code;
use farthing_core::time::{SKEW, Span, Time};

use crate::toy::{Ask, number, peer, request};
use crate::watched::on_both;
use crate::{NOW, code, rig};

fn moment(rig: &crate::Rig, unique: u64) -> Result<Time, farthing_driver::NoReply> {
    let reply = rig.handle.submit_blocking(request(peer(1), NOW, unique, Ask::Roll, 0))?;
    Ok(Time::from_millis(number(&reply)))
}

#[test]
fn driver_refuses_everything_while_its_clock_is_behind_a_committed_time() {
    on_both(|store| {
        let first = rig(store);
        assert_eq!(moment(&first, 1), Ok(NOW));
        first.clock.set(NOW.before(SKEW).before(Span::from_millis(1)));
        assert_eq!(code(moment(&first, 2)), Code::Clock);
        assert_eq!(code(first.handle.transact_blocking(|_| Ok(()))), Code::Clock);
        first.clock.set(NOW.before(SKEW));
        assert_eq!(moment(&first, 3), Ok(NOW), "a little behind: time stands still");
        first.clock.set(NOW.after(Span::from_secs(9)));
        assert_eq!(moment(&first, 4), Ok(NOW.after(Span::from_secs(9))));
        first.handle.stop_blocking();

        // The latest time is in the store: a new start with an old clock does not forget it.
        let second = rig(first.watch.take_back());
        assert_eq!(moment(&second, 5), Ok(NOW.after(Span::from_secs(9))));
        second.clock.set(NOW.before(SKEW));
        assert_eq!(code(moment(&second, 6)), Code::Clock);
    });
}

#[tokio::test]
async fn nothing_falls_due_while_the_clock_is_behind() {
    let rig = rig(crate::watched::memory());
    rig.handle.tick_now().await.unwrap();
    rig.clock.set(NOW.before(SKEW).before(Span::from_millis(1)));
    assert_eq!(code(rig.handle.tick_now().await), Code::Clock);
    assert_eq!(rig.role.ticks.load(std::sync::atomic::Ordering::SeqCst), 1);
}
