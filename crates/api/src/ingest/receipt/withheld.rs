//! What of a request is not shown: credentials. A signature may be seen, since it is good for one body; the secret itself may not, also where the
//! provider sends it with every request.

use hookpost_domain::Source;
use hookpost_domain::request::{WITHHELD, is_sensitive};
use hookpost_domain::source::SourceKind;
use hookpost_providers::Settings;

/// Shorter ones stand in any text by chance.
const SECRET_CHARS_MIN: usize = 6;

/// Debug shows none of them.
pub(crate) struct Withheld(Vec<String>);

impl std::fmt::Debug for Withheld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Withheld({} secrets)", self.0.len())
    }
}

impl Withheld {
    /// The live secrets of a source.
    pub(crate) fn of(source: &Source) -> Self {
        let SourceKind::Webhook { settings, .. } = &source.kind else { return Self(Vec::new()) };
        let settings: Settings = serde_json::from_str(&settings.0).unwrap_or_default();
        let all = settings.secret.iter().chain(&settings.secret_secondary).chain(&settings.secrets).chain(&settings.verify_token);
        Self(all.map(|secret| secret.reveal().to_owned()).filter(|secret| secret.len() >= SECRET_CHARS_MIN).collect())
    }

    pub(crate) fn is_header(&self, name: &str, value: &[u8]) -> bool {
        is_sensitive(name) || self.0.iter().any(|secret| contains(value, secret.as_bytes()))
    }

    /// With every live secret taken out, as it is and as a URL writes it.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            let encoded = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string();
            text.replace(secret, WITHHELD).replace(&encoded, WITHHELD)
        })
    }
}

fn contains(value: &[u8], secret: &[u8]) -> bool {
    value.windows(secret.len()).any(|window| window == secret)
}
