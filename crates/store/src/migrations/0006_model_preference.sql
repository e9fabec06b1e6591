-- What a user thinks of models. A row that says nothing is deleted. Neither a provider nor a model is a row of ours: what
-- was preferred stays so while it is gone from the catalogue.

CREATE TABLE model_preference (
    user_id TEXT NOT NULL REFERENCES app_user (id) ON DELETE CASCADE,
    provider_id TEXT NOT NULL,
    model_id TEXT NOT NULL,
    is_preferred BIGINT NOT NULL CHECK (is_preferred IN (0, 1)),
    is_favourite BIGINT NOT NULL CHECK (is_favourite IN (0, 1)),
    last_used_at BIGINT,
    PRIMARY KEY (user_id, provider_id, model_id),
    CHECK (is_preferred = 1 OR is_favourite = 1 OR last_used_at IS NOT NULL)
);
CREATE UNIQUE INDEX model_preference_preferred ON model_preference (user_id) WHERE is_preferred = 1;
