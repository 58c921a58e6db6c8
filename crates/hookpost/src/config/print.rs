//! `hookpost config`: every setting with its value, default and origin. Secrets are never shown, only that they are set.

use serde_json::json;

use super::sources::{Resolved, Value};
use crate::output::Table;

pub(crate) fn as_table(resolved: &Resolved) -> String {
    let mut table = Table::new(&["SETTING", "VALUE", "DEFAULT", "FROM"]);
    for value in &resolved.values {
        let default = if value.setting.default.is_empty() { "-" } else { value.setting.default };
        table.row([value.setting.name.to_owned(), shown(value), default.to_owned(), value.origin.describe(value.setting)]);
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
                "value": (!value.text.is_empty()).then(|| shown(value)),
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

fn shown(value: &Value) -> String {
    match (value.text.is_empty(), value.setting.is_secret()) {
        (true, _) => "-".to_owned(),
        (false, true) => "(withheld)".to_owned(),
        // A proxy is written with its password.
        (false, false) if value.setting.name == "proxy" => without_password(&value.text),
        (false, false) => value.text.clone(),
    }
}

fn without_password(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(mut url) if url.password().is_some() => match url.set_password(Some("withheld")) {
            Ok(()) => url.to_string(),
            Err(()) => "(withheld)".to_owned(),
        },
        _ => text.to_owned(),
    }
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
        ];
        let resolved = resolve(&Sources { flags: flags.into(), ..Sources::default() }).unwrap();
        for printed in [as_table(&resolved), as_json(&resolved).to_string()] {
            assert!(printed.contains("(withheld)") && printed.contains("http://me:withheld@proxy:3128"), "{printed}");
            assert!(!printed.contains("horse") && !printed.contains("abab") && !printed.contains("hunter22"), "{printed}");
        }
    }
}
