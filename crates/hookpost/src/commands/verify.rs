//! `hookpost verify`: is this request what it says it is, and if not, why? Needs no server.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use hookpost_domain::{Clock as _, Timestamp};
use hookpost_providers::{Answer, Context, Diagnosis, Rejection, RejectionCode, Verified, Verifier, diagnose};
use serde::Serialize;
use serde_json::{Map, Value};

use super::incoming::{self, Incoming, IncomingArgs, LineError};
use crate::failure::Failure;
use crate::output;
use crate::outside::SystemClock;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost verify --provider stripe --secret whsec_… -H 'Stripe-Signature: t=…,v1=…' --body event.json
  hookpost verify --provider twilio --secret … --url 'https://example.com/in?a=b' \\
      -H 'X-Twilio-Signature: …' -H 'Content-Type: application/x-www-form-urlencoded' --body form
  hookpost verify --json < requests.jsonl

Ends with 0 if the request is believed, else with 1, and says what is wrong with it.

Without --provider, --json reads a request with the settings of its receiver from each line of the
standard input:
  {\"provider\": \"github\", \"secret\": \"…\", \"method\": \"POST\", \"url\": \"…\",
   \"headers\": {\"…\": \"…\"}, \"body_base64\": \"…\", \"now\": 1767323045}
and prints a line for each:
  {\"valid\":true,\"code\":\"valid\",\"event_id\":\"…\",\"event_type\":\"…\",\"hint\":null,\"response\":null}
Settings have the names of the flags with _ for -; `secrets`, `certificates` and `allowed_origins`
hold several.")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    incoming: IncomingArgs,
    /// The address that the request came from, where there is a list of allowed ones
    #[arg(long, value_name = "ADDRESS", help_heading = "The request")]
    peer_ip: Option<IpAddr>,
    /// Print the verdict as JSON; without --provider, read lines of JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// As scripts read it.
#[derive(Debug, Serialize, PartialEq)]
struct Line {
    valid: bool,
    code: &'static str,
    event_id: Option<String>,
    event_type: Option<String>,
    hint: Option<String>,
    response: Option<Response>,
}

#[derive(Debug, Serialize, PartialEq)]
struct Response {
    status: u16,
    headers: Map<String, Value>,
    body_base64: String,
}

/// Why a request is not believed, and which mistake explains it.
struct Refusal {
    rejection: Rejection,
    diagnosis: Option<Diagnosis>,
}

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let Some(mut incoming) = args.incoming.read()? else {
        if args.incoming != IncomingArgs::default() || args.peer_ip.is_some() {
            return Err(
                Failure::Usage("without --provider, --json reads everything from the lines, and takes no other flag".to_owned()).into()
            );
        }
        incoming::answer_each(|line| incoming::read(line).and_then(|incoming| verify_line(&incoming)).unwrap_or_else(Line::from))?;
        return Ok(ExitCode::SUCCESS);
    };
    incoming.peer_ip = args.peer_ip;
    let verifier = incoming::verifier(&incoming)?;
    let now = incoming.now.unwrap_or_else(|| SystemClock.now());
    let outcome = verify(&verifier, &incoming, now);
    let code = if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if args.json {
        output::print_json(&serde_json::to_value(Line::from(outcome))?)?;
    } else {
        output::print(match &outcome {
            Ok(verified) => describe(verified, &verifier, now),
            Err(refusal) => describe_refusal(refusal, args),
        })?;
    }
    Ok(code)
}

fn verify_line(incoming: &Incoming) -> Result<Line, LineError> {
    let verifier =
        Verifier::new(incoming.provider, &incoming.settings).map_err(|error| LineError::new("bad_settings", error.to_string()))?;
    let now = incoming.now.unwrap_or_else(|| SystemClock.now());
    Ok(Line::from(verify(&verifier, incoming, now)))
}

fn verify(verifier: &Verifier, incoming: &Incoming, now: Timestamp) -> Result<Verified, Refusal> {
    let request = incoming.request();
    verifier.verify(&request, now).map_err(|rejection| {
        let diagnosis = diagnose(verifier, &request, now, &rejection, &Context::default());
        Refusal { rejection, diagnosis }
    })
}

impl From<Result<Verified, Refusal>> for Line {
    fn from(outcome: Result<Verified, Refusal>) -> Self {
        match outcome {
            Ok(verified) => {
                let event = verified.event();
                Self {
                    valid: true,
                    code: if matches!(verified, Verified::Handshake(_)) { "handshake" } else { "valid" },
                    event_id: event.id.clone(),
                    event_type: event.event_type.clone(),
                    hint: None,
                    response: verified.answer().map(Response::from),
                }
            }
            Err(Refusal { rejection, diagnosis }) => {
                // A challenge gets an answer also when it must not be agreed to.
                let refused = rejection.code == RejectionCode::HandshakeRefused;
                let response =
                    refused.then(|| Response { status: rejection.code.status(), headers: Map::new(), body_base64: String::new() });
                let hint = diagnosis.map_or(rejection.detail, |diagnosis| diagnosis.detail);
                Self { response, ..Self::invalid(rejection.code.as_str(), hint) }
            }
        }
    }
}

impl From<LineError> for Line {
    fn from(error: LineError) -> Self {
        Self::invalid(error.code, error.detail)
    }
}

impl Line {
    fn invalid(code: &'static str, hint: String) -> Self {
        Self { valid: false, code, event_id: None, event_type: None, hint: Some(hint), response: None }
    }
}

impl From<&Answer> for Response {
    fn from(answer: &Answer) -> Self {
        let text = |value: &http::HeaderValue| Value::from(String::from_utf8_lossy(value.as_bytes()));
        let headers = answer.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        Self { status: answer.status, headers, body_base64: STANDARD.encode(&answer.body) }
    }
}

fn describe(verified: &Verified, verifier: &Verifier, now: Timestamp) -> String {
    let event = verified.event();
    let what = if matches!(verified, Verified::Handshake(_)) { "handshake" } else { "valid" };
    let mut rows = vec![("provider", verifier.provider().display_name.to_owned())];
    if !event.scheme.is_empty() {
        rows.push(("scheme", event.scheme.to_owned()));
    }
    rows.push(("event id", event.id.clone().unwrap_or_else(|| "-".to_owned())));
    rows.push(("event type", event.event_type.clone().unwrap_or_else(|| "-".to_owned())));
    if let Some(signed_at) = event.timestamp {
        rows.push(("signed", format!("{} ({})", output::time(&Value::from(signed_at.to_string())), distance(signed_at, now))));
    }
    if let Verified::Handshake(handshake) = verified
        && handshake.secret.is_some()
    {
        rows.push(("secret", "comes with this handshake; a source keeps it".to_owned()));
    }
    if let Some(answer) = verified.answer() {
        rows.push(("answer", answer.status.to_string()));
        rows.extend(answer.headers.iter().map(|(name, value)| ("", format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))));
        rows.extend(String::from_utf8_lossy(&answer.body).lines().map(|line| ("", line.to_owned())));
    }
    let rows: String = rows.iter().map(|(name, value)| format!("  {name:<12}{value}\n")).collect();
    format!("{}\n{rows}", console::style(what).green())
}

