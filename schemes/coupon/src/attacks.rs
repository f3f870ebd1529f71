//! The attacks of the protocol book's §§4 and 5 and what stops each.

mod bootstrap;
mod clearing;
mod concurrency;
mod literally;
mod spending;
