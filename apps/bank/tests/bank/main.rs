//! The whole bank over loopback: real server, real client, real store.

mod books;
mod hostile;
mod money;
mod operators;
mod town;
