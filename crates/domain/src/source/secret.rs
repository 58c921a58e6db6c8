//! Text that opens a foreign door: the key of an API, a password. It is written down with the settings that it belongs to, and never printed.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiSecret(pub String);

impl ApiSecret {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ApiSecret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for ApiSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiSecret(…)")
    }
}
