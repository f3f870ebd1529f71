//! A gateway over loopback: a real service behind it, a buyer that speaks HTTP, a bank of the test.

mod crash;
mod entrance;
mod evil;
mod faults;
mod hostile;
mod listed;
mod local;
mod paying;
mod running;
mod streams;
mod tls;
mod tokens;
mod town;
mod upgrades;
