//! Salesforce outbound messages: SOAP that nothing signs, in which the id of the organization is all there is to compare.
//!
//! The reader knows the elements, attributes and entities of such messages; a document type is refused, with all it could do.

use hookpost_domain::time::Timestamp;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};

use crate::encoding::same;
use crate::request::{Request, SignedRequest};
use crate::schemes::Proof;
use crate::settings::{Settings, SettingsError};
use crate::verdict::{Answer, CannotSign, Rejection, RejectionCode};

const ORGANIZATION: &str = "Envelope/Body/notifications/OrganizationId";

pub(crate) struct Check {
    organizations: Vec<Box<str>>,
}

impl Check {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let secrets = settings.required_secrets()?;
        let is_id = |text: &str| text.starts_with("00D") && text.len() == 18 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if secrets.iter().any(|secret| !is_id(secret)) {
            return Err(SettingsError::new("secret", "must be the 18-character id of the organization, which begins with `00D`"));
        }
        Ok(Self { organizations: secrets.into_iter().map(Into::into).collect() })
    }
}

impl super::Check for Check {
    fn applies(&self, request: &Request<'_>) -> bool {
        request.body.trim_ascii_start().starts_with(b"<")
    }

    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<Proof, Rejection> {
        let elements = find(request.body, ORGANIZATION);
        let [element] = elements.as_deref().unwrap_or_default() else {
            return Err(Rejection::new(RejectionCode::MalformedBody, "The body is not an outbound message with one `OrganizationId`."));
        };
        let secret = self.organizations.iter().position(|ours| same(ours.as_bytes(), element.text.as_bytes()));
        let secret = secret.ok_or_else(|| Rejection::new(RejectionCode::BadToken, "The message is from another organization."))?;
        Ok(Proof { secret, ..Proof::default() })
    }

    fn sign(&self, _: &mut SignedRequest, _id: &str, _now: Timestamp) -> Result<(), CannotSign> {
        Err(CannotSign::new("Outbound messages have no signature: the body itself names the organization."))
    }

    fn headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }
}

/// Without exactly this, Salesforce sends the message again.
pub(crate) fn acknowledgement() -> Answer {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
        <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body>\
        <notificationsResponse xmlns=\"http://soap.sforce.com/2005/09/outbound\"><Ack>true</Ack></notificationsResponse>\
        </soapenv:Body></soapenv:Envelope>";
    Answer { status: 200, headers: vec![(CONTENT_TYPE, HeaderValue::from_static("text/xml"))], body: body.into() }
}

/// The text of the first element whose path ends in this one.
pub(crate) fn element_text(body: &[u8], path: &str) -> Option<String> {
    find(body, path)?.into_iter().next().map(|element| element.text)
}

/// The `xsi:type` of the first such element, without its prefix.
pub(crate) fn element_type(body: &[u8], path: &str) -> Option<String> {
    let element = find(body, path)?.into_iter().next()?;
    element.kind.map(|kind| kind.rsplit_once(':').map_or(kind.clone(), |(_, local)| local.to_owned()))
}

#[derive(Debug, PartialEq, Eq)]
struct Element {
    kind: Option<String>,
    text: String,
}

/// All elements whose path of local names ends in `path`; nothing of what is not well-formed.
fn find(body: &[u8], path: &str) -> Option<Vec<Element>> {
    let mut rest = std::str::from_utf8(body).ok()?;
    let mut open: Vec<&str> = Vec::new();
    let mut found: Vec<(usize, Element)> = Vec::new();
    while !rest.is_empty() {
        let (text, after) = rest.split_once('<').unwrap_or((rest, ""));
        if let Some((_, element)) = found.iter_mut().rev().find(|(depth, _)| *depth == open.len() && !open.is_empty()) {
            element.text.push_str(&unescape(text)?);
        }
        if after.is_empty() {
            break;
        }
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->")?.1;
            continue;
        }
        let (tag, after) = after.split_once('>')?;
        rest = after;
        match tag.as_bytes().first()? {
            b'?' => {}
            b'!' => return None,
            b'/' => {
                close(&mut found, open.len());
                if open.pop()? != local(tag[1..].trim()) {
                    return None;
                }
            }
            _ => {
                let (name, attributes) = tag.split_once(|c: char| c.is_ascii_whitespace() || c == '/').unwrap_or((tag, ""));
                open.push(local(name));
                if ends_in(&open, path) {
                    found.push((open.len(), Element { kind: attribute(attributes, "type"), text: String::new() }));
                }
                if tag.ends_with('/') {
                    close(&mut found, open.len());
                    open.pop();
                }
            }
        }
    }
    let elements = found.into_iter().map(|(_, Element { kind, text })| Element { kind, text: text.trim().to_owned() });
    open.is_empty().then(|| elements.collect())
}

/// What was found at this depth gets no more text.
fn close(found: &mut [(usize, Element)], depth: usize) {
    if let Some((open_at, _)) = found.iter_mut().rev().find(|(open_at, _)| *open_at == depth) {
        *open_at = 0;
    }
}

fn ends_in(open: &[&str], path: &str) -> bool {
    let wanted: Vec<_> = path.split('/').collect();
    open.ends_with(&wanted)
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

fn attribute(attributes: &str, wanted: &str) -> Option<String> {
    let mut rest = attributes.trim_end_matches('/');
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (value, after) = after[1..].split_once(quote)?;
        if local(name.trim()) == wanted {
            return unescape(value);
        }
        rest = after;
    }
    None
}

fn unescape(text: &str) -> Option<String> {
    let mut pieces = text.split('&');
    let mut unescaped = pieces.next()?.to_owned();
    for piece in pieces {
        let (entity, after) = piece.split_once(';')?;
        unescaped.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            numeric => {
                let digits = numeric.strip_prefix('#')?;
                let code = digits.strip_prefix('x').map_or_else(|| digits.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok());
                char::from_u32(code?)?
            }
        });
        unescaped.push_str(after);
    }
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_elements_by_their_path() {
        let body = b"<?xml version=\"1.0\"?><!-- <a> --><s:a x='1'><b>1 &amp; &#x41;<c/>2</b><n:d x:type=\"sf:Contact\" y='/'><n:b>3</n:b></n:d></s:a>";
        assert_eq!(element_text(body, "a/b").as_deref(), Some("1 & A2"));
        assert_eq!(element_text(body, "d/b").as_deref(), Some("3"));
        assert_eq!(element_type(body, "d").as_deref(), Some("Contact"));
        assert_eq!(element_text(body, "a/c"), None);
        assert_eq!(find(body, "b").unwrap().len(), 2);
        assert_eq!(element_text(b"<a><b>1</b><c>2</c>3</a>", "b").as_deref(), Some("1"));
    }

    #[test]
    fn refuses_what_is_not_well_formed() {
        for body in ["<a>", "<a></b>", "<!DOCTYPE a []><a/>", "<a", "</a>", "<a>&x;</a>", "<>"] {
            assert_eq!(find(body.as_bytes(), "a"), None, "{body}");
        }
    }
}
