-- Verified doors for incoming webhooks.
CREATE TABLE hookpost.source (
    id bigint PRIMARY KEY,
    org text NOT NULL,
    uid text,
    pulled boolean NOT NULL, -- it is asked, for nobody calls
    data bytea NOT NULL,
    sealed bytea NOT NULL,
    UNIQUE (org, uid)
);
CREATE INDEX source_of_org ON hookpost.source (org, id);
CREATE INDEX source_pulled ON hookpost.source (id) WHERE pulled;

-- What stands in the URL of a source, and stood there before a rotation.
CREATE TABLE hookpost.source_token (
    sha256 bytea PRIMARY KEY,
    source bigint NOT NULL
);
CREATE INDEX source_token_of_source ON hookpost.source_token (source);

-- How far a source has come that is asked.
CREATE TABLE hookpost.source_state (
    source bigint PRIMARY KEY,
    data bytea NOT NULL
) WITH (fillfactor = 50);

-- What told events apart, each for as long as its source says.
CREATE TABLE hookpost.event_key (
    key bytea PRIMARY KEY,
    message bigint NOT NULL,
    created_at_ms bigint NOT NULL, -- of the message
    window_ms bigint NOT NULL,
    until_ms bigint NOT NULL
);
CREATE INDEX event_key_by_end ON hookpost.event_key (until_ms);

-- Receipts are partitioned by their own ids, and so by the day on which they came: they are kept for another time than messages. The bounds of the partitions
-- receipt_p<milliseconds of the first id>:
CREATE TABLE hookpost.receipt_partition (
    from_id bigint PRIMARY KEY,
    until_id bigint NOT NULL
);

CREATE TABLE hookpost.receipt (
    id bigint NOT NULL,
    source bigint NOT NULL,
    data bytea NOT NULL,
    body bytea, -- NULL: it is the payload of the message that was made of it, or was not kept
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX receipt_of_source ON hookpost.receipt (source, id);
ALTER TABLE hookpost.receipt ALTER COLUMN body SET STORAGE EXTERNAL;

-- Receipts are counted with deliveries: in the place of the endpoint stands the source, and verdicts have statuses from 16 on.
