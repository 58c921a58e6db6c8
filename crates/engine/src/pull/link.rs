//! Where the next page is, as an answer says it: the `Link` header, and that a page is never looked for with another host than the one that was asked.

use http::HeaderMap;
use http::header::LINK;
use url::Url;

/// The target of `rel="next"` (RFC 8288), as it is written.
pub(super) fn next_link(headers: &HeaderMap) -> Option<&str> {
    headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(next_of)
}

fn next_of(mut text: &str) -> Option<&str> {
    while let Some(start) = text.find('<') {
        let end = start + text[start..].find('>')?;
        let (target, parameters) = (&text[start + 1..end], &text[end + 1..]);
        let parameters_end = end_of_parameters(parameters);
        if parameters[..parameters_end].split(';').any(says_next) {
            return Some(target.trim());
        }
        text = &parameters[parameters_end..];
    }
    None
}

/// At the first comma that stands in no quotes.
fn end_of_parameters(text: &str) -> usize {
    let mut quoted = false;
    let is_end = |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    };
    text.find(is_end).unwrap_or(text.len())
}

/// `rel=next`, `rel="next last"`.
fn says_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let relations = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("rel") && relations.split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next"))
}

/// The URL of a next page that `link` names from the page `of`; `None`: it is no URL, or leads to another host. Whoever answers does not choose who gets
/// to see the credentials of the source.
pub(super) fn same_host(of: &Url, link: &str) -> Option<Url> {
    let mut url = of.join(link).ok()?;
    url.set_fragment(None);
    (url.origin() == of.origin() && url.username().is_empty() && url.password().is_none()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_next_page_among_others() {
        for (value, expected) in [
            (r#"<https://a/?page=2>; rel="next", <https://a/?page=9>; rel="last""#, Some("https://a/?page=2")),
            (r#"<https://a/?page=1>; rel="prev", <https://a/?x=1,2&page=3>; title="a, b"; rel=next"#, Some("https://a/?x=1,2&page=3")),
            (r#"</next>; REL="last NEXT""#, Some("/next")),
            (r#"<https://a/>; rel="nextish""#, None),
            (r#"<https://a/>; title="rel=next""#, None),
            ("<https://a", None),
            ("", None),
        ] {
            let headers = [(LINK, value.parse().unwrap())].into_iter().collect();
            assert_eq!(next_link(&headers), expected, "{value}");
        }
    }

    #[test]
    fn stays_with_the_host_that_was_asked() {
        let of = Url::parse("https://api.example.com/v1/list?page=1").unwrap();
        let next = |link: &str| same_host(&of, link).map(String::from);
        assert_eq!(next("?page=2").as_deref(), Some("https://api.example.com/v1/list?page=2"));
        assert_eq!(next("https://api.example.com:443/x#y").as_deref(), Some("https://api.example.com/x"));
        for elsewhere in [
            "http://api.example.com/x",
            "https://example.com/x",
            "//evil.example/x",
            "https://api.example.com:8443/",
            "https://a:b@api.example.com/",
        ] {
            assert_eq!(next(elsewhere), None, "{elsewhere}");
        }
    }
}
