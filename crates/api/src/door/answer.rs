//! What a request that was taken is answered: what the source says, else what its provider insists on, else a few words of JSON.

use axum::body::Body;
use axum::response::Response;
use hookpost_domain::source::CustomAnswer;
use hookpost_domain::{Invalid, MessageId};
use hookpost_providers::Answer;
use hookpost_shaping::{Found, InvalidRule, JsonPath, RequestVariables, Said, Template, Variables};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, StatusCode};

use super::Outcome;
use super::arrival::Arrival;
use crate::extract::json_response;
use crate::state::Api;

const HEADERS_MAX: usize = 50;
/// Of HTTP itself.
const FORBIDDEN: [HeaderName; 3] = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];
/// Providers that show the body of an answer to people, read it as something else, or want none.
const WITHOUT_BODY: [&str; 4] = ["discord", "slack", "twilio", "xero"];

/// The answer that a source gives instead of the usual one, checked.
#[derive(Debug)]
pub(super) struct PreparedAnswer {
    status: Option<StatusCode>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Template>,
}

impl PreparedAnswer {
    pub(super) fn new(answer: &CustomAnswer) -> Result<Self, InvalidRule> {
        let status = answer.status.map(|status| match status {
            200..=599 => StatusCode::from_u16(status).map_err(|_| InvalidRule::new("answer.status", "is no HTTP status")),
            _ => Err(InvalidRule::new("answer.status", "must be from 200 to 599")),
        });
        if answer.headers.len() > HEADERS_MAX {
            return Err(InvalidRule::new(
                "answer.headers",
                format!("has {} items; at most {HEADERS_MAX} are allowed", answer.headers.len()),
            ));
        }
        let header = |(index, (name, value)): (usize, &(String, String))| {
            header(name, value).map_err(|rule| InvalidRule::new(format!("answer.headers.{index}"), rule))
        };
        let names = [RequestVariables::NAMES, &["message"]].concat();
        let body = answer.body.as_ref().map(|body| Template::parse(body, &names));
        Ok(Self {
            status: status.transpose()?,
            headers: answer.headers.iter().enumerate().map(header).collect::<Result<_, _>>()?,
            body: body.transpose().map_err(|Invalid(rule)| InvalidRule::new("answer.body", rule))?,
        })
    }

    fn respond(&self, variables: &AnswerVariables<'_>) -> Response {
        // A template that writes too much leaves an empty body: what was promised is kept in any case.
        let body = self.body.as_ref().map(|body| body.render(variables).unwrap_or_default()).unwrap_or_default();
        let content_type = if matches!(body.trim_start().as_bytes().first(), Some(b'{' | b'[')) {
            "application/json"
        } else {
            "text/plain; charset=utf-8"
        };
        let has_body = !body.is_empty();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status.unwrap_or(StatusCode::OK);
        if has_body {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let mut own: Vec<&HeaderName> = Vec::new();
        for (name, value) in &self.headers {
            if own.contains(&name) {
                response.headers_mut().append(name, value.clone());
            } else {
                response.headers_mut().insert(name, value.clone());
                own.push(name);
            }
        }
        response
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("has the header name {name:?}, which is none"))?;
    if FORBIDDEN.contains(&name) {
        return Err(format!("has the header `{name}`, which HTTP sets itself"));
    }
    let value =
        HeaderValue::from_str(value).map_err(|_| format!("has a value for `{name}` that is not one line of visible ASCII characters"))?;
    Ok((name, value))
}

/// The status that goes into the receipt, before anything is written down.
pub(super) fn status(arrival: &Arrival, by_provider: Option<&Answer>) -> StatusCode {
    match &arrival.prepared.answer {
        Some(custom) => custom.status.unwrap_or(StatusCode::OK),
        None => by_provider.and_then(|answer| StatusCode::from_u16(answer.status).ok()).unwrap_or_else(|| bare_status(arrival)),
    }
}

fn bare_status(arrival: &Arrival) -> StatusCode {
    if arrival.provider_name() == "discord" { StatusCode::NO_CONTENT } else { StatusCode::OK }
}

pub(super) fn respond(api: &Api, arrival: &Arrival, body: &[u8], outcome: &Outcome) -> Response {
    let (message, event) = match outcome {
        Outcome::Handshake(answer) => return of_provider(answer),
        Outcome::Message { message, event, .. } => (Some(*message), event),
        Outcome::Quarantined { event, .. } => (None, event),
    };
    if let Some(custom) = &arrival.prepared.answer {
        let incoming = arrival.incoming(api, body);
        let said = Said { event_id: event.id.as_deref(), event_type: event.event_type.as_deref() };
        return custom.respond(&AnswerVariables { request: RequestVariables { incoming: &incoming, said }, api, message });
    }
    if let Some(answer) = &event.answer {
        return of_provider(answer);
    }
    if WITHOUT_BODY.contains(&arrival.provider_name()) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = bare_status(arrival);
        return response;
    }
    match message {
        Some(message) => json_response(StatusCode::OK, format!(r#"{{"status":"accepted","message":"{}"}}"#, api.public(message))),
        None => json_response(StatusCode::OK, r#"{"status":"accepted"}"#),
    }
}

fn of_provider(answer: &Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body.clone()));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in &answer.headers {
        response.headers_mut().append(name, value.clone());
    }
    response
}

/// What an answer can say beyond the request: `{{ message.id }}`.
#[derive(Debug)]
struct AnswerVariables<'a> {
    request: RequestVariables<'a>,
    api: &'a Api,
    message: Option<MessageId>,
}

impl Variables for AnswerVariables<'_> {
    fn find(&self, name: &str, path: &JsonPath) -> Found<'_> {
        match (name, path.as_name(), self.message) {
            ("message", Some("id"), Some(id)) => Found::Text(self.api.public(id).into()),
            ("message", ..) => Found::Nothing,
            _ => self.request.find(name, path),
        }
    }
}
