//! Tests named after the attacks and failures they stop (T numbers of the protocol book's §10).

mod certified;
mod clearing;
mod failing;
mod lying;
mod settling;
mod together;
