//! The attributes of a CloudEvent over HTTP, in its binary, structured and batched form.

use std::borrow::Cow;

use crate::json::Path;
use crate::request::Request;

/// One attribute: of a batch, the one of its first event.
pub(crate) fn attribute<'a>(request: &Request<'a>, name: &str) -> Option<Cow<'a, str>> {
    let media_type = request.media_type().unwrap_or_default().to_ascii_lowercase();
    let path = |path: String| Path::parse(&path)?.find(request.body).map(|scalar| scalar.text);
    if media_type.starts_with("application/cloudevents-batch") {
        return path(format!("$.0.{name}"));
    }
    if !media_type.starts_with("application/cloudevents")
        && let Some(value) = request.headers.get(format!("ce-{name}"))
    {
        return value.to_str().ok().and_then(percent_decode).map(Cow::Owned);
    }
    path(format!("$.{name}"))
}

/// Headers carry what is not ASCII as `%E6%9D%B1`.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(crate::encoding::hex_decode) {
            Some(byte) => {
                bytes.extend_from_slice(&byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_is_encoded_and_leaves_the_rest() {
        for (text, expected) in [("%E6%9D%B1 a", Some("東 a")), ("100%", Some("100%")), ("%zz", Some("%zz")), ("%ff", None)] {
            assert_eq!(percent_decode(text).as_deref(), expected);
        }
    }
}
