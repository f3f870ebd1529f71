//! One payment alone, without network, disk or content: what the hash chain itself takes.

use std::time::{Duration, Instant};

use farthing_core::id::{NetworkId, OrderId};
use farthing_core::meter::{Op, measure};
use farthing_core::sign::SecretKey;
use farthing_core::time::{Span, Time};
use farthing_driver::{Clock, SystemClock};
use farthing_netpay::messages::{Pay, Touchstone};
use farthing_netpay::payee::{Payee, Terms};
use farthing_netpay::payer::{ChainTerms, NewChain};
use serde::Serialize;

use super::market::price;
use crate::fail::{Failure, Kind};

/// How many payments are timed.
const PAYMENTS: u32 = 1_000;

/// What one payment takes on each side.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Alone {
    /// To find the next word.
    pub(super) payer_microseconds: f64,
    /// To check it.
    pub(super) payee_microseconds: f64,
    /// Hashes the payer makes.
    pub(super) payer_hashes: f64,
    /// Hashes the payee makes.
    pub(super) payee_hashes: f64,
}

/// Pays a thousand times, from one side to the other, with keys made for the purpose.
pub(super) fn time() -> Result<Alone, Failure> {
    let broken = |why: &dyn std::fmt::Display| Failure::new(Kind::Other, format_args!("a payment failed: {why}"));
    let now: Time = SystemClock.now();
    let [payer, payee, bank] = [1, 2, 3].map(|seed| SecretKey::from_seed(&[seed; 32]));
    let (network, order) = (NetworkId([4; 16]), OrderId([5; 32]));
    let terms = ChainTerms { units: PAYMENTS, unit: price()?, not_after: now.after(Span::from_days(1)) };
    let chain = NewChain::new(payer.id(), terms, [6; 32], [7; 16]).map_err(|why| broken(&why))?;
    let open = chain.request();
    let touchstone = Touchstone {
        chain: open.header.chain_id(&open.root),
        root: open.root,
        header: open.header,
        grace: Span::from_days(1),
        opened: now,
    };
    let touchstone = bank.sign(network, &touchstone).verify_by(network, bank.id()).map_err(|why| broken(&why))?;
    let mut purse = chain.opened(touchstone).map_err(|why| broken(&why))?;
    let until = now.after(Span::from_hours(1));
    let visit = purse.reserve(&payer, network, payee.id(), order, PAYMENTS, until).map_err(|why| broken(&why))?;
    let counter = Payee { me: payee.id(), network, bank: bank.id(), terms: Terms::default() };
    let mut counting = counter.admit(now, order, visit).map_err(|why| broken(&why))?;

    let began = Instant::now();
    let (paid, payer_cost) = measure(|| (0..PAYMENTS).map(|_| purse.pay(1, order)).collect::<Result<Vec<Pay>, _>>());
    let (paid, payer_time) = (paid.map_err(|why| broken(&why))?, began.elapsed());
    let began = Instant::now();
    let (taken, payee_cost) = measure(|| paid.iter().try_for_each(|pay| counting.on_pay(now, pay).map(drop)));
    taken.map_err(|why| broken(&why))?;
    let payee_time = began.elapsed();
    Ok(Alone {
        payer_microseconds: each(payer_time),
        payee_microseconds: each(payee_time),
        payer_hashes: payer_cost.of(Op::Hash) as f64 / f64::from(PAYMENTS),
        payee_hashes: payee_cost.of(Op::Hash) as f64 / f64::from(PAYMENTS),
    })
}

fn each(all: Duration) -> f64 {
    all.as_secs_f64() * 1e6 / f64::from(PAYMENTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payee_checks_a_payment_with_one_hash() {
        let alone = time().unwrap();
        assert_eq!(alone.payee_hashes, 1.0);
        assert!(alone.payer_hashes < 16.0, "{}", alone.payer_hashes);
    }
}
