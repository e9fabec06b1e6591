//! What Prometheus collects.
//!
//! Requests are counted as they are answered; everything else is read when somebody asks. No label tells of anybody:
//! their values are words that this program chose (a route's template, a kind of job, a state), never an id, a name or
//! anything that came in a request, so there are only so many of them.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use doce_app::{Error, system::Load};
use http::{Method, StatusCode};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

/// What the answer calls itself: `OpenMetrics`, which Prometheus reads.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The route of requests that no route of the API took: pages and what belongs to them.
pub(crate) const PAGES: &str = "pages";
/// Up to how many seconds answers are told apart.
const BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

type Number = Gauge<u64, AtomicU64>;
type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindAndState {
    kind: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// What was counted since the start. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Answered, Counter>,
    took: Family<Route, Histogram, fn() -> Histogram>,
}

impl Metrics {
    /// Counts nothing yet.
    pub(crate) fn new() -> Self {
        let requests = Family::<Answered, Counter>::default();
        let took = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        let mut registry = Registry::with_prefix("doce");
        registry.register("http_requests", "Requests that were answered", requests.clone());
        registry.register_with_unit("http_answer", "How long answers took to begin", Unit::Seconds, took.clone());
        let build = vec![("version", env!("CARGO_PKG_VERSION")), ("opencode", doce_app::OPENCODE_VERSION)];
        registry.register("build", "Which doce this is, and with which OpenCode it works", Info::new(build));
        Self { registry: Arc::new(registry), requests, took }
    }

    /// Counts an answer. `route` is a template or a word, never a path.
    pub(crate) fn answered(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let answered = Answered { method: method_word(method), route: route.to_owned(), status: class(status) };
        self.requests.get_or_create(&answered).inc();
        self.took.get_or_create(&Route { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    /// Writes everything down, as Prometheus reads it.
    pub(crate) fn write(&self, load: &Load, streams: usize) -> Result<String, Error> {
        let mut written = String::new();
        text::encode_registry(&mut written, &self.registry)
            .and_then(|()| text::encode_registry(&mut written, &of_load(load, streams)))
            .and_then(|()| text::encode_eof(&mut written))
            .map_err(Error::internal)?;
        Ok(written)
    }
}

/// Puts what was read in this moment into a registry of its own.
fn of_load(load: &Load, streams: usize) -> Registry {
    let mut registry = Registry::with_prefix("doce");
    let jobs = Family::<KindAndState, Number>::default();
    for (kind, state, number) in &load.jobs {
        jobs.get_or_create(&KindAndState { kind: kind.clone(), state: state.as_str() }).set(*number);
    }
    registry.register("jobs", "Jobs that are kept, by kind and state", jobs);

    let queue = by_state([
        ("due", load.queue.due),
        ("later", load.queue.later),
        ("waiting", load.queue.waiting),
        ("running", load.queue.running),
    ]);
    registry.register("queue_jobs", "Jobs that have not ended, by what they wait for", queue);
    seconds(&mut registry, "queue_oldest_due", "How long the oldest job that is due has been", load.oldest_due);

    let agents = by_state([
        ("running", count(load.agents.running)),
        ("starting", count(load.agents.starting)),
        ("waiting", count(load.agents.waiting)),
    ]);
    registry.register("agents", "Agents that run, are being started, or wait for room", agents);
    bytes(&mut registry, "agents_memory", "Memory that all agents use", load.agent_memory);

    let deliveries = by_outcome(load.deliveries.iter().map(|(status, number)| (status.as_str(), *number)));
    registry.register("deliveries", "What running agents were handed, by how that stands", deliveries);
    let verifications = by_outcome(load.verifications.iter().map(|(outcome, number)| (outcome.as_str(), *number)));
    registry.register("connections_verified", "Connections, by what came of their last check", verifications);

    bytes(&mut registry, "database_size", "What the database takes on its disk", load.database.bytes);
    let connections = by_state([
        ("busy", u64::from(load.database.busy)),
        ("idle", u64::from(load.database.connections.saturating_sub(load.database.busy))),
    ]);
    registry.register("database_connections", "Connections to the database", connections);
    let open = Number::default();
    open.set(count(streams));
    registry.register("streams", "Event streams that are open", open);
    registry
}

fn by_state<const N: usize>(numbers: [(&'static str, u64); N]) -> Family<State, Number> {
    let family = Family::<State, Number>::default();
    for (state, number) in numbers {
        family.get_or_create(&State { state }).set(number);
    }
    family
}

fn by_outcome(numbers: impl Iterator<Item = (&'static str, u64)>) -> Family<Outcome, Number> {
    let family = Family::<Outcome, Number>::default();
    for (outcome, number) in numbers {
        family.get_or_create(&Outcome { outcome }).set(number);
    }
    family
}

fn bytes(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Number::default();
    gauge.set(value);
    registry.register_with_unit(name, help, Unit::Bytes, gauge);
}

fn seconds(registry: &mut Registry, name: &str, help: &str, value: Duration) {
    let gauge = Seconds::default();
    gauge.set(value.as_secs_f64());
    registry.register_with_unit(name, help, Unit::Seconds, gauge);
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Anybody may send any method; those that no route takes are one.
fn method_word(method: &Method) -> &'static str {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE]
        .iter()
        .zip(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
        .find_map(|(known, word)| (known == method).then_some(word))
        .unwrap_or("other")
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_nobody_knows_is_one_of_the_others() {
        assert_eq!(method_word(&Method::PATCH), "PATCH");
        assert_eq!(method_word(&Method::from_bytes(b"SK-PLANTED").unwrap()), "other");
        assert_eq!(
            [200, 304, 404, 503].map(|code| class(StatusCode::from_u16(code).unwrap())),
            ["2xx", "3xx", "4xx", "5xx"]
        );
    }
}
