//! Authenticated sessions: two parties who know each other by [`PeerId`] talk in frames that nobody
//! else can read, forge, replay, turn round or carry over to another network.
//!
//! The handshake is Noise IK (Perrin, "The Noise Protocol Framework", revision 34, §7.5) over
//! X25519, ChaCha20-Poly1305 and SHA-256. Noise proves static X25519 keys; we are known by Ed25519
//! keys. So each handshake message carries, encrypted, a statement signed by the identity over both
//! static keys, the sender's ephemeral key and the handshake so far, and names whom it is for: a
//! static key that leaks is not enough to pose as its owner, and no statement fits a second
//! handshake. It costs each side one signature made and one checked, once for the whole session.
//!
//! No state here owns a socket: bytes go in and come out. The order of use is
//!
//! ```text
//! Initiator::start ──hello──▶ Responder::hear ─▶ Responder::answer ─▶ Session
//! Initiator::finish ◀──reply──┘        then Session::seal and Session::open on both sides
//! ```
//!
//! As in every IK handshake the first message can be played again by whoever recorded it. It gains
//! a reply that it cannot read: a responder acts on nothing before the first frame opens.

use core::fmt;

use hpke::kem::X25519HkdfSha256;
use hpke::{Kem, Serializable};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use snow::{HandshakeState, StatelessTransportState};
use zeroize::Zeroizing;

use crate::cert::RoleName;
use crate::id::{NetworkId, PeerId};
use crate::meter::{self, Op};
use crate::refusal::{Code, Money, Refusal, Remedy};
use crate::sign::{SecretKey, Signed, Statement, Unproven};
use crate::wire;

mod noise;

use noise::Ephemeral;

/// The longest message of a handshake; longer ones are refused unread.
pub const HANDSHAKE_MAX: usize = 1_024;

/// The longest payload of one frame: what one Noise message holds.
pub const PAYLOAD_MAX: usize = 65_519;

/// How many frames one direction carries before a new session is due.
pub const FRAMES_MAX: u64 = 1 << 48;

const COUNTER_LEN: usize = 8;
const TAG_LEN: usize = 16;
const FRAME_MAX: usize = COUNTER_LEN + PAYLOAD_MAX + TAG_LEN;
const _: () = assert!(PAYLOAD_MAX + TAG_LEN == 65_535, "a frame is one Noise message behind its counter");

const LABEL: &[u8; 19] = b"farthing/v1/session";

/// What a party of a session is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Part {
    /// The bank.
    #[n(0)]
    Bank,
    /// Somebody in the role that its certificate gives.
    #[n(1)]
    Certified(#[n(0)] RoleName),
}

/// Where a session takes place: both sides must mean the same, or the handshake fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Scene {
    /// In which network.
    #[n(0)]
    pub network: NetworkId,
    /// What the one who speaks first is.
    #[n(1)]
    pub initiator: Part,
    /// What the one who answers is.
    #[n(2)]
    pub responder: Part,
}

impl Scene {
    fn prologue(&self) -> Vec<u8> {
        let mut prologue = LABEL.to_vec();
        wire::encode_into(self, &mut prologue);
        prologue
    }
}

/// A static public key for sessions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct SessionPublic(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

impl fmt::Debug for SessionPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionPublic({}…)", hex::encode(&self.0[..6]))
    }
}

/// A static key for sessions. Its `Debug` shows none of it, and it is wiped when dropped.
pub struct SessionKey {
    secret: Zeroizing<[u8; 32]>,
    public: SessionPublic,
}

impl SessionKey {
    /// The key grown from 32 secret bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let (secret, public) = X25519HkdfSha256::derive_keypair(seed);
        Self { secret: Zeroizing::new(secret.to_bytes().into()), public: SessionPublic(public.to_bytes().into()) }
    }

    /// What others must know to open a session.
    #[must_use]
    pub const fn public(&self) -> SessionPublic {
        self.public
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey of {:?}", self.public)
    }
}

/// Whom an initiator wants to talk to: pinned or certified, never looked up unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contact {
    /// Who it must be.
    pub peer: PeerId,
    /// Its static key.
    pub key: SessionPublic,
}

/// Why a handshake or a frame is not accepted. No money moved by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Longer than [`HANDSHAKE_MAX`], [`PAYLOAD_MAX`] or a frame.
    #[error("the frame is longer than a session carries: send it in parts; no money moved")]
    TooLong,
    /// It does not decrypt: damaged, made with another key, for another network or another part.
    #[error("the frame does not open: damaged, or meant for another key, network or part; no money moved")]
    Damaged,
    /// A public key of small order: everybody could read along.
    #[error("the other side's key is not usable: get its certificate again; no money moved")]
    BadKey,
    /// The identity behind the handshake is not proven.
    #[error("the other side did not prove who it is ({0}); no money moved")]
    Unproven(#[from] Unproven),
    /// The frame was seen before, or is older than one seen before.
    #[error("frame {counter} comes again or too late; it was dropped unread")]
    Replay {
        /// The number on the frame.
        counter: u64,
    },
    /// [`FRAMES_MAX`] frames went by.
    #[error("this session has carried all the frames it may: open a new one; no money moved")]
    Exhausted,
}

