//! `hookpost config`: every setting with its value, default and origin. Secrets are never shown, only that they are set.

use serde_json::json;

use super::settings::{Form, Setting};
use super::sources::Resolved;
use crate::output::Table;

const WITHHELD: &str = "(withheld)";

pub(crate) fn as_table(resolved: &Resolved) -> String {
    let mut table = Table::new(&["SETTING", "VALUE", "DEFAULT", "FROM"]);
    for value in &resolved.values {
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let setting = value.setting;
        let shown = or_dash(&shown(setting, &value.text));
        table.row([setting.name.to_owned(), shown, or_dash(setting.default), value.origin.describe(setting)]);
    }
    table.to_string()
}

pub(crate) fn as_json(resolved: &Resolved) -> serde_json::Value {
    resolved
        .values
        .iter()
        .map(|value| {
            let setting = value.setting;
            json!({
                "name": setting.name,
                "value": (!value.text.is_empty()).then(|| shown(setting, &value.text)),
                "default": (!setting.default.is_empty()).then_some(setting.default),
                "origin": value.origin.describe(setting),
                "variable": setting.variable(),
                "flag": format!("--{}", setting.flag()),
                "secret": setting.is_secret(),
                "help": setting.help,
            })
        })
        .collect()
}

/// A value as it may be seen.
pub(super) fn shown(setting: &Setting, text: &str) -> String {
    match setting.form {
        Form::Secret if !text.is_empty() => WITHHELD.to_owned(),
        Form::PasswordUrl => without_password(text),
        Form::Secret | Form::Text | Form::Switch | Form::Lists => text.to_owned(),
    }
}

/// A URL as it may be seen. Where it cannot be told what the password is, because a character of it should have been written in another way, everything
/// is withheld.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return if text.contains(['@', '=']) { WITHHELD.to_owned() } else { text.to_owned() };
    };
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, _)) if user.contains(['?', '/']) => return format!("{scheme}://{WITHHELD}"),
        Some((user, place)) => (user.split_once(':').map_or(format!("{user}@"), |(name, _)| format!("{name}:withheld@")), place),
        None => (String::new(), rest),
    };
    let Some((place, parameters)) = place.split_once('?') else {
        return format!("{scheme}://{user}{place}");
    };
    let shown = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) if name.contains("password") => format!("{name}=withheld"),
        _ => parameter.to_owned(),
    };
    let parameters: Vec<String> = parameters.split('&').map(shown).collect();
    format!("{scheme}://{user}{place}?{}", parameters.join("&"))
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, resolve};
    use super::*;

    #[test]
    fn secrets_are_withheld() {
        let flags = [
            ("jwt_secret", "correct horse battery".to_owned()),
            ("master_key", "ab".repeat(32)),
            ("proxy", "http://me:hunter22@proxy:3128".to_owned()),
            ("database", "postgres://hook:hunter22@db:5432/hooks".to_owned()),
        ];
        let resolved = resolve(&Sources { flags: flags.into(), ..Sources::default() }).unwrap();
        for printed in [as_table(&resolved), as_json(&resolved).to_string()] {
            assert!(printed.contains("(withheld)") && printed.contains("http://me:withheld@proxy:3128"), "{printed}");
            assert!(printed.contains("postgres://hook:withheld@db:5432/hooks"), "{printed}");
            assert!(!printed.contains("horse") && !printed.contains("abab") && !printed.contains("hunter22"), "{printed}");
        }
    }

    #[test]
    fn passwords_are_found_wherever_a_url_has_them() {
        for (text, shown) in [
            ("sqlite", "sqlite"),
            ("postgres://db/hooks", "postgres://db/hooks"),
            ("postgres://me@db/hooks?sslmode=require", "postgres://me@db/hooks?sslmode=require"),
            ("postgres://me:pw@a:1,b:2/hooks", "postgres://me:withheld@a:1,b:2/hooks"),
            ("postgres://me:p@ss:w@db/hooks", "postgres://me:withheld@db/hooks"),
            ("postgres://me:p?w@db/hooks", "postgres://(withheld)"),
            ("postgres://me@db/hooks?password=p@w", "postgres://(withheld)"),
            ("postgres://db/hooks?user=me&password=pw&x=1", "postgres://db/hooks?user=me&password=withheld&x=1"),
            ("postgres:me:pw@db/hooks", "(withheld)"),
            ("host=db password=pw", "(withheld)"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
