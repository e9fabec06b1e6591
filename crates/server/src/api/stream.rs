//! The event stream: one per browser, over everything its user may see.
//!
//! A stream first says `hello`, then what was missed since the id that the browser names, then what happens. It holds no
//! event back and drops none silently: who can't be told everything is told `reset`. It ends with its sign-in, with
//! the server, and with the browser; a browser comes back with the last id it saw.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::State as Extract,
    response::{IntoResponse as _, Response, Sse, sse},
};
use doce_app::{
    Error,
    events::{Event, Subscription},
};
use doce_model::{Actor, ProjectId, SignInId, UserId};
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::events::{HelloEvent, ResetEvent, StreamPayload};
use crate::{
    error::{Problem, code},
    guard::{access::Visitor, proof::Proof},
    state::{Caller, State},
};

/// How soon a browser that was refused a stream may ask again.
const AGAIN: Duration = Duration::from_secs(10);

/// What a stream is about, and from where on.
#[derive(Debug, Default, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// The projects whose conversations it carries; may be repeated.
    project_id: Vec<String>,
    /// The last event that the browser saw; the header `Last-Event-ID` goes before it.
    last_event_id: Option<String>,
}

impl StreamQuery {
    fn read(uri: &Uri) -> Result<Self, Problem> {
        let mut query = Self::default();
        for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match &*name {
                "project_id" => query.project_id.push(value.into_owned()),
                "last_event_id" => query.last_event_id = Some(value.into_owned()),
                _ => return Err(Problem::invalid("query", "The query has a field that the stream doesn't take.")),
            }
        }
        Ok(query)
    }
}

/// Streams what happens. Each event has `id`, `event` and JSON in `data`.
///
/// Subscribe first, then read: every snapshot of a conversation names the newest event that it includes.
#[utoipa::path(get, path = "/api/stream", tag = "stream", params(StreamQuery),
    responses((status = 200, description = "The events.", content((StreamPayload = "text/event-stream")))))]
pub(crate) async fn open_stream(
    Extract(state): Extract<State>,
    visitor: Visitor,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = StreamQuery::read(&uri)?;
    let watched = watched(&state, &caller, &query.project_id).await?;
    let Some(seat) = state.streams.open(caller.user.id, caller.sign_in.id) else {
        let most = state.limits.streams_per_user;
        let text = format!("You have {most} pages open already, the most that are kept up to date.");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, code::TOO_MANY_STREAMS, text);
        return Err(problem.retry_after(AGAIN).hint("Close some of them."));
    };
    // Whoever may use the control socket needs no sign-in, so there is none to look at again.
    let proof = match caller.ctx.actor {
        Actor::CliAs(_) => None,
        _ => Some(Proof::of(&headers, &visitor.place.origin).ok_or_else(Problem::sign_in_required)?),
    };
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let last_seen = header.or(query.last_event_id.as_deref()).filter(|id| !id.is_empty());
    let keep_alive = sse::KeepAlive::new().interval(state.limits.keep_alive);
    let watching = state.app.watching(watched.iter().copied());
    let feed = Feed::new(state, caller.user.id, watched, last_seen, seat, proof);
    let frames = stream::unfold((feed, watching), async |(mut feed, watching)| {
        let frame = feed.next().await?;
        Some((Ok::<_, Infallible>(frame), (feed, watching)))
    });
    let mut response = Sse::new(frames).keep_alive(keep_alive).into_response();
    // Proxies that collect answers would hold events back.
    let name = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(name, HeaderValue::from_static("no"));
    Ok(response)
}

/// Returns which of the projects that were asked for are the caller's. Others are left out: `hello` says which are in.
async fn watched(state: &State, caller: &Caller, asked: &[String]) -> Result<HashSet<ProjectId>, Problem> {
    let most = state.limits.watched_projects;
    if asked.len() > most {
        return Err(Problem::invalid("project_id", format!("A stream carries at most {most} conversations.")));
    }
    let mut watched = HashSet::new();
    for id in asked.iter().filter_map(|id| id.parse().ok()) {
        match state.app.get_project(&caller.ctx, &caller.user, id).await {
            Ok(_) => drop(watched.insert(id)),
            // It may have been deleted since the page was opened; the rest of the stream is worth having.
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(watched)
}

/// What one browser is told.
struct Feed {
    state: State,
    user: UserId,
    watched: HashSet<ProjectId>,
    /// Frames that go before everything else.
    first: VecDeque<sse::Event>,
    subscription: Subscription,
    seat: Seat,
    /// What proves who it is for; the control socket needs nothing.
    proof: Option<Proof>,
    recheck: Interval,
}

impl Feed {
    fn new(
        state: State,
        user: UserId,
        watched: HashSet<ProjectId>,
        last_seen: Option<&str>,
        seat: Seat,
        proof: Option<Proof>,
    ) -> Self {
        let subscription = state.app.bus().subscribe(last_seen);
        let newest = state.app.bus().id(subscription.last);
        let mut projects: Vec<String> = watched.iter().map(ToString::to_string).collect();
        projects.sort_unstable();
        let hello = StreamPayload::Hello(HelloEvent { event_id: newest.clone(), projects });
        let mut first = VecDeque::new();
        // While something is still to be replayed, the browser's own id is the one to come back with.
        let at = subscription.missed.is_empty().then_some(newest.as_str());
        first.extend(frame(&hello, at.filter(|_| !subscription.reset)));
        if subscription.reset {
            first.extend(frame(&StreamPayload::Reset(ResetEvent {}), at));
        }
        let every = state.limits.recheck_sign_in;
        let mut recheck = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut subscription = subscription;
        subscription.missed.reverse();
        Self { state, user, watched, first, subscription, seat, proof, recheck }
    }

    /// Waits for the next frame; none is the end.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if self.seat.ended.is_cancelled() || self.state.shutdown.is_cancelled() {
                return None;
            }
            if let Some(frame) = self.first.pop_front() {
                return Some(frame);
            }
            let event = match self.subscription.missed.pop() {
                Some(event) => event,
                None => match self.live().await? {
                    Some(event) => event,
                    None => continue,
                },
            };
            if let Some(frame) = self.show(&event) {
                return Some(frame);
            }
        }
    }

    /// Waits for something to happen: an event, or something that `next` has to look at.
    async fn live(&mut self) -> Option<Option<Arc<Event>>> {
        tokio::select! {
            biased;
            () = self.state.shutdown.cancelled() => None,
            () = self.seat.ended.cancelled() => None,
            _ = self.recheck.tick() => self.still_signed_in().await.then_some(None),
            event = self.subscription.live.recv() => match event {
                Ok(event) => Some(Some(event)),
                Err(RecvError::Lagged(missed)) => {
                    tracing::debug!(missed, user = %self.user, "a browser is too slow for its events");
                    self.subscription = self.state.app.bus().subscribe(None);
                    let newest = self.state.app.bus().id(self.subscription.last);
                    self.first.extend(frame(&StreamPayload::Reset(ResetEvent {}), Some(&newest)));
                    Some(None)
                }
                Err(RecvError::Closed) => None,
            },
        }
    }

    async fn still_signed_in(&self) -> bool {
        let Some(proof) = &self.proof else { return true };
        match proof.holder(&self.state, None).await {
            Ok(found) => found.is_some_and(|holder| holder.user.id == self.user),
            // A stream that can't be checked now is checked at the next turn.
            Err(error) => {
                tracing::warn!(%error, "a stream's sign-in was not checked");
                true
            }
        }
    }

    fn show(&self, event: &Event) -> Option<sse::Event> {
        let wanted = event.change.conversation().is_none_or(|project| self.watched.contains(&project));
        if !(event.is_for(self.user) && wanted) {
            return None;
        }
        let id = self.state.app.bus().id(event.number);
        frame(&StreamPayload::from(&event.change), Some(&id))
    }
}

