"""Makes the vectors of this folder (all but bip39.json, which is BIP-39's) a second time, from the
standards and not from our code: HKDF (RFC 5869), HPKE (RFC 9180), Argon2id (RFC 9106), XChaCha20
(draft-irtf-cfrg-xchacha-03), Ed25519 and canonical CBOR. Needs Python's `cryptography` >= 44.

A vector that no longer fits means that somebody's keys, vault or log are lost: mend the code, not
the vector.
"""
import hashlib, hmac, json, pathlib, struct
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

HERE = pathlib.Path(__file__).parent


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=2) + "\n")


def extract(salt, ikm):
    return hmac.new(salt, ikm, hashlib.sha256).digest()


def expand(prk, info, length):
    out, block, n = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([n]), hashlib.sha256).digest()
        out, n = out + block, n + 1
    return out[:length]


def cbor(value):
    def head(major, n):
        if n < 24:
            return bytes([major << 5 | n])
        for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
            if n < 1 << 8 * size:
                return bytes([major << 5 | code]) + n.to_bytes(size, "big")

    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value)) + value.encode()
    return head(4, len(value)) + b"".join(map(cbor, value))


def parts(*items):
    return b"".join(struct.pack(">Q", len(item)) + item for item in items)


# keys.json: one seed, many keys.

def derive(seed, purpose, tag, context):
    info = parts(b"farthing/v1/key/" + purpose, tag, context)
    return expand(extract(b"farthing/v1/seed", seed), info, 32)


SEED = bytes(range(32))
PURPOSES = ["identity", "seal", "session", "chain-signer", "chain-seed", "vault", "transport"]
keys = []
for purpose in PURPOSES:
    for n in (0, 1, 2**40):
        key = derive(SEED, purpose.encode(), b"n", struct.pack(">Q", n))
        keys.append({"purpose": purpose, "nth": n, "key": key.hex()})
    key = derive(SEED, purpose.encode(), b"for", b"a chain")
    keys.append({"purpose": purpose, "for": b"a chain".hex(), "key": key.hex()})


# HPKE, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.

KEM_SUITE = b"KEM" + struct.pack(">H", 0x0020)
SUITE = b"HPKE" + struct.pack(">HHH", 0x0020, 0x0001, 0x0003)


def labeled_extract(suite, salt, label, ikm):
    return extract(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, length):
    return expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info, length)


def keypair(ikm):
    sk = labeled_expand(KEM_SUITE, labeled_extract(KEM_SUITE, b"", b"dkp_prk", ikm), b"sk", b"", 32)
    sk = X25519PrivateKey.from_private_bytes(sk)
    return sk, sk.public_key().public_bytes_raw()


def hpke_seal(to, info, aad, plain, ephemeral_ikm):
    sk, enc = keypair(ephemeral_ikm)
    dh = sk.exchange(X25519PublicKey.from_public_bytes(to))
    eae = labeled_extract(KEM_SUITE, b"", b"eae_prk", dh)
    shared = labeled_expand(KEM_SUITE, eae, b"shared_secret", enc + to, 32)
    context = b"\0" + labeled_extract(SUITE, b"", b"psk_id_hash", b"") + labeled_extract(SUITE, b"", b"info_hash", info)
    secret = labeled_extract(SUITE, shared, b"secret", b"")
    key = labeled_expand(SUITE, secret, b"key", context, 32)
    nonce = labeled_expand(SUITE, secret, b"base_nonce", context, 12)
    return enc, ChaCha20Poly1305(key).encrypt(nonce, plain, aad)


identity = Ed25519PrivateKey.from_private_bytes(derive(SEED, b"identity", b"n", bytes(8)))
write("keys.json", {
    "entropy": SEED.hex(),
    "keys": keys,
    "identity": identity.public_key().public_bytes_raw().hex(),
    "seal": keypair(derive(SEED, b"seal", b"n", bytes(8)))[1].hex(),
    "session": keypair(derive(SEED, b"session", b"n", bytes(8)))[1].hex(),
})

NETWORK, KIND, NOTE = bytes([7] * 16), 0xFFF2, b"pay the ferryman"
_, reader = keypair(bytes([1] * 32))
kind = struct.pack(">H", KIND)
enc, ct = hpke_seal(reader, b"farthing/v1/sealed" + kind, kind + reader + NETWORK, cbor([NOTE]), bytes([9] * 32))
write("seal.json", {
    "seed": bytes([1] * 32).hex(), "network": NETWORK.hex(), "kind": KIND, "note": NOTE.hex(),
    "sealed": cbor([reader, enc, ct]).hex(),
})


# vault.json

def hchacha20(key, nonce):
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            s[z] ^= s[x]
            s[z] = (s[z] << turn | s[z] >> 32 - turn) & 0xFFFFFFFF

    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(a, b, c, d)
    return struct.pack("<8I", *s[:4], *s[12:])


def vault(secret, key, lock):
    nonce = bytes(range(24))
    head = ["farthing vault", 1, lock, nonce]
    sealed = ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], secret, cbor(head))
    return cbor([head, sealed]).hex()


SALT, SECRET = bytes([3] * 16), b"the secret of thirty-two bytes.."
cases = [{"passphrase": None, "secret": SECRET.hex(),
          "vault": vault(SECRET, b"farthing/v1/vault without a lock", None)}]
for memory, passes, lanes in ((64, 1, 1), (256, 3, 2)):
    key = Argon2id(salt=SALT, length=32, iterations=passes, lanes=lanes, memory_cost=memory).derive("pässword".encode())
    cases.append({"passphrase": "pässword", "secret": SECRET.hex(),
                  "vault": vault(SECRET, key, [SALT, [memory, passes, lanes]])})
write("vault.json", {"cases": cases})


# audit.json

def purpose_hash(purpose, *items):
    return hashlib.sha256(parts(b"farthing/v1/" + purpose, *items)).digest()


OWNER, PEER = bytes([1] * 32), bytes([2] * 32)
heads = [purpose_hash(b"audit/entry", OWNER, cbor(direction)) for direction in (0, 1)]
counts, steps = [0, 0], []
for i, (direction, micros) in enumerate([(0, 500), (1, 70_000), (0, 12_000_000), (0, 1), (1, 2**56)]):
    reference = bytes([i] * 32)
    counts[direction] += 1
    entry = cbor([counts[direction], 0x0100 + i, reference, PEER, [b"XTS", micros], direction])
    heads[direction] = purpose_hash(b"audit/entry", heads[direction], entry)
    n = [struct.pack(">Q", count) for count in counts]
    steps.append({
        "direction": ["out", "in"][direction], "kind": 0x0100 + i, "reference": reference.hex(), "micros": micros,
        "entry": entry.hex(), "head": heads[direction].hex(),
        "commitment": purpose_hash(b"audit/commitment", heads[0], n[0], heads[1], n[1]).hex(),
    })
write("audit.json", {"owner": OWNER.hex(), "peer": PEER.hex(), "steps": steps})
