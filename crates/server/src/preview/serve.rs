//! The front of the proxy: who is let in, where a ticket becomes a pass, and what is said to everybody else.

use std::{net::SocketAddr, sync::Arc};

use axum::{body::Body, response::Response};
use doce_model::{Clock, PreviewState, ProjectId, SignInId};
use http::{HeaderValue, Method, Request, StatusCode, header, uri::PathAndQuery};
use secrecy::ExposeSecret;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Grant, Limits, Origin, Ticket,
    access::{Access, PASS_LIFE, Shelf, TICKET_LIFE},
    address::{self, ENTER, ENTERED},
    cookies,
    forward::{ForwardError, Forwarder},
    headers,
    pages::Page,
};

/// Where a Project's app is at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// Its dev server answers.
    Ready {
        /// On this address.
        address: SocketAddr,
    },
    /// There is none to ask.
    NotReady {
        /// How far it is.
        state: PreviewState,
        /// Why, where that is known. Shown as text.
        reason: Option<String>,
    },
}

/// What the server knows of a request to a preview.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// Whose preview it names.
    pub project: ProjectId,
    /// The preview's own origin, as the browser sees it.
    pub origin: &'a Origin,
    /// The address of the Project's page in doce.
    pub home: &'a str,
    /// Where the app is.
    pub upstream: &'a Upstream,
    /// The request's number, by which a person asks what happened.
    pub id: &'a str,
}

/// The proxy of all previews.
pub struct Preview {
    clock: Arc<dyn Clock>,
    limits: Limits,
    tickets: Shelf,
    passes: Shelf,
    forwarder: Forwarder,
}

impl Preview {
    /// Makes the proxy. Its sockets run on `tasks` and end with `shutdown`.
    pub fn new(clock: Arc<dyn Clock>, limits: Limits, tasks: TaskTracker, shutdown: &CancellationToken) -> Self {
        Self {
            clock,
            limits,
            tickets: Shelf::new(TICKET_LIFE, shutdown.clone()),
            passes: Shelf::new(PASS_LIFE, shutdown.clone()),
            forwarder: Forwarder::new(limits, tasks),
        }
    }

    /// Issues a ticket. Whether its bearer may have one is the caller's to know.
    pub fn issue(&self, grant: Grant) -> Ticket {
        let (secret, expires_at) = self.tickets.issue(grant, self.clock.now());
        Ticket { secret, expires_at }
    }

    /// Returns the address by which a page opens a preview with a ticket, at `next` (a path) or at its start.
    pub fn enter_url(origin: &Origin, ticket: &Ticket, next: Option<&str>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("ticket", ticket.secret.expose_secret());
        if let Some(next) = next {
            query.append_pair("next", next);
        }
        format!("{origin}{ENTER}?{}", query.finish())
    }

    /// Ends what a browser holds, when it is signed out: tickets, passes and open sockets.
    pub fn revoke_sign_in(&self, sign_in: SignInId) {
        self.revoke(|grant| grant.sign_in == Some(sign_in));
    }

    /// Ends what anybody holds of a Project, when it is deleted.
    pub fn revoke_project(&self, project: ProjectId) {
        self.revoke(|grant| grant.project == project);
    }

    fn revoke(&self, which: impl Fn(&Grant) -> bool) {
        self.tickets.revoke(&which);
        self.passes.revoke(which);
    }

    /// Answers a request to a preview that doesn't exist, as if it were one that can't be seen.
    pub fn refuse(request: &Request<Body>, home: &str, id: &str) -> Response {
        Page::locked(home).render(headers::wants_page(request.headers()), id)
    }

    /// Answers a request to a preview about which nothing could be found out.
    pub fn broken(request: &Request<Body>, id: &str) -> Response {
        Page::broken(&path_of(request)).render(headers::wants_page(request.headers()), id)
    }

    /// Answers a request to a Project's preview.
    pub async fn serve(&self, request: Request<Body>, visit: Visit<'_>) -> Response {
        let for_a_person = headers::wants_page(request.headers());
        match self.answer(request, visit, for_a_person).await {
            Ok(response) => response,
            Err(Refusal { page, again }) => page(&again, visit).render(for_a_person, visit.id),
        }
    }

