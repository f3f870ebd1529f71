//! Everything that can go wrong on an ordinary bad day: each time the exit code says what kind of
//! trouble it is, the message says what to do next, and no money is lost.

mod clock;
mod copies;
mod disk;
mod files;
mod gone;
mod proxy;
