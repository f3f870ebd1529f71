//! Broker, bank and sellers over loopback.

mod crashes;
mod gateway;
mod shop;
mod town;
mod trade;