fn describe_refusal(refusal: &Refusal, args: &VerifyArgs) -> String {
    let Refusal { rejection, diagnosis } = refusal;
    let mut text = format!("{}  {}\n  {}\n", console::style("not valid").red(), rejection.code, rejection.detail);
    let mut hint = |sentence: &str| text.push_str(&format!("  hint: {sentence}\n"));
    if let Some(diagnosis) = diagnosis {
        hint(&diagnosis.detail);
    } else if rejection.code == RejectionCode::BadSignature {
        if args.incoming.body.is_none() {
            hint("No --body was given, so an empty one was verified.");
        }
        if args.incoming.url.is_none() {
            hint("No --url was given; some providers sign the URL, as it is registered with them.");
        }
    }
    text
}

/// How far a moment is from now, to the second.
fn distance(moment: Timestamp, now: Timestamp) -> String {
    let seconds = now.unix_seconds().abs_diff(moment.unix_seconds());
    let length = humantime::format_duration(Duration::from_secs(seconds));
    match moment.unix_seconds().cmp(&now.unix_seconds()) {
        std::cmp::Ordering::Less => format!("{length} before"),
        std::cmp::Ordering::Equal => "just then".to_owned(),
        std::cmp::Ordering::Greater => format!("{length} after"),
    }
}
