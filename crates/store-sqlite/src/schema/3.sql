-- Verified doors for incoming webhooks.
CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    org TEXT NOT NULL,
    uid TEXT,
    pulled INTEGER NOT NULL, -- 1: it is asked, for nobody calls
    data BLOB NOT NULL,
    -- Secrets of its provider, tokens and rules, under the master key.
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX source_by_org ON source (org, id);
CREATE UNIQUE INDEX source_by_uid ON source (org, uid) WHERE uid IS NOT NULL;
CREATE INDEX source_pulled ON source (id) WHERE pulled = 1;

-- What stands in the URL of a source, and stood there before a rotation.
CREATE TABLE source_token (
    sha256 BLOB PRIMARY KEY,
    source INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX source_token_of_source ON source_token (source);

-- How far a source has come that is asked.
CREATE TABLE source_state (
    source INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

-- One row per request at a source. The ids grow with time, so rows append; the list of a source is a posting list.
CREATE TABLE receipt (
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL,
    data BLOB NOT NULL,
    body BLOB -- NULL: it is the payload of the message that was made of it, or was not kept
) STRICT;

CREATE TABLE receipt_counter (
    source INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    duplicate INTEGER NOT NULL,
    handshake INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    PRIMARY KEY (source, minute)
) STRICT, WITHOUT ROWID;

-- Keys of events live longer than those of requests to the API, each for as long as its source says: runs are of a class, and go when the last of their keys may.
CREATE TABLE key_run_by_class (
    run INTEGER PRIMARY KEY,
    class INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    keys INTEGER NOT NULL
) STRICT;
INSERT INTO key_run_by_class (run, class, generation, until_ms, keys)
    SELECT run, 0, generation, newest_ms + 12 * 3600 * 1000, keys FROM key_run;
DROP TABLE key_run;
ALTER TABLE key_run_by_class RENAME TO key_run;
