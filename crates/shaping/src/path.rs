//! Paths into JSON documents: `$.data.items[0].id`, `$['a name']`, `$.labels[*].name`. The plain part of RFC 9535: names, places and wildcards.
//!
//! Filters, slices and descendants are not in it: they can cost more than the document is long, and nobody needs them to find an id.

mod raw;

use std::fmt;
use std::ops::ControlFlow;

use hookpost_domain::Invalid;
use serde_json::Value;

const PATH_BYTES_MAX: usize = 1024;
const STEPS_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(Box<str>),
    /// From the end where it is negative.
    Place(i64),
    /// Every item of an array, every value of an object.
    All,
}

impl JsonPath {
    /// Reads a path. The `$` may be left out: `data.id` means `$.data.id`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut reader = Reader::new(text)?;
        let mut steps = Vec::new();
        if !reader.take('$') && !matches!(reader.peek(), Some('[')) {
            steps.push(reader.name_after_dot()?);
        }
        reader.steps_into(&mut steps)?;
        match reader.peek() {
            None => Ok(Self { steps }),
            Some(c) => Err(reader.wrong(&format!("{c:?} is not expected here"))),
        }
    }

    /// Reads as much of `text` as are steps of a path, perhaps none, and gives the rest: for templates, which bound their length themselves.
    pub(crate) fn parse_steps(text: &str) -> Result<(Self, &str), Invalid> {
        let mut reader = Reader { whole: text, rest: text };
        let mut steps = Vec::new();
        reader.steps_into(&mut steps)?;
        Ok((Self { steps }, reader.rest))
    }

    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// The name that the path begins with, and the path within it.
    pub fn split_name(&self) -> Option<(&str, Self)> {
        match self.steps.split_first() {
            Some((Step::Name(name), rest)) => Some((name, Self { steps: rest.to_vec() })),
            _ => None,
        }
    }

    /// The only name of a path that has one step.
    pub fn as_name(&self) -> Option<&str> {
        match self.steps.as_slice() {
            [Step::Name(name)] => Some(name),
            _ => None,
        }
    }

    /// The first value that the path leads to.
    pub fn first<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        let mut found = None;
        let _ = visit(document, &self.steps, &mut |value| {
            found = Some(value);
            ControlFlow::Break(())
        });
        found
    }

    /// The values that the path leads to, in the order of the document; the first `count_max` of them.
    pub fn all<'v>(&self, document: &'v Value, count_max: usize) -> Vec<&'v Value> {
        let mut found = Vec::new();
        let _ = visit(document, &self.steps, &mut |value| {
            if found.len() == count_max {
                return ControlFlow::Break(());
            }
            found.push(value);
            ControlFlow::Continue(())
        });
        found
    }
}

/// Looks at no value twice: the steps lead down only, so it ends after one walk through the document.
fn visit<'v>(value: &'v Value, steps: &[Step], found: &mut impl FnMut(&'v Value) -> ControlFlow<()>) -> ControlFlow<()> {
    let Some((step, rest)) = steps.split_first() else { return found(value) };
    match (step, value) {
        (Step::Name(name), Value::Object(fields)) => {
            fields.get(&**name).map_or(ControlFlow::Continue(()), |value| visit(value, rest, found))
        }
        (Step::Place(place), Value::Array(items)) => {
            let place = if *place < 0 { items.len().checked_sub(place.unsigned_abs() as usize) } else { usize::try_from(*place).ok() };
            place.and_then(|place| items.get(place)).map_or(ControlFlow::Continue(()), |value| visit(value, rest, found))
        }
        (Step::All, Value::Array(items)) => items.iter().try_for_each(|value| visit(value, rest, found)),
        (Step::All, Value::Object(fields)) => fields.values().try_for_each(|value| visit(value, rest, found)),
        _ => ControlFlow::Continue(()),
    }
}

struct Reader<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Result<Self, Invalid> {
        if text.trim().is_empty() || text.len() > PATH_BYTES_MAX {
            return Err(Invalid::new(format!("must be a path of 1 to {PATH_BYTES_MAX} bytes, such as `$.data.id`")));
        }
        Ok(Self { whole: text, rest: text })
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn wrong(&self, what: &str) -> Invalid {
        let place = self.whole.len() - self.rest.len();
        Invalid::new(format!("is not a path such as `$.data.items[0].id`: {what}, at byte {place} of `{}`", self.whole))
    }

    fn steps_into(&mut self, steps: &mut Vec<Step>) -> Result<(), Invalid> {
        loop {
            let step = if self.take('.') {
                self.name_after_dot()?
            } else if self.take('[') {
                let step = self.in_brackets()?;
                if !self.take(']') {
                    return Err(self.wrong("a `]` is missing"));
                }
                step
            } else {
                return Ok(());
            };
            steps.push(step);
            if steps.len() > STEPS_MAX {
                return Err(Invalid::new(format!("is a path of more than {STEPS_MAX} steps")));
            }
        }
    }

