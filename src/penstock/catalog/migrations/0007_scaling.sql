-- Every change of a stream's partition count (5.1.5), counted from 1. They go with their stream.

CREATE TABLE scalings (
    stream_id TEXT NOT NULL REFERENCES streams (stream_id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    PRIMARY KEY (stream_id, number)
);
