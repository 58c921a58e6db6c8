//! Where values come from, and which one counts: flag, then environment, then file, then default.
//!
//! A key that is not known is a mistake and is refused with its name: a misspelt setting that is ignored is found out at night.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::print::shown;
use super::settings::{Form, SETTINGS, Setting, Settings, check_together};

/// Variables that are not settings of the server, but known: where the file is, and what the client commands use.
const OTHER_VARIABLES: &[&str] = &["HOOKPOST_CONFIG", "HOOKPOST_URL", "HOOKPOST_API_KEY"];
const VARIABLE_PREFIX: &str = "HOOKPOST_";

/// The environment of the process, as a value that tests make up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
    /// What is not ours, for files that name variables.
    others: BTreeMap<String, String>,
    /// How this program was called, so that commands that are printed can be pasted.
    program: Option<String>,
}

impl Environment {
    /// The one place that looks at the environment. What is not UTF-8 is kept in a readable form, so that it is refused by name.
    pub(crate) fn of_process() -> Self {
        let (variables, others) = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
            .partition(|(name, _)| name.starts_with(VARIABLE_PREFIX));
        Self { variables, others, program: std::env::args().next() }
    }

    /// Any variable, by the name under which somebody's file asks for it. An empty one is set.
    pub(crate) fn named(&self, name: &str) -> Option<&str> {
        self.variables.get(name).or_else(|| self.others.get(name)).map(String::as_str)
    }

    /// `hookpost`, or the path by which it was called.
    pub(crate) fn program(&self) -> &str {
        self.program.as_deref().filter(|program| program.contains('/')).unwrap_or("hookpost")
    }

    /// A variable that is empty counts as not set, as shells and compose files make it.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().collect(), others: BTreeMap::new(), program: None }
    }
}

/// A configuration file, read but not understood yet.
#[derive(Debug, Clone)]
pub(crate) struct FileText {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Everything that may set something.
#[derive(Debug, Default)]
pub(crate) struct Sources<'a> {
    pub(crate) flags: BTreeMap<&'static str, String>,
    pub(crate) environment: Option<&'a Environment>,
    pub(crate) file: Option<FileText>,
    /// What a command presets below all of them: `dev` allows private networks.
    pub(crate) presets: &'static [(&'static str, &'static str)],
}

/// Settings that are right, and where each came from.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(crate) settings: Settings,
    pub(crate) values: Vec<Value>,
}

#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) setting: &'static Setting,
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    Preset,
    File(PathBuf),
    Environment,
    Flag,
}

impl Origin {
    /// As it stands in the table of `hookpost config` and in messages about `setting`.
    pub(crate) fn describe(&self, setting: &Setting) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::Preset => "hookpost dev".to_owned(),
            Self::File(path) => format!("{} ({})", setting.name, path.display()),
            Self::Environment => setting.variable(),
            Self::Flag => format!("--{}", setting.flag()),
        }
    }
}

/// Everything that is wrong, at once, so that it can be mended at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {}:\n{}", count(.0.len()), .0.iter().map(|p| format!("  - {p}")).collect::<Vec<_>>().join("\n"))]
pub(crate) struct ConfigError(pub(crate) Vec<String>);

fn count(problems: usize) -> String {
    if problems == 1 { "a mistake".to_owned() } else { format!("{problems} mistakes") }
}

pub(crate) fn read_file(path: &Path) -> Result<FileText, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(FileText { path: path.to_owned(), text }),
        Err(error) => Err(ConfigError(vec![format!("cannot read the configuration file {}: {error}", path.display())])),
    }
}

pub(crate) fn resolve(sources: &Sources<'_>) -> Result<Resolved, ConfigError> {
    let mut problems = Vec::new();
    let from_file = sources.file.as_ref().map_or_else(BTreeMap::new, |file| read_toml(file, &mut problems));
    if let Some(environment) = sources.environment {
        problems.extend(unknown_variables(environment));
    }

    let mut settings = Settings::default();
    let mut values: Vec<Value> = Vec::with_capacity(SETTINGS.len());
    for setting in SETTINGS {
        let (text, origin) = pick(setting, sources, &from_file);
        if let Err(rule) = setting.parse_into(&mut settings, &text) {
            problems.push(describe_problem(setting, &text, &origin, &rule.0));
        }
        values.push(Value { setting, text, origin });
    }
    if problems.is_empty() {
        for (name, rule) in check_together(&settings) {
            let value = values.iter().find(|value| value.setting.name == name).expect("rules name settings of the table");
            problems.push(describe_problem(value.setting, &value.text, &value.origin, &rule));
        }
    }
    if problems.is_empty() { Ok(Resolved { settings, values }) } else { Err(ConfigError(problems)) }
}

