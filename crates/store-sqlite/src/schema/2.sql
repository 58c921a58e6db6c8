-- Idempotency keys in sorted runs, so that forgetting them costs nothing per key: see keys.rs.
CREATE TABLE key_block (
    run INTEGER NOT NULL,
    first BLOB NOT NULL,
    entries BLOB NOT NULL, -- key, message, time; 16, 8 and 8 bytes
    PRIMARY KEY (run, first)
) STRICT, WITHOUT ROWID;

-- A run that is complete. Those made here have negative numbers, later ones that of the tail they were.
CREATE TABLE key_run (
    run INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    newest_ms INTEGER NOT NULL,
    keys INTEGER NOT NULL
) STRICT;

-- Of the generations that take no more keys; the others are made from their runs at open.
CREATE TABLE key_filter (
    generation INTEGER PRIMARY KEY,
    bits BLOB NOT NULL
) STRICT;

CREATE TABLE numbered_key AS
    SELECT key, message, at_ms, row_number() OVER (ORDER BY key) - 1 AS n
    FROM idempotency
    WHERE at_ms > (SELECT max(at_ms) FROM idempotency) - 12 * 3600 * 1000;

INSERT INTO key_block (run, first, entries)
    SELECT -1 - n / 262144, min(key), unhex(group_concat(hex(key) || printf('%016X%016X', message, at_ms), '' ORDER BY n))
    FROM numbered_key
    GROUP BY n / 262144, n % 262144 / 30;

INSERT INTO key_run (run, generation, newest_ms, keys)
    SELECT -1 - n / 262144, 1 + n / 262144, max(at_ms), count(*)
    FROM numbered_key
    GROUP BY n / 262144;

DROP TABLE numbered_key;
DROP TABLE idempotency;

-- Kept answers are forgotten by their time.
CREATE INDEX kept_answer_by_time ON kept_answer (at_ms);
