-- What was brought over from somewhere else, and what became of it here. A row outlives its noun: what a person
-- deleted or disconnected afterwards doesn't come back with a second import.

CREATE TABLE imported (
    source TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('user', 'key', 'project')),
    old_id TEXT NOT NULL,
    noun_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (source, kind, old_id)
);
