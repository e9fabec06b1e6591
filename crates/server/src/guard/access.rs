//! Who may use a route: the table of all routes, and the guard that asks it.
//!
//! A route gets into the router only through [`Table::add`], together with who may use it. The guard looks the request
//! up by method and path; what isn't listed is refused, so a route that came in another way answers nobody.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State as Extract},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use doce_model::{Actor, ApiToken, Ctx, Scope, SignIn};
use http::{Extensions, HeaderMap, Method, StatusCode, header, request::Parts};
use utoipa::openapi::{PathItem, SecurityRequirement, extensions::ExtensionsBuilder, path::Operation};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{front, proof::Proof, same_origin::is_safe};
use crate::{
    address::Place,
    control::{self, Control},
    error::{Problem, code},
    state::{Caller, State},
};

/// The name of the cookie in the description of the API.
pub(crate) const SECURITY: &str = "sign_in";
/// The name of an API token in the description of the API.
pub(crate) const TOKEN_SECURITY: &str = "api_token";

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody.
    Open,
    /// Who is signed in.
    User(With),
    /// Who is signed in and an admin.
    Admin(With),
}

/// With what somebody may use a route, beside a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum With {
    /// Nothing else: a token must not make tokens, change passwords, or take keys out.
    SignIn,
    /// An API token of at least this scope. To look, `read` is enough.
    Token(Scope),
}

impl With {
    /// Returns the scope that a token needs for a method, if any is enough.
    fn scope(self, method: &Method) -> Option<Scope> {
        match self {
            Self::SignIn => None,
            Self::Token(scope) if is_safe(method) => Some(scope.min(Scope::Read)),
            Self::Token(scope) => Some(scope),
        }
    }
}

impl Access {
    const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::User(_) => "user",
            Self::Admin(_) => "admin",
        }
    }

    /// With what it may be used, where somebody has to be known.
    const fn with(self) -> Option<With> {
        match self {
            Self::Open => None,
            Self::User(with) | Self::Admin(with) => Some(with),
        }
    }
}

type Rules = HashMap<(Method, String), Access>;

/// All routes, and who may use each.
#[derive(Default)]
pub(crate) struct Table {
    router: OpenApiRouter<State>,
    rules: Rules,
}

impl Table {
    /// Begins an empty table with what the description says beside its routes.
    pub(crate) fn new(description: utoipa::openapi::OpenApi) -> Self {
        Self { router: OpenApiRouter::with_openapi(description), rules: Rules::new() }
    }

    /// Adds the routes of one path, and who may use them.
    pub(crate) fn add(mut self, access: Access, mut routes: UtoipaMethodRouter<State>) -> Self {
        for (path, item) in &mut routes.1.paths {
            for (method, operation) in operations(item) {
                describe(operation, &method, access);
                self.rules.insert((method, path.clone()), access);
            }
        }
        self.router = self.router.routes(routes);
        self
    }

    /// Returns the guarded router, and the description of its routes.
    pub(crate) fn finish(self, state: &State) -> (axum::Router<State>, utoipa::openapi::OpenApi) {
        let (router, description) = self.router.split_for_parts();
        let guard = (state.clone(), Arc::new(self.rules));
        (router.route_layer(axum::middleware::from_fn_with_state(guard, access)), description)
    }

    /// Returns only the description.
    pub(crate) fn describe(self) -> utoipa::openapi::OpenApi {
        self.router.into_openapi()
    }
}

/// The operations that a path may have.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn describe(operation: &mut Operation, method: &Method, access: Access) {
    let way = |name: &str| SecurityRequirement::new(name, [] as [&str; 0]);
    let mut extensions = ExtensionsBuilder::new().add("x-access", access.word());
    operation.security = Some(match access.with() {
        None => vec![SecurityRequirement::default()],
        Some(with) => match with.scope(method) {
            None => vec![way(SECURITY)],
            Some(scope) => {
                extensions = extensions.add("x-token-scope", scope.as_str());
                vec![way(SECURITY), way(TOKEN_SECURITY)]
            }
        },
    });
    operation.extensions = Some(extensions.build());
}

/// Lets a request through to its route, if the table allows it.
async fn access(
    Extract((state, rules)): Extract<(State, Arc<Rules>)>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = path.as_ref().map(MatchedPath::as_str);
    let Some(rule) = rule_for(&rules, request.method(), path) else {
        return not_allowed().into_response();
    };
    if let Some(with) = rule.with() {
        let needed = with.scope(request.method());
        let caller = match caller(&state, request.extensions(), request.headers(), needed).await {
            Ok(Some(caller)) => caller,
            Ok(None) => return Problem::sign_in_required().into_response(),
            Err(problem) => return problem.into_response(),
        };
        if matches!(rule, Access::Admin(_)) && !caller.is_admin() {
            let problem = Problem::new(StatusCode::FORBIDDEN, code::ADMINS_ONLY, "Only an admin may do this.");
            return problem.into_response();
        }
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// Finds out for whom a request is carried out: over the control socket whom it names, else who signed in or whose
/// token it is. `needed` is the scope that a token needs, if any is enough.
async fn caller(
    state: &State,
    extensions: &Extensions,
    headers: &HeaderMap,
    needed: Option<Scope>,
) -> Result<Option<Caller>, Problem> {
    let (ctx, place) = (extensions.get::<Ctx>(), extensions.get::<Place>());
    if extensions.get::<Control>().is_none() {
        let (Some(ctx), Some(place)) = (ctx, place) else { return Ok(None) };
        let Some(proof) = Proof::of(headers, &place.origin) else { return Ok(None) };
        return match (proof.holder(state, ctx.address.as_deref()).await?, proof) {
            (Some(holder), _) => {
                allow(holder.token.as_ref(), needed)?;
                Ok(Some(Caller::new(holder, ctx)))
            }
            (None, Proof::Token(_)) => Err(token_invalid()),
            (None, Proof::Cookie(_)) => Ok(None),
        };
    }
    let Some(ctx) = ctx else { return Ok(None) };
    let user = state.app.terminal_user(control::named(headers)).await?;
    let ctx = ctx.acting_as(Actor::CliAs(user.id));
    let sign_in = SignIn::of_terminal(user.id, ctx.now());
    Ok(Some(Caller { user, sign_in, ctx }))
}

/// Looks up who may use a route. A route that isn't listed has no rule.
fn rule_for(rules: &Rules, method: &Method, path: Option<&str>) -> Option<Access> {
    // Who may get something may ask for its head.
    let method = if *method == Method::HEAD { Method::GET } else { method.clone() };
    rules.get(&(method, path?.to_owned())).copied()
}

/// Answers a method that the path doesn't have.
pub(crate) fn not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, code::METHOD_NOT_ALLOWED, "This path doesn't take this method.")
}

