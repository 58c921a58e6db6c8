//! The address of a database as operators write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr as _;

use percent_encoding::percent_decode_str;
use tokio_postgres::config::{Host, SslMode};

use crate::error::OpenError;

/// What is asked of the certificate of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verification {
    /// As with `psql`: encrypted, but to whoever answers.
    None,
    /// By the certificates that this machine trusts,
    System,
    /// or by those of a file.
    File(PathBuf),
}

/// `postgres://user:password@host:5432/database?sslmode=…`. Never shows its password.
#[derive(Clone)]
pub struct DatabaseUrl {
    /// Large, and moved about with the settings.
    pub(super) config: Box<tokio_postgres::Config>,
    pub(super) verification: Verification,
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@{}/{}", self.user(), self.server(), self.database())
    }
}

impl DatabaseUrl {
    /// What is said of a text that cannot be read never repeats it: there may be a password in it.
    pub fn parse(text: &str) -> Result<Self, OpenError> {
        Self::parse_or_why(text).map_err(|why| OpenError::Url { why })
    }

    pub(crate) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    pub(crate) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// `host:port`, as often as there are servers.
    pub(crate) fn server(&self) -> String {
        let port = |index: usize| self.config.get_ports().get(index).or(self.config.get_ports().first()).copied().unwrap_or(5432);
        let name = |(index, host): (usize, &Host)| match host {
            Host::Tcp(name) => format!("{name}:{}", port(index)),
            #[cfg(unix)]
            Host::Unix(directory) => directory.display().to_string(),
        };
        self.config.get_hosts().iter().enumerate().map(name).collect::<Vec<_>>().join(",")
    }

    fn parse_or_why(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let Some((_, rest)) = text.split_once("://").filter(|(scheme, _)| ["postgres", "postgresql"].contains(scheme)) else {
            return Err("it does not begin with postgres://".to_owned());
        };
        let after_user = rest.find('@').map_or(0, |at| at + 1);
        if rest[after_user..].contains('@') {
            return Err("there is more than one @: within a user or a password it is written as %40".to_owned());
        }
        let place_end = text.len() - rest.len() + after_user + rest[after_user..].find('?').unwrap_or(rest.len() - after_user);
        let (place, parameters) = (&text[..place_end], text[place_end..].trim_start_matches('?'));
        let parameters = Parameters::read(parameters)?;
        let config = tokio_postgres::Config::from_str(&format!("{place}{}", parameters.plain)).map_err(|error| cause(&error))?;
        let url = Self { config: Box::new(parameters.with_ssl(config)), verification: parameters.verification };
        url.complete()
    }

    fn complete(self) -> Result<Self, String> {
        if self.config.get_hosts().is_empty() {
            return Err("it names no host".to_owned());
        }
        if self.user().is_empty() {
            return Err("it names no user".to_owned());
        }
        if self.database().is_empty() {
            return Err("it names no database".to_owned());
        }
        Ok(self)
    }
}

/// What stands behind the question mark, without what the driver does not know.
struct Parameters {
    plain: String,
    ssl_mode: SslMode,
    verification: Verification,
}

/// Those of the driver that make sense here.
const KNOWN: [&str; 8] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "host",
    "load_balance_hosts",
    "options",
    "sslnegotiation",
    "target_session_attrs",
];

impl Parameters {
    fn read(text: &str) -> Result<Self, String> {
        let mut plain = Vec::new();
        let (mut mode, mut file) = (None, None);
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("a parameter has no value")?;
            match name {
                "sslmode" => mode = Some(value),
                "sslrootcert" => file = Some(percent_decode_str(value).decode_utf8_lossy().into_owned()),
                name if KNOWN.contains(&name) => plain.push(pair),
                _ => return Err(format!("it has a parameter that is not known; there are sslmode, sslrootcert, {}", KNOWN.join(", "))),
            }
        }
        let (ssl_mode, verified) = match mode {
            None | Some("prefer") => (SslMode::Prefer, false),
            Some("disable") => (SslMode::Disable, false),
            Some("require") => (SslMode::Require, false),
            Some("verify-full") => (SslMode::Require, true),
            Some(_) => return Err("its sslmode is none of disable, prefer, require, verify-full".to_owned()),
        };
        let verification = match (file, verified) {
            (Some(file), _) if file != "system" => Verification::File(file.into()),
            (Some(_), _) | (None, true) => Verification::System,
            (None, false) => Verification::None,
        };
        let plain = if plain.is_empty() { String::new() } else { format!("?{}", plain.join("&")) };
        Ok(Self { plain, ssl_mode, verification })
    }

    fn with_ssl(&self, mut config: tokio_postgres::Config) -> tokio_postgres::Config {
        config.ssl_mode(self.ssl_mode);
        config
    }
}

fn cause(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_operators_write() {
        let url = DatabaseUrl::parse("postgres://hook:s3cret%40x@db.example:6543/events?sslmode=verify-full&application_name=a").unwrap();
        assert_eq!(url.to_string(), "postgres://hook@db.example:6543/events");
        assert_eq!(url.config.get_password(), Some(b"s3cret@x".as_slice()));
        assert_eq!((url.config.get_ssl_mode(), url.verification), (SslMode::Require, Verification::System));

        let url = DatabaseUrl::parse("postgresql://hook@a,b:6000/events?sslrootcert=%2Fetc%2Fca.pem").unwrap();
        assert_eq!(url.server(), "a:5432,b:6000");
        assert_eq!((url.config.get_ssl_mode(), url.verification), (SslMode::Prefer, Verification::File("/etc/ca.pem".into())));
    }

    #[test]
    fn says_what_is_wrong_without_repeating_it() {
        let cases = [
            ("mysql://u:hush@h/d", "it does not begin with postgres://"),
            ("hush", "it does not begin with postgres://"),
            ("postgres://u:hu@sh@h/d", "there is more than one @: within a user or a password it is written as %40"),
            ("postgres://u:hush@/d", "it names no host"),
            ("postgres://h/d", "it names no user"),
            ("postgres://u:hush@h", "it names no database"),
            ("postgres://u:hush@h:x/d", "invalid value for option `port`"),
            ("postgres://u:hush@h/d?sslmode=maybe", "its sslmode is none of disable, prefer, require, verify-full"),
            ("postgres://u:hush@h/d?sslmode", "a parameter has no value"),
        ];
        for (text, why) in cases {
            let said = DatabaseUrl::parse(text).unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
            assert!(!said.contains("hush"), "{said}");
        }
        let said = DatabaseUrl::parse("postgres://u@h/d?hush=1").unwrap_err().to_string();
        assert!(said.contains("it has a parameter that is not known; there are sslmode,") && !said.contains("hush"), "{said}");
    }

    #[test]
    fn never_shows_its_password() {
        let url = DatabaseUrl::parse("postgres://u:hush@h/d").unwrap();
        assert_eq!(format!("{url:?} {url}"), "DatabaseUrl(postgres://u@h:5432/d) postgres://u@h:5432/d");
    }
}
