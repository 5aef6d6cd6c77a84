-- One-minute points (5.6), ten minutes of them in a row; events, their subscriptions and what is still to be delivered
-- (chapter 6).

CREATE TABLE metric_blocks (
    stream_id TEXT NOT NULL REFERENCES streams (stream_id) ON DELETE CASCADE,
    partition_number BIGINT NOT NULL,
    block BIGINT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    PRIMARY KEY (stream_id, partition_number, block)
);

CREATE INDEX metric_blocks_by_block ON metric_blocks (block);

CREATE TABLE events (
    event_id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL
);

CREATE INDEX events_by_project ON events (project_id, event_id);

CREATE TABLE event_subscriptions (
    subscription_id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    UNIQUE (project_id, name)
);

CREATE TABLE event_deliveries (
    subscription_id TEXT NOT NULL REFERENCES event_subscriptions (subscription_id) ON DELETE CASCADE,
    event_id TEXT NOT NULL REFERENCES events (event_id) ON DELETE CASCADE,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    PRIMARY KEY (subscription_id, event_id)
);

CREATE INDEX event_deliveries_by_event ON event_deliveries (event_id);
