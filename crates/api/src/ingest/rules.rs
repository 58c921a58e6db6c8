//! The rules of a source as the API writes them. What they mean is said in `hookpost-domain`; here they are read, with every mistake by its field,
//! and shown without the secret in them.

use std::borrow::Cow;

use hookpost_domain::source::{CustomAnswer, Extraction, Mistake, SourceRules};
use hookpost_domain::{Invalid, limits};
use http::{HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::settings::{read, with_secrets, withhold};
use crate::door::AddressPresets;
use crate::problem::Wrong;

const ANSWER_STATUS: std::ops::RangeInclusive<u16> = 200..=599;
/// Of the connection, or made of the body: not for a source to say.
const OWN_HEADERS: [&str; 5] = ["connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"];
/// The one secret in the rules.
const SECRET: &str = "/backFill/apiKey";

/// As they were written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Rules(serde_json::Map<String, Value>);

impl Rules {
    /// Answers with something even where a rule is wrong, which is noted. `old`: those that are there.
    pub(super) fn parse(self, wrong: &mut Wrong, old: Option<&SourceRules>, presets: &AddressPresets) -> SourceRules {
        let old = old.and_then(|old| serde_json::to_value(old).ok()).unwrap_or_default();
        let Some(given) = with_secrets(Value::Object(self.0), &old) else {
            wrong.add("rules.backFill.apiKey", "is only what stands in the place of a secret that is not shown; give the key itself");
            return SourceRules::default();
        };
        match read::<SourceRules>(given) {
            Ok(rules) => {
                check(wrong, &rules);
                wrong.each("rules.allowedNetworks", &rules.allowed_networks, |allowed| presets.check(allowed));
                rules
            }
            Err(Mistake { field, rule }) => {
                wrong.add(&format!("rules.{field}"), rule);
                SourceRules::default()
            }
        }
    }

    pub(super) fn shown(rules: &SourceRules) -> Self {
        let mut shown = serde_json::to_value(rules).unwrap_or_default();
        withhold(&mut shown, SECRET);
        match shown {
            Value::Object(fields) => Self(fields),
            _ => Self(serde_json::Map::new()),
        }
    }
}

/// The rules that need no other field of the source. Paths and templates are read when the source as a whole is checked.
fn check(wrong: &mut Wrong, rules: &SourceRules) {
    let at_least_one = |given: Option<u64>| match given {
        Some(0) => Err(Invalid::new("must be at least 1")),
        _ => Ok(()),
    };
    wrong.check("rules.bodyBytesMax", at_least_one(rules.body_bytes_max));
    wrong.check("rules.rateLimit", at_least_one(rules.rate_limit.map(u64::from)));
    wrong.check("rules.inFlightMax", at_least_one(rules.in_flight_max.map(u64::from)));
    if rules.channels.len() > limits::CHANNELS_PER_MESSAGE_MAX {
        wrong.add("rules.channels", format!("must be at most {}", limits::CHANNELS_PER_MESSAGE_MAX));
    }
    for (field, extraction) in extractions(rules) {
        if let Extraction::Header(name) = extraction {
            wrong.check(&field, header_name(name));
        }
    }
    if rules.forward_headers.len() > limits::HEADERS_PER_ENDPOINT_MAX {
        wrong.add("rules.forwardHeaders", format!("must be at most {}", limits::HEADERS_PER_ENDPOINT_MAX));
    }
    wrong.each("rules.forwardHeaders", &rules.forward_headers, |name| header_name(name));
    let longest_s = limits::DEDUPLICATION_WINDOW_MAX.as_secs();
    if !(1..=longest_s).contains(&rules.deduplicate.window_s.into()) {
        wrong.add("rules.deduplicate.windowS", format!("must be between 1 and {longest_s}, which is 30 days"));
    }
    if let Some(answer) = &rules.answer {
        check_answer(wrong, answer);
    }
}

/// What depends on the type of the source: whose list of events can be asked for.
pub(super) fn check_with_type(rules: &SourceRules, type_name: &str) -> Result<(), Mistake> {
    let Some(back_fill) = &rules.back_fill else { return Ok(()) };
    back_fill.check(type_name, &rules.deduplicate).map(drop).map_err(|Mistake { field, rule }| match field.as_str() {
        "backFill" | "deduplicate.by" => Mistake::new(format!("rules.{field}"), rule),
        _ => Mistake::new(format!("rules.backFill.{field}"), rule),
    })
}

/// Every value that is taken from somewhere, with its field.
fn extractions(rules: &SourceRules) -> impl Iterator<Item = (String, &Extraction)> {
    let one = |field: &str, extraction| (format!("rules.{field}.header"), extraction);
    let event_type = rules.event_type.iter().map(move |extraction| one("eventType", extraction));
    let ordering_key = rules.ordering_key.iter().map(move |extraction| one("orderingKey", extraction));
    let channels = rules.channels.iter().enumerate().map(move |(index, extraction)| one(&format!("channels.{index}"), extraction));
    event_type.chain(ordering_key).chain(channels)
}

fn check_answer(wrong: &mut Wrong, answer: &CustomAnswer) {
    if answer.status.is_some_and(|status| !ANSWER_STATUS.contains(&status)) {
        wrong.add("rules.answer.status", format!("must be between {} and {}", ANSWER_STATUS.start(), ANSWER_STATUS.end()));
    }
    wrong.each("rules.answer.headers", &answer.headers, |(name, value)| {
        header_name(name)?;
        if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(Invalid::new(format!("has the header `{name}`, which the server says itself")));
        }
        HeaderValue::from_str(value).map(drop).map_err(|_| Invalid::new(format!("has a value for `{name}` that is not one line of text")))
    });
}

