//! Lines of JSON: a request and the settings of its receiver in each, with the field names of the vectors that the schemes are
//! tested with. A line that cannot be read is an answer too, so that answers and lines stay side by side.

use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookpost_domain::Timestamp;
use hookpost_providers::Settings;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Incoming, provider_named};

const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Fields of which no error may quote the value.
const SECRETS: &[&str] = &["secret", "private_key", "verify_token", "config.jwks"];

/// What is wrong with a line: a code that stays, and one sentence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineError {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

impl LineError {
    pub(crate) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

fn bad_line(detail: impl Into<String>) -> LineError {
    LineError::new("bad_line", detail)
}

/// Answers each line of the standard input with one line. Who waits for every answer gets it at once; who sends thousands
/// does not pay for a flush each.
pub(crate) fn answer_each<T: Serialize>(answer: impl Fn(&[u8]) -> T) -> anyhow::Result<()> {
    let mut input = BufReader::with_capacity(READ_BUFFER_BYTES, io::stdin().lock());
    let mut output = BufWriter::new(io::stdout().lock());
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).context("cannot read the standard input")? > 0 {
        serde_json::to_writer(&mut output, &answer(&line)).map_err(io::Error::from)?;
        output.write_all(b"\n")?;
        line.clear();
        if !input.buffer().contains(&b'\n') {
            output.flush()?;
        }
    }
    Ok(output.flush()?)
}

/// Fields that neither the request nor the settings have are somebody's notes, and are passed over.
pub(crate) fn read(line: &[u8]) -> Result<Incoming, LineError> {
    let object = match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return Err(bad_line("The line must be a JSON object.")),
        Err(error) => return Err(bad_line(format!("The line is not JSON: {error}."))),
    };
    let name = text(&object, "provider")?.ok_or_else(|| bad_line("`provider` is missing."))?;
    let provider = provider_named(name).map_err(|error| LineError::new("unknown_provider", error))?;
    let peer_ip = text(&object, "peer_ip")?.map(str::parse).transpose();
    Ok(Incoming {
        provider,
        settings: settings(&object)?,
        method: text(&object, "method")?.unwrap_or("POST").to_ascii_uppercase(),
        url: text(&object, "url")?.unwrap_or("/").to_owned(),
        headers: headers(object.get("headers"))?,
        body: body(&object)?,
        peer_ip: peer_ip.map_err(|_| bad_line("`peer_ip` must be an IP address."))?,
        id: text(&object, "event_id")?.map(str::to_owned),
        now: object.get("now").filter(|now| !now.is_null()).map(moment).transpose()?,
    })
}

fn text<'a>(object: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, LineError> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(bad_line(format!("`{field}` must be text."))),
    }
}

fn settings(object: &Map<String, Value>) -> Result<Settings, LineError> {
    let known = |(field, value): &(&String, &Value)| Settings::FIELDS.contains(&field.as_str()) && !value.is_null();
    let fields: Map<_, _> = object.iter().filter(known).map(|(field, value)| (field.clone(), value.clone())).collect();
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let path = error.path().to_string();
        let detail = if SECRETS.iter().any(|secret| path.starts_with(secret)) {
            format!("`{path}` has another form than this setting has.")
        } else {
            format!("`{path}`: {}.", error.inner())
        };
        LineError::new("bad_settings", detail)
    })
}

/// Text, or a list of texts for a header that came more than once.
fn headers(value: Option<&Value>) -> Result<HeaderMap, LineError> {
    let mut map = HeaderMap::new();
    let fields = match value {
        None | Some(Value::Null) => return Ok(map),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(bad_line("`headers` must be an object of names and values.")),
    };
    for (name, value) in fields {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        let header: HeaderName = name.parse().map_err(|_| bad_line(format!("`headers.{name}`: this is not the name of a header.")))?;
        for value in values {
            let value = value.as_str().and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok());
            let value = value.ok_or_else(|| bad_line(format!("`headers.{name}` must be text that can stand in a header.")))?;
            map.append(&header, value);
        }
    }
    Ok(map)
}

fn body(object: &Map<String, Value>) -> Result<Vec<u8>, LineError> {
    if let Some(encoded) = text(object, "body_base64")? {
        return STANDARD.decode(encoded).map_err(|_| bad_line("`body_base64` is not base64."));
    }
    Ok(text(object, "body")?.unwrap_or_default().as_bytes().to_vec())
}

fn moment(value: &Value) -> Result<Timestamp, LineError> {
    let ms = |seconds: f64| (seconds * 1000.0) as u64;
    let found = match value {
        Value::Number(number) => number.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| Timestamp::from_unix_ms(ms(seconds))),
        Value::String(text) => Timestamp::parse_rfc3339(text),
        _ => None,
    };
    let found = found.filter(|timestamp| *timestamp <= Timestamp::MAX);
    found.ok_or_else(|| bad_line("`now` must be seconds since 1970, or a time such as 2026-01-02T03:04:05Z."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_vector_and_passes_over_notes() {
        let line = br#"{"provider":"github","case":"x","expect":"valid","secret":"s","method":"post","url":"https://a.example/in",
            "headers":{"X-One":"1","x-two":["2","3"]},"body_base64":"e30=","now":1767323045.5,"peer_ip":"192.0.2.1","event_id":null}"#;
        let incoming = read(line).unwrap();
        assert_eq!((incoming.provider.name, incoming.method.as_str(), incoming.body.as_slice()), ("github", "POST", &b"{}"[..]));
        assert_eq!(incoming.headers.get_all("x-two").iter().count(), 2);
        assert_eq!(incoming.now, Some(Timestamp::from_unix_ms(1_767_323_045_500)));
        assert_eq!(incoming.settings, Settings::with_secret("s"));
    }

    #[test]
    fn says_what_is_wrong_with_a_line() {
        let cases: [(&str, &str, &str); 11] = [
            ("", "bad_line", "not JSON"),
            ("[]", "bad_line", "object"),
            ("{}", "bad_line", "`provider` is missing"),
            (r#"{"provider":"githup"}"#, "unknown_provider", "github"),
            (r#"{"provider":"github","tolerance":"5"}"#, "bad_settings", "`tolerance`"),
            (r#"{"provider":"github","config":{"colour":"red"}}"#, "bad_settings", "colour"),
            (r#"{"provider":"github","headers":{"a b":"1"}}"#, "bad_line", "`headers.a b`"),
            (r#"{"provider":"github","headers":{"a":"1\n2"}}"#, "bad_line", "`headers.a`"),
            (r#"{"provider":"github","body_base64":"%"}"#, "bad_line", "`body_base64`"),
            (r#"{"provider":"github","now":-1}"#, "bad_line", "`now`"),
            (r#"{"provider":"github","peer_ip":"here"}"#, "bad_line", "`peer_ip`"),
        ];
        for (line, code, part) in cases {
            let error = read(line.as_bytes()).unwrap_err();
            assert_eq!(error.code, code, "{line}: {}", error.detail);
            assert!(error.detail.contains(part), "{line}: {}", error.detail);
        }
    }

    #[test]
    fn quotes_no_secret() {
        for line in [r#"{"provider":"github","secrets":"hush"}"#, r#"{"provider":"github","secret":12345}"#] {
            let detail = read(line.as_bytes()).unwrap_err().detail;
            assert!(!detail.contains("hush") && !detail.contains("12345"), "{detail}");
        }
    }
}
