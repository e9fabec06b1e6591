//! Following the event stream: the steps of a job with words, and an answer as it is written.
//!
//! Subscribe first, then read: what happens in between comes twice, and is told once. What an agent says is printed
//! without anything that a terminal would obey.
//!
//! What holds the work up is told when it begins to: nobody has to guess why nothing comes. With `--json` each event is
//! a line, and so is each thing that is read; the last line is what the command was about, as it is in the end.

use std::collections::{HashMap, HashSet};

use anyhow::anyhow;
use futures::StreamExt as _;
use serde_json::{Value, json};
use sse_stream::{Sse, SseStream};
use tokio::time::{Duration, Instant, timeout_at};

use super::{
    Remote,
    words::{harmless, on_the_wall, text},
};
use crate::{config::Stop, printer::Printer};

/// How long an answer has to look interrupted before it counts as that.
const DOUBT: Duration = Duration::from_secs(5);
/// Why a job doesn't begin.
const PAUSED: &str = "The queue is paused: `doce job resume` lets it go on.";
/// Why no words come.
const UNHEALTHY: &str = "The agent doesn't respond. If that lasts, it is ended and started again.";

/// What is followed.
pub(super) struct Watched {
    /// The job whose steps are told, as it was last heard of.
    pub(super) job: Value,
    /// The answer that is waited for; nothing if only the job matters.
    pub(super) answer: Option<Answer>,
}

/// The answer that is waited for.
pub(super) struct Answer {
    /// In which project.
    pub(super) project: String,
    /// The messages that were there before.
    pub(super) before: HashSet<String>,
    /// What was made beside the job, as it was last heard of: a `project`, or a `message`.
    pub(super) made: (&'static str, Value),
}

/// How the following ended.
pub(super) enum End {
    /// With what was waited for.
    Over,
    /// Because somebody had seen enough.
    Left,
}

/// How it went on.
enum Next {
    /// There is more to come.
    More,
    /// It looks interrupted, which it also does for a moment before an answer begins.
    Doubt,
    /// It is over.
    Over(Result<(), Stop>),
}

struct Watch<'r> {
    remote: &'r Remote,
    printer: &'r Printer,
    watched: Watched,
    /// The last state that was told of each step.
    steps: HashMap<String, Told>,
    /// What holds the work up, as it was told: by the queue, the job, the provider or the agent.
    holds: HashMap<&'static str, String>,
    /// Since when the queue is paused, as it was last heard of.
    paused_at: Value,
    job_over: bool,
    /// Who speaks in a message, and how far it is.
    messages: HashMap<String, (String, String)>,
    /// The message that ended early, in which state, and why.
    failed: Option<(String, String, String)>,
    /// How much of each part was printed, in UTF-16 units.
    printed: HashMap<String, usize>,
    last_part: String,
    tools: HashSet<String>,
    is_busy: bool,
    /// Whether the last line of the answer has no end yet.
    open_line: bool,
    /// Lines about the job that wait for that end.
    notes: Vec<String>,
}

/// Follows until the job has ended and, if it is waited for, the answer too. Ctrl+C ends only the following.
pub(super) async fn follow(printer: &Printer, remote: &Remote, watched: Watched) -> Result<End, Stop> {
    let mut watch = Watch {
        remote,
        printer,
        watched,
        steps: HashMap::new(),
        holds: HashMap::new(),
        paused_at: Value::Null,
        job_over: false,
        messages: HashMap::new(),
        failed: None,
        printed: HashMap::new(),
        last_part: String::new(),
        tools: HashSet::new(),
        is_busy: false,
        open_line: false,
        notes: Vec::new(),
    };
    let ended = tokio::select! {
        ended = watch.run() => ended.map(|()| End::Over),
        _ = tokio::signal::ctrl_c() => {
            watch.end_line();
            printer.note("No longer watched. The work goes on: `doce project list` shows how far it is.");
            Ok(End::Left)
        }
    };
    watch.end_line();
    ended
}

