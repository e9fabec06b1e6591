-- The audit log becomes a chain: each event has a number without gaps and a hash over the one before it and itself.
-- What was written before is linked by the program, in this same transaction (`audit::chain_older`).
ALTER TABLE audit_event RENAME TO audit_event_unchained;
DROP INDEX audit_event_at;
DROP INDEX audit_event_noun;

CREATE TABLE audit_event (
    seq BIGINT PRIMARY KEY,
    id TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    user_id TEXT,
    action TEXT NOT NULL,
    noun TEXT NOT NULL,
    project_id TEXT,
    outcome TEXT NOT NULL,
    fingerprint TEXT,
    detail TEXT,
    request_id TEXT NOT NULL,
    address TEXT,
    hash TEXT NOT NULL
);
-- One pair for each way to ask: alone, and together with an action.
CREATE INDEX audit_event_action ON audit_event (action, seq);
CREATE INDEX audit_event_noun ON audit_event (noun, seq);
CREATE INDEX audit_event_noun_action ON audit_event (noun, action, seq);
CREATE INDEX audit_event_project ON audit_event (project_id, seq) WHERE project_id IS NOT NULL;
CREATE INDEX audit_event_project_action ON audit_event (project_id, action, seq) WHERE project_id IS NOT NULL;
CREATE INDEX audit_event_user ON audit_event (user_id, seq) WHERE user_id IS NOT NULL;
CREATE INDEX audit_event_user_action ON audit_event (user_id, action, seq) WHERE user_id IS NOT NULL;
CREATE INDEX audit_event_actor ON audit_event (actor, seq);
CREATE INDEX audit_event_actor_action ON audit_event (actor, action, seq);

-- The number and hash of the newest event, so that one taken off the end is missed.
CREATE TABLE audit_head (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO audit_head (id, seq, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- Answers that a version of a Connection paid for in a Project since an audit event last told of them.
CREATE TABLE connection_use (
    connection_id TEXT NOT NULL REFERENCES connection (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    project_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    fingerprint TEXT,
    told_at BIGINT NOT NULL,
    waiting BIGINT NOT NULL CHECK (waiting >= 0),
    PRIMARY KEY (connection_id, version, project_id)
);
CREATE INDEX connection_use_waiting ON connection_use (told_at) WHERE waiting > 0;
