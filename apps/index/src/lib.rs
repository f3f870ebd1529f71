//! The index: finding content, and nothing about money.
//!
//! Sellers announce what they sell, each listing signed, and say every minute that they are there;
//! searchers find listings by words or by content. Read [`messages`] first: what is said. [`store`]
//! remembers it for as long as it holds, [`server`] offers it over HTTP, and [`client`] asks and
//! believes only signatures.
//!
//! A dishonest index can hide listings, show old ones that have not expired, and order them as it
//! likes; it can forge none and divert no payment. A seller notices by searching for itself.

pub mod client;
pub mod messages;
pub mod server;
pub mod service;
pub mod store;
pub mod text;
pub mod views;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
