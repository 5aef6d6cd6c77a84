-- One-minute points (5.6), an hour of them in a row; events and their subscriptions (chapter 6).

CREATE TABLE metric_hours (
    stream_id TEXT NOT NULL REFERENCES streams (stream_id) ON DELETE CASCADE,
    partition_number BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    PRIMARY KEY (stream_id, partition_number, hour)
);

CREATE INDEX metric_hours_by_hour ON metric_hours (hour);

CREATE TABLE events (
    event_id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    occurred_ms BIGINT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL
);

CREATE INDEX events_by_project ON events (project_id, occurred_ms);

CREATE TABLE event_subscriptions (
    subscription_id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    UNIQUE (project_id, name)
);
