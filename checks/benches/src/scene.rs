//! What several benches need: chains that are open, and words of theirs.

use farthing_core::amount::{Amount, Currency};
use farthing_core::chain::Payword;
use farthing_core::id::{AccountId, NetworkId, OrderId};
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_netpay::messages::{Pay, Touchstone};
use farthing_netpay::payee::{Counting, Payee, Terms};
use farthing_netpay::payer::{ChainTerms, NewChain, Purse};
use sha2::block_api::compress256;

/// The network of the benches.
pub const HERE: NetworkId = NetworkId([7; 16]);
/// The order that everything is paid for.
pub const ORDER: OrderId = OrderId([8; 32]);
/// The moment at which everything happens.
pub const NOW: Time = Time::from_millis(1_700_000_000_000);

/// Test money.
///
/// # Panics
/// Above the largest amount.
#[must_use]
pub fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).expect("a small amount")
}

/// A key from a number.
#[must_use]
pub fn key(number: u64) -> SecretKey {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    SecretKey::from_seed(&seed)
}

/// The bank's key.
#[must_use]
pub fn bank() -> SecretKey {
    key(0)
}

/// A payer's purse over a chain of `units`, with the bank's signature but no bank behind it.
///
/// # Panics
/// For a chain that cannot be.
#[must_use]
pub fn purse(payer: &SecretKey, units: u32, number: u64) -> Purse {
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&number.to_be_bytes());
    let terms = ChainTerms { units, unit: micros(100), not_after: NOW.after(Span::from_days(7)) };
    let chain = NewChain::new(payer.id(), terms, [5; 32], salt).expect("a chain");
    let open = chain.request();
    let touchstone = Touchstone {
        chain: open.header.chain_id(&open.root),
        root: open.root,
        header: open.header,
        grace: Span::from_days(2),
        opened: NOW,
    };
    let signed = bank().sign(HERE, &touchstone).verify(HERE).expect("our own signature");
    chain.opened(signed).expect("our own chain")
}

/// A visit of a payer with one chain of `units` at a payee, admitted, and all its payments of one
/// unit each.
///
/// # Panics
/// Where the protocol refuses itself.
#[must_use]
pub fn visit(payer: &SecretKey, payee: &SecretKey, units: u32, number: u64) -> (Counting, Vec<Pay>) {
    let mut purse = purse(payer, units, number);
    let ends = NOW.after(Span::from_hours(24));
    let visit = purse.reserve(payer, HERE, payee.id(), ORDER, units, ends).expect("units enough");
    let payee = Payee { me: payee.id(), network: HERE, bank: bank().id(), terms: Terms::default() };
    let counting = payee.admit(NOW, ORDER, visit).expect("a good visit");
    let pays = (0..units).map(|_| purse.pay(1, ORDER).expect("reserved")).collect();
    (counting, pays)
}

/// What a payee writes down of a payment.
#[derive(Clone, Copy, Debug)]
pub struct Tip {
    /// Of which visit.
    pub visit: u32,
    /// How far.
    pub tip: Payword,
}

/// An account of its own for every number.
#[must_use]
pub fn account(number: u64) -> AccountId {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    AccountId(id)
}

/// The bare chain: one compression after the other, each waiting for the one before.
#[must_use]
pub fn bare_chain(steps: u64) -> (u64, f64) {
    let mut block = [0_u8; 64];
    let ((), seconds) = crate::timed(|| {
        for _ in 0..steps {
            let mut state = [7_u32; 8];
            compress256(&mut state, &[block]);
            for (bytes, value) in block.chunks_exact_mut(4).zip(state) {
                bytes.copy_from_slice(&value.to_be_bytes());
            }
        }
    });
    std::hint::black_box(block);
    (steps, seconds)
}
