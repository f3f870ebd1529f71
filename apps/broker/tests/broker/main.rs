//! Broker, bank and sellers over loopback.

mod crashes;
mod shop;
mod town;
mod trade;
