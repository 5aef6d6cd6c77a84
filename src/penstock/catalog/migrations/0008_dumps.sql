-- The round that a dump task is at, planned and not committed, and who runs the task. They go with it.

CREATE TABLE task_plans (
    task_id TEXT PRIMARY KEY REFERENCES tasks (task_id) ON DELETE CASCADE,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL
);

CREATE TABLE task_leases (
    task_id TEXT PRIMARY KEY REFERENCES tasks (task_id) ON DELETE CASCADE,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL
);
