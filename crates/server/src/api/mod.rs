//! The HTTP API: one file per noun, and the table of all routes.
//!
//! A handler parses, makes one call of the use cases, and renders. Routes, their description (`openapi.json`) and who
//! may use them are written once, in [`table`]. How to add one: `docs/adding-an-endpoint.md`.

mod api_tokens;
mod audit;
mod connections;
mod conversation;
mod custom_providers;
mod doctor;
mod events;
mod imports;
mod input;
mod invites;
mod jobs;
mod keys;
mod logins;
mod metrics;
mod model_preferences;
pub(crate) mod people;
mod project_connections;
mod projects;
mod providers;
mod status;
pub(crate) mod stream;
mod system;
mod tickets;
mod words;
mod workspace;

use axum::{
    Router,
    response::{IntoResponse as _, Response},
};
use doce_model::Scope;
use http::{StatusCode, Uri};
use serde::Serialize;
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer};
use utoipa::{
    OpenApi as _, ToSchema,
    openapi::{
        Content, Ref, RefOr, ResponseBuilder, Schema,
        schema::{AdditionalProperties, ArrayBuilder},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::routes;

use crate::{
    error::{Problem, ProblemDetails, code},
    guard::{
        access::{Access, SECURITY, TOKEN_SECURITY, Table, With, not_allowed},
        carry_out::carry_out,
        front::{front, is_api},
        same_origin::same_origin,
    },
    state::State,
    ui,
};

/// What the description says beside its routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "doce",
        description = "Describe an app, and watch an agent build it. Times are RFC 3339 in UTC; ids are text with a prefix; \
            a field of an answer is always there, null if it has no value. Every failure is a problem (RFC 9457)."
    ),
    components(schemas(ProblemDetails<'static>, events::StreamPayload)),
    tags(
        (name = "system", description = "The server itself"),
        (name = "people", description = "Accounts, signed-in browsers, API tokens and invites"),
        (name = "providers", description = "What can be connected"),
        (name = "connections", description = "What is connected"),
        (name = "projects", description = "What is built"),
        (name = "conversation", description = "What was said"),
        (name = "workspace", description = "What was written"),
        (name = "jobs", description = "What is being done"),
        (name = "audit", description = "What was done"),
        (name = "keys", description = "The master key, and the keys that it seals"),
        (name = "imports", description = "What is brought over from elsewhere"),
        (name = "stream", description = "What happens, as it happens"),
    )
)]
struct Description;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// What is on it.
    items: Vec<T>,
    /// The cursor of the next page, if there is one.
    next: Option<String>,
}

impl<T> Page<T> {
    /// A list that has only one page.
    fn whole(items: impl IntoIterator<Item = T>) -> Self {
        Self { items: items.into_iter().collect(), next: None }
    }
}

