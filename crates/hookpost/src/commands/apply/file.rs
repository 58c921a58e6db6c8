//! The file that `apply` reads: what may stand in it, and the variables in it. What the server calls wrong is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::Environment;
use crate::failure::Failure;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) source: Vec<DeclaredSource>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeclaredSource {
    pub(super) uid: String,
    name: Option<String>,
    r#type: String,
    application: Option<String>,
    disabled: Option<bool>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    config: Map<String, Value>,
    /// What is not said is as if it had never been said: a file describes the whole.
    #[serde(default)]
    rules: Map<String, Value>,
    #[serde(default)]
    pub(super) endpoint: Vec<DeclaredEndpoint>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct DeclaredEndpoint {
    pub(super) uid: String,
    url: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    disabled: bool,
    event_types: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    throttle_rate: Option<u16>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Of an endpoint that is made; one that is there keeps its own.
    secret: Option<String>,
    #[serde(default)]
    ordered: bool,
}

impl File {
    pub(super) fn read(path: &Path, environment: &Environment) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text, environment).map_err(|problem| Failure::Usage(format!("{}: {problem}", path.display())).into())
    }

    fn parse(text: &str, environment: &Environment) -> Result<Self, String> {
        let mut file: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut missing = BTreeSet::new();
        for source in &mut file.source {
            source.fill_in(&mut |name| {
                let value = environment.named(name);
                if value.is_none() {
                    missing.insert(name.to_owned());
                }
                value.unwrap_or_default().to_owned()
            })?;
        }
        if !missing.is_empty() {
            let names: Vec<String> = missing.into_iter().map(|name| format!("${{{name}}}")).collect();
            return Err(format!("these variables are not set: {}", names.join(", ")));
        }
        file.check_uids()?;
        Ok(file)
    }

    fn check_uids(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for source in &self.source {
            let endpoints = source.endpoint.iter().map(|endpoint| format!("{}/{}", source.uid, endpoint.uid));
            for name in std::iter::once(source.uid.clone()).chain(endpoints) {
                if !seen.insert(name.clone()) {
                    return Err(format!("the uid `{name}` stands twice"));
                }
            }
        }
        Ok(())
    }
}

impl DeclaredSource {
    pub(super) fn body(&self) -> Value {
        let mut body = Map::new();
        let mut set = |field: &str, value: Value| body.insert(field.to_owned(), value);
        set("uid", self.uid.as_str().into());
        set("name", self.name.as_ref().unwrap_or(&self.uid).as_str().into());
        set("type", self.r#type.as_str().into());
        set("config", self.config.clone().into());
        set("rules", self.rules.clone().into());
        set("metadata", serde_json::json!(self.metadata));
        set("disabled", self.disabled.unwrap_or_default().into());
        if let Some(application) = &self.application {
            set("application", application.as_str().into());
        }
        Value::Object(body)
    }

    /// Puts variables in their places, wherever a value may be secret or depend on where it is applied.
    fn fill_in(&mut self, variable: &mut impl FnMut(&str) -> String) -> Result<(), String> {
        for value in self.config.values_mut().chain(self.rules.values_mut()) {
            fill_in(value, variable)?;
        }
        for endpoint in &mut self.endpoint {
            let texts = std::iter::once(&mut endpoint.url).chain(endpoint.headers.values_mut()).chain(&mut endpoint.secret);
            for text in texts {
                *text = filled_in(text, variable)?;
            }
        }
        Ok(())
    }
}

impl DeclaredEndpoint {
    pub(super) fn body(&self) -> Value {
        let mut body = self.shown();
        body.insert("headers".to_owned(), serde_json::json!(self.headers));
        if let Some(secret) = &self.secret {
            body.insert("secret".to_owned(), secret.as_str().into());
        }
        Value::Object(body)
    }

