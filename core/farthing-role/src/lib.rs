//! What a role is: a machine without hands.
//!
//! A role (bank, payee, payer, …) is fed a checked message, the time, randomness and an open
//! transaction over records and ledger. It either refuses, and then nothing has changed, or makes
//! its changes and gives its reply. It owns no socket, clock, disk or dice; the driver owns those,
//! commits first and speaks afterwards.

mod context;
mod evidence;
mod records;
mod request;

pub use context::{Context, Halt, Outcome, Role};
pub use evidence::{EVIDENCE, Filed};
pub use records::{Records, Row, Scan, Table, Transaction};
pub use request::{REQUEST_HORIZON, Request, RequestBody, is_timely};
