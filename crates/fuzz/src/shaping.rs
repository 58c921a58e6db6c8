//! What is read out of a request that is believed: paths, templates, forms, encodings.

use hookpost_shaping::{Incoming, JsonPath, RequestVariables, Said, Template};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What is decoded may become this large, whatever it was before.
const DECODED_BYTES_MAX: usize = 64 << 10;
const FOUND_MAX: usize = 16;
/// More than a template may write, by what one more value can add.
const WRITTEN_BYTES_MAX: usize = 4 << 20;

/// A path on the first line, a document behind it.
pub fn json_path(data: &[u8]) {
    let (text, document) = lines(data);
    let Ok(path) = JsonPath::parse(text) else { return };
    let Ok(document) = serde_json::from_slice(document) else { return };
    let all = path.all(&document, FOUND_MAX);
    assert!(all.len() <= FOUND_MAX);
    assert_eq!(path.first(&document), all.first().copied(), "the first of all is the first: {text}");
}

/// A template on the first line, the body of a request behind it.
pub fn template(data: &[u8]) {
    let (text, body) = lines(data);
    let Ok(template) = Template::parse(text, RequestVariables::NAMES) else { return };
    let headers = headers(CONTENT_TYPE, b"application/json");
    let incoming = Incoming::new(&headers, body, DECODED_BYTES_MAX);
    let said = Said { event_id: Some("evt_1"), event_type: None };
    if let Ok(written) = template.render(&RequestVariables { incoming: &incoming, said }) {
        assert!(written.len() <= WRITTEN_BYTES_MAX, "a template of {} bytes wrote {}", text.len(), written.len());
    }
}

/// Forms with parts, and whatever else the content type says the body is.
pub(crate) fn multipart(content_type: &str, body: &[u8]) {
    let headers = headers(CONTENT_TYPE, content_type.as_bytes());
    let incoming = Incoming::new(&headers, body, DECODED_BYTES_MAX);
    let _ = incoming.document();
}

/// A content encoding on the first line, a body behind it.
pub fn encoding(data: &[u8]) {
    let (encoding, body) = lines(data);
    let headers = headers(CONTENT_ENCODING, encoding.as_bytes());
    let incoming = Incoming::new(&headers, body, DECODED_BYTES_MAX);
    if let Ok(decoded) = incoming.decoded() {
        assert!(decoded.len() <= DECODED_BYTES_MAX.max(body.len()), "{} bytes became {}", body.len(), decoded.len());
    }
}

pub(crate) fn lines(data: &[u8]) -> (&str, &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    (std::str::from_utf8(&data[..end]).unwrap_or_default(), data.get(end + 1..).unwrap_or_default())
}

fn headers(name: HeaderName, value: &[u8]) -> HeaderMap {
    HeaderValue::from_bytes(value).map(|value| (name, value)).into_iter().collect()
}
