-- Every change of a stream's partition count (5.1.5), and why.

CREATE TABLE scalings (
    scaling_id TEXT PRIMARY KEY,
    stream_id TEXT NOT NULL REFERENCES streams (stream_id) ON DELETE CASCADE,
    occurred_ms BIGINT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL
);

CREATE INDEX scalings_by_stream ON scalings (stream_id, occurred_ms);
