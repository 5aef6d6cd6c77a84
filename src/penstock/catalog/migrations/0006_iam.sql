-- Groups, custom policies, what groups are granted, agencies, revoked tokens.

CREATE TABLE user_groups (
    group_id TEXT PRIMARY KEY,
    domain_id TEXT NOT NULL REFERENCES domains (domain_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE memberships (
    group_id TEXT NOT NULL REFERENCES user_groups (group_id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    PRIMARY KEY (group_id, user_id)
);

CREATE TABLE policies (
    policy_id TEXT PRIMARY KEY,
    domain_id TEXT NOT NULL REFERENCES domains (domain_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    UNIQUE (domain_id, name)
);

-- `scope` is `project:ID`, `domain:ID`, `inherited:ID` or `enterprise:ID`.
CREATE TABLE grants (
    group_id TEXT NOT NULL REFERENCES user_groups (group_id) ON DELETE CASCADE,
    scope TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    PRIMARY KEY (group_id, scope, policy_id)
);

CREATE TABLE agencies (
    agency_id TEXT PRIMARY KEY,
    domain_id TEXT NOT NULL REFERENCES domains (domain_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE revoked_tokens (
    audit_id TEXT PRIMARY KEY,
    expires_ms BIGINT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL
);
