//! Text with values in it: `{{ body.data.id }}`, `{{ headers.x-tenant | default: 'none' | upper }}`.
//!
//! Values are put in as they are; filters write them for the place they go to: `json`, `url`, `xml`. There are no conditions and no loops, so
//! that a template costs what it is long and no tenant can write one that does not end; what needs more is a transformation. (That is also why
//! this is no template library: those that are safe have their own idea of `x-tenant`, which is a subtraction, and none bounds what it writes.)

use std::borrow::Cow;

use hookpost_domain::Invalid;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use thiserror::Error;

use crate::path::JsonPath;

const TEMPLATE_BYTES_MAX: usize = 64 << 10;
const PIECES_MAX: usize = 1024;
const FILTERS_MAX: usize = 8;
/// What a template may write.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
const URL_SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What the names of a template stand for when it is rendered.
pub trait Variables {
    /// `name` is one of those that the template was parsed with; `path` leads on from there.
    fn find(&self, name: &str, path: &JsonPath) -> Found<'_>;
}

/// What a name and its path led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Found<'a> {
    Nothing,
    Text(Cow<'a, str>),
    Json(Cow<'a, Value>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Value { from: Operand, filters: Vec<Filter> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Variable { name: &'static str, path: JsonPath },
    Literal(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Json,
    Url,
    Xml,
    Lower,
    Upper,
    Trim,
    Default(Box<str>),
}

/// The text would be longer than anything may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the template writes more than {OUTPUT_BYTES_MAX} bytes")]
pub struct TooLong;

impl Template {
    /// Reads a template in which the given names are known.
    pub fn parse(text: &str, names: &[&'static str]) -> Result<Self, Invalid> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(Invalid::new(format!("is a template of {} bytes; at most {TEMPLATE_BYTES_MAX} are allowed", text.len())));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            let (piece, after) = parse_value(after, names)?;
            pieces.push(piece);
            rest = after;
            if pieces.len() > PIECES_MAX {
                return Err(Invalid::new(format!("is a template of more than {PIECES_MAX} pieces")));
            }
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Ok(Self { pieces })
    }

    /// Whether a name stands in it, so that what it means has to be at hand.
    pub fn mentions(&self, name: &str) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Value { from: Operand::Variable { name: own, .. }, .. } if *own == name))
    }

    pub fn render(&self, variables: &dyn Variables) -> Result<String, TooLong> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value { from, filters } => {
                    let found = match from {
                        Operand::Variable { name, path } => variables.find(name, path),
                        Operand::Literal(text) => Found::Text(Cow::Borrowed(text)),
                    };
                    out.push_str(&filters.iter().try_fold(found, Filter::apply)?.into_text());
                }
            }
            if out.len() > OUTPUT_BYTES_MAX {
                return Err(TooLong);
            }
        }
        Ok(out)
    }
}

impl<'a> Found<'a> {
    pub fn of_json(value: Option<&'a Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Nothing,
            Some(Value::String(text)) => Self::Text(Cow::Borrowed(text)),
            Some(other) => Self::Json(Cow::Borrowed(other)),
        }
    }

    /// Numbers and booleans as JSON writes them, and so what has parts.
    pub fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Nothing => Cow::Borrowed(""),
            Self::Text(text) => text,
            Self::Json(value) => Cow::Owned(value.to_string()),
        }
    }
}

impl Filter {
    fn apply<'a>(found: Found<'a>, filter: &'a Self) -> Result<Found<'a>, TooLong> {
        let text = match (filter, found) {
            (Self::Default(_), found @ Found::Json(_)) => return Ok(found),
            (Self::Default(default), Found::Nothing) => Cow::Borrowed(&**default),
            (Self::Default(default), Found::Text(text)) => {
                if text.is_empty() {
                    Cow::Borrowed(&**default)
                } else {
                    text
                }
            }
            (Self::Json, Found::Nothing) => Cow::Borrowed("null"),
            (Self::Json, Found::Text(text)) => Cow::Owned(Value::from(text.as_ref()).to_string()),
            (Self::Json, found) => found.into_text(),
            (Self::Url, found) => Cow::Owned(utf8_percent_encode(&found.into_text(), URL_SAFE).to_string()),
            (Self::Xml, found) => Cow::Owned(xml_escaped(&found.into_text())),
            (Self::Lower, found) => Cow::Owned(found.into_text().to_lowercase()),
            (Self::Upper, found) => Cow::Owned(found.into_text().to_uppercase()),
            (Self::Trim, found) => Cow::Owned(found.into_text().trim().to_owned()),
        };
        // Filters make text a few times longer at most; several of them, one after the other, could go on.
        if text.len() > OUTPUT_BYTES_MAX { Err(TooLong) } else { Ok(Found::Text(text)) }
    }
}

