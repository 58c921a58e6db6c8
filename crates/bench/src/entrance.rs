//! How the load comes in: by the API, as a producer with a token, or by the URL of a source, as GitHub, which signs each body.
//! Makes the requests; sends nothing.

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use ring::hmac;

use crate::api::{Api, authorization};
use crate::payload::{Payload, Stamp};

/// The secret of the sources of the bench; known to everyone.
const SECRET: &str = "a secret that GitHub was given";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Door {
    /// Applications, by the API
    Api,
    /// Sources, with GitHub's signature on each request
    Source,
}

/// What a request needs beyond its payload.
#[derive(Debug, Clone)]
pub(crate) enum Entrance {
    Api { authorization: HeaderValue },
    Source { key: hmac::Key },
}

/// Where messages come in, and where they are listed afterwards.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) uri: Uri,
    /// The id or uid of the application.
    pub(crate) application: String,
}

impl Door {
    pub(crate) fn entrance(self) -> Result<Entrance> {
        Ok(match self {
            Self::Api => Entrance::Api { authorization: authorization()? },
            Self::Source => Entrance::Source { key: hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()) },
        })
    }

    /// Creates an application or source with its endpoints.
    pub(crate) fn create(self, api: &mut Api, name: &str, endpoints: impl IntoIterator<Item = String>) -> Result<Place> {
        match self {
            Self::Api => {
                api.create_application(name)?;
                for url in endpoints {
                    api.create_endpoint(name, &url)?;
                }
                Ok(Place { uri: uri_of_application(name)?, application: name.to_owned() })
            }
            Self::Source => {
                let place = api.create_source(name, SECRET)?;
                for url in endpoints {
                    api.create_endpoint_of_source(name, &url)?;
                }
                Ok(place)
            }
        }
    }
}

pub(crate) fn uri_of_application(name: &str) -> Result<Uri> {
    Ok(format!("/api/v1/app/{name}/msg/").parse()?)
}

impl Entrance {
    /// `id` makes it one event, however often it is sent.
    pub(crate) fn request(&self, uri: &Uri, payload: &Payload, stamp: Stamp, id: Option<&str>) -> Result<Request<Full<Bytes>>> {
        let body = match self {
            Self::Api { .. } => payload.request(stamp),
            Self::Source { .. } => payload.delivered(stamp),
        };
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::Api { authorization } => {
                headers.insert(AUTHORIZATION, authorization.clone());
                if let Some(id) = id {
                    headers.insert(HeaderName::from_static("idempotency-key"), HeaderValue::from_str(id)?);
                }
            }
            Self::Source { key } => {
                let delivery = match id {
                    Some(id) => HeaderValue::from_str(id)?,
                    None => HeaderValue::from_str(&uuid_of(stamp))?,
                };
                headers.insert(HeaderName::from_static("x-github-event"), HeaderValue::from_static("push"));
                headers.insert(HeaderName::from_static("x-github-delivery"), delivery);
                headers.insert(HeaderName::from_static("x-hub-signature-256"), signature(key, &body)?);
            }
        }
        Ok(request)
    }

    /// What the answer says of the message that was made.
    pub(crate) fn message_id(&self, body: &[u8]) -> Result<String> {
        let answer: serde_json::Value = serde_json::from_slice(body).context("the answer to a message")?;
        let field = match self {
            Self::Api { .. } => "id",
            Self::Source { .. } => "message",
        };
        answer[field].as_str().map(str::to_owned).with_context(|| format!("the answer has no `{field}`: {answer}"))
    }

    /// Whether it was taken. The API says 202; what a source says is for its owner to choose, as long as it is a success.
    pub(crate) fn is_accepted(&self, status: StatusCode) -> bool {
        match self {
            Self::Api { .. } => status == StatusCode::ACCEPTED,
            Self::Source { .. } => status.is_success(),
        }
    }
}

/// In the form in which GitHub writes them.
fn uuid_of(stamp: Stamp) -> String {
    let Stamp { sequence, sent_us } = stamp;
    format!("{:08x}-{:04x}-4{:03x}-8000-{sequence:012x}", sent_us >> 28 & 0xffff_ffff, sent_us >> 12 & 0xffff, sent_us & 0xfff)
}

fn signature(key: &hmac::Key, body: &[u8]) -> Result<HeaderValue> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = b"sha256=".to_vec();
    for byte in hmac::sign(key, body).as_ref() {
        text.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    Ok(HeaderValue::from_bytes(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_github_documents() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"It's a Secret to Everybody");
        let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(signature(&key, b"Hello, World!").unwrap(), expected);
    }

    #[test]
    fn every_event_has_its_own_id() {
        let id = uuid_of(Stamp { sequence: 255, sent_us: 1_234_567_890 });
        assert_eq!((id.len(), &id[24..]), (36, "0000000000ff"));
    }
}