impl From<SessionError> for Refusal {
    fn from(why: SessionError) -> Self {
        let detail = why.to_string();
        match why {
            SessionError::TooLong => Self::new(Code::Malformed, detail),
            SessionError::Damaged | SessionError::BadKey => Self::new(Code::Decrypt, detail),
            SessionError::Unproven(_) => Self::new(Code::Signature, detail),
            SessionError::Replay { .. } => Self::new(Code::Replay, detail).money(Money::Unmoved),
            SessionError::Exhausted => Self::new(Code::State, detail).remedy(Remedy::Mend),
        }
    }
}

impl From<snow::Error> for SessionError {
    fn from(why: snow::Error) -> Self {
        match why {
            snow::Error::Dh => Self::BadKey,
            _ => Self::Damaged,
        }
    }
}

/// What each side signs in its handshake message. Both sides know every field beforehand, so the
/// statement proves and tells nothing else.
#[derive(PartialEq, Eq, Encode, Decode)]
struct Binding {
    /// Whether it is the initiator who says so.
    #[n(0)]
    initiator: bool,
    /// To whom.
    #[n(1)]
    to: PeerId,
    /// The speaker's static key.
    #[n(2)]
    from_key: SessionPublic,
    /// The listener's static key.
    #[n(3)]
    to_key: SessionPublic,
    /// The speaker's ephemeral key: no other handshake has it.
    #[cbor(n(4), with = "minicbor::bytes")]
    ephemeral: [u8; 32],
    /// Noise's hash over all that was said before this message.
    #[cbor(n(5), with = "minicbor::bytes")]
    transcript: [u8; 32],
}

impl Statement for Binding {
    const KIND: u16 = 0x0011;
}

/// The hello is sent, the reply awaited.
pub struct Initiator {
    noise: HandshakeState,
    scene: Scene,
    me: PeerId,
    key: SessionPublic,
    to: Contact,
}

impl Initiator {
    /// Opens a session with `to`: the state to keep and the hello to send.
    ///
    /// # Errors
    /// [`SessionError::BadKey`] for a contact whose key is of small order.
    pub fn start(
        me: &SecretKey,
        key: &SessionKey,
        to: Contact,
        scene: Scene,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, Vec<u8>), SessionError> {
        let ephemeral = Ephemeral::draw(rng);
        let mut noise = noise::initiator(&scene.prologue(), &key.secret, &to.key.0, &ephemeral)?;
        let binding = Binding {
            initiator: true,
            to: to.peer,
            from_key: key.public,
            to_key: to.key,
            ephemeral: ephemeral.public,
            transcript: noise::transcript(&noise),
        };
        let hello = say(&mut noise, &me.sign(scene.network, &binding))?;
        Ok((Self { noise, scene, me: me.id(), key: key.public, to }, hello))
    }

    /// Reads the reply. Whatever is wrong with it, this handshake is over: start another.
    ///
    /// # Errors
    /// [`SessionError`]; nothing was said to the other side but the hello.
    pub fn finish(mut self, reply: &[u8]) -> Result<Session, SessionError> {
        let transcript = noise::transcript(&self.noise);
        let (signed, ephemeral) = hear(&mut self.noise, reply)?;
        let expected =
            Binding { initiator: false, to: self.me, from_key: self.to.key, to_key: self.key, ephemeral, transcript };
        if signed.claimed_signer() != self.to.peer {
            return Err(Unproven::WrongSigner.into());
        }
        let peer = prove(signed, self.scene.network, &expected)?;
        Session::new(self.noise, peer)
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Initiator with {:?}", self.to.peer)
    }
}

/// A hello was heard and its sender is proven; the reply is not sent yet, so a policy may still
/// turn the caller away.
pub struct Responder {
    noise: HandshakeState,
    scene: Scene,
    key: SessionPublic,
    caller: Contact,
    ephemeral: [u8; 32],
}

