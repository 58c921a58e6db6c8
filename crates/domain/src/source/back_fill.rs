//! Gap detection: how the provider's own list of events is asked, to find those that never arrived.
//!
//! What did not arrive is taken in as if it had, with the same key, so that an event that comes late by the door as well makes no second message.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::mistake::Mistake;
use super::poll::check_every;
use super::secret::ApiSecret;
use super::{DeduplicateBy, Deduplication};
use crate::limits;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackFill {
    /// The key of the provider's API: with Stripe one that may read events, with GitHub one that may read webhooks.
    pub api_key: ApiSecret,
    /// With GitHub the hook, `owner/repository/hooks/1` or `orgs/name/hooks/1`; with Stripe a connected account or nothing.
    #[serde(default)]
    pub resource: Option<String>,
    /// Another address than the provider's own.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Seconds between two looks.
    #[serde(default = "every_s_default")]
    pub every_s: u32,
    /// How far back to look at most: days.
    #[serde(default = "look_back_days_default")]
    pub look_back_days: u16,
    /// An event that is younger is still on its way: seconds.
    #[serde(default = "settle_s_default")]
    pub settle_s: u32,
    /// Only these, as the provider names them; `invoice.*` is all that begin so. Empty: all. To be said where the provider sends us only some.
    #[serde(default)]
    pub event_types: Vec<String>,
}

/// Whose list it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackFillTarget {
    Stripe {
        account: Option<String>,
    },
    /// The path of the hook within the API: `repos/owner/repository/hooks/1`.
    Github {
        hook: String,
    },
}

impl BackFill {
    pub const PROVIDERS: [&str; 2] = ["stripe", "github"];

    /// Everything else as it is where nothing is said.
    pub fn new(api_key: ApiSecret) -> Self {
        Self {
            api_key,
            resource: None,
            base_url: None,
            every_s: every_s_default(),
            look_back_days: look_back_days_default(),
            settle_s: settle_s_default(),
            event_types: Vec::new(),
        }
    }

    pub fn every(&self) -> Duration {
        Duration::from_secs(self.every_s.into())
    }

    pub fn settle(&self) -> Duration {
        Duration::from_secs(self.settle_s.into())
    }

    /// How far back to look: not further than the source can tell an event from a repetition of it.
    pub fn look_back(&self, deduplicate: &Deduplication) -> Duration {
        Duration::from_secs(u64::from(self.look_back_days) * 86_400).min(deduplicate.window())
    }

    pub fn wants(&self, event_type: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => event_type.starts_with(prefix),
            None => pattern == event_type,
        };
        self.event_types.is_empty() || self.event_types.iter().any(matches)
    }

    /// Every rule that the settings have to keep in a source of this type.
    pub fn check(&self, type_name: &str, deduplicate: &Deduplication) -> Result<BackFillTarget, Mistake> {
        if self.api_key.as_str().is_empty() || !self.api_key.as_str().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Mistake::new("apiKey", "must be 1 or more visible ASCII characters"));
        }
        if let Some(base_url) = &self.base_url {
            check_base_url(base_url)?;
        }
        check_every(self.every_s, limits::BACK_FILL_EVERY_S_MIN)?;
        if !(1..=limits::BACK_FILL_LOOK_BACK_DAYS_MAX).contains(&self.look_back_days) {
            return Err(Mistake::new("lookBackDays", format!("must be between 1 and {}", limits::BACK_FILL_LOOK_BACK_DAYS_MAX)));
        }
        if self.settle_s > limits::BACK_FILL_SETTLE_S_MAX {
            return Err(Mistake::new("settleS", format!("must be at most {}", limits::BACK_FILL_SETTLE_S_MAX)));
        }
        if matches!(deduplicate.by, DeduplicateBy::BodyHash | DeduplicateBy::Nothing) {
            let rule = "must be `eventId` or `fields` where a source has a `backFill`, which could not tell what has arrived";
            return Err(Mistake::new("deduplicate.by", rule));
        }
        self.target(type_name)
    }

    fn target(&self, type_name: &str) -> Result<BackFillTarget, Mistake> {
        let resource = self.resource.as_deref();
        match type_name {
            "stripe" => match resource {
                Some(account) if !is_word(account) => Err(Mistake::new("resource", "must be the id of a Stripe account, such as `acct_1`")),
                account => Ok(BackFillTarget::Stripe { account: account.map(str::to_owned) }),
            },
            "github" => {
                let hook = resource.and_then(github_hook);
                let rule = "must name the hook: `owner/repository/hooks/1` or `orgs/name/hooks/1`";
                hook.map(|hook| BackFillTarget::Github { hook }).ok_or_else(|| Mistake::new("resource", rule))
            }
            _ => Err(Mistake::new("backFill", format!("is known for {} only", Self::PROVIDERS.join(" and ")))),
        }
    }
}

impl fmt::Debug for BackFill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackFill").field("resource", &self.resource).field("every_s", &self.every_s).finish_non_exhaustive()
    }
}

fn every_s_default() -> u32 {
    limits::BACK_FILL_EVERY_S_DEFAULT
}

fn look_back_days_default() -> u16 {
    limits::BACK_FILL_LOOK_BACK_DAYS_DEFAULT
}

fn settle_s_default() -> u32 {
    limits::BACK_FILL_SETTLE_S_DEFAULT
}

