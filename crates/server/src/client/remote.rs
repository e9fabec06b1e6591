//! The way to a server: its control socket, or its address with an API token.

use std::{fmt::Display, time::Duration};

use anyhow::{Context as _, anyhow};
use camino::Utf8PathBuf;
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::{
    To,
    words::{Noun, pick, text},
};
use crate::{
    config::{self, Stop},
    control::{self, Way},
    lock::DataLock,
};

/// How long an answer may take. Asking a provider about a key is the longest.
const ANSWER: Duration = Duration::from_mins(2);
/// Most pages of a list that are fetched.
const PAGES_MAX: usize = 100;

/// A server that can be asked.
pub(crate) struct Remote {
    client: reqwest::Client,
    base: Url,
    token: Option<SecretString>,
    user: Option<String>,
    /// The data directory, if it is this machine's server.
    pub(super) data_dir: Option<Utf8PathBuf>,
    /// Whether answers are printed as they are.
    pub(super) json: bool,
}

impl Remote {
    /// Finds the way that the arguments name.
    pub(crate) fn find(to: &To) -> Result<Self, Stop> {
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("doce/", env!("CARGO_PKG_VERSION")));
        let build = |builder: reqwest::ClientBuilder| {
            builder.build().context("set up the way to the server").map_err(Stop::failed)
        };
        if let Some(url) = &to.url {
            let Some(token) = config::variable("DOCE_TOKEN") else {
                return Err(Stop::wrong(anyhow!("ask {url}: DOCE_TOKEN is not set")).hint(
                    "make one on that server, under Settings, Account or with `doce token create`; or unset DOCE_URL",
                ));
            };
            if to.user.is_some() {
                return Err(Stop::wrong(anyhow!("act for another account: a token has its own"))
                    .hint("leave --user and DOCE_USER out, or unset DOCE_URL"));
            }
            let (client, token) = (build(builder)?, Some(token.into()));
            return Ok(Self { client, base: url.clone(), token, user: None, data_dir: None, json: to.json });
        }
        let data_dir = config::data_dir(to.data_dir.clone())?;
        let socket = control::path(&data_dir);
        let way = Way::to(&socket).and_then(|way| std::os::unix::net::UnixStream::connect(&way.path).map(|_| way));
        let way = way.map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::PermissionDenied => format!("run it as the user that owns {data_dir}"),
                _ => "start it with `doce serve`, name its directory with --data-dir, or another server with DOCE_URL"
                    .to_owned(),
            };
            let text = match error.kind() {
                std::io::ErrorKind::PermissionDenied => format!("ask the server of {data_dir}: permission denied"),
                _ => format!("ask the server of {data_dir}: none is running"),
            };
            Stop::failed(anyhow!(text)).hint(hint).code("no_server")
        })?;
        let client = build(builder.unix_socket(way.path.as_std_path()).no_proxy())?;
        // The process ends with this value: the directory that a long path goes through stays open until then.
        std::mem::forget(way);
        let base = Url::parse("http://localhost").context("write an address").map_err(Stop::failed)?;
        Ok(Self { client, base, token: None, user: to.user.clone(), data_dir: Some(data_dir), json: to.json })
    }

    /// Returns the address of a page, for a browser.
    pub(super) fn page(&self, path: &str) -> String {
        let told = self.data_dir.as_deref().and_then(DataLock::address_of);
        let base = told.unwrap_or_else(|| self.base.as_str().to_owned());
        format!("{}{path}", base.trim_end_matches('/'))
    }

    fn request(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder, Stop> {
        let url = self.base.join(path).with_context(|| format!("write the address of {path}")).map_err(Stop::failed)?;
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            // Secret: the token goes to the server that DOCE_URL names, and no redirect is followed.
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(user) = &self.user {
            request = request.header(control::USER, user);
        }
        Ok(request)
    }

    async fn send(&self, what: &str, request: reqwest::RequestBuilder) -> Result<Response, Stop> {
        let response = request.send().await.map_err(|error| {
            // The address is in the hint; the library would repeat it with the path.
            let error = anyhow::Error::new(error.without_url()).context(format!("{what}: the server didn't answer"));
            Stop::failed(error)
                .hint(format!("see whether it runs: `doce doctor`, or {}", self.page("/api/health")))
                .code("no_answer")
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem = response.json::<Value>().await.unwrap_or_default();
        Err(refused(what, status, &problem))
    }

    /// Sends a request and returns the answer's JSON; null if it has none. `what` is what this does, for an error.
    pub(super) async fn ask(
        &self,
        what: impl Display,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Stop> {
        let what = what.to_string();
        let request = self.request(method, path)?.timeout(ANSWER);
        let request = body.into_iter().fold(request, reqwest::RequestBuilder::json);
        let response = self.send(&what, request).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let bytes = response.bytes().await.map_err(|e| Stop::failed(e.without_url()))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes)
            .with_context(|| format!("{what}: the answer isn't JSON"))
            .map_err(|error| Stop::failed(error).hint("see that the address is a doce server's"))
    }

    /// Reads something.
    pub(super) async fn get(&self, what: impl Display, path: &str) -> Result<Value, Stop> {
        self.ask(what, Method::GET, path, None).await
    }

    /// Reads something that is text.
    pub(super) async fn get_text(&self, what: &str, path: &str) -> Result<String, Stop> {
        let request = self.request(Method::GET, path)?.timeout(ANSWER);
        let response = self.send(what, request).await?;
        response.text().await.map_err(|e| Stop::failed(e.without_url()))
    }

    /// Opens what is too long to wait for.
    pub(super) async fn stream(&self, what: &str, path: &str) -> Result<Response, Stop> {
        self.send(what, self.request(Method::GET, path)?).await
    }

    /// Reads every page of a list.
    pub(super) async fn list(&self, what: &str, path: &str) -> Result<Vec<Value>, Stop> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let separator = if path.contains('?') { '&' } else { '?' };
            let at = if cursor.is_empty() { path.to_owned() } else { format!("{path}{separator}cursor={cursor}") };
            let mut page = self.get(what, &at).await?;
            if let Some(found) = page["items"].as_array_mut() {
                items.append(found);
            }
            let Some(next) = page["next"].as_str() else { break };
            cursor = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        }
        Ok(items)
    }

    /// Finds the one thing of a list that somebody named.
    pub(super) async fn pick(&self, noun: &Noun, path: &str, wanted: &str) -> Result<Value, Stop> {
        pick(noun, &self.list(&format!("list the {}s", noun.word), path).await?, wanted)
    }
}

