//! What is wrong with the settings of a source: which field, under the name by which its owner knows it, and which rule it breaks.

use std::fmt;

use crate::name::Invalid;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `auth.header.name`: the path of the field within the settings.
    pub field: String,
    /// The rule, as a sentence without its subject: `must be at least 1`.
    pub rule: String,
}

impl Mistake {
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }

    /// For `map_err` behind a rule that knows no field.
    pub fn at(field: &str) -> impl FnOnce(Invalid) -> Self + '_ {
        move |Invalid(rule)| Self::new(field, rule)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.rule)
    }
}

impl std::error::Error for Mistake {}
