-- What is configured beside the way of a message: integrations, streams, sinks, settings. Sealed as a whole.
CREATE TABLE hookpost.document (
    kind smallint NOT NULL,
    org text NOT NULL,
    owner bigint NOT NULL, -- 0: the tenant itself
    id bigint NOT NULL,
    name text,
    data bytea NOT NULL,
    forget_at_ms bigint,
    PRIMARY KEY (kind, org, id),
    UNIQUE (kind, org, owner, name)
);
CREATE INDEX document_of_owner ON hookpost.document (owner, kind, org, id);
CREATE INDEX document_to_forget ON hookpost.document (forget_at_ms) WHERE forget_at_ms IS NOT NULL;

-- How far sinks and consumers came. Changed often, and in place.
CREATE TABLE hookpost.progress (
    of bigint NOT NULL,
    name bytea NOT NULL, -- text that somebody else chose, who may know characters that a text here cannot have
    data bytea, -- NULL: nothing yet; the row is there to be locked
    PRIMARY KEY (of, name)
) WITH (fillfactor = 50);

CREATE TABLE hookpost.log_entry (
    log text NOT NULL,
    id bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (log, id)
);
CREATE INDEX log_entry_by_age ON hookpost.log_entry (id);

-- What was sent, by application, event type and span of five minutes. As with deliveries each commit adds one row of changes, and they are folded into the
-- sums; those of hours (resolution 3600) are made of old ones of five minutes (300).
CREATE TABLE hookpost.usage_change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    applications bigint[] NOT NULL,
    spans integer[] NOT NULL, -- of five minutes, since 1970
    event_types text[] NOT NULL,
    messages integer[] NOT NULL,
    deliveries integer[] NOT NULL,
    success integer[] NOT NULL,
    failure integer[] NOT NULL,
    canceled integer[] NOT NULL
);
CREATE TABLE hookpost.usage_sum (
    application bigint NOT NULL,
    resolution_s smallint NOT NULL,
    begin_s bigint NOT NULL, -- since 1970
    event_type text COLLATE "C" NOT NULL,
    messages bigint NOT NULL,
    deliveries bigint NOT NULL,
    success bigint NOT NULL,
    failure bigint NOT NULL,
    canceled bigint NOT NULL,
    PRIMARY KEY (application, begin_s, resolution_s, event_type)
) WITH (fillfactor = 80);
CREATE INDEX usage_sum_by_age ON hookpost.usage_sum (resolution_s, begin_s);

-- Every message that this node will ever commit from now on has a greater id. 0 for those that do not know of it yet: as long as one of them lives, feeds
-- stand still.
ALTER TABLE hookpost.node ADD COLUMN settled_id bigint NOT NULL DEFAULT 0;

-- One row, once messages were asked for in their order: from then on nodes that begin go on after all messages that there are.
CREATE TABLE hookpost.feed (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    asked_at timestamptz NOT NULL
);

-- Bodies of kept answers are sealed from now on; those that are not are good for twelve hours only.
DELETE FROM hookpost.kept_answer;
