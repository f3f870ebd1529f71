use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;

const SCENE: Scene =
    Scene { network: NetworkId([1; 16]), initiator: Part::Certified(RoleName::Peer), responder: Part::Bank };

struct Party {
    me: SecretKey,
    key: SessionKey,
    rng: ChaCha20Rng,
}

impl Party {
    fn new(n: u8) -> Self {
        Self {
            me: SecretKey::from_seed(&[n; 32]),
            key: SessionKey::from_seed(&[n + 100; 32]),
            rng: ChaCha20Rng::from_seed([n; 32]),
        }
    }

    fn contact(&self) -> Contact {
        Contact { peer: self.me.id(), key: self.key.public() }
    }

    fn start(&mut self, to: Contact, scene: Scene) -> (Initiator, Vec<u8>) {
        Initiator::start(&self.me, &self.key, to, scene, &mut self.rng).unwrap()
    }

    fn hear(&mut self, scene: Scene, hello: &[u8]) -> Result<Responder, SessionError> {
        Responder::hear(self.me.id(), &self.key, scene, hello, &mut self.rng)
    }
}

/// Payer and bank, after their handshake.
fn opened() -> (Session, Session) {
    let (mut payer, mut bank) = (Party::new(1), Party::new(2));
    let (waiting, hello) = payer.start(bank.contact(), SCENE);
    let (bank_side, reply) = bank.hear(SCENE, &hello).unwrap().answer(&bank.me).unwrap();
    (waiting.finish(&reply).unwrap(), bank_side)
}

/// How the initiator fares with a reply that `twist` has had its hands on.
fn finish_after(twist: impl FnOnce(&mut Vec<u8>)) -> Result<Session, SessionError> {
    let (mut payer, mut bank) = (Party::new(1), Party::new(2));
    let (waiting, hello) = payer.start(bank.contact(), SCENE);
    let (_, mut reply) = bank.hear(SCENE, &hello).unwrap().answer(&bank.me).unwrap();
    twist(&mut reply);
    waiting.finish(&reply)
}

#[test]
fn two_parties_talk_both_ways_and_know_each_other() {
    let (mut payer, mut bank) = opened();
    assert_eq!(payer.peer(), Party::new(2).me.id());
    assert_eq!(bank.peer(), Party::new(1).me.id());
    for n in 0..5_u8 {
        let frame = payer.seal(&[n; 100]).unwrap();
        assert_eq!(bank.open(&frame).unwrap(), [n; 100]);
        let frame = bank.seal(&[n]).unwrap();
        assert_eq!(payer.open(&frame).unwrap(), [n]);
    }
    let (frame, cost) = meter::measure(|| payer.seal(&[0; PAYLOAD_MAX]).unwrap());
    assert_eq!(cost.of(Op::Aead), 1);
    assert_eq!(bank.open(&frame).unwrap().len(), PAYLOAD_MAX);
    assert_eq!(bank.open(&payer.seal(&[]).unwrap()).unwrap(), []);
}

#[test]
fn a_handshake_costs_each_side_one_signature_made_and_one_checked() {
    let (mut payer, mut bank) = (Party::new(1), Party::new(2));
    let ((), cost) = meter::measure(|| {
        let (waiting, hello) = payer.start(bank.contact(), SCENE);
        let (_, reply) = bank.hear(SCENE, &hello).unwrap().answer(&bank.me).unwrap();
        waiting.finish(&reply).unwrap();
    });
    assert_eq!((cost.of(Op::Sign), cost.of(Op::Verify)), (2, 2));
}

#[test]
fn initiator_refuses_a_man_in_the_middle_with_keys_of_his_own() {
    let (mut payer, mut mallory) = (Party::new(1), Party::new(3));
    // Without the bank's static key he cannot even read the hello.
    let (_, hello) = payer.start(Party::new(2).contact(), SCENE);
    assert_eq!(mallory.hear(SCENE, &hello).unwrap_err(), SessionError::Damaged);
    // Should the payer have been given his static key with the bank's name, he can read it, but the
    // hello is for the bank.
    let bank = Contact { peer: Party::new(2).me.id(), key: mallory.key.public() };
    let (_, hello) = payer.start(bank, SCENE);
    assert_eq!(mallory.hear(SCENE, &hello).unwrap_err(), SessionError::Unproven(Unproven::Forged));
}

#[test]
fn initiator_refuses_an_answer_signed_by_another_identity() {
    // The bank's static key has leaked, the key of its identity has not.
    let (mut payer, mut bank, mallory) = (Party::new(1), Party::new(2), Party::new(3));
    let (waiting, hello) = payer.start(bank.contact(), SCENE);
    let (_, reply) = bank.hear(SCENE, &hello).unwrap().answer(&mallory.me).unwrap();
    assert_eq!(waiting.finish(&reply).unwrap_err(), SessionError::Unproven(Unproven::WrongSigner));
}