/// Tells a problem that the server answered with.
fn refused(what: &str, status: StatusCode, problem: &Value) -> Stop {
    let detail = match problem["detail"].as_str() {
        Some(detail) => detail.to_owned(),
        None => format!("the server answered with {status}"),
    };
    let error = anyhow!("{what}: {detail}");
    let is_wrong = matches!(status.as_u16(), 400 | 401 | 403 | 404 | 422);
    let stop = if is_wrong { Stop::wrong(error) } else { Stop::failed(error) };
    let hint = match (text(&problem["code"]), problem["hint"].as_str()) {
        ("token_invalid", _) => {
            Some("make another one on that server and put it into DOCE_TOKEN: `doce token create` there".to_owned())
        }
        ("not_found" | "method_not_allowed", _) => {
            Some("the server is another version of doce: see that it has this".to_owned())
        }
        ("busy", _) => Some("`doce project abort` stops the answer".to_owned()),
        ("user_not_found", _) => Some("`doce user list` shows the accounts".to_owned()),
        (_, Some(hint)) => Some(hint.to_owned()),
        ("internal", None) => Some("look for the reference in the server's log".to_owned()),
        (_, None) => None,
    };
    let stop = stop.reference(problem["request_id"].as_str());
    let stop = match problem["code"].as_str() {
        Some(code) => stop.code(code),
        None => stop,
    };
    match hint {
        Some(hint) => stop.hint(hint),
        None => stop,
    }
}

/// Tells that something is no more, in JSON.
pub(super) fn gone(noun: &Value) -> Value {
    json!({"id": noun["id"], "gone": true})
}

/// Writes a list as the API does, whole.
pub(super) fn whole(items: &[Value]) -> Value {
    json!({"items": items, "next": null})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_refused_or_failed_at_has_its_reference() {
        let problem = json!({"detail": "Something failed.", "code": "internal", "hint": null, "request_id": "req_4f"});
        let stop = refused("list the projects", StatusCode::INTERNAL_SERVER_ERROR, &problem);
        assert_eq!(stop.reference.as_deref(), Some("req_4f"));
        assert_eq!(stop.hint.as_deref(), Some("look for the reference in the server's log"));
        assert_eq!((stop.by_user, stop.code.as_deref()), (false, Some("internal")));
        // What stands in between may answer without one.
        let stop = refused("list the projects", StatusCode::BAD_GATEWAY, &Value::Null);
        assert_eq!((stop.reference, stop.hint), (None, None));
    }
}