fn pick(setting: &Setting, sources: &Sources<'_>, from_file: &BTreeMap<String, String>) -> (String, Origin) {
    let preset = sources.presets.iter().find(|(name, _)| *name == setting.name);
    if let Some(text) = sources.flags.get(setting.name) {
        (text.clone(), Origin::Flag)
    } else if let Some(text) = sources.environment.and_then(|environment| environment.get(&setting.variable())) {
        (text.to_owned(), Origin::Environment)
    } else if let (Some(text), Some(file)) = (from_file.get(setting.name), &sources.file) {
        (text.clone(), Origin::File(file.path.clone()))
    } else if let Some((_, text)) = preset {
        ((*text).to_owned(), Origin::Preset)
    } else {
        (setting.default.to_owned(), Origin::Default)
    }
}

fn describe_problem(setting: &Setting, text: &str, origin: &Origin, rule: &str) -> String {
    let value = if setting.is_secret() { String::new() } else { format!(" = {:?}", shown(setting, text)) };
    let key = if *origin == Origin::Default { setting.name.to_owned() } else { origin.describe(setting) };
    format!("{key}{value}: {rule}")
}

/// Brings the values of the file to the written form that variables and flags have.
fn read_toml(file: &FileText, problems: &mut Vec<String>) -> BTreeMap<String, String> {
    let place = file.path.display();
    let table: toml::Table = match file.text.parse() {
        Ok(table) => table,
        Err(error) => {
            problems.push(format!("{place} is not TOML: {}", error.to_string().trim_end().replace('\n', "\n    ")));
            return BTreeMap::new();
        }
    };
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == key) else {
            let hint = suggest(&key, SETTINGS.iter().map(|setting| setting.name.to_owned()));
            problems.push(format!("{place}: there is no setting {key:?}{hint}"));
            continue;
        };
        let (text, rule) = match (&value, setting.form) {
            (toml::Value::Table(lists), Form::Lists) => (written_lists(lists), "must be a table of lists of strings"),
            _ => (written_form(&value), "must be a string, a number, true or false, or a list of these"),
        };
        match text {
            Some(text) => {
                values.insert(key, text);
            }
            None => problems.push(format!("{place}: {key}: {rule}")),
        }
    }
    values
}

