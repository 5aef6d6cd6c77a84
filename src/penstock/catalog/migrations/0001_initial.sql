-- The first catalog. Portable SQL: both stores apply these files, in order of their numbers, each in one transaction.
-- `document` is the JSON of the row's struct; the columns beside it exist for constraints and quotas and say the same.
-- `checksum` is the CRC32C of the table's name, the key and the document (catalog/rows.py).

CREATE TABLE schema_version (
    version BIGINT PRIMARY KEY,
    name TEXT NOT NULL
);

CREATE TABLE streams (
    stream_id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    stream_type TEXT NOT NULL,
    active_partitions BIGINT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    UNIQUE (project_id, name)
);

CREATE TABLE domains (
    domain_id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL
);

CREATE TABLE users (
    user_id TEXT PRIMARY KEY,
    domain_id TEXT NOT NULL REFERENCES domains (domain_id),
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE projects (
    project_id TEXT PRIMARY KEY,
    domain_id TEXT NOT NULL REFERENCES domains (domain_id),
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE access_keys (
    access_key TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (user_id),
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL
);

CREATE INDEX access_keys_by_user ON access_keys (user_id);

-- Sealed bytes in hexadecimal, which both stores keep alike.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL
);