    /// Whether something has to be done. Values that the server withholds cannot be compared, and count as equal where their header is there.
    pub(super) fn differs_from(&self, endpoint: &Value, headers: Option<&Value>) -> bool {
        let fields_differ = self.shown().iter().any(|(name, value)| endpoint[name.as_str()] != *value);
        let Some(headers) = headers else { return true };
        let sensitive: Vec<&str> = headers["sensitive"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let shown: BTreeMap<&str, &str> = headers["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .collect();
        let same =
            |(name, value): (&String, &String)| sensitive.contains(&name.as_str()) || shown.get(name.as_str()) == Some(&value.as_str());
        let headers_differ = self.headers.len() != sensitive.len() + shown.len() || !self.headers.iter().all(same);
        fields_differ || headers_differ
    }

    /// The fields that answers show.
    fn shown(&self) -> Map<String, Value> {
        let fields = [
            ("uid", Value::from(self.uid.as_str())),
            ("url", self.url.as_str().into()),
            ("description", self.description.as_str().into()),
            ("disabled", self.disabled.into()),
            ("eventTypes", serde_json::json!(self.event_types)),
            ("channels", serde_json::json!(self.channels)),
            ("throttleRate", serde_json::json!(self.throttle_rate)),
            ("metadata", serde_json::json!(self.metadata)),
            ("ordered", self.ordered.into()),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn fill_in(value: &mut Value, variable: &mut impl FnMut(&str) -> String) -> Result<(), String> {
    match value {
        Value::String(text) => *text = filled_in(text, variable)?,
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill_in(item, variable))?,
        Value::Object(fields) => fields.values_mut().try_for_each(|field| fill_in(field, variable))?,
        _ => {}
    }
    Ok(())
}

/// `${NAME}` is a variable, `$$` a dollar sign; any other `$` stands for itself, as in JSON paths.
fn filled_in(text: &str, variable: &mut impl FnMut(&str) -> String) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            filled.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| format!("`{text}` has a `${{` without `}}`"))?;
            filled.push_str(&variable(name));
            rest = after;
        } else {
            filled.push('$');
            rest = after;
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn parse(text: &str) -> Result<File, String> {
        File::parse(text, &environment(&[("SECRET", "s3cret"), ("HOST", "example.com")]))
    }

    #[test]
    fn a_file_becomes_bodies() {
        let file = parse(
            r#"
            [[source]]
            uid = "github"
            type = "github"
            config = { secret = "${SECRET}", secrets = ["a$$b", "old-${SECRET}"] }
            [source.rules]
            eventType = { path = "$.action" }
            [[source.endpoint]]
            uid = "ci"
            url = "https://${HOST}/hooks"
            headers = { Authorization = "Bearer ${SECRET}" }
            "#,
        )
        .unwrap();
        let source = &file.source[0];
        let expected = json!({
            "uid": "github", "name": "github", "type": "github", "metadata": {}, "disabled": false,
            "config": { "secret": "s3cret", "secrets": ["a$b", "old-s3cret"] }, "rules": { "eventType": { "path": "$.action" } },
        });
        assert_eq!(source.body(), expected);
        assert_eq!(source.endpoint[0].body()["url"], json!("https://example.com/hooks"));
        assert_eq!(source.endpoint[0].body()["headers"], json!({ "Authorization": "Bearer s3cret" }));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, words) in [
            ("[[sorce]]", "unknown field `sorce`"),
            ("[[source]]\nuid = 'x'", "missing field `type`"),
            ("[[source]]\nuid = 'x'\ntype = 'github'\nsecret = 'y'", "unknown field `secret`"),
            ("[[source]]\nuid = 'x'\ntype = 'github'\n[[source.endpoint]]\nuid = 'e'\nurl = 'u'\nevents = []", "unknown field `events`"),
            ("[[source]]\nuid = 'x'\ntype = 'github'\nconfig.secret = '${A} ${B}'", "these variables are not set: ${A}, ${B}"),
            ("[[source]]\nuid = 'x'\ntype = 'github'\nconfig.secret = '${A'", "has a `${` without `}`"),
            ("[[source]]\nuid = 'x'\ntype = 'a'\n[[source]]\nuid = 'x'\ntype = 'a'", "the uid `x` stands twice"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(words), "{text}: {problem}");
        }
    }

    #[test]
    fn an_endpoint_is_compared_by_what_is_shown() {
        let file =
            parse("[[source]]\nuid = 'x'\ntype = 'a'\n[[source.endpoint]]\nuid = 'e'\nurl = 'u'\nheaders = { A = '1', Cookie = '2' }")
                .unwrap();
        let endpoint = &file.source[0].endpoint[0];
        let mut shown = Value::Object(endpoint.shown());
        let headers = json!({ "headers": { "A": "1" }, "sensitive": ["Cookie"] });
        assert!(!endpoint.differs_from(&shown, Some(&headers)));
        assert!(endpoint.differs_from(&shown, Some(&json!({ "headers": { "A": "2" }, "sensitive": ["Cookie"] }))));
        assert!(endpoint.differs_from(&shown, Some(&json!({ "headers": { "A": "1" }, "sensitive": [] }))));
        shown["disabled"] = true.into();
        assert!(endpoint.differs_from(&shown, Some(&headers)));
    }
}