fn xml_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// What stands between `{{` and `}}`, and what follows.
fn parse_value<'a>(text: &'a str, names: &[&'static str]) -> Result<(Piece, &'a str), Invalid> {
    let (from, mut rest) = match quoted(text.trim_start())? {
        Some((literal, rest)) => (Operand::Literal(literal), rest.trim_start()),
        None => parse_variable(text.trim_start(), names)?,
    };
    let mut filters = Vec::new();
    while let Some(after) = rest.strip_prefix('|') {
        let (filter, after) = parse_filter(after.trim_start())?;
        filters.push(filter);
        rest = after.trim_start();
        if filters.len() > FILTERS_MAX {
            return Err(Invalid::new(format!("has a value with more than {FILTERS_MAX} filters")));
        }
    }
    match rest.strip_prefix("}}") {
        Some(rest) => Ok((Piece::Value { from, filters }, rest)),
        None => Err(Invalid::new(format!("has a `{{{{` whose `}}}}` is not where it should be: before `{}`", beginning(rest)))),
    }
}

fn parse_variable<'a>(text: &'a str, names: &[&'static str]) -> Result<(Operand, &'a str), Invalid> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let Some(name) = names.iter().find(|name| **name == word) else {
        let known = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "nothing is known".to_owned() } else { format!("only these are known: {known}") };
        return Err(Invalid::new(format!("has `{}` in a template, where {known}", beginning(text))));
    };
    let (path, rest) = JsonPath::parse_steps(rest)?;
    Ok((Operand::Variable { name, path }, rest.trim_start()))
}

fn parse_filter(text: &str) -> Result<(Filter, &str), Invalid> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let filter = match word {
        "json" => Filter::Json,
        "url" => Filter::Url,
        "xml" => Filter::Xml,
        "lower" => Filter::Lower,
        "upper" => Filter::Upper,
        "trim" => Filter::Trim,
        "default" => {
            let missing = || Invalid::new("has the filter `default` without its text: `default: 'text'`");
            let rest = rest.trim_start().strip_prefix(':').ok_or_else(missing)?;
            let (text, rest) = quoted(rest.trim_start())?.ok_or_else(missing)?;
            return Ok((Filter::Default(text), rest));
        }
        _ => {
            let filters = "`json`, `url`, `xml`, `lower`, `upper`, `trim` and `default: 'text'`";
            return Err(Invalid::new(format!("has the filter `{}`; there are {filters}", beginning(text))));
        }
    };
    Ok((filter, rest))
}

/// Text in quotes, if there is one; a backslash takes the next character as it is.
fn quoted(text: &str) -> Result<Option<(Box<str>, &str)>, Invalid> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) else { return Ok(None) };
    let mut literal = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => literal.extend(chars.next().map(|(_, c)| c)),
            c if c == quote => return Ok(Some((literal.into(), &text[at + 1..]))),
            c => literal.push(c),
        }
    }
    Err(Invalid::new(format!("has quotes that are not closed: `{}`", beginning(text))))
}

