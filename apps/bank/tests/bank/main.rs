//! The whole bank over loopback: real server, real client, real store.

mod books;
mod cheques;
mod clearing;
mod copies;
mod coupons;
mod drafts;
mod hostile;
mod money;
mod operators;
mod restarts;
mod shop;
mod town;
mod wallets;
