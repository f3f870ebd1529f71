//! Broker, bank and sellers over loopback.

mod crashes;
mod exchange;
mod gateway;
mod shop;
mod stall;
mod town;
mod trade;
