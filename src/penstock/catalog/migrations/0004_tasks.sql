-- Dump tasks (5.5) and how far each has got. Secrets in the document are sealed. They go with their stream.

CREATE TABLE tasks (
    task_id TEXT PRIMARY KEY,
    stream_id TEXT NOT NULL REFERENCES streams (stream_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    UNIQUE (stream_id, name)
);

CREATE TABLE task_positions (
    task_id TEXT NOT NULL REFERENCES tasks (task_id) ON DELETE CASCADE,
    partition_number BIGINT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    PRIMARY KEY (task_id, partition_number)
);
