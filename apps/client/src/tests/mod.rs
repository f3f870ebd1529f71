//! The client against a small seller over loopback, honest or not.

mod honest;
mod hostile;
mod local_proxy;
mod server;
mod world;