    fn name_after_dot(&mut self) -> Result<Step, Invalid> {
        if self.take('*') {
            return Ok(Step::All);
        }
        let end = self.rest.find(|c| !is_name_character(c)).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.wrong("a name is missing; other names than plain words are written `['like this']`"));
        }
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(Step::Name(name.into()))
    }

    fn in_brackets(&mut self) -> Result<Step, Invalid> {
        match self.peek() {
            Some('*') => {
                self.take('*');
                Ok(Step::All)
            }
            Some(quote @ ('\'' | '"')) => {
                self.take(quote);
                self.quoted(quote)
            }
            _ => {
                let end = self.rest.find(|c: char| !(c.is_ascii_digit() || c == '-')).unwrap_or(self.rest.len());
                let (number, rest) = self.rest.split_at(end);
                let place = number.parse().map_err(|_| self.wrong("a number, a `*` or a name in quotes is missing"))?;
                self.rest = rest;
                Ok(Step::Place(place))
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Step, Invalid> {
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.rest = &self.rest[at + c.len_utf8()..];
                return Ok(Step::Name(name.into()));
            }
            // Only what could end the name needs to be escaped.
            name.push(if c == '\\' { chars.next().map_or('\\', |(_, c)| c) } else { c });
        }
        Err(self.wrong("the quotes are not closed"))
    }
}

fn is_name_character(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@' | ':')
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.steps {
            match step {
                Step::Name(name) if !name.is_empty() && name.chars().all(is_name_character) => write!(f, ".{name}")?,
                Step::Name(name) => write!(f, "['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))?,
                Step::Place(place) => write!(f, "[{place}]")?,
                Step::All => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn all(path: &str, document: &Value) -> String {
        let path = JsonPath::parse(path).unwrap();
        Value::Array(path.all(document, 100).into_iter().cloned().collect()).to_string()
    }

    #[test]
    fn leads_where_it_says() {
        let document = json!({
            "id": "a", "data": {"items": [{"id": 1}, {"id": 2}, {"no": 3}], "a b": true, "it's": 1, "": 0},
            "x-y": {"$ref": 1, "ümlaut": 2}
        });
        for (path, found) in [
            ("$.id", r#"["a"]"#),
            ("id", r#"["a"]"#),
            ("$['id']", r#"["a"]"#),
            ("['id']", r#"["a"]"#),
            ("$.data.items[0].id", "[1]"),
            ("data.items[1]", r#"[{"id":2}]"#),
            ("$.data.items[-2].id", "[2]"),
            ("$.data.items[-4].id", "[]"),
            ("$.data.items[3]", "[]"),
            ("$.data.items[*].id", "[1,2]"),
            ("$.data.items.*.id", "[1,2]"),
            ("$.data['a b']", "[true]"),
            (r#"$.data["it's"]"#, "[1]"),
            (r"$.data['it\'s']", "[1]"),
            ("$.data['']", "[0]"),
            ("$.x-y.$ref", "[1]"),
            ("$.x-y.ümlaut", "[2]"),
            ("$.x-y.*", "[1,2]"),
            ("$.id.id", "[]"),
            ("$.data.id", "[]"),
            ("$.data[0]", "[]"),
            ("$.data.items.id", "[]"),
        ] {
            assert_eq!(all(path, &document), found, "{path}");
        }
        assert_eq!(JsonPath::parse("$").unwrap().first(&document), Some(&document));
        assert_eq!(JsonPath::parse("$.data.items[*].id").unwrap().all(&document, 1).len(), 1);
        assert_eq!(JsonPath::parse("$.data.items[*].id").unwrap().first(&document), Some(&json!(1)));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (path, what) in [
            ("$.", "a name is missing"),
            ("$..id", "a name is missing"),
            ("$.a[", "a number, a `*` or a name in quotes is missing"),
            ("$.a[1", "a `]` is missing"),
            ("$.a[x]", "a number"),
            ("$.a['x", "the quotes are not closed"),
            ("$.a b", "' ' is not expected here"),
            ("$.a[?(@.b)]", "a number"),
            ("$a", "'a' is not expected here"),
        ] {
            let error = JsonPath::parse(path).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("at byte"), "{path}: {error}");
        }
        for path in ["", "  ", &"a".repeat(2000), &"a.".repeat(100)] {
            assert!(JsonPath::parse(path).is_err());
        }
    }

    proptest! {
        #[test]
        fn reads_anything_and_writes_what_it_reads(text in "[$.a-c\\[\\]'\"*0-9\\\\ -]{0,24}") {
            if let Ok(path) = JsonPath::parse(&text) {
                prop_assert_eq!(JsonPath::parse(&path.to_string()), Ok(path));
            }
        }
    }
}
