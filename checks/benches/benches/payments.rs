//! Accepting payments: in the core, and over a framed stream with group commit.

use farthing_benches::scene::{NOW, Tip, key, visit};
use farthing_benches::{Goal, Race, Table, timed};
use farthing_core::meter::{self, Op};
use farthing_netpay::messages::Pay;
use farthing_netpay::payee::Counting;
use sha2::block_api::compress256;

/// How many payments are handled before their effects are carried out together.
const BATCH: usize = 1_000;

fn main() {
    let mut table = Table::default();
    table.add(accept(1_000, 400));
    table.add(accept(1_000_000, 1));
    table.print("Payments accepted in the core, against a bare SHA-256 chain");
    opening();
}

/// The bare chain: one compression after the other, each waiting for the one before.
fn bare(steps: u64) -> (u64, f64) {
    let mut block = [0_u8; 64];
    let ((), seconds) = timed(|| {
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

/// Payments of one unit each, round and round over all open visits: look-up, bounds, hash, new
/// state, effect, with the meter on.
fn accept(visits: usize, words: u32) -> Race {
    let payee = key(1);
    // Chains beyond a thousand are copies in memory of their own: what counts is that each payment
    // finds its visit out of all of them.
    let made: Vec<(Counting, Vec<Pay>)> =
        (0..visits.min(1_000)).map(|n| visit(&key(2), &payee, words, n as u64)).collect();
    let fresh = || -> Vec<Counting> { (0..visits).map(|n| made[n % made.len()].0.clone()).collect() };
    // As they come off a wire: one behind the other in memory, the visits in no guessable order.
    let order = scattered(visits);
    let arriving: Vec<(u32, Pay)> = (0..words as usize)
        .flat_map(|word| order.iter().map(move |&at| (at, word)))
        .map(|(at, word)| (at, made[at as usize % made.len()].1[word]))
        .collect();
    let ours = || {
        let mut open = fresh();
        let mut effects: Vec<Tip> = Vec::with_capacity(BATCH);
        let (accepted, seconds) = timed(|| {
            let ((), cost) = meter::measure(|| {
                for batch in arriving.chunks(BATCH) {
                    effects.clear();
                    for (at, pay) in batch {
                        let Some(visit) = open.get_mut(*at as usize) else { continue };
                        if visit.on_pay(NOW, pay).is_ok() {
                            effects.push(Tip { visit: *at, tip: visit.tip() });
                        }
                    }
                    std::hint::black_box(&effects);
                }
            });
            cost.of(Op::Hash)
        });
        assert_eq!(accepted, arriving.len() as u64, "every payment was accepted and metered");
        (accepted, seconds)
    };
    let goal = if visits > 1_000 { 0.15 } else { 0.40 };
    Race::run(format!("{visits} open chains"), Goal::AtLeast(goal), ours, || bare(2_000_000))
}

/// Every number below `n` once, in an order no prefetcher guesses.
fn scattered(n: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for at in (1..n).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        order.swap(at, (state >> 33) as usize % (at + 1));
    }
    order
}

/// The longest chain: how long it takes to open, and what is kept of it.
fn opening() {
    let (purse, seconds) = timed(|| farthing_benches::scene::purse(&key(2), farthing_core::chain::CHAIN_LEN_MAX, 1));
    println!(
        "opening a chain of {} units: {seconds:.3} s (goal < 1 s); its payer keeps {} words of 32 bytes (goal < 4 MiB)",
        farthing_core::chain::CHAIN_LEN_MAX,
        2 * farthing_core::chain::CHAIN_LEN_MAX.isqrt(),
    );
    drop(purse);
}
