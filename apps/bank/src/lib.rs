//! The bank: accounts, certificates, instruments, redemption, evidence.
