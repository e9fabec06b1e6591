ALTER TABLE app_user ADD COLUMN disabled_at BIGINT;
