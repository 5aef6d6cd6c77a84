-- Apps and checkpoints (5.2, 5.3). Checkpoints go with their app and with their stream.

CREATE TABLE apps (
    app_id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    UNIQUE (project_id, name)
);

CREATE TABLE checkpoints (
    app_id TEXT NOT NULL REFERENCES apps (app_id) ON DELETE CASCADE,
    stream_id TEXT NOT NULL REFERENCES streams (stream_id) ON DELETE CASCADE,
    partition_number BIGINT NOT NULL,
    checkpoint_type TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    PRIMARY KEY (app_id, stream_id, partition_number, checkpoint_type)
);

CREATE INDEX checkpoints_by_stream ON checkpoints (stream_id);
