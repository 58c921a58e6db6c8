-- Everything stands in a schema of its own. Times are milliseconds since 1970 where they are compared with what callers say, and timestamptz
-- where only the clock of the database counts. Ids are the row ids of hookpost-domain: they grow with time and end with the number of the node that
-- made them.

CREATE TABLE hookpost.meta (
    name text PRIMARY KEY,
    value bytea NOT NULL
);

-- The living nodes. Who takes a node's row away ends all its leases with it.
CREATE TABLE hookpost.node (
    holder bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- one life of one node: leases name it
    number smallint NOT NULL UNIQUE CHECK (number BETWEEN 0 AND 255),
    name text NOT NULL,
    alive_until timestamptz NOT NULL,
    -- Messages that it accepted from here on may have pending deliveries without a row: it holds them in memory.
    implied_from bigint NOT NULL,
    last_row_id bigint NOT NULL,
    -- Counts the connections that were lost while they accepted: what such a one has left to do is not done any more.
    accept_epoch integer NOT NULL DEFAULT 0
);

-- Numbers of nodes that are gone: not given again soon, and then with greater ids only.
CREATE TABLE hookpost.node_number (
    number smallint PRIMARY KEY,
    last_row_id bigint NOT NULL,
    freed_at timestamptz NOT NULL
);

-- Which node serves what only one may serve: an endpoint with an order, a limit or an open circuit; an application with a rate; a task; retention.
CREATE TABLE hookpost.owner (
    scope bigint PRIMARY KEY,
    holder bigint NOT NULL
);

CREATE TABLE hookpost.application (
    id bigint PRIMARY KEY,
    org text NOT NULL,
    uid text,
    data bytea NOT NULL,
    UNIQUE (org, uid)
);
CREATE INDEX application_of_org ON hookpost.application (org, id);

CREATE TABLE hookpost.endpoint (
    id bigint PRIMARY KEY,
    application bigint NOT NULL,
    uid text,
    data bytea NOT NULL,
    sealed bytea NOT NULL,
    UNIQUE (application, uid)
);
CREATE INDEX endpoint_of_application ON hookpost.endpoint (application, id);

-- Only of endpoints that are not simply well.
CREATE TABLE hookpost.health (
    endpoint bigint PRIMARY KEY,
    application bigint NOT NULL,
    data bytea NOT NULL
);

CREATE TABLE hookpost.event_type (
    org text NOT NULL,
    name text COLLATE "C" NOT NULL,
    archived boolean NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (org, name)
);

CREATE TABLE hookpost.api_key (
    id bigint PRIMARY KEY,
    org text NOT NULL,
    key_sha256 bytea NOT NULL UNIQUE,
    data bytea NOT NULL
);

CREATE TABLE hookpost.revocation (
    target text PRIMARY KEY,
    at_ms bigint NOT NULL,
    forget_at_ms bigint NOT NULL
);

CREATE TABLE hookpost.task (
    id bigint PRIMARY KEY,
    org text NOT NULL,
    running boolean NOT NULL,
    data bytea NOT NULL
);
CREATE INDEX task_of_org ON hookpost.task (org, id);
CREATE INDEX task_running ON hookpost.task (id) WHERE running;

-- What changed lately, for the memories of the other nodes.
CREATE TABLE hookpost.change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind smallint NOT NULL,
    key bytea NOT NULL
);
CREATE INDEX change_at ON hookpost.change (at);

CREATE TABLE hookpost.idempotency_key (
    key bytea PRIMARY KEY,
    message bigint NOT NULL,
    created_at_ms bigint NOT NULL, -- of the message
    kept_at_ms bigint NOT NULL
);
CREATE INDEX idempotency_key_by_age ON hookpost.idempotency_key (kept_at_ms);

CREATE TABLE hookpost.kept_answer (
    key bytea PRIMARY KEY,
    status smallint NOT NULL,
    body bytea NOT NULL,
    kept_at_ms bigint NOT NULL
);
CREATE INDEX kept_answer_by_age ON hookpost.kept_answer (kept_at_ms);