impl Responder {
    /// Reads a hello. `me` and `key` are ours.
    ///
    /// # Errors
    /// [`SessionError`]; deserves no answer beyond a constant-size one.
    pub fn hear(
        me: PeerId,
        key: &SessionKey,
        scene: Scene,
        hello: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, SessionError> {
        let ours = Ephemeral::draw(rng);
        let mut noise = noise::responder(&scene.prologue(), &key.secret, &ours)?;
        let transcript = noise::transcript(&noise);
        let (signed, ephemeral) = hear(&mut noise, hello)?;
        let from_key = SessionPublic(noise::remote_static(&noise).ok_or(SessionError::Damaged)?);
        let expected = Binding { initiator: true, to: me, from_key, to_key: key.public, ephemeral, transcript };
        let peer = prove(signed, scene.network, &expected)?;
        let caller = Contact { peer, key: from_key };
        Ok(Self { noise, scene, key: key.public, caller, ephemeral: ours.public })
    }

    /// Who calls. It said so in a hello that may be an old one played again: let nothing follow
    /// from it but the decision whether to answer.
    #[must_use]
    pub const fn caller(&self) -> PeerId {
        self.caller.peer
    }

    /// Answers: the session and the reply to send.
    ///
    /// # Errors
    /// [`SessionError::BadKey`] where the caller's ephemeral key is of small order.
    pub fn answer(mut self, me: &SecretKey) -> Result<(Session, Vec<u8>), SessionError> {
        let binding = Binding {
            initiator: false,
            to: self.caller.peer,
            from_key: self.key,
            to_key: self.caller.key,
            ephemeral: self.ephemeral,
            transcript: noise::transcript(&self.noise),
        };
        let reply = say(&mut self.noise, &me.sign(self.scene.network, &binding))?;
        Ok((Session::new(self.noise, self.caller.peer)?, reply))
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Responder to {:?}", self.caller.peer)
    }
}

/// Writes the next handshake message around a signed binding.
fn say(noise: &mut HandshakeState, binding: &Signed<Binding>) -> Result<Vec<u8>, SessionError> {
    let mut message = vec![0; HANDSHAKE_MAX];
    let len = noise.write_message(&wire::encode(binding), &mut message)?;
    message.truncate(len);
    Ok(message)
}

/// Reads the next handshake message: the binding inside, unproven, and the ephemeral key in front.
fn hear(noise: &mut HandshakeState, message: &[u8]) -> Result<(Signed<Binding>, [u8; 32]), SessionError> {
    if message.len() > HANDSHAKE_MAX {
        return Err(SessionError::TooLong);
    }
    let ephemeral = *message.first_chunk().ok_or(SessionError::Damaged)?;
    let mut payload = vec![0; HANDSHAKE_MAX];
    let len = noise.read_message(message, &mut payload)?;
    let signed = wire::decode(&payload[..len]).map_err(|_| Unproven::Malformed)?;
    Ok((signed, ephemeral))
}

/// Checks that a binding is signed and says exactly what this handshake makes us expect.
fn prove(signed: Signed<Binding>, network: NetworkId, expected: &Binding) -> Result<PeerId, Unproven> {
    let proven = signed.verify(network)?;
    if proven.body() == expected { Ok(proven.signer()) } else { Err(Unproven::Forged) }
}

/// An open session: frames to and from one proven peer.
pub struct Session {
    noise: StatelessTransportState,
    peer: PeerId,
    /// The number of the next frame out.
    next_out: u64,
    /// The lowest number that the next frame in may have.
    next_in: u64,
}

impl Session {
    fn new(noise: HandshakeState, peer: PeerId) -> Result<Self, SessionError> {
        Ok(Self { noise: noise.into_stateless_transport_mode()?, peer, next_out: 0, next_in: 0 })
    }

    /// Who is on the other side.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Makes the next frame: its number in eight bytes, then the encrypted payload.
    ///
    /// # Errors
    /// [`SessionError::TooLong`] or [`SessionError::Exhausted`]; no number is used up.
    pub fn seal(&mut self, payload: &[u8]) -> Result<Vec<u8>, SessionError> {
        if payload.len() > PAYLOAD_MAX {
            return Err(SessionError::TooLong);
        }
        if self.next_out >= FRAMES_MAX {
            return Err(SessionError::Exhausted);
        }
        meter::count(Op::Aead, 1);
        let mut frame = vec![0; COUNTER_LEN + payload.len() + TAG_LEN];
        let (counter, sealed) = frame.split_at_mut(COUNTER_LEN);
        counter.copy_from_slice(&self.next_out.to_be_bytes());
        self.noise.write_message(self.next_out, payload, sealed)?;
        self.next_out += 1; // Below FRAMES_MAX.
        Ok(frame)
    }

    /// Opens a frame. Numbers only rise; where they jump, a frame went missing, which is for the
    /// requests inside to notice and for their sender to repeat.
    ///
    /// # Errors
    /// [`SessionError`]; the state of the session is as before.
    pub fn open(&mut self, frame: &[u8]) -> Result<Vec<u8>, SessionError> {
        if frame.len() > FRAME_MAX {
            return Err(SessionError::TooLong);
        }
        let (counter, sealed) = frame.split_first_chunk::<COUNTER_LEN>().ok_or(SessionError::Damaged)?;
        let counter = u64::from_be_bytes(*counter);
        if counter < self.next_in {
            return Err(SessionError::Replay { counter });
        }
        if counter >= FRAMES_MAX {
            return Err(SessionError::Exhausted);
        }
        let mut payload = vec![0; sealed.len().checked_sub(TAG_LEN).ok_or(SessionError::Damaged)?];
        meter::count(Op::Aead, 1);
        self.noise.read_message(counter, sealed, &mut payload)?;
        self.next_in = counter + 1; // Below FRAMES_MAX.
        Ok(payload)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session with {:?}", self.peer)
    }
}

#[cfg(test)]
mod tests;
