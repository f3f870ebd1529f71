-- The books. Amounts are micros, times are milliseconds since 1970, ids and hashes are bytes.
-- The checks repeat the rules of the ledger, so that no other program and no slip can break them.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL CHECK (value >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    id       BLOB    PRIMARY KEY CHECK (length(id) = 16),
    kind     INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 5),
    currency TEXT    NOT NULL CHECK (length(currency) = 3),
    owner    BLOB    CHECK (length(owner) = 32),
    frozen   INTEGER NOT NULL CHECK (frozen IN (0, 1)),
    debits   INTEGER NOT NULL CHECK (debits BETWEEN 0 AND 4611686018427387904),
    credits  INTEGER NOT NULL CHECK (credits BETWEEN 0 AND 4611686018427387904),
    held     INTEGER NOT NULL CHECK (held BETWEEN 0 AND 4611686018427387904),
    opened   INTEGER NOT NULL CHECK (opened >= 0),
    -- Kind 0 is the outside: the one whose debits may exceed its credits.
    CHECK (kind = 0 OR (debits + held <= credits AND credits - debits <= 72057594037927936))
) STRICT, WITHOUT ROWID;

CREATE TABLE holds (
    id        BLOB    PRIMARY KEY CHECK (length(id) = 16),
    account   BLOB    NOT NULL REFERENCES accounts (id),
    currency  TEXT    NOT NULL CHECK (length(currency) = 3),
    amount    INTEGER NOT NULL CHECK (amount > 0),
    rest      INTEGER NOT NULL CHECK (rest BETWEEN 0 AND amount),
    until     INTEGER NOT NULL CHECK (until >= 0),
    reference BLOB    NOT NULL CHECK (length(reference) = 32),
    state     INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
    -- State 0 is open: exactly then something is still set aside.
    CHECK ((state = 0) = (rest > 0))
) STRICT, WITHOUT ROWID;

CREATE INDEX holds_due ON holds (until, id) WHERE state = 0;

CREATE TABLE journal (
    seq   INTEGER PRIMARY KEY CHECK (seq > 0),
    id    BLOB UNIQUE CHECK (length(id) = 16),
    entry BLOB NOT NULL,
    hash  BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