/// Refuses a token that may do less than is needed.
fn allow(token: Option<&ApiToken>, needed: Option<Scope>) -> Result<(), Problem> {
    let Some(token) = token else { return Ok(()) };
    match needed {
        Some(needed) if token.scope >= needed => Ok(()),
        Some(needed) => {
            let text = format!("This API token has the scope `{}`; this needs `{needed}`.", token.scope);
            Err(Problem::new(StatusCode::FORBIDDEN, code::SCOPE_MISSING, text)
                .hint("Make a token of that scope under Settings, Account."))
        }
        None => Err(Problem::new(StatusCode::FORBIDDEN, code::TOKEN_REFUSED, "No API token may do this.")
            .hint("Sign in in a browser, or use the command line on the server's own machine.")),
    }
}

fn token_invalid() -> Problem {
    let text = "There is no such API token: it was revoked, has expired, or never was.";
    Problem::new(StatusCode::UNAUTHORIZED, code::TOKEN_INVALID, text)
}

impl FromRequestParts<State> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::sign_in_required)
    }
}

/// Whoever sent a request, signed in or not.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) ctx: Ctx,
    pub(crate) place: Place,
    /// What the browser calls itself.
    pub(crate) user_agent: Option<String>,
    /// Whether a proxy claims to have forwarded the request.
    pub(crate) is_forwarded: bool,
}

impl FromRequestParts<State> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let ctx = parts.extensions.get::<Ctx>().cloned();
        let place = parts.extensions.get::<Place>().cloned();
        let (Some(ctx), Some(place)) = (ctx, place) else {
            return Err(Problem::sign_in_required());
        };
        let user_agent = parts.headers.get(header::USER_AGENT);
        let user_agent = user_agent.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
        Ok(Self { ctx, place, user_agent, is_forwarded: front::is_forwarded(&parts.headers) })
    }
}

#[cfg(test)]
mod tests {
    use utoipa_axum::routes;

    use super::*;

    #[utoipa::path(get, path = "/api/thing/{id}", responses((status = 200, description = "It.")))]
    async fn get_thing() {}

    #[utoipa::path(delete, path = "/api/thing/{id}", responses((status = 204, description = "Gone.")))]
    async fn delete_thing() {}

    #[test]
    fn a_route_that_is_not_listed_has_no_rule() {
        let description = utoipa::openapi::OpenApiBuilder::new().build();
        let table = Table::new(description).add(Access::Admin(With::SignIn), routes!(get_thing, delete_thing));
        for method in [Method::GET, Method::HEAD, Method::DELETE] {
            assert_eq!(
                rule_for(&table.rules, &method, Some("/api/thing/{id}")),
                Some(Access::Admin(With::SignIn)),
                "{method}"
            );
        }
        for (method, path) in [
            (Method::POST, Some("/api/thing/{id}")),
            (Method::OPTIONS, Some("/api/thing/{id}")),
            (Method::GET, Some("/api/thing/{name}")),
            (Method::GET, Some("/api/hidden")),
            (Method::GET, None),
        ] {
            assert_eq!(rule_for(&table.rules, &method, path), None, "{method} {path:?}");
        }
    }

    #[test]
    fn the_description_says_who_may_use_a_route_and_with_what() {
        let description = utoipa::openapi::OpenApiBuilder::new().build();
        let access = Access::User(With::Token(Scope::Build));
        let described = Table::new(description).add(access, routes!(get_thing, delete_thing)).describe();
        let described = serde_json::to_value(described).unwrap();
        for (method, scope) in [("get", "read"), ("delete", "build")] {
            let operation = &described["paths"]["/api/thing/{id}"][method];
            assert_eq!(operation["x-access"], "user");
            assert_eq!(operation["x-token-scope"], scope);
            assert_eq!(operation["security"], serde_json::json!([{SECURITY: []}, {TOKEN_SECURITY: []}]));
        }
    }

    #[test]
    fn a_route_that_wants_a_sign_in_takes_no_token_to_look_either() {
        for method in [Method::GET, Method::POST] {
            assert_eq!(With::SignIn.scope(&method), None);
        }
        assert_eq!(With::Token(Scope::Metrics).scope(&Method::GET), Some(Scope::Metrics));
        assert_eq!(With::Token(Scope::Full).scope(&Method::HEAD), Some(Scope::Read));
    }
}