impl Watch<'_> {
    async fn run(&mut self) -> Result<(), Stop> {
        let query = self.watched.answer.as_ref().map(|a| format!("?project_id={}", a.project)).unwrap_or_default();
        let response = self.remote.stream("watch the server", &format!("/api/stream{query}")).await?;
        let mut events = SseStream::from_bytes_stream(response.bytes_stream());
        let mut next = self.read().await?;
        let mut doubted_until: Option<Instant> = None;
        let ended = loop {
            doubted_until = match next {
                Next::Over(ended) => {
                    if ended.is_ok() {
                        // A message may be told as whole before its last words are.
                        self.conversation().await?;
                    }
                    break ended;
                }
                Next::More => None,
                Next::Doubt => doubted_until.or_else(|| Some(Instant::now() + DOUBT)),
            };
            let event = match doubted_until {
                Some(until) => timeout_at(until, events.next()).await,
                None => Ok(events.next().await),
            };
            next = match event {
                Ok(Some(event)) => {
                    self.take(event.map_err(|e| Stop::failed(anyhow!("watch the server: {e}")))?).await?
                }
                Ok(None) => {
                    let job = self.job_id();
                    return Err(Stop::failed(anyhow!("watch the server: it ended the stream"))
                        .hint(format!("the work goes on when it runs again: `doce job show {job}`")));
                }
                Err(_) => match self.read().await? {
                    Next::Doubt => break self.ended_early(),
                    next @ (Next::More | Next::Over(_)) => next,
                },
            };
        };
        if self.remote.json {
            let Watched { job, answer } = &self.watched;
            self.printer.result(match answer {
                Some(Answer { made: (noun, made), .. }) => json!({(*noun): made, "job": job}),
                None => job.clone(),
            });
        }
        ended
    }

    fn job_id(&self) -> &str {
        text(&self.watched.job["id"])
    }

    /// Tells an event, if JSON was asked for.
    fn event(&self, name: &str, data: &Value) {
        if self.remote.json {
            self.printer.result(json!({"event": name, "data": data}));
        }
    }

    async fn take(&mut self, event: Sse) -> Result<Next, Stop> {
        let (Some(name), Some(data)) = (event.event, event.data) else { return Ok(self.judge()) };
        match serde_json::from_str::<Value>(&data) {
            Ok(data) => self.hear(&name, &data).await,
            Err(_) => Ok(self.judge()),
        }
    }

    /// Reads how everything is now.
    async fn read(&mut self) -> Result<Next, Stop> {
        let queue = self.remote.get("look at the queue", "/api/queue").await?;
        let job = self.remote.get("look at the job", &format!("/api/jobs/{}", self.job_id())).await?;
        self.event("queue", &json!({"queue": queue}));
        self.event("job", &json!({"job": job}));
        self.queue(&queue);
        if let Next::Over(ended) = self.job(&job) {
            return Ok(Next::Over(ended));
        }
        let Some(project) = self.conversation().await? else { return Ok(Next::More) };
        let project = self.remote.get("look at the project", &format!("/api/projects/{project}")).await?;
        self.event("project", &json!({"project": project}));
        self.project(&project);
        Ok(self.judge())
    }

    /// Reads what was said, and tells what is new; returns the project, if there is one.
    async fn conversation(&mut self) -> Result<Option<String>, Stop> {
        let Some(project) = self.watched.answer.as_ref().map(|answer| answer.project.clone()) else { return Ok(None) };
        let path = format!("/api/projects/{project}/messages");
        let conversation = self.remote.get("read the conversation", &path).await?;
        for message in conversation["items"].as_array().into_iter().flatten() {
            if let Some(Answer { made: ("message", made), .. }) = &mut self.watched.answer
                && made["id"] == message["id"]
            {
                message.clone_into(made);
            }
            self.message(message);
            for part in message["parts"].as_array().into_iter().flatten() {
                self.part(text(&message["id"]), part);
            }
        }
        Ok(Some(project))
    }

    async fn hear(&mut self, name: &str, data: &Value) -> Result<Next, Stop> {
        let project = self.watched.answer.as_ref().map(|answer| answer.project.as_str());
        let is_ours = match name {
            "job" => data["job"]["id"] == self.job_id(),
            "project" => project.is_some() && data["project"]["id"].as_str() == project,
            "message" | "part" | "delta" => project.is_some() && data["project_id"].as_str() == project,
            "queue" | "reset" => true,
            _ => false,
        };
        if !is_ours {
            return Ok(self.judge());
        }
        if name != "reset" {
            self.event(name, data);
        }
        match name {
            "job" => {
                if let Next::Over(ended) = self.job(&data["job"]) {
                    return Ok(Next::Over(ended));
                }
            }
            "queue" => self.queue(&data["queue"]),
            "project" => self.project(&data["project"]),
            "message" => self.message(&data["message"]),
            "part" => self.part(text(&data["message_id"]), &data["part"]),
            "delta" if self.has_gap(data) => return self.read().await,
            "delta" => self.delta(data),
            _ => return self.read().await,
        }
        Ok(self.judge())
    }

    /// Tells something about the job. It may come in the middle of a line of the answer, which it doesn't cut.
    fn note(&mut self, line: String) {
        self.notes.push(line);
        if !self.open_line {
            self.end_line();
        }
    }

    /// Ends the line of the answer, and tells what waited for that.
    fn end_line(&mut self) {
        if std::mem::take(&mut self.open_line) {
            self.printer.words("\n");
        }
        for line in std::mem::take(&mut self.notes) {
            if !self.remote.json {
                self.printer.line(line);
            }
        }
    }

    /// Tells what holds the work up, once for as long as it does.
    fn holds(&mut self, what: &'static str, line: Option<String>) {
        match line {
            Some(line) if self.holds.get(what) == Some(&line) => {}
            Some(line) => {
                self.holds.insert(what, line.clone());
                self.note(format!("  waits     {line}"));
                // No words come until it is over.
                self.end_line();
            }
            None => drop(self.holds.remove(what)),
        }
    }

    fn queue(&mut self, queue: &Value) {
        queue["paused_at"].clone_into(&mut self.paused_at);
        self.pause();
    }

    /// What has begun goes on in a paused queue.
    fn pause(&mut self) {
        let is_held = self.paused_at.is_string() && self.watched.job["state"] == "queued";
        self.holds("queue", is_held.then(|| PAUSED.to_owned()));
    }

    /// Tells the steps of the job that went on.
    fn job(&mut self, job: &Value) -> Next {
        job.clone_into(&mut self.watched.job);
        self.pause();
        for step in job["steps"].as_array().into_iter().flatten() {
            let (name, state) = (text(&step["name"]), text(&step["state"]));
            let (rank, word) = match state {
                "running" => (0, "begun"),
                "succeeded" => (1, "done"),
                "failed" => (1, "failed"),
                "undone" => (2, "undone"),
                "skipped" => (2, "skipped"),
                _ => continue,
            };
            let detail = step["detail"].as_str().filter(|_| state == "failed");
            let attempt = step["attempts"].as_u64().unwrap_or_default();
            let now = Told { attempt, rank, words: format!("{state} {}", detail.unwrap_or_default()) };
            // What was asked for in between may be newer than the next event.
            if self.steps.get(name).is_some_and(|told| told.is_as_far_as(&now)) {
                continue;
            }
            self.steps.insert(name.to_owned(), now);
            let detail = detail.map(|detail| format!(": {}", harmless(detail))).unwrap_or_default();
            self.note(format!("  {word:<8}  {}{detail}", text(&step["label"])));
        }
        self.holds("job", job["waits_for"]["message"].as_str().map(harmless));
        match text(&job["state"]) {
            "succeeded" => {
                self.job_over = true;
                if self.watched.answer.is_none() { Next::Over(Ok(())) } else { Next::More }
            }
            state @ ("failed" | "cancelled" | "stuck") => {
                let (message, label) = (&job["error"]["message"], &job["error"]["action"]["label"]);
                let message = message.as_str().map_or_else(|| format!("it is {state}"), harmless);
                let stop = Stop::failed(anyhow!("finish the job {}: {message}", text(&job["id"])));
                let stop = match job["error"]["code"].as_str() {
                    Some(code) => stop.code(code),
                    None => stop,
                };
                let hint = match text(label) {
                    "Try again" => format!("`doce job retry {}`", text(&job["id"])),
                    "Replace key" => "`doce connection replace`".to_owned(),
                    "Connect provider" => "`doce connection add`".to_owned(),
                    "Open logs" => format!("`doce project logs {}` shows it", text(&job["project_id"])),
                    _ => format!("`doce job show {}` tells its steps", text(&job["id"])),
                };
                Next::Over(Err(stop.hint(hint)))
            }
            _ => Next::More,
        }
    }

    fn project(&mut self, project: &Value) {
        if let Some(Answer { made: ("project", made), .. }) = &mut self.watched.answer {
            project.clone_into(made);
        }
        self.holds("provider", retry(project));
        self.holds("agent", (project["instance"]["observed"] == "unhealthy").then(|| UNHEALTHY.to_owned()));
        self.is_busy = matches!(text(&project["session"]["kind"]), "busy" | "retry");
    }

    fn message(&mut self, message: &Value) {
        let id = text(&message["id"]);
        if self.watched.answer.as_ref().is_none_or(|answer| answer.before.contains(id)) {
            return;
        }
        let state = text(&message["state"]);
        self.messages.insert(id.to_owned(), (text(&message["role"]).to_owned(), state.to_owned()));
        if matches!(state, "failed" | "interrupted" | "aborted") {
            let why = message["error"]["message"].as_str().map_or_else(|| format!("it was {state}"), harmless);
            self.failed = Some((id.to_owned(), state.to_owned(), why));
        } else if self.failed.as_ref().is_some_and(|(failed, ..)| failed == id) {
            self.failed = None;
        }
    }

    fn is_answer(&self, message: &str) -> bool {
        self.messages.get(message).is_some_and(|(role, _)| role == "assistant")
    }

    fn part(&mut self, message: &str, part: &Value) {
        if !self.is_answer(message) {
            return;
        }
        let id = text(&part["id"]);
        match text(&part["kind"]) {
            "text" => {
                let whole: Vec<u16> = text(&part["text"]).encode_utf16().collect();
                let printed = self.printed.get(id).copied().unwrap_or(0);
                if let Some(more) = whole.get(printed..).filter(|more| !more.is_empty()) {
                    self.print(id, &String::from_utf16_lossy(more), whole.len());
                } else {
                    self.printed.entry(id.to_owned()).or_default();
                }
            }
            "tool" => {
                let tool = &part["tool"];
                let is_over = matches!(text(&tool["status"]), "completed" | "error");
                if is_over && self.tools.insert(id.to_owned()) {
                    let title = tool["title"].as_str().map(|title| format!(": {}", harmless(title)));
                    let error = if tool["status"] == "error" { " (failed)" } else { "" };
                    let name = harmless(text(&tool["name"]));
                    self.note(format!("  tool      {name}{}{error}", title.unwrap_or_default()));
                    // The words before a tool are whole.
                    self.end_line();
                }
            }
            _ => {}
        }
    }

    /// Says whether words are missing between what was printed and these.
    fn has_gap(&self, delta: &Value) -> bool {
        let printed = self.printed.get(text(&delta["part_id"]));
        printed.is_some_and(|printed| offset(delta) > *printed)
    }

    fn delta(&mut self, delta: &Value) {
        let id = text(&delta["part_id"]);
        // Only parts that are known to be an answer's words are printed: the first part event says so.
        let Some(printed) = self.printed.get(id).copied() else { return };
        let words: Vec<u16> = text(&delta["delta"]).encode_utf16().collect();
        let length = offset(delta) + words.len();
        if let Some(more) = printed.checked_sub(offset(delta)).and_then(|known| words.get(known..))
            && !more.is_empty()
        {
            self.print(id, &String::from_utf16_lossy(more), length);
        }
    }

    fn print(&mut self, part: &str, words: &str, length: usize) {
        if self.last_part != part {
            self.end_line();
            part.clone_into(&mut self.last_part);
        }
        self.printed.insert(part.to_owned(), length);
        if !self.remote.json {
            let words = harmless(words);
            self.printer.words(&words);
            self.open_line = !words.ends_with('\n');
            if !self.open_line {
                self.end_line();
            }
        }
    }

    fn ended_early(&self) -> Result<(), Stop> {
        let why = self.failed.as_ref().map_or("it ended early", |(_, _, why)| why);
        let stop = Stop::failed(anyhow!("finish the answer: {why}"));
        Err(stop.hint("`doce project open` leads to the page that goes on with it"))
    }

    /// Says whether the answer is there.
    fn judge(&mut self) -> Next {
        if self.watched.answer.is_none() || !self.job_over || self.is_busy {
            return Next::More;
        }
        if let Some((_, state, _)) = &self.failed {
            return if state == "interrupted" { Next::Doubt } else { Next::Over(self.ended_early()) };
        }
        let mut answers = self.messages.values().filter(|(role, _)| role == "assistant").peekable();
        if answers.peek().is_some() && answers.all(|(_, state)| state == "complete") {
            return Next::Over(Ok(()));
        }
        Next::More
    }
}