fn frame(payload: &StreamPayload, id: Option<&str>) -> Option<sse::Event> {
    let event = sse::Event::default().event(payload.name());
    let event = id.into_iter().fold(event, sse::Event::id);
    match event.json_data(payload) {
        Ok(event) => Some(event),
        Err(error) => {
            tracing::error!(%error, event = payload.name(), "an event could not be written");
            None
        }
    }
}

/// The streams that are open, so that they can be counted and ended.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    most: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    drawn: u64,
    seats: HashMap<UserId, Vec<(u64, SignInId, CancellationToken)>>,
}

/// A stream's place among those of its user.
#[derive(Debug)]
pub(crate) struct Seat {
    user: UserId,
    number: u64,
    ended: CancellationToken,
    streams: Streams,
}

impl Streams {
    /// Counts none yet, and lets each user have this many.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    fn open(&self, user: UserId, sign_in: SignInId) -> Option<Seat> {
        let mut open = self.lock();
        open.drawn += 1;
        let number = open.drawn;
        let seats = open.seats.entry(user).or_default();
        if seats.len() >= self.most {
            return None;
        }
        let ended = CancellationToken::new();
        seats.push((number, sign_in, ended.clone()));
        Some(Seat { user, number, ended, streams: self.clone() })
    }

    /// Ends the streams of a sign-in.
    pub(crate) fn end(&self, user: UserId, sign_in: SignInId) {
        if let Some(seats) = self.lock().seats.get(&user) {
            seats.iter().filter(|(_, whose, _)| *whose == sign_in).for_each(|(_, _, ended)| ended.cancel());
        }
    }

    /// Counts those that are open.
    pub(crate) fn count(&self) -> usize {
        self.lock().seats.values().map(Vec::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // A panic while it was held can't leave it half changed: each change is one call.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        if let Some(seats) = open.seats.get_mut(&self.user) {
            seats.retain(|(number, _, _)| *number != self.number);
            if seats.is_empty() {
                open.seats.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use doce_model::Ms;

    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_stream_is_gone() {
        let streams = Streams::new(2);
        let (user, other) = (UserId::new(Ms(1)), UserId::new(Ms(1)));
        let sign_in = SignInId::new(Ms(1));
        let first = streams.open(user, sign_in);
        let second = streams.open(user, sign_in);
        assert!(first.is_some() && second.is_some());
        assert!(streams.open(user, sign_in).is_none());
        assert!(streams.open(other, sign_in).is_some());
        drop(first);
        assert!(streams.open(user, sign_in).is_some());
        drop(second);
        assert!(streams.lock().seats.is_empty());
    }

    #[test]
    fn only_the_streams_of_the_ended_sign_in_end() {
        let streams = Streams::new(8);
        let user = UserId::new(Ms(1));
        let (gone, kept) = (SignInId::new(Ms(1)), SignInId::new(Ms(1)));
        let ended = streams.open(user, gone).unwrap();
        let stays = streams.open(user, kept).unwrap();
        streams.end(user, gone);
        assert!(ended.ended.is_cancelled() && !stays.ended.is_cancelled());
    }

    #[test]
    fn the_query_may_name_several_projects_and_nothing_else() {
        let uri = "/api/stream?project_id=a&project_id=b&last_event_id=x-1".parse().unwrap();
        let expected =
            StreamQuery { project_id: vec!["a".to_owned(), "b".to_owned()], last_event_id: Some("x-1".to_owned()) };
        assert_eq!(StreamQuery::read(&uri).unwrap(), expected);
        assert!(StreamQuery::read(&"/api/stream?user=x".parse().unwrap()).is_err());
    }
}
