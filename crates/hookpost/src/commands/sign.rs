//! `hookpost sign`: makes a request as a provider would send it, for trying a receiver. Needs no server, and sends nothing.

use std::path::PathBuf;

use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use hookpost_domain::{Clock as _, Entropy as _, Timestamp};
use hookpost_providers::{SignedRequest, Verifier};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::incoming::{self, Incoming, IncomingArgs, LineError};
use crate::failure::Failure;
use crate::output;
use crate::outside::{SystemClock, SystemEntropy};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost sign --provider github --secret … -H 'X-GitHub-Event: push' --body event.json
  hookpost sign --provider stripe --secret whsec_… --body event.json --curl http://127.0.0.1:8071/in/… | sh
  hookpost sign --provider discord --public-key key.hex --private-key seed.hex --body event.json
  hookpost sign --json < unsigned.jsonl | hookpost verify --json

Prints the request line and headers, and the body where signing changes it. Where the receiver has a
public key only, --private-key is the other half.

Without --provider, --json reads a request with the settings of its receiver from each line of the
standard input, as `hookpost verify --json` does, and prints the line with the signed request in it.
`event_id` is the id to sign with; `private_key` is not printed again.")]
pub(crate) struct SignArgs {
    #[command(flatten)]
    incoming: IncomingArgs,
    /// The private key, as a file, where the receiver has a public one
    #[arg(long, value_name = "FILE", help_heading = "The sender")]
    private_key: Option<PathBuf>,
    /// The event id, where a header or the signature carries one [default: a random UUID]
    #[arg(long, value_name = "ID", help_heading = "The request")]
    id: Option<String>,
    /// Print a command that sends the request to this URL, which is signed too unless --url names another
    #[arg(long, value_name = "URL", help_heading = "Output", conflicts_with = "json")]
    curl: Option<String>,
    /// Print the request as JSON; without --provider, read lines of JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

pub(crate) fn run(args: &SignArgs) -> anyhow::Result<()> {
    let mut flags = args.incoming.clone();
    flags.url = flags.url.or_else(|| args.curl.clone());
    let Some(mut incoming) = flags.read()? else {
        if flags != IncomingArgs::default() || args.private_key.is_some() || args.id.is_some() {
            return Err(
                Failure::Usage("without --provider, --json reads everything from the lines, and takes no other flag".to_owned()).into()
            );
        }
        return incoming::answer_each(|line| sign_line(line).unwrap_or_else(|error| json!({"code": error.code, "hint": error.detail})));
    };
    incoming.id = args.id.clone();
    incoming.settings.private_key = args.private_key.as_deref().map(incoming::read_secret).transpose()?;
    let verifier = incoming::verifier(&incoming)?;
    let now = incoming.now.unwrap_or_else(|| SystemClock.now());
    let signed = sign(&verifier, &incoming, now).map_err(|error| Failure::Usage(error.detail))?;
    match &args.curl {
        _ if args.json => output::print_json(&Value::Object(request_fields(&signed)))?,
        Some(target) => output::print_line(curl(target, &incoming, &signed, args.incoming.body.as_deref())?)?,
        None => output::print(describe(&incoming, &signed))?,
    }
    Ok(())
}

fn sign_line(line: &[u8]) -> Result<Value, LineError> {
    let incoming = incoming::read(line)?;
    let verifier =
        Verifier::new(incoming.provider, &incoming.settings).map_err(|error| LineError::new("bad_settings", error.to_string()))?;
    let now = incoming.now.unwrap_or_else(|| SystemClock.now());
    let signed = sign(&verifier, &incoming, now)?;
    // What the receiver needs to verify it: its settings, the time, the request.
    let mut settings = incoming.settings;
    settings.private_key = None;
    let mut fields = Map::new();
    fields.insert("provider".to_owned(), incoming.provider.name.into());
    if let Ok(Value::Object(settings)) = serde_json::to_value(&settings) {
        fields.extend(settings);
    }
    fields.extend(request_fields(&signed));
    let is_whole = now.unix_ms().is_multiple_of(1000);
    fields.insert("now".to_owned(), if is_whole { now.unix_seconds().into() } else { (now.unix_ms() as f64 / 1000.0).into() });
    Ok(Value::Object(fields))
}

fn sign(verifier: &Verifier, incoming: &Incoming, now: Timestamp) -> Result<SignedRequest, LineError> {
    let id = incoming.id.clone().unwrap_or_else(random_id);
    verifier.sign(&incoming.unsigned(), &id, now).map_err(|error| LineError::new("cannot_sign", error.to_string()))
}

/// A UUID, which is what most providers take for ids.
fn random_id() -> String {
    let mut bytes = [0; 16];
    SystemEntropy.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn request_fields(signed: &SignedRequest) -> Map<String, Value> {
    let body = STANDARD.encode(&signed.body);
    let fields = json!({"method": signed.method, "url": signed.url, "headers": headers(&signed.headers), "body_base64": body});
    fields.as_object().cloned().unwrap_or_default()
}

/// Text, or a list of texts for a header that is there more than once.
fn headers(map: &HeaderMap) -> Map<String, Value> {
    let values = |name| map.get_all(name).iter().map(|value| Value::from(String::from_utf8_lossy(value.as_bytes())));
    let one_or_many = |mut values: Vec<Value>| if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
    map.keys().map(|name| (name.as_str().to_owned(), one_or_many(values(name).collect()))).collect()
}

/// As it is on the wire; the body only where signing changed it.
fn describe(incoming: &Incoming, signed: &SignedRequest) -> String {
    let mut text = format!("{} {}\n", signed.method, signed.url);
    for (name, value) in &signed.headers {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    if signed.body != incoming.body {
        text.push_str(&format!("\n{}\n", String::from_utf8_lossy(&signed.body)));
    }
    text
}

fn curl(target: &str, incoming: &Incoming, signed: &SignedRequest, body_file: Option<&str>) -> anyhow::Result<String> {
    // What signing added to the URL has to get to the receiver, wherever that is.
    let added = signed.url.strip_prefix(&incoming.url).unwrap_or_default();
    let mut words = vec![format!("curl -sS -X {} {}", signed.method, quoted(&format!("{target}{added}")))];
    for (name, value) in &signed.headers {
        words.push(format!("-H {}", quoted(&format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))));
    }
    if !signed.headers.contains_key(CONTENT_TYPE) {
        // Otherwise curl says that it is a form.
        words.push("-H 'content-type:'".to_owned());
    }
    match body_file {
        Some(file) if file != "-" && signed.body == incoming.body => words.push(format!("--data-binary {}", quoted(&format!("@{file}")))),
        _ if signed.body.is_empty() => {}
        _ => match std::str::from_utf8(&signed.body) {
            // A leading @ would name a file.
            Ok(body) if !body.contains('\0') && !body.starts_with('@') => words.push(format!("--data-binary {}", quoted(body))),
            _ => bail!("the body is not text that can stand in a command: give it as a file, or take --json"),
        },
    }
    Ok(words.join(" \\\n  "))
}

/// For a shell, word for word.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_verifies() {
        let line =
            br#"{"provider":"github","secret":"s","headers":{"x-github-event":"push"},"body":"{}","event_id":"e-1","now":1767323045}"#;
        let signed = sign_line(line).unwrap();
        let read = incoming::read(signed.to_string().as_bytes()).unwrap();
        let verified = Verifier::new(read.provider, &read.settings).unwrap().verify(&read.request(), read.now.unwrap()).unwrap();
        assert_eq!((verified.event().id.as_deref(), verified.event().event_type.as_deref()), (Some("e-1"), Some("push")));
    }

    #[test]
    fn a_private_key_is_not_printed_again() {
        let seed = "11".repeat(32);
        let key = "d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737";
        let line = format!(r#"{{"provider":"discord","secret":"{key}","private_key":"{seed}","body":"{{}}","now":1767323045}}"#);
        let signed = sign_line(line.as_bytes()).unwrap();
        assert!(!signed.to_string().contains(&seed));
        assert_eq!(signed["secret"], key);
    }

    #[test]
    fn quotes_for_a_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn random_ids_are_uuids() {
        let id = random_id();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
        assert_ne!(id, random_id());
    }
}
