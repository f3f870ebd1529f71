//! A customer that says anything at all under its own key, and strangers that send rubbish.

use farthing_core::amount::{AMOUNT_MAX_MICROS, Currency};
use farthing_core::audit::{AuditLog, SubChain};
use farthing_core::id::OrderId;
use farthing_core::time::Time;
use farthing_core::wire::{Bounded, Wire};
use proptest::prelude::*;

use crate::compare::{Extent, Next};
use crate::frame::{Frame, FrameKind, MessageId};
use crate::messages::{Asking, TransferRequest};
use crate::reconciliation::{AHEAD_MAX, Closing, Fetch, Hello, Page};
use crate::testing::{ALICE, CAROL, Customer, DAVE, FUNDED, HERE, World, key};

fn say<T: Wire>(customer: &Customer, kind: FrameKind, nonce: u8, content: &T) -> Vec<u8> {
    Frame::seal(HERE, kind, customer.id(), &customer.wallet.key, [nonce; 24], content)
}

/// Numbers where things go wrong.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..6, Just(u64::MAX), Just(u64::MAX - 1), Just(1 << 63), any::<u64>()]
}

fn sub_chain() -> impl Strategy<Value = SubChain> {
    (number(), any::<u8>()).prop_map(|(n, head)| SubChain { n, head: [head; 32] })
}

fn log() -> impl Strategy<Value = AuditLog> {
    (sub_chain(), sub_chain()).prop_map(|(outgoing, incoming)| AuditLog { outgoing, incoming })
}

#[derive(Clone, Debug)]
enum Said {
    Transfer(TransferRequest),
    Hello(Hello),
    /// A page that answers what the bank said last, or not.
    Page(bool, Option<AuditLog>, Option<AuditLog>),
    Fetch(u64, u64),
}

fn said() -> impl Strategy<Value = Said> {
    let transfer = (number(), number(), any::<bool>(), number(), number(), 0_usize..4).prop_map(
        |(epoch, sequence, honest, received, amount, payee)| {
            let start = AuditLog::new(key(DAVE).id());
            Said::Transfer(TransferRequest {
                epoch,
                sequence,
                commitment: if honest { start.commitment() } else { [7; 32] },
                received,
                amount: Currency::XTS.micros(amount.min(AMOUNT_MAX_MICROS)).unwrap(),
                payee: key([ALICE, CAROL, DAVE, 99][payee]).id(),
                order: OrderId([1; 32]),
                time: Time::from_millis(1_700_000_000_000),
                receipt: received % 2 == 0,
            })
        },
    );
    let hello = (number(), number())
        .prop_map(|(next, time)| Said::Hello(Hello { random: [0; 16], next, time: Time::from_millis(time) }));
    let maybe = || proptest::option::of(log());
    prop_oneof![
        transfer,
        hello,
        (any::<bool>(), maybe(), maybe()).prop_map(|(fits, start, end)| Said::Page(fits, start, end)),
        (number(), number()).prop_map(|(outgoing, incoming)| Said::Fetch(outgoing, incoming)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_holder_of_a_key_says_the_bank_goes_on_and_nobody_else_loses(
        all in proptest::collection::vec(said(), 0..40),
    ) {
        let (mut world, [mut alice, _, dave]) = World::new();
        let mut heard = MessageId([0; 32]);
        for (nonce, said) in all.into_iter().enumerate() {
            let nonce = nonce as u8;
            let frame = match said {
                Said::Transfer(request) => say(&dave, FrameKind::Transfer, nonce, &Asking::Plain(request)),
                Said::Hello(hello) => say(&dave, FrameKind::Hello, nonce, &hello),
                Said::Page(fits, start, end) => {
                    let answers = if fits { heard } else { MessageId([1; 32]) };
                    let closing = end.map(|log| Closing { log, pending: Some(heard), signed: None });
                    let (outgoing, incoming) = (Bounded::empty(), Bounded::empty());
                    say(&dave, FrameKind::Page, nonce, &Page { answers, start, outgoing, incoming, closing })
                }
                Said::Fetch(outgoing, incoming) => {
                    say(&dave, FrameKind::Fetch, nonce, &Fetch { answers: heard, outgoing, incoming })
                }
            };
            // A fault of the store would stop the bank: `hand` panics on one.
            if let Ok(answer) = world.hand(&frame) {
                heard = MessageId::of(&answer);
            }
        }
        prop_assert_eq!(world.balance(ALICE), FUNDED);
        world.pay(&mut alice, CAROL, 10, 1);
    }

    #[test]
    fn rubbish_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (mut world, [mut alice, ..]) = World::new();
        prop_assert!(world.hand(&bytes).is_err());
        prop_assert!(alice.hear(&bytes).is_err());
        let payment = crate::messages::Payment { ticket: bytes, sign: false };
        prop_assert!(alice.wallet.open_ticket(&payment).is_err());
    }
}

#[test]
fn a_customer_cannot_drive_its_number_to_the_end_of_all_numbers() {
    let (mut world, [mut alice, ..]) = World::new();
    alice.wallet.next = u64::MAX - 5;
    let (mut comparison, hello) = alice.wallet.compare(world.now, Extent::SinceAgreed, &mut alice.rng);
    let challenge = world.hand(&hello).unwrap();
    let Next::Send(page) = alice.step(&mut comparison, &challenge).unwrap().next else { panic!("no page") };
    let end = world.hand(&page).unwrap();
    assert_eq!(alice.step(&mut comparison, &end).unwrap().next, Next::Agreed(None));
    assert!(alice.wallet.next <= AHEAD_MAX + 2);
    world.pay(&mut alice, CAROL, 10, 1);
}
