//! The HTTP client of the commands: where the server is, who we are, and errors that say what to do.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;

use crate::cli::ClientArgs;
use crate::config::{Environment, SETTINGS};
use crate::dev::DevFiles;
use crate::failure::Failure;

const DEFAULT_URL: &str = "http://127.0.0.1:8071";
const TIMEOUT: Duration = Duration::from_secs(60);
/// Kept as they are in a segment of a path: what ids, uids and names are made of.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    api_key: Option<String>,
    /// For the message that there is no key.
    data_dir: PathBuf,
}

impl Client {
    /// Flag, then variable, then what `hookpost dev` left in the data directory.
    pub(crate) fn new(args: &ClientArgs, environment: &Environment) -> anyhow::Result<Self> {
        let data_dir = data_dir(args, environment);
        let dev = DevFiles::in_directory(&data_dir);
        let given = |flag: &Option<String>, variable: &str| flag.clone().or_else(|| environment.get(variable).map(str::to_owned));
        let base = given(&args.url, "HOOKPOST_URL").or_else(|| dev.read_url()).unwrap_or_else(|| DEFAULT_URL.to_owned());
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(Failure::Usage(format!("the URL of the server, {base:?}, must begin with http:// or https://")).into());
        }
        let api_key = given(&args.api_key, "HOOKPOST_API_KEY").or_else(|| dev.read_key());
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build().new_agent();
        Ok(Self { agent, base: base.trim_end_matches('/').to_owned(), api_key, data_dir })
    }

    #[cfg(test)]
    pub(crate) fn to(url: &str, key: &str) -> Self {
        let args = ClientArgs { url: Some(url.to_owned()), api_key: Some(key.to_owned()), data_dir: None, json: false };
        Self::new(&args, &Environment::default()).expect("the URL of a test is right")
    }

    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.agent.get(self.address(path));
        self.finish(authorized(request, self.key()?).call())
    }

    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.agent.delete(self.address(path));
        self.finish(authorized(request, self.key()?).call())
    }

    pub(crate) fn post(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
        let request = self.agent.post(self.address(path));
        self.finish(authorized(request, self.key()?).send_json(body))
    }

    /// With an idempotency key, if there is one.
    pub(crate) fn post_once(&self, path: &str, body: &impl Serialize, key: Option<&str>) -> anyhow::Result<Value> {
        let mut request = authorized(self.agent.post(self.address(path)), self.key()?);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.finish(request.send_json(body))
    }

    pub(crate) fn put(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
        let request = self.agent.put(self.address(path));
        self.finish(authorized(request, self.key()?).send_json(body))
    }

    pub(crate) fn patch(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
        let request = self.agent.patch(self.address(path));
        self.finish(authorized(request, self.key()?).send_json(body))
    }

    /// The one request that needs no key.
    pub(crate) fn get_without_key(&self, path: &str) -> anyhow::Result<Value> {
        self.finish(self.agent.get(self.address(path)).call())
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn key(&self) -> anyhow::Result<&str> {
        self.api_key.as_deref().ok_or_else(|| {
            let message = format!(
                "no API key: give --api-key or set HOOKPOST_API_KEY (make one with `hookpost key create`), or run this where `hookpost dev` \
                 keeps its data (there is no {})",
                self.data_dir.join(DevFiles::KEY).display()
            );
            Failure::Usage(message).into()
        })
    }

    fn finish(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Value> {
        let mut answer = answer.map_err(|error| self.unreachable(&error))?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(256 << 20).read_to_string().map_err(|error| self.unreachable(&error))?;
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
        if answer.status().is_success() {
            return Ok(body);
        }
        Err(Failure::Refused { status, message: explain(status, &body) }.into())
    }

    fn unreachable(&self, error: &impl Display) -> anyhow::Error {
        let message = format!(
            "no answer from {}: {error}\n  Is the server running? Start one with `hookpost dev` (or `hookpost serve`), or say where it is with --url or HOOKPOST_URL.",
            self.base
        );
        Failure::Unreachable(message).into()
    }
}

fn authorized<B>(request: ureq::RequestBuilder<B>, key: &str) -> ureq::RequestBuilder<B> {
    request.header("authorization", format!("Bearer {key}"))
}

/// A path of the API from its parts; each argument becomes one segment, whatever it contains.
pub(crate) fn path(template: &str, arguments: &[&str]) -> String {
    below("/api/v1", template, arguments)
}

/// The same for what belongs to sources.
pub(crate) fn ingest_path(template: &str, arguments: &[&str]) -> String {
    below("/ingest/api/v1", template, arguments)
}

fn below(prefix: &str, template: &str, arguments: &[&str]) -> String {
    let mut parts = template.split("{}");
    let mut path = format!("{prefix}{}", parts.next().unwrap_or_default());
    for (argument, part) in arguments.iter().zip(parts) {
        path.extend(utf8_percent_encode(argument, SEGMENT));
        path.push_str(part);
    }
    path
}

/// Adds what is given to the query of a path.
pub(crate) fn with_query(mut path: String, query: &[(&str, Option<String>)]) -> String {
    for (name, value) in query {
        if let Some(value) = value {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(name);
            path.push('=');
            path.extend(utf8_percent_encode(value, SEGMENT));
        }
    }
    path
}

/// Where client and server meet without the network: the data directory that both take from the same place.
pub(crate) fn data_dir(args: &ClientArgs, environment: &Environment) -> PathBuf {
    let setting = SETTINGS.iter().find(|setting| setting.name == "data_dir").expect("there is a data directory");
    match (&args.data_dir, environment.get(&setting.variable())) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) => PathBuf::from(path),
        (None, None) => Path::new(setting.default).to_owned(),
    }
}

