use std::sync::Arc;

use farthing_core::amount::Currency;
use farthing_core::id::{NetworkId, timed};
use farthing_core::seal::SealPublic;
use farthing_ledger::AccountKind;
use farthing_role::Scan;
use farthing_store::{MemoryStore, Overlay};

use super::*;
use crate::messages::{Deposit, Fund, OpenAccount, StatementOf};
use recorder::LINES_KEPT;

const NOW: Time = Time::from_millis(1_800_000_000_000);

fn role() -> BankRole {
    let mut config = Config::play("Test bank", Currency::XTS);
    config.limits.play_per_day = Currency::XTS.micros(u64::from(u32::MAX)).unwrap();
    let chart = Chart { network: NetworkId([1; 16]), currency: Currency::XTS };
    let key = || SecretKey::from_seed(&[1; 32]);
    let keys = SchemeKeys {
        netpay: key(),
        coupon: key(),
        clearing: key(),
        draft: key(),
        cheque: key(),
        master: MasterKey::new(farthing_core::seed::Secret::new([2; 32])),
        slips: SealKey::from_seed(&[1; 32]),
    };
    BankRole::new(chart, keys, &config, Arc::default())
}

/// Asks as the driver would, all in one transaction.
fn ask(
    role: &BankRole,
    tx: &mut Overlay<'_>,
    sender: PeerId,
    number: u64,
    kind: u16,
    message: Vec<u8>,
) -> Result<Vec<u8>, Halt> {
    let mut unique = [0; 32];
    unique[..8].copy_from_slice(&number.to_be_bytes());
    let request = Request::unsigned(sender, RequestId(timed(NOW, &unique)), kind, message);
    let checked = role.check(NOW, vec![request], tx).pop().unwrap()?;
    tx.attempt(|tx| role.apply(&mut Context { now: NOW, dice: [0; 32], tx }, sender, checked)).map(|done| done.reply)
}

#[test]
fn a_customer_with_many_transfers_fills_no_disk_and_the_sums_go_along() {
    let store = MemoryStore::new(&tables());
    let (role, peer) = (role(), PeerId([7; 32]));
    let mut tx = Overlay::new(&store);
    let open = wire::encode(&OpenAccount { seal: SealPublic([2; 32]) });
    ask(&role, &mut tx, peer, 0, kind::OPEN_ACCOUNT, open).unwrap();
    let fund = wire::encode(&Fund { amount: Currency::XTS.micros(3).unwrap(), note: Default::default() });
    for number in 1..=LINES_KEPT + 5 {
        ask(&role, &mut tx, peer, number, kind::FUND, fund.clone()).unwrap();
    }
    let rows = tx.scan(LINES, Scan { prefix: &[], after: None, limit: usize::MAX }).unwrap();
    assert_eq!(rows.len() as u64, LINES_KEPT);
    let of = StatementOf { after: None, limit: 2 };
    let reply = ask(&role, &mut tx, peer, 1 << 40, kind::STATEMENT, wire::encode(&of)).unwrap();
    let statement: crate::messages::Statement = wire::decode(&reply).unwrap();
    let numbers: Vec<u64> = statement.lines.as_slice().iter().map(|line| line.number).collect();
    assert_eq!(numbers, [LINES_KEPT + 4, LINES_KEPT + 5]);
    let deposit = Deposit { amount: Currency::XTS.micros(7).unwrap(), withdraw: false };
    ask(&role, &mut tx, peer, 1 << 41, kind::DEPOSIT, wire::encode(&deposit)).unwrap();
    let sums: Sums = read(&tx, SUMS, &Sums::key(Currency::XTS)).unwrap().unwrap();
    let all = i64::try_from(3 * (LINES_KEPT + 5)).unwrap();
    let sums = [AccountKind::World, AccountKind::Customer, AccountKind::Deposit].map(|kind| sums.of(kind));
    assert_eq!(sums, [-all, all - 7, 7]);
}

#[test]
fn one_bad_request_spoils_no_other_that_is_checked_beside_it() {
    let store = MemoryStore::new(&tables());
    let (role, tx) = (role(), Overlay::new(&store));
    let kinds = [
        kind::CASES,
        farthing_netpay::messages::kind::CLAIM,
        0xffff,
        coupon::CLEAR,
        kind::FUND,
        coupon::AUTHORISE,
        kind::CASES,
    ];
    let requests = kinds.iter().enumerate().map(|(at, kind)| {
        let id = RequestId(timed(NOW, &[u8::try_from(at).unwrap(); 32]));
        Request::unsigned(PeerId([7; 32]), id, *kind, Vec::new())
    });
    let outcomes = role.check(NOW, requests.collect(), &tx).into_iter().map(|checked| match checked {
        Ok(_) => None,
        Err(Halt::Refused(why)) => Some(why.code),
        Err(Halt::Store(fault)) => panic!("{fault}"),
    });
    let outcomes: Vec<Option<Code>> = outcomes.collect();
    let (stranger, malformed) = (Some(Code::Unknown), Some(Code::Malformed));
    assert_eq!(outcomes, [None, stranger, Some(Code::Version), stranger, malformed, stranger, None]);
}