/// Says when the provider is asked again, why, and how to end that.
fn retry(project: &Value) -> Option<String> {
    let session = &project["session"];
    if session["kind"] != "retry" {
        return None;
    }
    let when = session["next_at"]
        .as_str()
        .and_then(|at| on_the_wall(at, "%H:%M:%S"))
        .map(|at| format!(" at {at}"))
        .unwrap_or_default();
    let attempt = session["attempt"].as_u64().map(|attempt| format!(" (attempt {attempt})")).unwrap_or_default();
    let message = harmless(text(&session["message"]));
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = if message.is_empty() { message } else { format!(": {message}") };
    let slug = text(&project["slug"]);
    let end = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    Some(format!(
        "The provider is asked again{when}{attempt}{message}{end} `doce project abort {slug}` stops the answer."
    ))
}

/// What was said of a step last.
struct Told {
    attempt: u64,
    /// How far the step was in that attempt.
    rank: u8,
    words: String,
}

impl Told {
    /// Says whether another view of the step tells nothing new.
    fn is_as_far_as(&self, other: &Self) -> bool {
        let (own, others) = ((self.attempt, self.rank), (other.attempt, other.rank));
        own > others || own == others && self.words == other.words
    }
}

fn offset(delta: &Value) -> usize {
    delta["offset"].as_u64().and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_is_asked_again_is_told_with_its_words_and_the_way_out() {
        let mut project = json!({
            "slug": "bakery",
            "session": {"kind": "retry", "attempt": 2, "next_at": "2026-01-01T12:00:30Z", "message": "Slow\ndown\u{1b}[2J"},
        });
        let told = retry(&project).unwrap();
        let (before, rest) = told.split_once(" at ").unwrap();
        assert_eq!(before, "The provider is asked again");
        assert!(rest.get(5..8) == Some(":30"), "{told}");
        assert_eq!(&rest[8..], " (attempt 2): Slow down[2J. `doce project abort bakery` stops the answer.");
        project["session"] = json!({"kind": "retry", "attempt": null, "next_at": null, "message": null});
        let bare = "The provider is asked again. `doce project abort bakery` stops the answer.";
        assert_eq!(retry(&project).as_deref(), Some(bare));
        project["session"]["message"] = "Is it there?".into();
        let asking = "The provider is asked again: Is it there? `doce project abort bakery` stops the answer.";
        assert_eq!(retry(&project).as_deref(), Some(asking));
        project["session"]["kind"] = "busy".into();
        assert_eq!(retry(&project), None);
    }
}