/// Makes one readable message of the error bodies of the API.
fn explain(status: u16, body: &Value) -> String {
    let detail = match &body["detail"] {
        Value::String(detail) => detail.clone(),
        Value::Array(problems) => problems.iter().map(explain_field).collect::<Vec<_>>().join("\n  "),
        _ => String::new(),
    };
    let hint = match status {
        401 => "\n  The API key is not accepted here: check --api-key or HOOKPOST_API_KEY.",
        _ => "",
    };
    let code = body["code"].as_str().unwrap_or_default();
    match (detail.is_empty(), code.is_empty()) {
        (false, _) => format!("the server refused it ({status}): {detail}{hint}"),
        (true, false) => format!("the server refused it ({status}): {code}{hint}"),
        (true, true) => format!("the server answered with status {status}{hint}"),
    }
}

/// `{"loc": ["body", "uid"], "msg": "…"}` as `body.uid: …`.
fn explain_field(problem: &Value) -> String {
    let place: Vec<_> = problem["loc"].as_array().into_iter().flatten().map(crate::output::cell).filter(|part| part != "__all__").collect();
    format!("{}: {}", place.join("."), problem["msg"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_escape_what_is_put_into_them() {
        assert_eq!(path("/app/{}/msg/{}", &["a/b", "msg_1.x-y"]), "/api/v1/app/a%2Fb/msg/msg_1.x-y");
        assert_eq!(ingest_path("/source/{}", &["a"]), "/ingest/api/v1/source/a");
        assert_eq!(
            with_query(path("/app", &[]), &[("limit", Some("5".into())), ("iterator", None), ("x", Some("a&b".into()))]),
            "/api/v1/app?limit=5&x=a%26b"
        );
    }

    #[test]
    fn refusals_are_readable() {
        let body = json!({"detail": [{"loc": ["body", "uid", "__all__"], "msg": "is taken", "type": "value_error"}]});
        assert_eq!(explain(422, &body), "the server refused it (422): body.uid: is taken");
        assert_eq!(
            explain(404, &json!({"code": "not_found", "detail": "Entity not found"})),
            "the server refused it (404): Entity not found"
        );
        assert_eq!(explain(502, &Value::Null), "the server answered with status 502");
    }
}