fn written_form(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(switch) => Some(switch.to_string()),
        toml::Value::Array(items) => items.iter().map(written_form).collect::<Option<Vec<_>>>().map(|items| items.join(",")),
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// `name=a,b;other=c`
fn written_lists(lists: &toml::Table) -> Option<String> {
    let list = |(name, items): (&String, &toml::Value)| Some(format!("{name}={}", written_form(items)?));
    lists.iter().map(list).collect::<Option<Vec<_>>>().map(|lists| lists.join(";"))
}

fn unknown_variables(environment: &Environment) -> Vec<String> {
    let known: Vec<String> = SETTINGS.iter().map(Setting::variable).chain(OTHER_VARIABLES.iter().map(|&name| name.to_owned())).collect();
    environment
        .variables
        .keys()
        .filter(|name| name.starts_with(VARIABLE_PREFIX) && !known.contains(name))
        .map(|name| format!("there is no variable {name}{}", suggest(name, known.iter().cloned())))
        .collect()
}

fn suggest(given: &str, known: impl Iterator<Item = String>) -> String {
    // What all names begin with says nothing about how alike they are.
    let distinct = |name: &str| name.trim_start_matches(VARIABLE_PREFIX).to_lowercase();
    let given = distinct(given);
    let nearest = known.map(|name| (strsim::jaro_winkler(&given, &distinct(&name)), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((similarity, name)) if similarity > 0.85 => format!("; did you mean {name}?"),
        _ => "; `hookpost config` lists them all".to_owned(),
    }
}

/// Settings from flags alone, for tests of other parts.
#[cfg(test)]
pub(crate) fn resolve_for_test(flags: &[(&'static str, &str)]) -> Settings {
    let flags = flags.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
    resolve(&Sources { flags, ..Sources::default() }).expect("settings of a test are right").settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn check(flags: &[(&'static str, &str)], variables: &[(&str, &str)], file: &str) -> Result<Resolved, String> {
        let environment = environment(variables);
        let sources = Sources {
            flags: flags.iter().map(|(name, text)| (*name, (*text).to_owned())).collect(),
            environment: Some(&environment),
            file: Some(FileText { path: "h.toml".into(), text: file.to_owned() }),
            presets: &[("request_timeout", "1s")],
        };
        resolve(&sources).map_err(|error| error.to_string())
    }

    #[test]
    fn flag_goes_before_environment_before_file_before_preset_before_default() {
        let flag = ("request_timeout", "5s");
        let variable = ("HOOKPOST_REQUEST_TIMEOUT", "4s");
        let file = "request_timeout = '3s'";
        for (flags, variables, file, seconds, origin) in [
            (&[flag][..], &[variable][..], file, 5, "--request-timeout"),
            (&[], &[variable], file, 4, "HOOKPOST_REQUEST_TIMEOUT"),
            (&[], &[], file, 3, "request_timeout (h.toml)"),
            (&[], &[("HOOKPOST_REQUEST_TIMEOUT", "")], file, 3, "request_timeout (h.toml)"),
            (&[], &[], "", 1, "hookpost dev"),
        ] {
            let resolved = check(flags, variables, file).unwrap();
            assert_eq!(resolved.settings.engine.request_timeout.as_secs(), seconds);
            let value = resolved.values.iter().find(|value| value.setting.name == "request_timeout").unwrap();
            assert_eq!(value.origin.describe(value.setting), origin);
        }
        assert_eq!(resolve_for_test(&[]).engine.request_timeout.as_secs(), 15);
    }

    #[test]
    fn mistakes_are_refused_naming_key_value_and_rule() {
        for (variables, file, expected) in [
            (
                &[("HOOKPOST_LISTEN", "8071")][..],
                "",
                "HOOKPOST_LISTEN = \"8071\": must be an address with a port, such as `127.0.0.1:8071` or `[::]:8071`",
            ),
            (&[("HOOKPOST_LISTN", "x")], "", "there is no variable HOOKPOST_LISTN; did you mean HOOKPOST_LISTEN?"),
            (&[("HOOKPOST_ZZZ", "x")], "", "there is no variable HOOKPOST_ZZZ; `hookpost config` lists them all"),
            (&[], "retry_schedul = ''", "h.toml: there is no setting \"retry_schedul\"; did you mean retry_schedule?"),
            (&[], "request_timeout = 1.5", "h.toml: request_timeout: must be a string, a number, true or false, or a list of these"),
            (&[], "request_timeout = '0s'", "request_timeout (h.toml) = \"0s\": must be longer than zero"),
            (&[], "https_only = 'maybe'", "https_only (h.toml) = \"maybe\": must be `true` or `false`"),
            (&[], "header_sets = []", "header_sets (h.toml) = \"\": must be `webhook`, `svix` or `webhook,svix`"),
            (
                &[],
                "request_body_bytes_max = '1GB'",
                "request_body_bytes_max (h.toml) = \"1GB\": must be a number of bytes from 1024 to 67108864, such as `65536`, `64KiB` or `1MiB`",
            ),
            (&[], "payload_retention = '91d'", "payload_retention (h.toml) = \"91d\": must not be longer than `retention`"),
            (
                &[],
                "circuit_cool_down_min = '1h'",
                "circuit_cool_down_min (h.toml) = \"1h\": must not be longer than `circuit_cool_down_max`",
            ),
            (
                &[],
                "proxy = 'ftp://x'",
                "proxy (h.toml) = \"ftp://x\": must be a URL that begins with http://, https://, socks5:// or socks5h://",
            ),
            (
                &[],
                "public_url = 'example.com'",
                "public_url (h.toml) = \"example.com\": must be a URL that begins with http:// or https://",
            ),
            (
                &[],
                "log = 'a=b=c'",
                "log (h.toml) = \"a=b=c\": must be a level (`error`, `warn`, `info`, `debug`, `trace`), or levels per part: `info,hookpost_engine=debug`",
            ),
            (
                &[],
                "[address_presets]\ngithub = ['192.0.2.0/24', 'hub']",
                "address_presets (h.toml) = \"github=192.0.2.0/24,hub\": the list `github` has `hub`, which is neither an address nor a network such as `192.0.2.0/24`",
            ),
            (
                &[],
                "[address_presets]\noffice = []",
                "address_presets (h.toml) = \"office=\": the list `office` must have an address or a network such as `192.0.2.0/24`",
            ),
            (
                &[],
                "[address_presets]\n'Git Hub' = '192.0.2.1'",
                "address_presets (h.toml) = \"Git Hub=192.0.2.1\": names a list `Git Hub`; a name has small letters, digits, `_` and `-`, and begins with a letter",
            ),
            (
                &[("HOOKPOST_ADDRESS_PRESETS", "github")],
                "",
                "HOOKPOST_ADDRESS_PRESETS = \"github\": must be lists such as `office=192.0.2.0/24,198.51.100.7`, separated by semicolons",
            ),
            (
                &[("HOOKPOST_ADDRESS_PRESETS", "a=192.0.2.1;a=192.0.2.2")],
                "",
                "HOOKPOST_ADDRESS_PRESETS = \"a=192.0.2.1;a=192.0.2.2\": has the list `a` twice",
            ),
            (&[], "[address_presets.github]\nv4 = '192.0.2.1'", "h.toml: address_presets: must be a table of lists of strings"),
            (&[], "[trusted_proxies]\na = 'b'", "h.toml: trusted_proxies: must be a string, a number, true or false, or a list of these"),
            (&[], "connections_max = 0", "connections_max (h.toml) = \"0\": must be a whole number from 1 to 1000000"),
            // Secrets are not repeated.
            (&[("HOOKPOST_JWT_SECRET", "hunter2")], "", "HOOKPOST_JWT_SECRET: must be at least 16 characters long"),
            (
                &[("HOOKPOST_MASTER_KEY", "abc")],
                "",
                "HOOKPOST_MASTER_KEY: must be 32 bytes in base64 or hexadecimal; make one with `openssl rand -hex 32`",
            ),
        ] {
            let error = check(&[], variables, file).unwrap_err();
            assert_eq!(error, format!("the configuration has a mistake:\n  - {expected}"));
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let error = check(&[("lane_concurrency", "0")], &[("HOOKPOST_HTTPS_ONLY", "?")], "nonsense = 1").unwrap_err();
        assert!(error.starts_with("the configuration has 3 mistakes:\n"), "{error}");
    }

    #[test]
    fn good_values_in_every_written_form() {
        let hex = "00".repeat(32);
        let resolved = check(
            &[("listen", "localhost:1, [::1]:2")],
            &[("HOOKPOST_MASTER_KEY", &hex), ("HOOKPOST_OPERATIONAL_WEBHOOKS", "off"), ("HOOKPOST_DISABLE_ENDPOINT_AFTER", "never")],
            "allowed_subnets = ['10.0.0.0/8', '192.168.1.1']\nlane_concurrency = 7\nhttps_only = true\nheader_sets = 'svix'\nio_threads = 3",
        )
        .unwrap();
        let settings = resolved.settings;
        assert_eq!(settings.listen.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.1:1", "[::1]:2"]);
        assert_eq!(settings.master_key, Some(super::super::MasterKey([0; 32])));
        assert!(!settings.engine.operational_webhooks);
        assert!(settings.engine.health.disable_after.is_zero());
        assert_eq!(settings.allowed_subnets.len(), 2);
        assert_eq!(settings.engine.lane_concurrency, 7);
        assert!(settings.https_only);
        assert!(!settings.engine.header_sets.webhook && settings.engine.header_sets.svix);
        assert_eq!(settings.io_threads, 3);
        let lists = "[address_presets]\ngithub = ['192.0.2.0/24', '2001:db8::/32']\nan-office = '198.51.100.7'";
        let in_one_line = "an-office=198.51.100.7 ; github = 192.0.2.0/24, 2001:db8::/32;";
        for resolved in [check(&[], &[], lists), check(&[("address_presets", in_one_line)], &[], "")] {
            let presets = resolved.unwrap().settings.address_presets;
            let written: Vec<_> = presets.iter().map(|(name, networks)| format!("{name} {networks:?}")).collect();
            assert_eq!(written, ["an-office [198.51.100.7/32]", "github [192.0.2.0/24, 2001:db8::/32]"]);
        }
        assert!(!format!("{settings:?}").contains("[0, 0"), "the master key shows in Debug");
    }
}