/// Enough of a text to find it again.
fn beginning(text: &str) -> &str {
    let line = text.split(['\n', '}', '|']).next().unwrap_or_default().trim_end();
    let end = line.char_indices().nth(40).map_or(line.len(), |(at, _)| at);
    &line[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NAMES: &[&str] = &["body", "headers"];

    struct Given(Value);

    impl Variables for Given {
        fn find(&self, name: &str, path: &JsonPath) -> Found<'_> {
            match name {
                "body" => Found::of_json(path.first(&self.0)),
                _ => path.as_name().map_or(Found::Nothing, |name| Found::Text(Cow::Owned(format!("<{name}>")))),
            }
        }
    }

    #[test]
    fn puts_values_where_they_belong() {
        let given = Given(json!({ "id": 7, "name": "O\"Neil & Söhne", "empty": "", "null": null, "list": [1, "a"], "a b": true }));
        for (template, text) in [
            ("", ""),
            ("plain } { }} text", "plain } { }} text"),
            ("{{ body.id }}", "7"),
            ("{{body.id}}-{{body['a b']}}", "7-true"),
            ("{{ body.list }} {{ body.list[1] }}", r#"[1,"a"] a"#),
            ("{{ body.none }}{{ body.null }}", ""),
            ("{{ headers.x-github-event }}", "<x-github-event>"),
            ("{{ headers.x-a | upper }}", "<X-A>"),
            ("{{ body.name }}", "O\"Neil & Söhne"),
            ("{{ body.name | json }}", r#""O\"Neil & Söhne""#),
            ("{{ body.name | url }}", "O%22Neil%20%26%20S%C3%B6hne"),
            ("{{ body.name | xml }}", "O&quot;Neil &amp; Söhne"),
            ("{{ body.id | json }} {{ body.none | json }} {{ body.list | json }}", r#"7 null [1,"a"]"#),
            ("{{ body.none | default: 'x' }}{{ body.empty|default:\"y\" }}{{ body.id | default: 'z' }}", "xy7"),
            ("{{ body.none | default: ' |}} ' | trim }}", "|}}"),
            ("{{ '{{' }} {{ 'it\\'s' }}", "{{ it's"),
        ] {
            let parsed = Template::parse(template, NAMES).unwrap_or_else(|error| panic!("{template}: {error}"));
            assert_eq!(parsed.render(&given).unwrap(), text, "{template}");
        }
        assert!(Template::parse("{{ body }}", NAMES).unwrap().mentions("body"));
        assert!(!Template::parse("{{ headers.body }}", NAMES).unwrap().mentions("body"));
    }

    #[test]
    fn says_what_is_wrong() {
        for (template, what) in [
            ("{{ bodi.id }}", "has `bodi.id` in a template, where only these are known: `body`, `headers`"),
            ("{{ body.id", "has a `{{` whose `}}` is not where it should be"),
            ("{{ body.id } }", "has a `{{` whose `}}` is not where it should be"),
            ("{{ body. }}", "a name is missing"),
            ("{{ }}", "has `` in a template"),
            ("{{ body.id | shout }}", "has the filter `shout`; there are `json`"),
            ("{{ body.id | default }}", "`default: 'text'`"),
            ("{{ 'abc }}", "quotes that are not closed"),
        ] {
            let error = Template::parse(template, NAMES).unwrap_err().to_string();
            assert!(error.contains(what), "{template}: {error}");
        }
    }

    #[test]
    fn writes_a_bounded_text_whatever_it_is_given() {
        let given = Given(json!({ "long": "&".repeat(100_000) }));
        assert_eq!(Template::parse(&"{{ body.long }}".repeat(11), NAMES).unwrap().render(&given), Err(TooLong));
        assert_eq!(Template::parse("{{ body.long | xml | xml | xml | xml }}", NAMES).unwrap().render(&given), Err(TooLong));
        assert!(Template::parse(&"{{ body.id }}".repeat(2000), NAMES).is_err());
        assert!(Template::parse(&"a".repeat(TEMPLATE_BYTES_MAX + 1), NAMES).is_err());
    }

    proptest! {
        #[test]
        fn reads_anything(text in "[{}a-c |:.'\"\\\\\\[\\]]{0,40}|.{0,20}") {
            if let Ok(template) = Template::parse(&text, NAMES) {
                let _ = template.render(&Given(json!({ "a": 1 })));
            }
        }
    }
}