/// What the bank finds when the payer's static key speaks, and the payer's identity has signed a
/// binding that `twist` has changed.
fn heard_after(twist: impl FnOnce(&mut Binding)) -> Result<PeerId, SessionError> {
    let (mut payer, mut bank) = (Party::new(1), Party::new(2));
    let ephemeral = Ephemeral::draw(&mut payer.rng);
    let mut noise = noise::initiator(&SCENE.prologue(), &payer.key.secret, &bank.key.public().0, &ephemeral).unwrap();
    let mut binding = Binding {
        initiator: true,
        to: bank.me.id(),
        from_key: payer.key.public(),
        to_key: bank.key.public(),
        ephemeral: ephemeral.public,
        transcript: noise::transcript(&noise),
    };
    twist(&mut binding);
    let hello = say(&mut noise, &payer.me.sign(SCENE.network, &binding)).unwrap();
    bank.hear(SCENE, &hello).map(|heard| heard.caller())
}

#[test]
fn responder_refuses_what_the_caller_signed_for_another_handshake_key_or_listener() {
    // Had the payer's static key leaked, Noise alone would let the thief in with any of these.
    let forged = Err(SessionError::Unproven(Unproven::Forged));
    assert_eq!(heard_after(|_| ()), Ok(Party::new(1).me.id()));
    assert_eq!(heard_after(|said| said.initiator = false), forged);
    assert_eq!(heard_after(|said| said.to = Party::new(3).me.id()), forged);
    assert_eq!(heard_after(|said| said.from_key = Party::new(3).key.public()), forged);
    assert_eq!(heard_after(|said| said.to_key = Party::new(3).key.public()), forged);
    assert_eq!(heard_after(|said| said.ephemeral[31] ^= 0x80), forged);
    assert_eq!(heard_after(|said| said.transcript[0] ^= 1), forged);
}

#[test]
fn a_replayed_hello_gains_no_session() {
    let (mut payer, mut bank) = (Party::new(1), Party::new(2));
    let (waiting, hello) = payer.start(bank.contact(), SCENE);
    let (mut first, reply) = bank.hear(SCENE, &hello).unwrap().answer(&bank.me).unwrap();
    let mut payer_side = waiting.finish(&reply).unwrap();
    let frame = payer_side.seal(b"pay").unwrap();
    assert!(first.open(&frame).is_ok());
    // The bank hears the same hello again, and then the same frame.
    let (mut second, _) = bank.hear(SCENE, &hello).unwrap().answer(&bank.me).unwrap();
    assert_eq!(second.open(&frame).unwrap_err(), SessionError::Damaged);
}

#[test]
fn an_answer_fits_one_handshake_only() {
    let (mut payer, mut bank) = (Party::new(1), Party::new(2));
    let (_, hello) = payer.start(bank.contact(), SCENE);
    let (_, old) = bank.hear(SCENE, &hello).unwrap().answer(&bank.me).unwrap();
    let (waiting, _) = payer.start(bank.contact(), SCENE);
    assert_eq!(waiting.finish(&old).unwrap_err(), SessionError::Damaged);
}

#[test]
fn receiver_refuses_a_replayed_frame() {
    let (mut payer, mut bank) = opened();
    let frames: Vec<_> = (0..3_u8).map(|n| payer.seal(&[n]).unwrap()).collect();
    assert!(bank.open(&frames[0]).is_ok());
    assert_eq!(bank.open(&frames[0]), Err(SessionError::Replay { counter: 0 }));
    // One frame got lost; it does not come back after a later one.
    assert!(bank.open(&frames[2]).is_ok());
    assert_eq!(bank.open(&frames[1]), Err(SessionError::Replay { counter: 1 }));
    let refusal = Refusal::from(SessionError::Replay { counter: 1 });
    assert_eq!((refusal.code, refusal.money), (Code::Replay, Money::Unmoved));
}

#[test]
fn receiver_refuses_a_frame_renumbered_to_look_new() {
    let (mut payer, mut bank) = opened();
    let mut frame = payer.seal(b"pay").unwrap();
    assert!(bank.open(&frame).is_ok());
    frame[7] = 1;
    assert_eq!(bank.open(&frame), Err(SessionError::Damaged));
    // And the attempt has used up no number.
    assert!(bank.open(&payer.seal(b"pay").unwrap()).is_ok());
}

#[test]
fn receiver_refuses_its_own_frame_thrown_back() {
    let (mut payer, mut bank) = opened();
    let frame = payer.seal(b"pay").unwrap();
    assert_eq!(payer.open(&frame), Err(SessionError::Damaged));
    assert!(bank.open(&frame).is_ok());
}

#[test]
fn receiver_refuses_a_frame_of_another_session() {
    let (mut payer, _) = opened();
    let (mut other, mut bank) = (Party::new(4), Party::new(2));
    let (waiting, hello) = other.start(bank.contact(), SCENE);
    let (mut bank_side, reply) = bank.hear(SCENE, &hello).unwrap().answer(&bank.me).unwrap();
    assert!(waiting.finish(&reply).is_ok());
    assert_eq!(bank_side.open(&payer.seal(b"pay").unwrap()), Err(SessionError::Damaged));
}