    async fn answer(&self, request: Request<Body>, visit: Visit<'_>, for_a_person: bool) -> Result<Response, Refusal> {
        let refusal = |page: MakePage| Refusal::new(page, &request);
        if headers::size(request.headers()) > self.limits.request_headers {
            return Err(refusal(|_, _| {
                Page::refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's headers are too large")
            }));
        }
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(refusal(|_, _| Page::refused(StatusCode::METHOD_NOT_ALLOWED, "The method isn't allowed")));
        }
        if headers::is_foreign(request.method(), request.headers(), visit.origin) {
            return Err(refusal(|_, _| Page::foreign()));
        }
        let access = self.access(&request, visit);
        if address::is_reserved(request.uri().path()) {
            return self.reserved(&request, visit, access.is_some());
        }
        let Some(access) = access else {
            return Err(refusal(|_, visit| Page::locked(visit.home)));
        };
        let app = match visit.upstream {
            Upstream::Ready { address } => *address,
            Upstream::NotReady { .. } => {
                return Err(refusal(|again, visit| match visit.upstream {
                    Upstream::NotReady { state, reason } => Page::not_ready(*state, reason.as_deref(), again),
                    Upstream::Ready { .. } => Page::unreachable(again),
                }));
            }
        };
        let again = path_of(&request);
        self.forwarder.forward(request, app, visit.origin, access).await.map_err(|error| {
            // A page that a person reads names the request, so its cause is there without anybody having asked for more.
            let cause = &error as &dyn std::error::Error;
            if for_a_person {
                tracing::info!(project = %visit.project, error = cause, "a preview didn't answer");
            } else {
                tracing::debug!(project = %visit.project, error = cause, "a preview didn't answer");
            }
            Refusal {
                again,
                page: match error {
                    ForwardError::Slow { .. } => |again, _| Page::slow(again),
                    ForwardError::Crowded { .. } => |_, _| Page::crowded(),
                    ForwardError::Connect { .. }
                    | ForwardError::Exchange { .. }
                    | ForwardError::TooLarge { .. }
                    | ForwardError::Unasked { .. } => |again, _| Page::unreachable(again),
                },
            }
        })
    }

    /// Answers under the path that is doce's own; none of it ever reaches the app.
    fn reserved(&self, request: &Request<Body>, visit: Visit<'_>, inside: bool) -> Result<Response, Refusal> {
        let next = address::safe_next(address::parameter(request.uri(), "next").as_deref());
        match request.uri().path() {
            ENTER | ENTERED if request.method() != Method::GET => Err(Refusal::new(
                |_, _| Page::refused(StatusCode::METHOD_NOT_ALLOWED, "The method isn't allowed"),
                request,
            )),
            ENTER => {
                let grant = address::parameter(request.uri(), "ticket")
                    .and_then(|ticket| self.tickets.redeem(&ticket, visit.project, self.clock.now()));
                match grant {
                    Some(grant) => Ok(self.enter(grant, visit, &next)),
                    // Going back in the history asks with a used ticket: harmless for whoever is inside.
                    None if inside => Ok(redirect(&next)),
                    None => Err(Refusal::new(|_, visit| Page::locked(visit.home), request)),
                }
            }
            ENTERED if inside => Ok(redirect(&next)),
            ENTERED => Err(Refusal::new(|_, visit| Page::cookie_refused(visit.home), request)),
            _ => Err(Refusal::new(|_, _| Page::refused(StatusCode::NOT_FOUND, "There is no such page"), request)),
        }
    }

    fn enter(&self, grant: Grant, visit: Visit<'_>, next: &str) -> Response {
        let (token, _) = self.passes.issue(grant, self.clock.now());
        let cookie = cookies::pass_cookie(visit.project, visit.origin, token.expose_secret());
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("next", next);
        let mut response = redirect(&format!("{ENTERED}?{}", query.finish()));
        let mut cookie = HeaderValue::from_str(&cookie).expect("a cookie of ours is ASCII");
        cookie.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
        response
    }

    fn access(&self, request: &Request<Body>, visit: Visit<'_>) -> Option<Access> {
        let now = self.clock.now();
        let name = cookies::pass_name(visit.project, visit.origin);
        cookies::values(request.headers(), &name).find_map(|token| self.passes.find(token, visit.project, now))
    }
}

impl std::fmt::Debug for Preview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preview").field("limits", &self.limits).finish_non_exhaustive()
    }
}

type MakePage = for<'p> fn(&'p str, Visit<'p>) -> Page<'p>;

/// A page instead of the app: made of the path that was asked for and what is known of the visit.
struct Refusal {
    page: MakePage,
    again: String,
}

impl Refusal {
    fn new(page: MakePage, request: &Request<Body>) -> Self {
        Self { page, again: path_of(request) }
    }
}

/// Returns the path and query that were asked for, as an address within the preview.
fn path_of(request: &Request<Body>) -> String {
    address::safe_next(request.uri().path_and_query().map(PathAndQuery::as_str))
}

fn redirect(to: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    let to = HeaderValue::from_bytes(to.as_bytes()).unwrap_or_else(|_| HeaderValue::from_static("/"));
    headers.insert(header::LOCATION, to);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
