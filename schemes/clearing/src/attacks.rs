//! The attacks of the protocol book's §2, its weaknesses, and what stops each.

mod copies;
mod hostile;
mod literally;
mod paying;
mod reconciling;
mod storm;
mod tickets;
