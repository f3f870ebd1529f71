//! Every form reads back as it was written, and rubbish is refused without harm.

use farthing_core::amount::{Currency, Rate};
use farthing_core::chain::Word;
use farthing_core::id::{NetworkId, OrderId, PeerId};
use farthing_core::time::Time;
use farthing_coupon::micro::{Ack, Bearer, Coupon, SessionName};
use farthing_coupon::secret::{Digest, Mac};
use farthing_coupon::session::WINDOW;
use proptest::prelude::*;

use crate::credential::{self, BadCredential, Form};
use crate::payment::{self, Challenge};
use crate::problem::{self, PaymentProblem};
use crate::quote::{ChallengeKey, Quote, UnitKind, request_digest};
use crate::x402::{PaymentRequired, PaymentRequirements, PaymentRequirementsV1, SettleResponse};
use crate::{HEADER_BYTES_MAX, Unreadable, names, receipt, x402};

fn key() -> ChallengeKey {
    ChallengeKey::derive(&[7; 32])
}

prop_compose! {
    fn quotes()(
        network in any::<[u8; 16]>(), seller in any::<[u8; 32]>(), realm in any::<[u8; 32]>(),
        coupon in 1..1_000_000_u64, units in 1..=WINDOW, kind in 0..3_u8,
        price in 0..1_000_000_u64, per in 1..u64::MAX, expires in 0..4_000_000_000_u64, request in any::<[u8; 32]>(),
    ) -> Quote {
        Quote {
            network: NetworkId(network),
            seller: PeerId(seller),
            realm: OrderId(realm),
            coupon: Currency::XTS.micros(coupon).unwrap(),
            units,
            kind: [UnitKind::Request, UnitKind::Byte, UnitKind::Second][usize::from(kind)],
            rate: Rate { price: Currency::XTS.micros(price).unwrap(), per },
            expires: Time::from_millis(expires * 1_000),
            request,
        }
    }
}

prop_compose! {
    fn coupons()(
        session in any::<[u8; 16]>(), index in any::<u32>(), units in any::<u32>(), turn in any::<u32>(),
        word in any::<[u8; 32]>(), mac in any::<[u8; 16]>(),
    ) -> Coupon {
        Coupon { session: SessionName(session), index, units, turn, word: Word(word), mac: Mac(mac) }
    }
}

prop_compose! {
    fn acks()(
        index in any::<u32>(), charged in any::<u32>(), turn in any::<u32>(), response in any::<[u8; 32]>(), mac in any::<[u8; 16]>(),
    ) -> Ack {
        Ack { index, charged, turn, response: Digest(response), mac: Mac(mac) }
    }
}

