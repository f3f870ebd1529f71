//! Tests of the wallet, against a bank that runs NetPay's real role in this process.

mod account;
mod attacks;
mod bank;
mod broken;
mod copies;
mod coupons;
mod crashes;
mod files;
mod limits;
mod means;
mod presence;
mod real;
mod singles;
mod storm;
mod trade;
mod world;
