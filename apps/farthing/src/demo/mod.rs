//! `farthing demo`.
mod children;
mod goods;
