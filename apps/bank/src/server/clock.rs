//! One clock for the driver, the desk and the reports.

use std::sync::Arc;

use farthing_core::time::Time;
use farthing_driver::Clock;

/// A clock that several look at.
#[derive(Clone)]
pub struct SharedClock(pub Arc<dyn Clock>);

impl Clock for SharedClock {
    fn now(&self) -> Time {
        self.0.now()
    }
}
