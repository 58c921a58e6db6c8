//! The validated strings that users give to things. Parsed once at the edge, trusted everywhere else.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits;

/// What is wrong with a value, as a sentence for the person who sent it; the caller knows which field it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    pub fn new(rule: impl Into<String>) -> Self {
        Self(rule.into())
    }
}

macro_rules! names {
    ($($name:ident $what:literal $max:expr, $extra:literal;)*) => { $(
        #[doc = $what]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                check_characters(text, $max, $extra)?;
                Ok(Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )* };
}

names! {
    EventTypeName "A named kind of event: `invoice.paid`." limits::NAME_CHARS_MAX, "-_.";
    Uid "The user's own identifier of an application, endpoint or message." limits::NAME_CHARS_MAX, "-_.";
    Channel "A second dimension of filtering beside the event type: `project_1337`." limits::CHANNEL_CHARS_MAX, "-_.:+";
    Tag "A label on a message, to find it again." limits::CHANNEL_CHARS_MAX, "-_./\\#";
}

/// What an endpoint subscribes to: one event type (`order.paid`), or all below a name (`order.*`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTypePattern(Arc<str>);

impl EventTypePattern {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        check_characters(text.strip_suffix(".*").unwrap_or(text), limits::NAME_CHARS_MAX, "-_.")?;
        Ok(Self(text.into()))
    }

    pub fn matches(&self, event_type: &EventTypeName) -> bool {
        match self.0.strip_suffix('*') {
            None => *self.0 == *event_type.0,
            Some(group) => event_type.0.len() > group.len() && event_type.0.starts_with(group),
        }
    }

    /// The event type, unless it is a group of them.
    pub fn exact(&self) -> Option<EventTypeName> {
        (!self.0.ends_with('*')).then(|| EventTypeName(self.0.clone()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<EventTypeName> for EventTypePattern {
    fn from(name: EventTypeName) -> Self {
        Self(name.0)
    }
}

impl fmt::Display for EventTypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventTypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn check_characters(text: &str, chars_max: usize, extra: &str) -> Result<(), Invalid> {
    if text.is_empty() || text.len() > chars_max {
        return Err(Invalid::new(format!("must be 1 to {chars_max} characters long")));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || extra.contains(*c))) {
        Some(c) => Err(Invalid::new(format!("has the character {c:?}; allowed are letters, digits and {}", spell(extra)))),
        None => Ok(()),
    }
}

fn spell(extra: &str) -> String {
    extra.chars().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_character_is_wrong() {
        assert!(EventTypeName::parse("invoice.paid-2_x").is_ok());
        assert_eq!(Uid::parse("a b").unwrap_err().to_string(), "has the character ' '; allowed are letters, digits and `-` `_` `.`");
        assert_eq!(Uid::parse("").unwrap_err().to_string(), "must be 1 to 256 characters long");
        assert!(Channel::parse("a:b+c").is_ok());
        assert!(Tag::parse("a/b#c").is_ok());
    }

    #[test]
    fn a_group_is_everything_below_its_name() {
        let matches = |pattern: &str, name: &str| EventTypePattern::parse(pattern).unwrap().matches(&EventTypeName::parse(name).unwrap());
        for (pattern, name, expected) in [
            ("order.paid", "order.paid", true),
            ("order.paid", "order.paid.eu", false),
            ("order.*", "order.paid", true),
            ("order.*", "order.paid.eu", true),
            ("order.*", "order", false),
            ("order.*", "order.", false),
            ("order.*", "orders.paid", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        for broken in ["*", ".*", "order*", "*.paid", "a.*.b", "order.**", ""] {
            assert!(EventTypePattern::parse(broken).is_err(), "{broken}");
        }
        assert_eq!(EventTypePattern::parse("a.*").unwrap().exact(), None);
        assert_eq!(EventTypePattern::parse("a.b").unwrap().exact(), Some(EventTypeName::parse("a.b").unwrap()));
    }
}
