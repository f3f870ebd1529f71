-- Times are milliseconds since 1970, prices are micros.
CREATE TABLE sellers (
    id            INTEGER PRIMARY KEY,
    key           BLOB    NOT NULL UNIQUE CHECK (length(key) = 32),
    listings      INTEGER NOT NULL DEFAULT 0 CHECK (listings >= 0), -- rows kept, withdrawn ones included
    withdrawn     INTEGER NOT NULL DEFAULT 0, -- serial of the latest withdrawal of everything
    serial        INTEGER NOT NULL DEFAULT 0, -- of the latest presence
    present_until INTEGER NOT NULL DEFAULT 0, -- by the index's own clock
    presence      BLOB                        -- the latest, as signed
) STRICT;
CREATE INDEX sellers_by_presence ON sellers (present_until);

CREATE TABLE listings (
    id       INTEGER PRIMARY KEY,
    seller   INTEGER NOT NULL REFERENCES sellers (id),
    content  BLOB    NOT NULL CHECK (length(content) = 32),
    serial   INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    currency TEXT    NOT NULL,
    price    INTEGER NOT NULL CHECK (price >= 0),
    signed   BLOB,                            -- the listing as signed; NULL once withdrawn
    UNIQUE (seller, content)
) STRICT;
CREATE INDEX listings_by_content ON listings (content, currency, price, id);
CREATE INDEX listings_by_expiry ON listings (expires);

-- The words of every listing that is not withdrawn, under the listing's id.
CREATE VIRTUAL TABLE words USING fts5 (
    title, description, tags, media,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
