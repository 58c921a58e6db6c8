//! `hookpost config --example`: a file with every setting, commented out, that can be edited and used.

use std::fmt::Write as _;

use super::settings::SETTINGS;

const COLUMNS: usize = 100;

pub(crate) fn example() -> String {
    let mut text = String::from(
        "# Configuration of Hookpost: hookpost serve --config hookpost.toml\n\
         #\n\
         # Each setting can also be given as a variable (HOOKPOST_LISTEN) or as a flag (--listen); flags go before variables,\n\
         # variables before this file. The values shown are the defaults.\n",
    );
    for setting in SETTINGS {
        text.push('\n');
        for line in wrap(setting.help) {
            let _ = writeln!(text, "# {line}");
        }
        let _ = writeln!(text, "#{} = {:?}", setting.name, setting.default);
    }
    text
}

fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.len() + word.len() >= COLUMNS {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::sources::{FileText, Sources, resolve};
    use super::*;

    #[test]
    fn the_example_is_a_file_that_works_and_changes_nothing() {
        let uncommented: String = example()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let file = FileText { path: "example.toml".into(), text: uncommented };
        let resolved = resolve(&Sources { file: Some(file), ..Sources::default() }).unwrap();
        for value in &resolved.values {
            assert_eq!(value.text, value.setting.default, "{}", value.setting.name);
        }
    }
}