#[test]
fn responder_refuses_a_hello_from_another_network_or_to_another_part() {
    let (mut payer, mut bank) = (Party::new(1), Party::new(2));
    let elsewhere = Scene { network: NetworkId([2; 16]), ..SCENE };
    let to_index = Scene { responder: Part::Certified(RoleName::Index), ..SCENE };
    let from_bank = Scene { initiator: Part::Bank, ..SCENE };
    for scene in [elsewhere, to_index, from_bank] {
        let (_, hello) = payer.start(bank.contact(), scene);
        assert_eq!(bank.hear(SCENE, &hello).unwrap_err(), SessionError::Damaged, "{scene:?}");
        assert!(bank.hear(scene, &hello).is_ok());
    }
}

#[test]
fn every_flipped_bit_of_hello_reply_and_frame_is_refused() {
    let (mut payer, mut bank) = (Party::new(1), Party::new(2));
    let (_, hello) = payer.start(bank.contact(), SCENE);
    for bit in 0..hello.len() * 8 {
        let mut bad = hello.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(bank.hear(SCENE, &bad).is_err(), "bit {bit} of the hello may be flipped");
    }
    // A reply is read by a state that is consumed: every 7th bit, to spare the handshakes.
    let mut len = 0;
    assert!(finish_after(|reply| len = reply.len()).is_ok());
    for bit in (0..len * 8).step_by(7).chain(248..256) {
        assert!(finish_after(|reply| reply[bit / 8] ^= 1 << (bit % 8)).is_err(), "bit {bit} of the reply");
    }
    let (mut payer, mut bank) = opened();
    let frame = payer.seal(b"pay the ferryman").unwrap();
    for bit in 0..frame.len() * 8 {
        let mut bad = frame.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(bank.open(&bad).is_err(), "bit {bit} of the frame may be flipped");
    }
    assert!(bank.open(&frame).is_ok());
}

#[test]
fn short_and_oversized_messages_are_refused_unread() {
    let (mut payer, mut bank) = (Party::new(1), Party::new(2));
    let (_, hello) = payer.start(bank.contact(), SCENE);
    for len in 0..hello.len() {
        assert!(bank.hear(SCENE, &hello[..len]).is_err(), "{len} bytes of a hello will do");
    }
    assert_eq!(bank.hear(SCENE, &vec![0; HANDSHAKE_MAX + 1]).unwrap_err(), SessionError::TooLong);
    let (mut payer, mut bank) = opened();
    let frame = payer.seal(b"pay").unwrap();
    for len in 0..frame.len() {
        assert_eq!(bank.open(&frame[..len]), Err(SessionError::Damaged));
    }
    assert_eq!(bank.open(&vec![0; FRAME_MAX + 1]), Err(SessionError::TooLong));
    assert_eq!(payer.seal(&vec![0; PAYLOAD_MAX + 1]), Err(SessionError::TooLong));
    // The refusal used up no number: the next frame follows the first.
    assert!(bank.open(&frame).is_ok());
    assert_eq!(payer.seal(b"again").unwrap()[..8], 1_u64.to_be_bytes());
}

#[test]
fn a_session_ends_before_its_numbers_do() {
    let (mut payer, mut bank) = opened();
    payer.next_out = FRAMES_MAX;
    assert_eq!(payer.seal(b"pay"), Err(SessionError::Exhausted));
    let mut frame = u64::MAX.to_be_bytes().to_vec();
    frame.extend([0; 32]);
    assert_eq!(bank.open(&frame), Err(SessionError::Exhausted));
}

#[test]
fn nobody_is_led_into_a_session_with_a_key_of_small_order() {
    let (mut payer, mut bank) = (Party::new(1), Party::new(2));
    let weak = Contact { key: SessionPublic([0; 32]), ..bank.contact() };
    let refused = Initiator::start(&payer.me, &payer.key, weak, SCENE, &mut payer.rng);
    assert_eq!(refused.unwrap_err(), SessionError::BadKey);
    let (_, mut hello) = payer.start(bank.contact(), SCENE);
    hello[..32].fill(0);
    assert_eq!(bank.hear(SCENE, &hello).unwrap_err(), SessionError::BadKey);
}

#[test]
fn states_and_keys_show_nothing_of_themselves() {
    let (mut payer, bank) = (Party::new(1), Party::new(2));
    let (waiting, _) = payer.start(bank.contact(), SCENE);
    let (session, _) = opened();
    let shown = format!("{waiting:?} {session:?} {:?}", payer.key);
    for secret in [*payer.key.secret, [101; 32], [1; 32]] {
        assert!(!shown.contains(&hex::encode(&secret[..4])), "{shown}");
    }
}
