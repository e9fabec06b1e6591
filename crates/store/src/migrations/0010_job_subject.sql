-- The newest job of a subject, and those that have not ended, without looking at any other.
CREATE INDEX job_subject ON job (subject, ordinal);
