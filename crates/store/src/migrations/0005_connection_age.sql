-- How old a key may become, since when it is in force, and whether its owner kept it in spite of a rejection.
ALTER TABLE connection ADD COLUMN key_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE connection ADD COLUMN max_age_days BIGINT CHECK (max_age_days > 0);
ALTER TABLE connection ADD COLUMN kept_version BIGINT;
UPDATE connection SET key_since = COALESCE(
    (SELECT MAX(credential.created_at) FROM credential WHERE credential.connection_id = connection.id),
    connection.created_at
);
