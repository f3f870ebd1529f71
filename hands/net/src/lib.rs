//! What touches the network: frames, peers, verified content and HTTP. It knows no payment scheme.
//!
//! - [`frame`]: length-prefixed messages over any byte stream.
//! - [`content`]: files cut into pieces, each provable against the file's BLAKE3 root.
//! - [`peer`]: authenticated, encrypted streams between peers, and how peers find each other.
//! - [`http`]: what every HTTP role needs on the server's side and on the client's.

mod durable;
mod seats;

pub mod content;
pub mod frame;
pub mod http;
pub mod peer;
