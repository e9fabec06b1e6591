-- How many projects a connection pays for, without reading one of them.
CREATE INDEX project_model ON project (user_id, model_provider_id);
CREATE INDEX project_connection_owner ON project_connection (user_id);
