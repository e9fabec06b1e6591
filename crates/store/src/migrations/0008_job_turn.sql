-- How much earlier than its time a job's turn comes: those that a person waits for go before those that nobody does.
ALTER TABLE job ADD COLUMN head_start BIGINT NOT NULL DEFAULT 300000;
CREATE INDEX job_turn ON job ((run_at - head_start), ordinal) WHERE state = 'queued';
