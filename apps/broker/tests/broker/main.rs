//! Broker, bank and sellers over loopback.

mod crashes;
mod exchange;
mod gateway;
mod pressure;
mod shop;
mod stall;
mod town;
mod trade;
