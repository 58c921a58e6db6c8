//! Request bodies from flags: only what was given is sent.

use std::time::Duration;

use anyhow::Context as _;
use hookpost_domain::{Clock as _, Timestamp};
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::outside::SystemClock;

/// A JSON object that grows by what was given on the command line.
#[derive(Debug, Default)]
pub(crate) struct Body(Map<String, Value>);

impl Body {
    pub(crate) fn set(mut self, field: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.0.insert(field.to_owned(), value.into());
        }
        self
    }

    /// A list that was not given is left out.
    pub(crate) fn set_list(self, field: &str, items: &[String]) -> Self {
        let list = (!items.is_empty()).then(|| Value::from(items.to_vec()));
        self.set(field, list)
    }

    /// `key=value` pairs as an object.
    pub(crate) fn set_pairs(self, field: &str, pairs: &[(String, String)]) -> Self {
        let object: Map<_, _> = pairs.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        let object = (!object.is_empty()).then_some(Value::Object(object));
        self.set(field, object)
    }

    /// Fields that no flag stands for, as the JSON object that the API takes; they go before the flags.
    pub(crate) fn merge(mut self, json: Option<&str>) -> anyhow::Result<Self> {
        if let Some(text) = json {
            let Value::Object(fields) = serde_json::from_str(text).context("--fields is not JSON")? else {
                return Err(Failure::Usage("--fields must be a JSON object".to_owned()).into());
            };
            self.0.extend(fields);
        }
        Ok(self)
    }

    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

pub(crate) fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("must be NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// A point in time as the API writes it: given as such, or as how long ago.
pub(crate) fn point_in_time(text: &str) -> Result<String, String> {
    if Timestamp::parse_rfc3339(text).is_some() {
        return Ok(text.to_owned());
    }
    let ago: Duration = humantime::parse_duration(text)
        .map_err(|_| "must be a time such as 2026-01-31T09:00:00Z, or how long ago: 30m, 2h, 3d".to_owned())?;
    Ok((SystemClock.now() - ago).to_string())
}
