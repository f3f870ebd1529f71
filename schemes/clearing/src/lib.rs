//! Kelsey and Schneier's online clearing (1996, §3), hardened: each payment is asked of the bank,
//! under a key that the bank shares with the payer, and the bank's word is brought to the payee.
//!
//! # Roles
//! A customer keeps a [`Wallet`](wallet::Wallet), which pays ([`payer`]), is paid ([`payee`]) and
//! compares books ([`compare`]). The bank is a [`Clearing`](bank::Clearing): each frame goes through
//! [`check`](bank::Clearing::check), beside others, and [`apply`](bank::Clearing::apply), inside a
//! transaction, whose bytes are the answer. Nothing is signed unless somebody asks for it.
//!
//! # The whole conversation
//! ```
//! # use farthing_core::{amount::Currency, id::*, seal::SealKey, seed::Secret, sign::SecretKey, time::Time};
//! # use farthing_clearing::{bank::{Clearing, TABLES, Terms}, compare::*, keys::MasterKey, messages::*, payee::*,
//! #     payer::*, wallet::*};
//! # use farthing_ledger::{Account, AccountKind, Ledger, Reason};
//! # use farthing_role::{Context, Halt};
//! # use farthing_store::{MemoryStore, Overlay, Store};
//! # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//! # let (here, now) = (NetworkId([7; 16]), Time::from_millis(1_700_000_000_000));
//! # let mut rng = ChaCha20Rng::from_seed([1; 32]);
//! # let mut store = MemoryStore::new(&TABLES);
//! # let (alice, carol) = (SecretKey::from_seed(&[2; 32]), SecretKey::from_seed(&[3; 32]));
//! # let clearing = Clearing::new(here, SecretKey::from_seed(&[1; 32]), MasterKey::new(Secret::new([9; 32])),
//! #     Terms::of(vec![Currency::XTS]));
//! # fn transact<R>(store: &mut MemoryStore, now: Time, step: impl FnOnce(&mut Context<'_>) -> Result<R, Halt>) -> R {
//! #     let mut overlay = Overlay::new(&*store);
//! #     let done = overlay.attempt(|tx| step(&mut Context { now, dice: [5; 32], tx })).unwrap();
//! #     let changes = overlay.into_write_set();
//! #     store.commit(&changes).unwrap();
//! #     done
//! # }
//! # let id = |kind, peer: &PeerId| Account::id_for(here, kind, &peer.0, Currency::XTS);
//! # let nobody = PeerId([0; 32]);
//! # transact(&mut store, now, |cx| {
//! #     let mut ledger = Ledger(&mut *cx.tx);
//! #     ledger.open(Account::new(id(AccountKind::World, &nobody), AccountKind::World, Currency::XTS, None, now))?;
//! #     for who in [alice.id(), carol.id()] {
//! #         let account = Account::new(id(AccountKind::Customer, &who), AccountKind::Customer, Currency::XTS, Some(who), now);
//! #         ledger.open(account)?;
//! #     }
//! #     ledger.post(farthing_ledger::Transfer { id: TransferId([1; 16]), debit: id(AccountKind::World, &nobody),
//! #         credit: id(AccountKind::Customer, &alice.id()), amount: Currency::XTS.micros(1_000).unwrap(), reason: Reason(1),
//! #         reference: [0; 32], at: now, hold: None })?;
//! #     Ok(())
//! # });
//! // 1. Each customer asks for its key, once, by an ordinary signed request of the bank.
//! let mut wallets = [&alice, &carol].map(|customer| {
//!     let seal = SealKey::from_seed(&[4; 32]);
//!     let enrol = Enrol { seal: seal.public() };
//!     let grant = transact(&mut store, now, |cx| clearing.enrol(cx, customer.id(), RequestId([1; 16]), &enrol));
//!     Wallet::new(here, clearing.bank(), open_grant(here, customer.id(), clearing.bank(), &seal, &grant).unwrap())
//! });
//! let [payer, payee] = &mut wallets;
//! // The bank's side of every frame.
//! let mut bank = |frame: &[u8]| {
//!     let checked = clearing.check(frame, &Overlay::new(&store)).unwrap();
//!     transact(&mut store, now, |cx| clearing.apply(cx, checked))
//! };
//!
//! // 2. KSO-1 and KSO-2. Store the wallet before the frame leaves; send it again until it is answered.
//! let (amount, order) = (Currency::XTS.micros(250).unwrap(), OrderId([8; 32]));
//! let transfer = Transfer { payee: carol.id(), amount, order, receipt: false };
//! let frame = payer.pay(now, &transfer, None, &mut rng).unwrap();
//! let Answered::Paid(paid, entry) = payer.on_answer(&bank(&frame)).unwrap() else { panic!("refused") };
//! # let _ = entry;
//!
//! // 3. KSO-3 and KSO-4, between the peers. Store wallet, entries and receipt, then serve.
//! let ticket = payee.open_ticket(&paid.payment(false)).unwrap();
//! let received = payee.receive(now, ticket, Some(&Expected { order, amount })).unwrap();
//! let receipt = acknowledge(here, &carol, received.outcome.unwrap(), false);
//! paid.on_receipt(here, alice.id(), &receipt).unwrap();
//!
//! // 4. KSR-1 to KSR-4, now and then, and before funding or pay-out: books are compared.
//! let (mut comparison, mut frame) = payee.compare(now, Extent::SinceAgreed, &mut rng);
//! let fate = loop {
//!     let mut entries = |_, _, _| received.entries.clone();
//!     let progress = comparison.step(payee, &bank(&frame), &mut entries, None, &mut rng).unwrap();
//!     match progress.next {
//!         Next::Send(next) => frame = next,
//!         Next::Agreed(fate) => break fate,
//!         Next::Disputed(problems) => panic!("{problems:?}"),
//!     }
//! };
//! assert_eq!(fate, None); // Nothing was pending.
//! assert_eq!(payee.balances(), [amount]);
//! ```
//! `docs/schemes/clearing.md` lists the paper's weaknesses, how each is mended and which test shows
//! it; the paper's own forms are in `literal`, for tests only.

pub mod bank;
pub mod compare;
pub mod frame;
pub mod keys;
#[cfg(any(test, feature = "literal"))]
pub mod literal;
pub mod messages;
pub mod payee;
pub mod payer;
pub mod reconciliation;
pub mod verdict;
pub mod wallet;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod testing;
