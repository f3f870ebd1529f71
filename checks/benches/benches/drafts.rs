//! Drafts accepted offline, one at a time and from a queue, against one strict signature check each.

use farthing_benches::{Goal, Race, Table, timed};
use farthing_core::amount::{Amount, Currency};
use farthing_core::cert::{Certificate, Limits, RoleName};
use farthing_core::id::{NetworkId, OrderId};
use farthing_core::seal::{SealKey, Sealed, seal};
use farthing_core::sign::{SecretKey, Signed};
use farthing_core::time::{Span, Time, Window};
use farthing_draft::messages::{DRAFTS_MAX, Draft, Payment, Shown};
use farthing_draft::payee::{Expected, Payee, Taken, Terms};
use farthing_draft::wallet::TABLES;
use farthing_role::{Context, Halt};
use farthing_store::{MemoryStore, Overlay};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const HERE: NetworkId = NetworkId([1; 16]);
const NOW: Time = Time::from_millis(1_800_000_000_000);
const PAYER: u8 = 1;
const PAYEE: u8 = 2;
const BANK: u8 = 3;
const AUTHORITY: u8 = 4;

fn main() {
    let payments = payments();
    let mut table = Table::default();
    table.add(one_at_a_time(&payments, false));
    table.add(one_at_a_time(&payments, true));
    table.add(queued(&payments));
    table.print("Drafts accepted offline, against strict signature checks");
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn micros(micros: u64) -> Amount {
    Currency::XTS.micros(micros).expect("an amount")
}

fn payee() -> Payee {
    Payee {
        key: key(PAYEE),
        seal: SealKey::from_seed(&[PAYEE; 32]),
        network: HERE,
        bank: key(BANK).id(),
        authority: key(AUTHORITY).id(),
        terms: Terms { queued_max: Some(micros(1_000_000)), ..Terms::default() },
    }
}

/// As many drafts of one payer as one receipt covers; the first with its certificate whole.
fn payments() -> Vec<Payment> {
    let certificate = key(AUTHORITY).sign(
        HERE,
        &Certificate {
            holder: key(PAYER).id(),
            seal: SealKey::from_seed(&[PAYER; 32]).public(),
            role: RoleName::Drawer,
            serial: 1,
            window: Window { from: NOW, to: NOW.after(Span::from_hours(24)) },
            limits: Limits { per_item: micros(10), total: micros(1_000_000) },
            log_head: [0; 32],
            deposit: micros(1),
        },
    );
    let known = Shown::Known(farthing_draft::messages::Digest(certificate.digest()));
    let shown = std::iter::once(Shown::Whole(certificate)).chain(std::iter::repeat(known));
    let draft = |number| {
        key(PAYER).sign(
            HERE,
            &Draft {
                number,
                network: HERE,
                bank: key(BANK).id(),
                payee: key(PAYEE).id(),
                amount: micros(10),
                order: OrderId([5; 32]),
                deposit_by: NOW.after(Span::from_days(7)),
                log: [6; 32],
                time: NOW,
            },
        )
    };
    (1..)
        .zip(shown)
        .take(DRAFTS_MAX)
        .map(|(number, certificate)| Payment { draft: draft(number), certificate })
        .collect()
}

fn expected() -> Expected {
    Expected { order: OrderId([5; 32]), amount: micros(10) }
}

/// Runs a step on a fresh wallet; the batch that a driver would commit at its end.
fn on_fresh_wallet(work: impl FnOnce(&mut Context<'_>) -> Result<u64, Halt>) -> u64 {
    let store = MemoryStore::new(&TABLES);
    let mut overlay = Overlay::new(&store);
    let done = overlay.attempt(|tx| work(&mut Context { now: NOW, dice: [0xff; 32], tx }));
    done.expect("all are good")
}

fn strict(payments: &[Payment]) -> (u64, f64) {
    let drafts: Vec<Signed<Draft>> = payments.iter().map(|payment| payment.draft.clone()).collect();
    timed(|| drafts.into_iter().map(|draft| u64::from(draft.verify(HERE).is_ok())).sum())
}

/// Opened, checked strictly and noted; acknowledged by one receipt at the end, or each by its own.
fn one_at_a_time(payments: &[Payment], each: bool) -> Race {
    let (payee, mut rng) = (payee(), ChaCha20Rng::from_seed([7; 32]));
    let to = payee.seal.public();
    let sealed: Vec<Sealed<Payment>> =
        payments.iter().map(|payment| seal(HERE, &to, payment, &mut rng).expect("sealed")).collect();
    let ours = || {
        timed(|| {
            on_fresh_wallet(|cx| {
                let mut taken = Vec::with_capacity(sealed.len());
                for sealed in &sealed {
                    let checked = payee.check(cx.now, payee.open(sealed)?, &*cx.tx)?;
                    if let Taken::Serve(accepted) = payee.accept_checked(cx, checked, &expected(), each)? {
                        taken.push(accepted.draft);
                    }
                }
                let count = taken.len() as u64;
                assert!(each || payee.receipts(cx.now, taken).is_some());
                Ok(count)
            })
        })
    };
    let (what, goal) = match each {
        false => ("sealed, one at a time, one receipt for all", 0.35),
        true => ("sealed, one at a time, a receipt for each", 0.25),
    };
    Race::run(what, Goal::AtLeast(goal), ours, || strict(payments))
}

/// From an authenticated session: checked together, noted, and one receipt for all.
fn queued(payments: &[Payment]) -> Race {
    let payee = payee();
    let ours = || {
        let (first, rest) = payments.split_first().expect("some");
        let (first, rest) = (first.clone(), rest.to_vec());
        timed(|| {
            on_fresh_wallet(|cx| {
                let first = payee.check(cx.now, first, &*cx.tx)?;
                let mut taken = Vec::with_capacity(payments.len());
                let mut take = |cx: &mut Context<'_>, checked| -> Result<(), Halt> {
                    if let Taken::Serve(accepted) = payee.accept_checked(cx, checked, &expected(), false)? {
                        taken.push(accepted.draft);
                    }
                    Ok(())
                };
                take(cx, first)?;
                for checked in payee.check_queue(cx.now, rest, &*cx.tx) {
                    take(cx, checked?)?;
                }
                let count = taken.len() as u64;
                assert!(payee.receipts(cx.now, taken).is_some());
                Ok(count)
            })
        })
    };
    Race::run("from a queue, one receipt for all", Goal::AtLeast(1.3), ours, || strict(payments))
}
