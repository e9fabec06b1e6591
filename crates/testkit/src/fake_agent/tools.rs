//! The fake's tools: `write`, `read` and `bash` do what they say, under the configured permissions; any other only answers.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use super::ids::new_id;
use super::instance::resolve;
use crate::clock::epoch_ms;

/// A tool call.
pub(super) struct Call<'a> {
    pub(super) agent: &'a Agent,
    pub(super) session: &'a str,
    pub(super) message: &'a str,
    pub(super) directory: &'a str,
    pub(super) cancel: &'a CancellationToken,
    pub(super) name: &'a str,
    pub(super) input: &'a Value,
    /// A permission that is asked for, whatever the configuration says.
    pub(super) ask: Option<&'a str>,
}

/// How a call ended for the run.
pub(super) enum Outcome {
    /// With a result or an error; the model goes on.
    Done,
    /// A person refused the permission; the run ends.
    Rejected,
    /// The run was aborted meanwhile.
    Aborted,
}

/// What a tool gives back.
struct Output {
    text: String,
    title: String,
    metadata: Value,
}

impl Call<'_> {
    pub(super) async fn run(&self) -> Outcome {
        let part = json!({
            "type": "tool", "tool": self.name, "callID": new_id("call"), "id": new_id("prt"),
            "sessionID": self.session, "messageID": self.message,
        });
        let start = epoch_ms();
        self.put(&part, json!({ "status": "pending", "input": {}, "raw": "" }));
        self.put(&part, json!({ "status": "running", "input": self.input, "time": { "start": start } }));
        match self.permit(&part).await {
            Some(Ok(true)) => {}
            Some(Ok(false)) => {
                let error = "The user rejected permission to use this specific tool call.";
                self.put(&part, self.error(start, error));
                return Outcome::Rejected;
            }
            Some(Err(error)) => {
                self.put(&part, self.error(start, &error));
                return Outcome::Done;
            }
            None => {
                self.put(&part, self.error(start, "Tool execution aborted"));
                return Outcome::Aborted;
            }
        }
        let (state, outcome) = tokio::select! {
            result = self.execute() => (
                match result {
                    Ok(output) => json!({
                        "status": "completed", "input": self.input, "output": output.text, "title": output.title,
                        "metadata": output.metadata, "time": { "start": start, "end": epoch_ms() },
                    }),
                    Err(error) => self.error(start, &error),
                },
                Outcome::Done,
            ),
            () = self.cancel.cancelled() => (self.error(start, "Tool execution aborted"), Outcome::Aborted),
        };
        self.put(&part, state);
        outcome
    }

    /// Whether the call may run: the rule's or a person's yes or no, a rule's refusal as an error, `None` when aborted.
    async fn permit(&self, part: &Value) -> Option<Result<bool, String>> {
        let (permission, rule) = self.rule();
        match rule.as_str() {
            "deny" => Some(Err(format!(
                "The user has specified a rule which prevents you from using this specific tool call: {permission}"
            ))),
            "ask" => {
                let path = self.input["filePath"].as_str().unwrap_or_default();
                let parent = Path::new(path).parent().unwrap_or(Path::new("/")).display().to_string();
                let pattern = format!("{parent}/*");
                let request = json!({
                    "sessionID": self.session, "permission": permission, "patterns": [pattern],
                    "metadata": { "filepath": path, "parentDir": parent }, "always": [pattern],
                    "tool": { "messageID": self.message, "callID": part["callID"] },
                });
                tokio::select! {
                    allowed = self.agent.ask(self.session, request) => Some(Ok(allowed)),
                    () = self.cancel.cancelled() => None,
                }
            }
            _ => Some(Ok(true)),
        }
    }

    /// The permission this call needs and what the configuration says about it.
    fn rule(&self) -> (String, String) {
        if let Some(permission) = self.ask {
            return (permission.to_owned(), "ask".to_owned());
        }
        let Ok(instance) = self.agent.instance(self.directory) else {
            return (self.name.to_owned(), "deny".to_owned());
        };
        let is_outside =
            self.input["filePath"].as_str().is_some_and(|path| !resolve(Path::new(self.directory), path).1);
        let permission = match self.name {
            _ if is_outside => "external_directory",
            "write" => "edit",
            name => name,
        };
        (permission.to_owned(), instance.permission(permission).to_owned())
    }

    async fn execute(&self) -> Result<Output, String> {
        match self.name {
            "write" => self.write(),
            "read" => self.read(),
            "bash" => self.bash().await,
            name => Ok(Output {
                text: format!("The fake Agent has no tool `{name}`."),
                title: name.to_owned(),
                metadata: json!({ "truncated": false }),
            }),
        }
    }

    fn write(&self) -> Result<Output, String> {
        let path = self.text("filePath")?;
        let content = self.text("content")?;
        let (full, _) = resolve(Path::new(self.directory), path);
        let existed = full.exists();
        let written =
            full.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&full, content));
        written.map_err(|error| format!("write {}: {error}", full.display()))?;
        let file = full.display().to_string();
        let events = &self.agent.events;
        events.emit(self.directory, "file.edited", &json!({ "file": file }));
        let change = if existed { "change" } else { "add" };
        events.emit(self.directory, "file.watcher.updated", &json!({ "file": file, "event": change }));
        Ok(Output {
            text: "Wrote file successfully.".to_owned(),
            title: file.trim_start_matches('/').to_owned(),
            metadata: json!({ "diagnostics": {}, "filepath": file, "exists": existed, "truncated": false }),
        })
    }

    fn read(&self) -> Result<Output, String> {
        let (full, _) = resolve(Path::new(self.directory), self.text("filePath")?);
        let file = full.display().to_string();
        let content = std::fs::read(&full).map_err(|_| format!("File not found: {file}"))?;
        let content = String::from_utf8_lossy(&content);
        let lines: Vec<String> =
            content.lines().enumerate().map(|(index, line)| format!("{}: {line}", index + 1)).collect();
        let count = lines.len();
        let lines = lines.join("\n");
        Ok(Output {
            text: format!(
                "<path>{file}</path>\n<type>file</type>\n<content>\n{lines}\n\n(End of file - total {count} lines)\n</content>"
            ),
            title: file.trim_start_matches('/').to_owned(),
            metadata: json!({ "preview": content, "truncated": false }),
        })
    }

    #[expect(clippy::disallowed_methods, reason = "plays OpenCode, whose bash tool runs what it is told")]
    async fn bash(&self) -> Result<Output, String> {
        let command = self.text("command")?;
        let failed = |error| format!("run `{command}`: {error}");
        let shell = tokio::process::Command::new("sh")
            .args(["-c", command])
            .current_dir(self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let mut group = Group(shell.id());
        let run = shell.wait_with_output().await.map_err(failed)?;
        group.0 = None;
        let mut text = String::from_utf8_lossy(&run.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&run.stderr));
        if text.is_empty() {
            "(no output)".clone_into(&mut text);
        }
        Ok(Output {
            metadata: json!({ "output": text, "exit": run.status.code(), "truncated": false }),
            text,
            title: command.to_owned(),
        })
    }

    fn text(&self, field: &str) -> Result<&str, String> {
        self.input[field].as_str().ok_or_else(|| format!("The field {field} is missing."))
    }

    fn error(&self, start: u64, error: &str) -> Value {
        json!({ "status": "error", "input": self.input, "error": error, "time": { "start": start, "end": epoch_ms() } })
    }

    fn put(&self, part: &Value, state: Value) {
        let mut part = part.clone();
        part["state"] = state;
        self.agent.put_part(self.session, self.message, &part);
    }
}

/// A shell and what it began, which an abort ends: that drops the future of the call.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.and_then(|pid| pid.try_into().ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(leader) = leader {
            // All of it may have ended by itself meanwhile.
            let _ended = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}
