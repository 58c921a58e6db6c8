//! Forms as JSON objects, so that paths lead into them: each field a text, a field that came several times an array of texts.
//!
//! Files of a multipart form are left out: nobody's id is in them.

use hookpost_domain::multipart::{NotMultipart, Parts};
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
    let not_form = |NotMultipart(why)| Unreadable::NotForm(why);
    let mut fields = Map::new();
    for part in Parts::of(content_type, body).map_err(not_form)? {
        let part = part.map_err(not_form)?;
        if let (false, Ok(value)) = (part.is_file, std::str::from_utf8(part.value)) {
            add(&mut fields, &part.name, Value::from(value));
        }
    }
    Ok(Value::Object(fields))
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

#[cfg(test)]
mod tests {
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
}
