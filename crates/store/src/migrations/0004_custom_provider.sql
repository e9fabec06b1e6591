CREATE TABLE custom_provider (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES app_user (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    base_url TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX custom_provider_owner ON custom_provider (user_id);

CREATE TABLE custom_model (
    custom_provider_id TEXT NOT NULL REFERENCES custom_provider (id) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    model_id TEXT NOT NULL,
    name TEXT,
    context BIGINT,
    output BIGINT,
    PRIMARY KEY (custom_provider_id, position),
    UNIQUE (custom_provider_id, model_id)
);