fn check_base_url(text: &str) -> Result<(), Mistake> {
    let rule = "must be a URL such as `https://api.example.com`, without user, query and fragment";
    let plain = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    plain.map(drop).ok_or_else(|| Mistake::new("baseUrl", rule))
}

/// What GitHub allows in names, and nothing that could lead elsewhere in a path.
fn is_word(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= 100 && text.chars().all(is_allowed) && text != "." && text != ".."
}

fn github_hook(resource: &str) -> Option<String> {
    let parts: Vec<&str> = resource.split('/').collect();
    let is_number = |text: &str| !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    match parts[..] {
        ["orgs", name, "hooks", id] if is_word(name) && is_number(id) => Some(format!("orgs/{name}/hooks/{id}")),
        [owner, repository, "hooks", id] if is_word(owner) && is_word(repository) && is_number(id) => {
            Some(format!("repos/{owner}/{repository}/hooks/{id}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back_fill(json: &str) -> BackFill {
        serde_json::from_str(json).unwrap_or_else(|problem| panic!("{json}: {problem}"))
    }

    fn check(type_name: &str, json: &str) -> Result<BackFillTarget, String> {
        back_fill(json).check(type_name, &Deduplication::default()).map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn knows_whose_list_it_is() {
        assert_eq!(check("stripe", r#"{"apiKey": "rk_1"}"#), Ok(BackFillTarget::Stripe { account: None }));
        let account = Some("acct_1".to_owned());
        assert_eq!(check("stripe", r#"{"apiKey": "rk_1", "resource": "acct_1"}"#), Ok(BackFillTarget::Stripe { account }));
        for (resource, path) in [("ada/engine.rs/hooks/7", "repos/ada/engine.rs/hooks/7"), ("orgs/ada/hooks/7", "orgs/ada/hooks/7")] {
            let json = format!(r#"{{"apiKey": "ghp_1", "resource": "{resource}"}}"#);
            assert_eq!(check("github", &json), Ok(BackFillTarget::Github { hook: path.to_owned() }));
        }
    }

    #[test]
    fn every_mistake_names_its_field_and_rule() {
        for (type_name, json, expected) in [
            ("slack", r#"{"apiKey": "k"}"#, "`backFill` is known for stripe and github only"),
            ("stripe", r#"{"apiKey": ""}"#, "`apiKey` must be 1 or more"),
            ("stripe", r#"{"apiKey": "a b"}"#, "`apiKey` must be 1 or more"),
            ("stripe", r#"{"apiKey": "k", "resource": "a/b"}"#, "`resource` must be the id of a Stripe account"),
            ("github", r#"{"apiKey": "k"}"#, "`resource` must name the hook"),
            ("github", r#"{"apiKey": "k", "resource": "a/../hooks/1"}"#, "`resource` must name the hook"),
            ("github", r#"{"apiKey": "k", "resource": "a/b/hooks/x"}"#, "`resource` must name the hook"),
            ("stripe", r#"{"apiKey": "k", "baseUrl": "https://a:b@example.com"}"#, "`baseUrl` must be a URL"),
            ("stripe", r#"{"apiKey": "k", "everyS": 1}"#, "`everyS` must be between 10 and 604800"),
            ("stripe", r#"{"apiKey": "k", "lookBackDays": 31}"#, "`lookBackDays` must be between 1 and 30"),
            ("stripe", r#"{"apiKey": "k", "settleS": 90000}"#, "`settleS` must be at most 86400"),
        ] {
            let problem = check(type_name, json).expect_err(json);
            assert!(problem.starts_with(expected), "{json}: {problem}");
        }
        for by in [DeduplicateBy::BodyHash, DeduplicateBy::Nothing] {
            let deduplicate = Deduplication { by, ..Deduplication::default() };
            let mistake = back_fill(r#"{"apiKey": "k"}"#).check("stripe", &deduplicate).unwrap_err();
            assert_eq!(mistake.field, "deduplicate.by");
        }
        let unknown = serde_json::from_str::<BackFill>(r#"{"apiKey": "k", "every": 1}"#);
        assert!(unknown.unwrap_err().to_string().contains("unknown field `every`"));
    }

    #[test]
    fn looks_back_no_further_than_repetitions_are_known() {
        let day = Duration::from_secs(86_400);
        let long = back_fill(r#"{"apiKey": "k", "lookBackDays": 20}"#);
        assert_eq!(long.look_back(&Deduplication::default()), day * 7);
        assert_eq!(back_fill(r#"{"apiKey": "k"}"#).look_back(&Deduplication::default()), day * 3);
    }

    #[test]
    fn wants_types_and_groups_of_them() {
        let all = back_fill(r#"{"apiKey": "k"}"#);
        let some = back_fill(r#"{"apiKey": "k", "eventTypes": ["invoice.*", "charge.failed"]}"#);
        for (event_type, wanted) in [("invoice.paid", true), ("charge.failed", true), ("charge.succeeded", false), ("invoice", false)] {
            assert_eq!((all.wants(event_type), some.wants(event_type)), (true, wanted), "{event_type}");
        }
    }

    #[test]
    fn prints_no_secret() {
        assert!(!format!("{:?}", back_fill(r#"{"apiKey": "hunter2"}"#)).contains("hunter2"));
    }
}