fn find(headers: &[(&str, &str)]) -> Result<Option<credential::Credential>, BadCredential> {
    credential::find(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
}

proptest! {
    #[test]
    fn a_challenge_reads_back_as_its_quote_and_its_id_is_known_again(quote in quotes()) {
        let challenge = Challenge::new(&key(), &quote, "host \"quoted\"", names::SESSION);
        let header = challenge.header();
        prop_assert!(header.len() < 2 << 10);
        let both = format!("Basic realm=\"x\", {header}, {header}");
        let read = Challenge::read_all(&both).unwrap();
        prop_assert_eq!(&read, &[challenge.clone(), challenge.clone()]);
        prop_assert_eq!(read[0].quote().unwrap(), quote);
        prop_assert!(read[0].is_of(&key()));
        prop_assert!(!read[0].is_of(&ChallengeKey::derive(&[8; 32])));
    }

    #[test]
    fn a_challenge_changed_in_anything_a_client_sees_is_not_known_again(quote in quotes(), other in quotes()) {
        let challenge = Challenge::new(&key(), &quote, "host", names::SESSION);
        let request = Challenge::new(&key(), &Quote { expires: quote.expires, ..other }, "host", names::SESSION).request;
        let changed = [
            Challenge { realm: "other".into(), ..challenge.clone() },
            Challenge { method: "tempo".into(), ..challenge.clone() },
            Challenge { intent: names::CHARGE.into(), ..challenge.clone() },
            Challenge { request, ..challenge.clone() },
            Challenge { expires: Some("9999-12-31T23:59:59Z".into()), ..challenge.clone() },
            Challenge { expires: None, ..challenge.clone() },
            Challenge { description: Some("cheap".into()), ..challenge.clone() },
            Challenge { digest: Some("sha-256=:AA==:".into()), ..challenge.clone() },
            Challenge { opaque: Some("x".into()), ..challenge.clone() },
            // What was in one place stands in another.
            Challenge { realm: "hostfarthing".into(), method: String::new(), ..challenge.clone() },
        ];
        prop_assert!(challenge.is_of(&key()));
        for changed in changed {
            prop_assert!(!changed.is_of(&key()), "{:?}", changed);
        }
    }

    #[test]
    fn x402_requirements_changed_in_anything_or_taken_to_another_host_are_not_known_again(quote in quotes()) {
        let wants = PaymentRequirements::new(&key(), &quote, Time::from_millis(0), "host");
        prop_assert!(wants.is_of(&key(), "host"));
        let units = Quote { units: quote.units % WINDOW + 1, ..quote.clone() };
        let cheaper = PaymentRequirements::new(&key(), &units, Time::from_millis(0), "host");
        let elsewhere = Quote { request: request_digest("GET", "/other", b""), ..quote };
        let elsewhere = PaymentRequirements::new(&key(), &elsewhere, Time::from_millis(0), "host");
        let with_our_id = |other: &PaymentRequirements| {
            let mut extra = other.extra.clone();
            extra["id"] = wants.extra["id"].clone();
            PaymentRequirements { extra, ..other.clone() }
        };
        let longer = PaymentRequirements { max_timeout_seconds: wants.max_timeout_seconds + 1, ..wants.clone() };
        for changed in [with_our_id(&cheaper), with_our_id(&elsewhere), longer] {
            prop_assert!(!changed.is_of(&key(), "host"));
        }
        prop_assert!(!wants.is_of(&key(), "other") && !wants.is_of(&ChallengeKey::derive(&[8; 32]), "host"));
    }

    #[test]
    fn every_form_of_payment_reads_back_as_its_coupon(
        quote in quotes(), coupon in coupons(), holder in any::<[u8; 32]>(), expires in any::<u64>(),
    ) {
        let challenge = Challenge::new(&key(), &quote, "host", names::CHARGE);
        let wants = PaymentRequirements::new(&key(), &quote, Time::from_millis(0), "host");
        let bearer = Bearer { holder: Digest(holder), expires: Time::from_millis(expires) };
        let forms = [
            ("authorization", payment::compact(&coupon), None, Form::Compact),
            ("authorization", payment::token(&coupon, &bearer), Some(bearer), Form::Compact),
            ("authorization", payment::full(&challenge, &coupon), None, Form::Full(Box::new(challenge))),
            (names::PAYMENT_SIGNATURE, x402::signature(&wants, &coupon), None, Form::X402V2(Box::new(wants))),
            (names::X_PAYMENT, x402::signature_v1(quote.network, &coupon), None, Form::X402V1),
        ];
        for (name, value, bearer, form) in forms {
            prop_assert!(value.len() < HEADER_BYTES_MAX);
            let found = find(&[("authorization", "Basic eA=="), (name, &value)]).unwrap().unwrap();
            prop_assert_eq!((found.coupon, found.bearer), (coupon, bearer));
            prop_assert_eq!(found.form, form);
        }
    }

    #[test]
    fn both_versions_of_x402_read_back_as_the_quote(quote in quotes()) {
        let now = Time::from_millis(0);
        let wants = PaymentRequirements::new(&key(), &quote, now, "host");
        let v1 = PaymentRequirementsV1::new(wants.clone(), "http://host/path");
        let header = PaymentRequired::new(wants, "http://host/path").header();
        prop_assert!(header.len() < 2 << 10);
        let read = PaymentRequired::read(&header).unwrap();
        prop_assert_eq!(read.accepts[0].quote().unwrap().0, quote.clone());
        prop_assert!(read.accepts[0].is_of(&key(), "host"));
        prop_assert_eq!(v1.quote().unwrap().0, quote);
    }

    #[test]
    fn every_form_of_receipt_reads_back_as_its_acknowledgement(ack in acks(), network in any::<[u8; 16]>()) {
        let session = SessionName([3; 16]);
        prop_assert_eq!(receipt::read(&receipt::compact(&ack)).unwrap(), ack);
        let charged = Currency::XTS.micros(u64::from(ack.charged)).unwrap();
        prop_assert_eq!(receipt::read(&receipt::full(session, &ack, charged, Time::from_millis(5_000))).unwrap(), ack);
        let response = SettleResponse::settled(NetworkId(network), session, &ack, 100).header();
        prop_assert_eq!(SettleResponse::read(&response).unwrap().ack().unwrap(), ack);
        let problem = PaymentProblem::new(problem::INSUFFICIENT, "pay more").acknowledging(&ack);
        let json = serde_json::to_string(&problem).unwrap();
        prop_assert_eq!(serde_json::from_str::<PaymentProblem>(&json).unwrap().ack().unwrap(), Some(ack));
    }

    #[test]
    fn rubbish_is_refused_without_panic(text in ".*", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Challenge::read_all(&text);
        let _ = Challenge::read_all(&format!("Payment {text}"));
        let _ = payment::read_credential(&format!("Payment {text}"));
        let _ = payment::read_credential(&format!("Payment {}", crate::b64::url(&bytes)));
        let packed: Vec<u8> = [0x80 | bytes.len() as u8].into_iter().chain(bytes.iter().copied()).collect();
        if let Ok(read) = payment::read_credential(&format!("Payment {}", crate::b64::url(&packed))) {
            let written = read.bearer.map_or_else(|| payment::compact(&read.coupon), |b| payment::token(&read.coupon, &b));
            prop_assert_eq!(written, format!("Payment {}", crate::b64::url(&packed)), "one way to write it");
        }
        let _ = payment::accepts(Some(&text), names::SESSION);
        let _ = (receipt::read(&text), PaymentRequired::read(&text), x402::read_signature(&text));
        let _ = (x402::read_signature_v1(&text), SettleResponse::read(&text), x402::read_network(&text));
        let _ = credential::find([("authorization", &bytes[..]), (names::X_PAYMENT, &bytes[..])].into_iter());
    }

    #[test]
    fn a_valid_credential_with_a_byte_changed_is_another_or_refused(
        coupon in coupons(), at in 17_usize..100, to in b'0'..b'z',
    ) {
        let good = payment::compact(&coupon);
        let mut bytes = good.clone().into_bytes();
        let at = at.min(bytes.len() - 1);
        bytes[at] = to;
        let bad = String::from_utf8(bytes).unwrap();
        if bad != good && let Ok(read) = payment::read_credential(&bad) {
            prop_assert_ne!(read.coupon, coupon);
        }
    }
}

fn coupon() -> Coupon {
    Coupon { session: SessionName([1; 16]), index: 70_000, units: 1, turn: 0, word: Word([2; 32]), mac: Mac([3; 16]) }
}

#[test]
fn a_payment_after_the_first_takes_at_most_112_bytes() {
    let usual = payment::compact(&coupon());
    let worst = Coupon { index: u32::MAX, units: WINDOW, turn: u32::MAX, ..coupon() };
    let worst = payment::compact(&worst);
    let line = format!("authorization: {usual}\r\n");
    println!("a paid request: {} bytes of header, {} with its name; at most {}", usual.len(), line.len(), worst.len());
    assert_eq!((usual.len(), line.len(), worst.len()), (99, 116, 108));
}

#[test]
fn a_packed_coupon_cut_short_lengthened_or_with_padded_numbers_is_refused() {
    let bearer = Bearer { holder: Digest([4; 32]), expires: Time::from_millis(5) };
    let read = |bytes: &[u8]| payment::read_credential(&format!("Payment {}", crate::b64::url(bytes)));
    for value in [payment::compact(&coupon()), payment::token(&coupon(), &bearer)] {
        let good = crate::b64::read_url(value.strip_prefix("Payment ").unwrap()).unwrap();
        assert!(read(&good).is_ok());
        for end in 0..good.len() {
            assert!(read(&good[..end]).is_err(), "{end}");
        }
        assert_eq!(read(&[&good[..], &[0]].concat()), Err(Unreadable::Syntax));
    }
    let small = Coupon { index: 5, ..coupon() };
    let mut padded = crate::b64::read_url(payment::compact(&small).strip_prefix("Payment ").unwrap()).unwrap();
    padded[0] |= 1 << 4;
    padded.insert(padded.len() - 1, 0);
    assert_eq!(read(&padded), Err(Unreadable::Syntax));
}

#[test]
fn a_receipt_for_what_was_given_back_does_not_say_success() {
    let ack = Ack { index: 3, charged: 0, turn: 1, response: Digest([0; 32]), mac: Mac([0; 16]) };
    let told = |ack: &Ack, micros: u64| -> serde_json::Value {
        let full =
            receipt::full(SessionName([3; 16]), ack, Currency::XTS.micros(micros).unwrap(), Time::from_millis(0));
        serde_json::from_slice(&crate::b64::read_url(&full).unwrap()).unwrap()
    };
    let nothing = told(&ack, 0);
    assert_eq!(
        (&nothing["status"], &nothing["amount"], &nothing["currency"]),
        (&"not-charged".into(), &"0".into(), &"XTS".into())
    );
    let some = told(&Ack { charged: 2, ..ack }, 200);
    assert_eq!((&some["status"], &some["amount"]), (&"success".into(), &"200".into()));
    let response = SettleResponse::settled(NetworkId([0; 16]), SessionName([3; 16]), &ack, 0);
    assert_eq!((response.success, response.amount.as_deref()), (false, Some("0")));
    assert_eq!(response.error_reason.as_deref(), Some(x402::NOTHING_CHARGED));
}

#[test]
fn two_payments_in_one_request_are_refused_whatever_their_dialects() {
    let compact = payment::compact(&coupon());
    let x402 = x402::signature_v1(NetworkId([0; 16]), &coupon());
    let pairs: [[(&str, &str); 2]; 3] = [
        [("authorization", &compact), ("authorization", &compact)],
        [("authorization", &compact), (names::X_PAYMENT, &x402)],
        [(names::X_PAYMENT, "rubbish"), (names::PAYMENT_SIGNATURE, "rubbish")],
    ];
    for pair in pairs {
        assert_eq!(find(&pair), Err(BadCredential::Several));
    }
    let joined = format!("{compact}, {compact}");
    assert!(matches!(find(&[("authorization", &joined)]), Err(BadCredential::Unreadable(_))));
    assert_eq!(find(&[("authorization", "Bearer x"), ("cookie", "y")]), Ok(None));
    assert_eq!(find(&[("authorization", "Payments x")]), Ok(None));
}

#[test]
fn what_is_too_long_is_refused_before_it_is_read() {
    let long = "A".repeat(HEADER_BYTES_MAX);
    assert_eq!(payment::read_credential(&format!("Payment {long}")), Err(Unreadable::TooLong));
    assert_eq!(x402::read_signature(&format!("{long}A")), Err(Unreadable::TooLong));
    assert_eq!(Challenge::read_all(&format!("Payment id={long}")), Err(Unreadable::TooLong));
}

#[test]
fn a_client_is_offered_only_the_intents_it_takes() {
    for (header, session, charge) in [
        (None, true, true),
        (Some("farthing/session"), true, false),
        (Some("farthing/*;q=0.5, farthing/charge;q=0"), true, false),
        (Some("*/charge"), false, true),
        (Some("tempo/charge, stripe/session"), false, false),
        (Some(""), false, false),
    ] {
        assert_eq!(payment::accepts(header, names::SESSION), session, "{header:?}");
        assert_eq!(payment::accepts(header, names::CHARGE), charge, "{header:?}");
    }
}

#[test]
fn a_price_per_many_bytes_is_rounded_up_once_and_covers_what_it_says() {
    let quote = Quote {
        network: NetworkId([0; 16]),
        seller: PeerId([0; 32]),
        realm: OrderId([0; 32]),
        coupon: Currency::XTS.micros(10).unwrap(),
        units: 100,
        kind: UnitKind::Byte,
        rate: Rate { price: Currency::XTS.micros(1).unwrap(), per: 1_000 },
        expires: Time::from_millis(0),
        request: [0; 32],
    };
    assert_eq!((quote.coupons_for(0), quote.coupons_for(1), quote.coupons_for(10_000)), (0, 1, 1));
    assert_eq!((quote.coupons_for(10_001), quote.covered_by(1), quote.covered_by(0)), (2, 10_000, 0));
    assert_eq!(quote.coupons_for(u64::MAX), WINDOW);
    // A seller may name any numbers.
    let vast =
        Quote { coupon: Currency::XTS.micros(1 << 50).unwrap(), rate: Rate { per: u64::MAX, ..quote.rate }, ..quote };
    assert_eq!((vast.covered_by(u32::MAX), vast.coupons_for(u64::MAX)), (u64::MAX, 1));
}
