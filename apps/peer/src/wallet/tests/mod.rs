//! Tests of the wallet.
