CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value ANY
) STRICT, WITHOUT ROWID;

-- One row per accepted message: all that accepting writes. The ids grow with time, so rows append.
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    application INTEGER NOT NULL,
    header BLOB NOT NULL,
    payload BLOB -- NULL once expunged
) STRICT;

-- Appears when a delivery first leaves Pending; carries its last attempt.
CREATE TABLE delivery (
    message INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (message, endpoint)
) STRICT, WITHOUT ROWID;

-- The attempts before the last one.
CREATE TABLE attempt (
    message INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    id INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (message, endpoint, id)
) STRICT, WITHOUT ROWID;

-- What is to be attempted at a time: retries, deliver_at, manual sends.
CREATE TABLE due (
    endpoint INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    message INTEGER NOT NULL,
    trigger INTEGER NOT NULL,
    PRIMARY KEY (endpoint, at_ms, message, trigger)
) STRICT, WITHOUT ROWID;

-- The one attempt by hand that is asked for of a delivery; it stands in `due` too.
CREATE TABLE manual (
    message INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (message, endpoint)
) STRICT, WITHOUT ROWID;

-- Endpoints whose pending deliveries from `cursor` on wait on disk. No row per delivery.
CREATE TABLE backlog (
    endpoint INTEGER PRIMARY KEY,
    cursor INTEGER NOT NULL
) STRICT;

-- Deliveries that were asked for after their message was routed elsewhere.
CREATE TABLE added_target (
    endpoint INTEGER NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (endpoint, message)
) STRICT, WITHOUT ROWID;

-- Pending deliveries below the low-water mark that no backlog covers: slow first attempts, few.
CREATE TABLE held (
    message INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    PRIMARY KEY (message, endpoint)
) STRICT, WITHOUT ROWID;

-- Per commit: what the in-memory tail of the lists, counters and keys got. Replayed at open, deleted when written in runs.
CREATE TABLE tail_log (
    seq INTEGER PRIMARY KEY,
    last_row_id INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    unfinished INTEGER NOT NULL,
    entries BLOB NOT NULL
) STRICT;

-- Sorted runs of row ids by owner: messages of an application, messages and attempts of an endpoint, payloads by time of expiry.
CREATE TABLE posting (
    kind INTEGER NOT NULL,
    owner INTEGER NOT NULL,
    first_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    ids BLOB NOT NULL,
    PRIMARY KEY (kind, owner, first_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE counter (
    endpoint INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    sending INTEGER NOT NULL,
    success INTEGER NOT NULL,
    fail INTEGER NOT NULL,
    canceled INTEGER NOT NULL,
    PRIMARY KEY (endpoint, minute)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    key BLOB PRIMARY KEY,
    message INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE kept_answer (
    key BLOB PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    status INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE event_id (
    application INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (application, event_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE application (
    id INTEGER PRIMARY KEY,
    org TEXT NOT NULL,
    uid TEXT,
    data BLOB NOT NULL
) STRICT;
CREATE INDEX application_by_org ON application (org, id);
CREATE UNIQUE INDEX application_by_uid ON application (org, uid) WHERE uid IS NOT NULL;

CREATE TABLE endpoint (
    id INTEGER PRIMARY KEY,
    application INTEGER NOT NULL,
    uid TEXT,
    data BLOB NOT NULL,
    -- Signing secrets and the values of custom headers, under the master key.
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX endpoint_by_application ON endpoint (application, id);
CREATE UNIQUE INDEX endpoint_by_uid ON endpoint (application, uid) WHERE uid IS NOT NULL;

-- Deleted endpoints: their unfinished deliveries read as canceled, without a row each.
CREATE TABLE endpoint_gone (
    endpoint INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE health (
    endpoint INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE event_type (
    org TEXT NOT NULL,
    name TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_key (
    id INTEGER PRIMARY KEY,
    org TEXT NOT NULL,
    key_sha256 BLOB NOT NULL UNIQUE,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE revocation (
    target BLOB PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    forget_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE task (
    id INTEGER PRIMARY KEY,
    org TEXT NOT NULL,
    status TEXT NOT NULL,
    kind TEXT NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE INDEX task_by_org ON task (org, id);
