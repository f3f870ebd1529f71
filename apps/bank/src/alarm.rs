//! The alarm: once the books do not add up, nothing is paid out any more.

use std::sync::OnceLock;

use farthing_core::refusal::{Code, Fault, Refusal, Remedy};

/// Quiet until it is raised, and then loud until the process ends; at the next start the books are
/// counted before anybody is served.
#[derive(Debug, Default)]
pub struct Alarm(OnceLock<String>);

impl Alarm {
    /// Raises it; the first reason stays.
    pub fn raise(&self, why: String) {
        tracing::error!(why, "the books do not add up: nothing is paid out any more");
        metrics::gauge!("farthing_bank_alarm").set(1.0);
        // Already loud.
        let _ = self.0.set(why);
    }

    /// Why it was raised, if it was.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Lets money leave only while it is quiet.
    ///
    /// # Errors
    /// [`Code::State`], the bank's own fault.
    pub fn check(&self) -> Result<(), Refusal> {
        match self.0.get() {
            None => Ok(()),
            Some(_) => {
                let why = "the bank has stopped paying out until its operator has looked at its books";
                Err(Refusal::new(Code::State, why).blame(Fault::Us).remedy(Remedy::Again))
            }
        }
    }
}
