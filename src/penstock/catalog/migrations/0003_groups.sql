-- Consumer groups: what a coordinator must know after a restart.

CREATE TABLE consumer_groups (
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    PRIMARY KEY (project_id, name)
);
