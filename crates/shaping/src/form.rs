//! Forms as JSON objects, so that paths lead into them: each field a text, a field that came several times an array of texts.
//!
//! Files of a multipart form are left out: nobody's id is in them.

use memchr::memmem;
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::encoding::Unreadable;

const FIELDS_MAX: usize = 1000;

/// `a=1&b=2`
pub(crate) fn url_encoded(body: &[u8]) -> Value {
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(body).take(FIELDS_MAX) {
        add(&mut fields, &name, Value::from(value));
    }
    Value::Object(fields)
}

/// `multipart/form-data`, in whose content type the boundary stands.
pub(crate) fn multipart(content_type: &str, body: &[u8]) -> Result<Value, Unreadable> {
    let boundary = parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty() && boundary.len() <= 200);
    let boundary = boundary.ok_or(Unreadable::NotForm("its content type has no boundary"))?;
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let finder = memmem::Finder::new(&delimiter);
    let mut fields = Map::new();
    let mut at = finder.find(body).ok_or(Unreadable::NotForm("it does not begin with its boundary"))? + delimiter.len();
    while !body[at..].starts_with(b"--") {
        let end = finder.find(&body[at..]).ok_or(Unreadable::NotForm("its last boundary is missing"))? + at;
        if fields.len() < FIELDS_MAX {
            add_part(&mut fields, &body[at..end]);
        }
        at = end + delimiter.len();
    }
    Ok(Value::Object(fields))
}

/// What stands between two boundaries: a line break, headers, an empty line, the value, a line break.
fn add_part(fields: &mut Map<String, Value>, part: &[u8]) {
    let Some(end_of_headers) = memmem::find(part, b"\r\n\r\n") else { return };
    let headers = String::from_utf8_lossy(&part[..end_of_headers]);
    let value = &part[end_of_headers + 4..];
    let value = value.strip_suffix(b"\r\n").unwrap_or(value);
    let disposition =
        headers.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
    let Some((_, disposition)) = disposition else { return };
    if let (Some(name), None, Ok(value)) = (parameter(disposition, "name"), parameter(disposition, "filename"), std::str::from_utf8(value))
    {
        add(fields, &name, Value::from(value));
    }
}

fn add(fields: &mut Map<String, Value>, name: &str, value: Value) {
    match fields.get_mut(name) {
        None => {
            fields.insert(name.to_owned(), value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// `; name=value` or `; name="value"` of a header.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"')?;
                (&quoted[..end], quoted[end + 1..].split_once(';').map(|(_, next)| next))
            }
            None => after.split_once(';').map_or((after, None), |(value, next)| (value, Some(next))),
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value.trim().to_owned());
        }
        rest = next?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_become_an_object() {
        assert_eq!(url_encoded(b"a=1&b=x+y%21&a=2&a=3&c"), json!({ "a": ["1", "2", "3"], "b": "x y!", "c": "" }));
        assert_eq!(url_encoded(b""), json!({}));
    }

    #[test]
    fn text_parts_of_a_multipart_form_become_fields() {
        let body = b"--X\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{\"a\": 1}\r\n\
            --X\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a;b.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
            --X\r\nContent-Disposition: form-data; name=two\r\n\r\n\r\n--X--\r\n";
        assert_eq!(multipart("multipart/form-data; boundary=X", body), Ok(json!({ "json": "{\"a\": 1}", "two": "" })));
        assert_eq!(multipart("multipart/form-data; charset=utf-8; boundary=\"X\"", body).unwrap()["two"], "");
        for (content_type, body, what) in [
            ("multipart/form-data", &body[..], "its content type has no boundary"),
            ("multipart/form-data; boundary=Y", body, "it does not begin with its boundary"),
            ("multipart/form-data; boundary=X", &body[..body.len() - 8], "its last boundary is missing"),
        ] {
            assert_eq!(multipart(content_type, body), Err(Unreadable::NotForm(what)));
        }
    }

    proptest! {
        #[test]
        fn hostile_forms_do_no_harm(body in "(--X|\r\n|-|name=|\"|;|content-disposition:|[a-z ]){0,40}", content_type in "[a-z/;=\" -]{0,40}") {
            let _ = multipart("multipart/form-data; boundary=X", body.as_bytes());
            let _ = multipart(&content_type, body.as_bytes());
        }
    }
}