CREATE TABLE hookpost.event_id (
    application bigint NOT NULL,
    event_id text NOT NULL,
    message bigint NOT NULL,
    PRIMARY KEY (application, event_id)
);
CREATE INDEX event_id_by_age ON hookpost.event_id (message);

-- History is partitioned by the id of the message, and so by the day on which it was accepted. The bounds of the partitions
-- <table>_p<milliseconds of the first id>, from the first id to the first beyond:
CREATE TABLE hookpost.partition (
    from_id bigint PRIMARY KEY,
    until_id bigint NOT NULL
);

CREATE TABLE hookpost.message (
    id bigint NOT NULL,
    application bigint NOT NULL,
    targets bigint[] NOT NULL,
    header bytea NOT NULL,
    payload bytea, -- NULL once expunged
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX message_of_application ON hookpost.message (application, id);
ALTER TABLE hookpost.message ALTER COLUMN payload SET STORAGE EXTERNAL;

-- A delivery has no row while it is pending in the hands of the node that accepted its message; it gets one when it leaves that state, when it
-- waits on disk, and when its node holds it for more than a moment.
CREATE TABLE hookpost.delivery (
    message bigint NOT NULL,
    endpoint bigint NOT NULL,
    state smallint NOT NULL, -- 0 pending, 1 waiting, 2 delivered, 3 dead, 4 canceled
    reason smallint,
    due_at_ms bigint,
    attempts integer NOT NULL,
    scheduled_attempts integer NOT NULL,
    PRIMARY KEY (message, endpoint)
) PARTITION BY RANGE (message);
CREATE INDEX delivery_of_endpoint ON hookpost.delivery (endpoint, message);

CREATE TABLE hookpost.attempt (
    message bigint NOT NULL,
    id bigint NOT NULL,
    endpoint bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (message, id)
) PARTITION BY RANGE (message);
CREATE INDEX attempt_of_endpoint ON hookpost.attempt (endpoint, id);

-- Deliveries with a row that have something to come: unfinished ones, and those that somebody asked to send again.
CREATE TABLE hookpost.queue (
    endpoint bigint NOT NULL,
    message bigint NOT NULL,
    application bigint NOT NULL,
    pending boolean NOT NULL, -- never scheduled for a time: to be claimed in the order of the messages
    scheduled_at_ms bigint,
    manual_at_ms bigint,
    next_at_ms bigint, -- the lesser of the two
    attempts integer NOT NULL,
    scheduled_attempts integer NOT NULL,
    holder bigint, -- leased
    lease bigint,
    leased_manual_at_ms bigint, -- the lease serves this request
    PRIMARY KEY (endpoint, message)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queue_backlog ON hookpost.queue (endpoint, message) WHERE holder IS NULL AND pending;
CREATE INDEX queue_timed ON hookpost.queue (endpoint, next_at_ms, message) WHERE holder IS NULL AND next_at_ms IS NOT NULL;
CREATE INDEX queue_leased ON hookpost.queue (holder) WHERE holder IS NOT NULL;

-- Payloads by the minute in which they may go; one row per commit and minute.
CREATE TABLE hookpost.payload_expiry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    minute integer NOT NULL,
    messages bigint[] NOT NULL
);
CREATE INDEX payload_expiry_by_minute ON hookpost.payload_expiry (minute, id);

-- Deliveries by status, per endpoint and minute of the message. Each commit adds one row of changes; they are folded into the sums now and then.
CREATE TABLE hookpost.count_change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoints bigint[] NOT NULL,
    minutes integer[] NOT NULL,
    statuses smallint[] NOT NULL,
    changes integer[] NOT NULL
);
CREATE TABLE hookpost.count_sum (
    endpoint bigint NOT NULL,
    minute integer NOT NULL,
    status smallint NOT NULL,
    deliveries bigint NOT NULL,
    PRIMARY KEY (endpoint, minute, status)
);
CREATE INDEX count_sum_by_age ON hookpost.count_sum (minute);
