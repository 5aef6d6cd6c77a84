-- Groups, custom policies, what groups, users and agencies are granted, agencies, revoked tokens.

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

CREATE INDEX memberships_by_user ON memberships (user_id);

CREATE TABLE policies (
    policy_id TEXT PRIMARY KEY,
    domain_id TEXT NOT NULL REFERENCES domains (domain_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    UNIQUE (domain_id, name)
);

-- `subject` is `group:ID`, `user:ID` or `agency:ID`; `scope` is `project:ID`, `domain:ID`, `inherited:ID` or
-- `enterprise:ID`. `policy_id` may be that of a system-defined policy, which no table has.
CREATE TABLE grants (
    subject TEXT NOT NULL,
    scope TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL,
    PRIMARY KEY (subject, scope, policy_id)
);

CREATE INDEX grants_by_scope ON grants (scope);

CREATE INDEX grants_by_policy ON grants (policy_id);

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
    user_id TEXT NOT NULL,
    expires_ms BIGINT NOT NULL,
    document TEXT NOT NULL,
    checksum BIGINT NOT NULL
);

CREATE INDEX revoked_tokens_by_user ON revoked_tokens (user_id);
