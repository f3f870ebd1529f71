//! Attacks on drafts, each named after what it tries; the protocol book's §3 numbers them T1 to T7.

mod at_random;
mod deposits;
mod literally;
mod offline;
mod reconciling;
mod stopping;
