-- Consumer groups: what a coordinator must know after a restart. A group goes with its app.

CREATE TABLE consumer_groups (
    app_id TEXT PRIMARY KEY REFERENCES apps (app_id) ON DELETE CASCADE,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL
);
