//! The role of whoever answers nobody.

use farthing_core::id::PeerId;
use farthing_core::refusal::{Code, Refusal};
use farthing_core::time::Time;
use farthing_role::{Context, Halt, Outcome, Records, Request, Role};

/// Refuses every request and never has anything due. For a party that uses the driver only for
/// its own transactions ([`transact`](crate::DriverHandle::transact)).
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRole;

impl NoRole {
    fn refusal() -> Halt {
        Refusal::new(Code::Unknown, "nobody here answers requests").into()
    }
}

impl Role for NoRole {
    type Checked = ();

    fn check(&self, _: Time, requests: Vec<Request>, _: &dyn Records) -> Vec<Result<(), Halt>> {
        requests.iter().map(|_| Err(Self::refusal())).collect()
    }

    fn apply(&self, _: &mut Context<'_>, _: PeerId, (): ()) -> Result<Outcome, Halt> {
        Err(Self::refusal())
    }

    fn tick(&self, _: &mut Context<'_>) -> Result<bool, Halt> {
        Ok(false)
    }
}