/// Every route, and who may use it.
fn table() -> Table {
    use Access::{Admin, Open, User};
    const SIGN_IN: With = With::SignIn;
    const BUILD: With = With::Token(Scope::Build);
    const FULL: With = With::Token(Scope::Full);
    const METRICS: With = With::Token(Scope::Metrics);
    Table::new(Description::openapi())
        .add(Open, routes!(system::get_health))
        .add(Open, routes!(system::get_openapi))
        .add(User(FULL), routes!(system::get_start))
        .add(User(FULL), routes!(system::get_system))
        .add(User(FULL), routes!(system::retry_opencode))
        .add(Admin(FULL), routes!(doctor::examine))
        .add(Admin(FULL), routes!(status::get_status))
        .add(Admin(METRICS), routes!(metrics::get_metrics))
        .add(Open, routes!(people::set_up))
        .add(Open, routes!(people::sign_in))
        .add(User(SIGN_IN), routes!(people::sign_out))
        .add(User(FULL), routes!(people::get_me))
        .add(User(SIGN_IN), routes!(people::change_me))
        .add(User(SIGN_IN), routes!(people::list_sign_ins))
        .add(User(SIGN_IN), routes!(people::end_sign_in))
        .add(Admin(FULL), routes!(people::list_users, people::create_user))
        .add(Admin(FULL), routes!(people::change_user))
        .add(Admin(FULL), routes!(people::get_account_in_use))
        .add(User(SIGN_IN), routes!(api_tokens::list_tokens, api_tokens::create_token))
        .add(User(SIGN_IN), routes!(api_tokens::revoke_token))
        .add(Admin(FULL), routes!(invites::list_invites, invites::create_invite))
        .add(Admin(FULL), routes!(invites::revoke_invite))
        .add(Open, routes!(invites::look_at_invite))
        .add(Open, routes!(invites::accept_invite))
        .add(User(FULL), routes!(providers::list_providers))
        .add(User(FULL), routes!(providers::list_models))
        .add(User(FULL), routes!(providers::list_models_of))
        .add(User(BUILD), routes!(model_preferences::get_model_preferences, model_preferences::change_model_preference))
        .add(User(FULL), routes!(connections::list_connections, connections::connect))
        .add(User(FULL), routes!(connections::get_connection, connections::change_connection, connections::disconnect))
        .add(User(FULL), routes!(connections::verify_connection))
        .add(User(FULL), routes!(connections::list_connection_deliveries))
        .add(User(FULL), routes!(connections::list_connection_projects))
        .add(User(FULL), routes!(custom_providers::list_custom_providers, custom_providers::create_custom_provider))
        .add(User(FULL), routes!(custom_providers::change_custom_provider))
        .add(User(FULL), routes!(custom_providers::ask_for_models))
        .add(User(FULL), routes!(custom_providers::read_well_known))
        .add(Admin(FULL), routes!(custom_providers::find_local_providers))
        .add(User(FULL), routes!(logins::begin_login))
        .add(User(FULL), routes!(logins::get_login, logins::cancel_login))
        .add(User(FULL), routes!(logins::answer_login))
        .add(User(BUILD), routes!(projects::list_projects, projects::create_project))
        .add(User(BUILD), routes!(projects::get_project, projects::change_project, projects::delete_project))
        .add(User(BUILD), routes!(projects::start_project))
        .add(User(BUILD), routes!(projects::stop_project))
        .add(User(BUILD), routes!(projects::list_project_deliveries))
        .add(User(BUILD), routes!(project_connections::list_project_connections))
        .add(User(BUILD), routes!(tickets::issue_preview_ticket))
        .add(User(BUILD), routes!(conversation::list_messages))
        .add(User(BUILD), routes!(conversation::prompt))
        .add(User(BUILD), routes!(conversation::continue_turn))
        .add(User(BUILD), routes!(conversation::abort))
        .add(User(BUILD), routes!(workspace::list_files))
        .add(User(BUILD), routes!(workspace::get_file))
        .add(User(BUILD), routes!(workspace::get_logs))
        .add(User(BUILD), routes!(jobs::list_jobs))
        .add(User(BUILD), routes!(jobs::get_job))
        .add(User(BUILD), routes!(jobs::get_job_log))
        .add(User(BUILD), routes!(jobs::cancel_job))
        .add(User(BUILD), routes!(jobs::retry_job))
        .add(User(BUILD), routes!(jobs::get_queue))
        .add(Admin(FULL), routes!(jobs::change_queue))
        .add(User(FULL), routes!(audit::list_audit))
        .add(User(FULL), routes!(audit::export_audit))
        .add(Admin(FULL), routes!(imports::get_imports, imports::begin_import))
        .add(Admin(FULL), routes!(imports::preview_import))
        .add(Admin(FULL), routes!(keys::get_master_key))
        .add(Admin(SIGN_IN), routes!(keys::confirm_key_copy))
        .add(Admin(SIGN_IN), routes!(keys::rotate_master_key))
        .add(User(SIGN_IN), routes!(keys::export_keys))
        .add(User(FULL), routes!(stream::open_stream))
}

/// Makes the service that answers every request of the listener.
pub(crate) fn router(state: State) -> Router {
    let (api, _) = table().finish(&state);
    let guarded = |router: Router<State>| {
        router
            .layer(CompressionLayer::new())
            .layer(axum::middleware::from_fn_with_state(state.clone(), carry_out))
            .layer(axum::middleware::from_fn_with_state(state.clone(), same_origin))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(axum::middleware::from_fn_with_state(state.clone(), front))
    };
    guarded(api.fallback(elsewhere).method_not_allowed_fallback(async || not_allowed())).with_state(state)
}

/// Answers what no route answers.
async fn elsewhere(request: axum::extract::Request) -> Response {
    if is_api(request.uri().path()) {
        return no_route(request.uri()).into_response();
    }
    ui::serve(&request)
}

fn no_route(uri: &Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(StatusCode::NOT_FOUND, code::NOT_FOUND, format!("There is no route `{path}`."))
        .hint("GET /api/openapi.json describes all routes.")
}

#[expect(clippy::needless_pass_by_value, reason = "the layer calls it so")]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    #[derive(Debug, thiserror::Error)]
    #[error("finish: a panic: {0}")]
    struct Panicked(String);
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    let error = doce_app::Error::internal(Panicked(text.unwrap_or_default()));
    Problem::from(error).into_response()
}

