//! The whole bank over loopback: real server, real client, real store.

mod books;
mod clearing;
mod coupons;
mod hostile;
mod money;
mod operators;
mod shop;
mod town;
mod wallets;
