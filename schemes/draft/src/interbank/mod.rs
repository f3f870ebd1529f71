//! Cheques between banks.
