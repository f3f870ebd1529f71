//! Offline drafts (Kelsey and Schneier, peer-to-peer metering, §4), hardened: a payer signs promises
//! that its bank will pay, payees take them without asking anybody, and the bank settles later.
//!
//! What is honoured offline must be bounded: drafts go under certificates of a day that state limits,
//! and nobody gets the next one who does not show its whole log. The conversation:
//!
//! ```text
//! once       account → bank   ENROL      Signed<Alias>: this key writes and takes drafts for me
//! every day  holder → bank    RECONCILE  Reconcile{copy}              ⇒ Signed<Opening>     R1
//!            holder → bank    LOG_PAGE   LogPage, until next_page is none ⇒ PageTaken       R2
//!            holder → bank    CLOSE      Signed<Closing>              ⇒ Reply{Signed<Reconciled>,
//!                             Certificate}; the bank's offline key signs the certificate     R3
//! a payment  payer → payee    Sealed<Payment>{Signed<Draft>, certificate or its digest}   KSF-1
//!            payee → payer    Signed<Receipt>; for a queue one Signed<Receipts>
//!            payee → bank     CONFIRM    Confirm, above a threshold or by lot ⇒ Signed<Confirmed>
//!            payer → payee    Signed<Delivered>, when the goods have come
//! later      payee → bank     DEPOSIT    Deposit, up to 256 drafts    ⇒ Signed<DepositReceipt>
//! a quarrel  payer → bank     STOP       Signed<Stop>, while undeposited ⇒ Signed<Stopped>
//!            either → bank    PROVE      Proof                        ⇒ Finding
//!            payee → payer    Signed<Returned>: nothing delivered, will not be deposited
//! ```
//!
//! Requests to the bank are signed, sealed to it and repeated under one id, as everywhere in the
//! platform. [`payer::Payer`], [`payee::Payee`] and [`bank::Drafts`] are handlers over a transaction:
//! what they return is sent once it is committed. A wallet's tables are [`wallet::TABLES`], the
//! bank's [`bank::TABLES`]; the bank runs [`Drafts::tick`](bank::Drafts::tick) now and then, keeps
//! security deposits until [`bound_until`](bank::Drafts::bound_until), and opens its two accounts by
//! [`Chart::open`](bank::Chart::open). [`verdict`] judges. Cheques, drafts that another bank
//! collects, are in [`interbank`]; the bank's side of them is [`interbank::Payers`].
//!
//! `docs/schemes/draft.md` lists the paper's weaknesses, how each is mended and which test shows it.
//! The paper's own form is in `literal`, for tests only.

pub mod bank;
pub mod interbank;
#[cfg(any(test, feature = "literal"))]
pub mod literal;
pub mod messages;
pub mod payee;
pub mod payer;
mod rows;
pub mod verdict;
pub mod wallet;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod testing;
