//! Test vectors: what was sealed, derived and logged once must stay readable for ever.
//!
//! `vectors/make.py` computes them from the standards, not from this crate.

use std::collections::BTreeSet;
use std::path::PathBuf;

use farthing_core::amount::Currency;
use farthing_core::audit::{AuditLog, Direction, Event};
use farthing_core::id::{NetworkId, PeerId};
use farthing_core::seal::{Content, SealKey, Sealed};
use farthing_core::seed::{KeyPurpose, Seed, SeedError, Which};
use farthing_core::vault::{self, Cost, Passphrase, Protection};
use farthing_core::wire;
use serde_json::Value;

const BIP39: &str = "bip39.json";
const KEYS: &str = "keys.json";
const SEAL: &str = "seal.json";
const VAULT: &str = "vault.json";
const AUDIT: &str = "audit.json";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn read(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn cases(value: &Value) -> &[Value] {
    let cases = value.as_array().unwrap();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn seeds_and_words_are_those_of_bip_39() {
    let vectors = read(BIP39);
    for case in cases(&vectors["cases"]) {
        let (entropy, words) = (array(&case["entropy"]), case["words"].as_str().unwrap());
        assert_eq!(Seed::from_entropy(entropy).words().expose(), words);
        let same = |seed: &Seed| *seed.derive(KeyPurpose::Vault, Which::Nth(0)).expose();
        assert_eq!(same(&Seed::parse(words).unwrap()), same(&Seed::from_entropy(entropy)));
    }
    for case in cases(&vectors["refused"]) {
        let why = match Seed::parse(case["words"].as_str().unwrap()).unwrap_err() {
            SeedError::Count { found } => format!("{found} words"),
            SeedError::UnknownWord { word } => format!("unknown word {word}"),
            SeedError::Checksum => "checksum".to_owned(),
        };
        assert_eq!(why, case["error"].as_str().unwrap());
    }
}

#[test]
fn a_seed_gives_the_keys_it_always_gave() {
    let vectors = read(KEYS);
    let seed = Seed::from_entropy(array(&vectors["entropy"]));
    let mut seen = BTreeSet::new();
    for case in cases(&vectors["keys"]) {
        let purpose = match case["purpose"].as_str().unwrap() {
            "identity" => KeyPurpose::Identity,
            "seal" => KeyPurpose::Seal,
            "session" => KeyPurpose::Session,
            "chain-signer" => KeyPurpose::ChainSigner,
            "chain-seed" => KeyPurpose::ChainSeed,
            "vault" => KeyPurpose::Vault,
            "transport" => KeyPurpose::Transport,
            other => panic!("nobody knows the purpose {other}"),
        };
        seen.insert(format!("{purpose:?}"));
        let named = case.get("for").map(bytes);
        let which = named.as_deref().map_or_else(|| Which::Nth(case["nth"].as_u64().unwrap()), Which::For);
        assert_eq!(*seed.derive(purpose, which).expose(), array::<32>(&case["key"]), "{case}");
    }
    assert_eq!(seen.len(), KeyPurpose::ALL.len(), "a purpose has no vector");
    assert_eq!(seed.identity().id(), PeerId(array(&vectors["identity"])));
    assert_eq!(seed.seal(0).public().0, array::<32>(&vectors["seal"]));
    assert_eq!(seed.session(0).public().0, array::<32>(&vectors["session"]));
}

#[derive(minicbor::Encode, minicbor::Decode)]
struct Note(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>);
impl Content for Note {
    const KIND: u16 = 0xfff2;
}

#[test]
fn a_message_sealed_by_another_implementation_opens() {
    let vector = read(SEAL);
    assert_eq!(vector["kind"], Note::KIND);
    let sealed: Sealed<Note> = wire::decode(&bytes(&vector["sealed"])).unwrap();
    let note = SealKey::from_seed(&array(&vector["seed"])).open(NetworkId(array(&vector["network"])), &sealed);
    assert_eq!(note.unwrap().0, bytes(&vector["note"]));
}

#[test]
fn vaults_sealed_by_another_implementation_open() {
    for case in cases(&read(VAULT)["cases"]) {
        let protection = case["passphrase"].as_str().map_or(Protection::None, |passphrase| {
            Protection::Passphrase(Passphrase::new(passphrase.to_owned()).unwrap(), Cost::STANDARD)
        });
        let vault = bytes(&case["vault"]);
        assert_eq!(vault::asks_for_passphrase(&vault).unwrap(), case["passphrase"].is_string());
        assert_eq!(*vault::open(&vault, &protection).unwrap(), bytes(&case["secret"]));
    }
}

#[test]
fn an_audit_log_has_the_heads_it_always_had() {
    let vectors = read(AUDIT);
    let mut log = AuditLog::new(PeerId(array(&vectors["owner"])));
    for step in cases(&vectors["steps"]) {
        let direction = if step["direction"] == "out" { Direction::Out } else { Direction::In };
        let (next, entry) = log
            .append(Event {
                kind: step["kind"].as_u64().unwrap().try_into().unwrap(),
                reference: array(&step["reference"]),
                peer: PeerId(array(&vectors["peer"])),
                amount: Currency::XTS.micros(step["micros"].as_u64().unwrap()).unwrap(),
                direction,
            })
            .unwrap();
        log = next;
        assert_eq!(wire::encode(&entry), bytes(&step["entry"]));
        let chain = if direction == Direction::Out { log.outgoing } else { log.incoming };
        assert_eq!(chain.head, array(&step["head"]));
        assert_eq!(log.commitment(), array(&step["commitment"]));
    }
}

#[test]
fn no_vector_lies_unread() {
    let found: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "make.py")
        .collect();
    assert_eq!(found, [BIP39, KEYS, SEAL, VAULT, AUDIT].map(str::to_owned).into());
}