fn header_name(name: &str) -> Result<(), Invalid> {
    let rule = || Invalid::new(format!("must be the name of a header, made of letters, digits and `-` `_` `.`, and not {name:?}"));
    HeaderName::from_bytes(name.as_bytes()).map(drop).map_err(|_| rule())
}

impl JsonSchema for Rules {
    fn schema_name() -> Cow<'static, str> {
        "SourceRules".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let extraction = extraction_schema();
        let optional = |mut schema: Schema, description: &str| {
            schema.insert("description".to_owned(), description.into());
            schema
        };
        json_schema!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "bodyBytesMax": { "type": ["integer", "null"], "minimum": 1, "description": "Bytes of a body; left out: the limit of the server." },
                "rateLimit": { "type": ["integer", "null"], "minimum": 1, "description": "Requests a second." },
                "inFlightMax": { "type": ["integer", "null"], "minimum": 1, "description": "Requests that are worked on at the same time." },
                "allowedNetworks": {
                    "type": "array", "items": { "type": "string" },
                    "description": "Who may call: networks such as `192.0.2.0/24`, and names of lists of addresses such as `github`. Empty: all."
                },
                "eventType": optional(extraction.clone(), "Where the event type is taken from; left out: where the provider says it."),
                "channels": { "type": "array", "items": extraction, "description": "The channels that messages get." },
                "orderingKey": optional(extraction.clone(), "What messages are about: those with equal keys belong in order."),
                "forwardHeaders": {
                    "type": "array", "items": { "type": "string" },
                    "description": "Names of headers that go on to the endpoints, besides the content type."
                },
                "deduplicate": {
                    "type": "object",
                    "properties": {
                        "by": {
                            "description": "`\"eventId\"` (the provider's), `{\"fields\": […]}`, `\"bodyHash\"` or `\"nothing\"`.",
                            "oneOf": [
                                { "type": "string", "enum": ["eventId", "bodyHash", "nothing"] },
                                { "type": "object", "properties": { "fields": { "type": "array", "items": extraction } }, "required": ["fields"] }
                            ]
                        },
                        "windowS": { "type": "integer", "minimum": 1, "maximum": limits::DEDUPLICATION_WINDOW_MAX.as_secs() }
                    },
                    "description": "How a repetition is known, and for how many seconds."
                },
                "schema": {
                    "type": "string", "enum": ["ignore", "reject", "quarantine"],
                    "description": "What becomes of an event that does not fit the JSON Schema of its event type."
                },
                "answer": {
                    "type": ["object", "null"],
                    "properties": {
                        "status": { "type": ["integer", "null"], "minimum": 200, "maximum": 599 },
                        "headers": { "type": "array", "items": { "type": "array", "items": { "type": "string" }, "minItems": 2, "maxItems": 2 } },
                        "body": { "type": ["string", "null"], "description": "A template." }
                    },
                    "description": "What is answered when a request was let in."
                },
                "acceptUnverified": {
                    "type": "boolean",
                    "description": "Let a request in although its signature is wrong, and say so in its receipt: for finding out what a provider does."
                },
                "backFill": {
                    "type": ["object", "null"],
                    "properties": {
                        "apiKey": { "type": "string", "description": "The key of the provider's API. Never shown." },
                        "resource": { "type": ["string", "null"], "description": "Whose events: `owner/repository/hooks/1` with GitHub." },
                        "baseUrl": { "type": ["string", "null"], "description": "Another address than the provider's own." },
                        "everyS": { "type": "integer", "description": "Seconds between two looks." },
                        "lookBackDays": { "type": "integer", "description": "How far back to look at most." },
                        "settleS": { "type": "integer", "description": "An event that is younger is still on its way: seconds." },
                        "eventTypes": { "type": "array", "items": { "type": "string" }, "description": "Only these. Empty: all." }
                    },
                    "required": ["apiKey"],
                    "description": "Ask the provider for what did not arrive."
                }
            }
        })
    }
}

fn extraction_schema() -> Schema {
    json_schema!({
        "type": ["object", "null"],
        "maxProperties": 1,
        "properties": {
            "header": { "type": "string" },
            "query": { "type": "string" },
            "path": { "type": "string", "description": "A JSON path into the body: `$.data.type`." },
            "template": { "type": "string", "description": "Text with `{{…}}` in it." },
            "value": { "type": "string", "description": "Always this." }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_knows_every_rule() {
        let schema = schemars::schema_for!(Rules);
        let described = schema.get("properties").and_then(Value::as_object).unwrap();
        let rules = serde_json::to_value(SourceRules::default()).unwrap();
        let mut missing: Vec<_> = rules.as_object().unwrap().keys().filter(|name| !described.contains_key(*name)).collect();
        missing.extend(described.keys().filter(|name| !rules.as_object().unwrap().contains_key(*name)));
        assert!(missing.is_empty(), "{missing:?} stands in one of the two only");
    }
}
