CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE app_user (
    id TEXT PRIMARY KEY,
    username TEXT NOT NULL,
    username_key TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member')),
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE sign_in (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES app_user (id) ON DELETE CASCADE,
    token_hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    address TEXT,
    user_agent TEXT
);
CREATE INDEX sign_in_user ON sign_in (user_id);

CREATE TABLE connection (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES app_user (id) ON DELETE CASCADE,
    provider_id TEXT NOT NULL,
    label TEXT NOT NULL,
    auth_type TEXT NOT NULL CHECK (auth_type IN ('api', 'oauth')),
    status TEXT NOT NULL CHECK (status IN ('connected', 'expired', 'error', 'revoked')),
    error_message TEXT,
    verification_outcome TEXT,
    verification_detail TEXT,
    verified_at BIGINT,
    base_url TEXT,
    metadata_sealed BYTEA,
    is_default BIGINT NOT NULL CHECK (is_default IN (0, 1)),
    fingerprint TEXT NOT NULL,
    last_four TEXT NOT NULL,
    version BIGINT NOT NULL CHECK (version >= 1),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    CHECK ((verification_outcome IS NULL) = (verified_at IS NULL)),
    CHECK (status <> 'error' OR error_message IS NOT NULL)
);
CREATE UNIQUE INDEX connection_label ON connection (user_id, provider_id, label) WHERE status <> 'revoked';
CREATE UNIQUE INDEX connection_default ON connection (user_id, provider_id) WHERE is_default = 1 AND status <> 'revoked';

CREATE TABLE credential (
    id TEXT PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    key_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT,
    UNIQUE (connection_id, version)
);

CREATE TABLE project (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES app_user (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    slug TEXT NOT NULL UNIQUE,
    desired TEXT NOT NULL CHECK (desired IN ('running', 'stopped', 'deleted')),
    model_provider_id TEXT NOT NULL,
    model_id TEXT NOT NULL,
    workspace TEXT NOT NULL,
    home TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_active_at BIGINT NOT NULL
);
CREATE INDEX project_owner ON project (user_id, last_active_at);

CREATE TABLE project_connection (
    project_id TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    provider_id TEXT NOT NULL,
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    PRIMARY KEY (project_id, provider_id)
);

CREATE TABLE instance (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    observed TEXT NOT NULL CHECK (observed IN ('starting', 'healthy', 'unhealthy', 'exited')),
    pid BIGINT,
    pid_started BIGINT,
    boot_id TEXT,
    port BIGINT,
    password_sealed BYTEA,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    ending TEXT,
    CHECK ((observed = 'exited') = (ended_at IS NOT NULL)),
    CHECK (observed IN ('starting', 'exited') OR (pid IS NOT NULL AND port IS NOT NULL AND password_sealed IS NOT NULL))
);
CREATE UNIQUE INDEX instance_live ON instance (project_id) WHERE observed <> 'exited';

CREATE TABLE delivery (
    id TEXT PRIMARY KEY,
    instance_id TEXT NOT NULL REFERENCES instance (id) ON DELETE CASCADE,
    connection_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('direct')),
    status TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'stale', 'revoked', 'failed')),
    reason TEXT,
    updated_at BIGINT NOT NULL,
    UNIQUE (instance_id, provider_id)
);
CREATE INDEX delivery_connection ON delivery (connection_id);

CREATE TABLE session (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL UNIQUE REFERENCES project (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    agent_session_id TEXT,
    created_at BIGINT NOT NULL
);

CREATE TABLE message (
    id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    agent_message_id TEXT NOT NULL,
    ordinal BIGINT NOT NULL,
    speaker TEXT NOT NULL CHECK (speaker IN ('user', 'assistant')),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sending', 'sent', 'streaming', 'complete', 'interrupted', 'failed', 'aborted')),
    model_provider_id TEXT,
    model_id TEXT,
    connection_id TEXT,
    failure TEXT,
    sent_instance_id TEXT,
    sent_at BIGINT,
    created_at BIGINT NOT NULL,
    completed_at BIGINT,
    UNIQUE (session_id, agent_message_id),
    UNIQUE (session_id, ordinal),
    CHECK (state <> 'failed' OR failure IS NOT NULL),
    CHECK (speaker = 'user' OR state NOT IN ('waiting', 'sending', 'sent'))
);

CREATE TABLE part (
    id TEXT PRIMARY KEY,
    message_id TEXT NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    agent_part_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('text', 'reasoning', 'tool', 'notice')),
    text TEXT,
    tool TEXT,
    UNIQUE (message_id, agent_part_id),
    CHECK ((kind = 'tool') = (tool IS NOT NULL))
);

CREATE TABLE job (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL,
    project_id TEXT,
    payload TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'stuck')),
    direction TEXT NOT NULL CHECK (direction IN ('forward', 'undo')),
    after_job TEXT,
    retry_of TEXT,
    run_at BIGINT NOT NULL,
    claims BIGINT NOT NULL,
    crashes BIGINT NOT NULL,
    lease_until BIGINT,
    lease_token BIGINT NOT NULL,
    ordinal BIGINT NOT NULL,
    cancel_requested_at BIGINT,
    failure TEXT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CHECK ((state IN ('queued', 'running')) = (finished_at IS NULL)),
    CHECK (state NOT IN ('failed', 'stuck') OR failure IS NOT NULL)
);
CREATE UNIQUE INDEX job_running_subject ON job (subject) WHERE state = 'running';
CREATE INDEX job_due ON job (run_at, ordinal) WHERE state = 'queued';
CREATE INDEX job_ordinal ON job (ordinal);
CREATE INDEX job_live ON job (subject) WHERE state IN ('queued', 'running');
CREATE INDEX job_project ON job (project_id, created_at);
CREATE INDEX job_owner ON job (user_id, created_at);
CREATE INDEX job_finished ON job (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE job_step (
    job_id TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'undone', 'skipped')),
    attempts BIGINT NOT NULL,
    undo_attempts BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    undone_at BIGINT,
    detail TEXT,
    PRIMARY KEY (job_id, position)
);

CREATE TABLE job_log (
    job_id TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('info', 'warn', 'error')),
    text TEXT NOT NULL,
    PRIMARY KEY (job_id, sequence)
);

CREATE TABLE audit_event (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    noun TEXT NOT NULL,
    outcome TEXT NOT NULL,
    fingerprint TEXT,
    detail TEXT,
    request_id TEXT NOT NULL,
    address TEXT
);
CREATE INDEX audit_event_at ON audit_event (at);
CREATE INDEX audit_event_noun ON audit_event (noun, at);
