-- What is configured beside the way of a message. An owner of 0 is the tenant itself.
CREATE TABLE document (
    kind INTEGER NOT NULL,
    org TEXT NOT NULL,
    id INTEGER NOT NULL,
    owner INTEGER NOT NULL,
    name TEXT,
    forget_at_ms INTEGER,
    -- Under the master key.
    sealed BLOB NOT NULL,
    PRIMARY KEY (kind, org, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX document_by_shelf ON document (kind, org, owner, id);
CREATE UNIQUE INDEX document_by_name ON document (kind, org, owner, name) WHERE name IS NOT NULL;
CREATE INDEX document_by_owner ON document (owner) WHERE owner <> 0;
CREATE INDEX document_by_end ON document (forget_at_ms) WHERE forget_at_ms IS NOT NULL;

-- How far a sink, or a consumer of a poller, has come.
CREATE TABLE progress (
    owner INTEGER NOT NULL,
    name TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;

-- The ids grow with time, so rows append, and the old ones are at the beginning.
CREATE TABLE log_entry (
    id INTEGER PRIMARY KEY,
    log TEXT NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE INDEX log_entry_by_log ON log_entry (log, id);

-- What was sent in the span that begins at a time: five minutes, or an hour where it is old. Comes by way of `tail_log`, as counters do.
CREATE TABLE usage (
    application INTEGER NOT NULL,
    at_s INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    messages INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    success INTEGER NOT NULL,
    failure INTEGER NOT NULL,
    canceled INTEGER NOT NULL,
    PRIMARY KEY (application, at_s, event_type)
) STRICT, WITHOUT ROWID;
-- What is told apart within an hour, by its time.
CREATE INDEX usage_fine ON usage (at_s) WHERE at_s % 3600 <> 0;

-- Bodies of kept answers are sealed from now on; those that are not are good for twelve hours only.
DELETE FROM kept_answer;