/// Describes the API.
pub fn description() -> utoipa::openapi::OpenApi {
    let mut description = table().describe();
    env!("CARGO_PKG_VERSION").clone_into(&mut description.info.version);
    for item in description.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.insert("default".to_owned(), RefOr::T(problem_response()));
        }
    }
    let components = description.components.get_or_insert_default();
    components.schemas.iter_mut().for_each(|(name, schema)| refer_to_items(name, schema));
    let cookie = ApiKeyValue::with_description("__Host-doce", "Given by sign-in; `doce` on plain http in a network.");
    components.security_schemes.insert(SECURITY.to_owned(), SecurityScheme::ApiKey(ApiKey::Cookie(cookie)).into());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "An API token, made under Settings, Account. `x-token-scope` says which scope an operation needs; \
            where it is missing, no token will do.",
    ));
    components.security_schemes.insert(TOKEN_SECURITY.to_owned(), SecurityScheme::Http(bearer.build()).into());
    components.schemas.values_mut().for_each(require_all);
    description
}

/// Describes the API, as text to check in.
pub fn description_text() -> String {
    let mut written = serde_json::to_value(description()).expect("a description is JSON");
    order_extensions(&mut written);
    serde_json::to_string_pretty(&written).expect("a description is JSON")
}

/// The library keeps extensions in no order; what is checked in has one.
fn order_extensions(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            let mut extensions: Vec<String> = members.keys().filter(|name| name.starts_with("x-")).cloned().collect();
            extensions.sort_unstable();
            for name in extensions {
                if let Some(extension) = members.shift_remove(&name) {
                    members.insert(name, extension);
                }
            }
            members.values_mut().for_each(order_extensions);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(order_extensions),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

fn problem_response() -> utoipa::openapi::Response {
    let content = Content::builder().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new()
        .description("It was not done; `code` says why.")
        .content("application/problem+json", content)
        .build()
}

/// A page is described with its items spelled out; they are a type of their own, and pages refer to it.
fn refer_to_items(name: &str, schema: &mut RefOr<Schema>) {
    if let Some(item) = name.strip_prefix("Page_")
        && let RefOr::T(Schema::Object(page)) = schema
    {
        let items = ArrayBuilder::new().items(Ref::from_schema_name(item)).description(Some("What is on it."));
        page.properties.insert("items".to_owned(), items.into());
    }
}

/// Says that every field is there. Only requests may leave some out; they are the types that refuse unknown fields.
fn require_all(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(object)) = schema {
        let is_request = matches!(object.additional_properties.as_deref(), Some(AdditionalProperties::FreeForm(false)));
        if !is_request {
            object.required = object.properties.keys().cloned().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_says_who_may_use_it_and_how_it_fails() {
        let description = serde_json::to_value(description()).unwrap();
        let paths = description["paths"].as_object().unwrap();
        assert!(paths.len() > 25);
        for (path, item) in paths {
            for (method, operation) in item.as_object().unwrap() {
                let access = operation["x-access"].as_str().unwrap_or_else(|| panic!("{method} {path}"));
                assert!(["open", "user", "admin"].contains(&access));
                assert!(operation["responses"]["default"]["content"]["application/problem+json"].is_object());
            }
        }
    }

    #[test]
    fn the_description_is_written_the_same_each_time() {
        let written = description_text();
        assert!((0..8).all(|_| description_text() == written));
    }

    #[test]
    fn every_reference_of_the_description_leads_somewhere() {
        fn references(value: &serde_json::Value, found: &mut Vec<String>) {
            match value {
                serde_json::Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(|to| to.as_str()).map(str::to_owned));
                    members.values().for_each(|value| references(value, found));
                }
                serde_json::Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let description = serde_json::to_value(description()).unwrap();
        let mut found = Vec::new();
        references(&description, &mut found);
        assert!(found.len() > 50);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn answers_always_have_every_field_and_requests_refuse_unknown_ones() {
        let description = serde_json::to_value(description()).unwrap();
        let schemas = &description["components"]["schemas"];
        let mut answers = 0;
        for (name, schema) in schemas.as_object().unwrap() {
            let Some(fields) = schema["properties"].as_object().filter(|fields| !fields.is_empty()) else { continue };
            if schema["additionalProperties"] != false {
                assert_eq!(schema["required"].as_array().map(Vec::len), Some(fields.len()), "{name}");
                answers += 1;
            }
        }
        assert!(answers > 30);
        assert_eq!(schemas["Page_Project"]["properties"]["items"]["items"]["$ref"], "#/components/schemas/Project");
        for (path, item) in description["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let body = &operation["requestBody"]["content"]["application/json"]["schema"];
                if let Some(reference) = body["$ref"].as_str() {
                    let schema = description.pointer(reference.trim_start_matches('#')).unwrap();
                    assert_eq!(schema["additionalProperties"], false, "{method} {path}");
                }
            }
        }
    }
}
