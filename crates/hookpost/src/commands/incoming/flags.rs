//! The flags of `verify` and `sign`: a request, and the settings of who receives it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use hookpost_domain::Timestamp;
use hookpost_providers::{Config, Provider, Secret, Settings, SettingsError, Verifier};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Incoming, provider_named};
use crate::commands::fields;
use crate::failure::Failure;

/// In this header a request of PayPal names the certificate that it is signed with.
const CERTIFICATE_URL: HeaderName = HeaderName::from_static("paypal-cert-url");

#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(crate) struct IncomingArgs {
    /// Whose webhook it is, such as stripe or github; `hookpost providers` lists all
    #[arg(long, value_name = "NAME", value_parser = known_provider, required_unless_present = "json")]
    pub(crate) provider: Option<Known>,

    /// The URL as the provider has it; some sign it [default: /]
    #[arg(long, value_name = "URL", help_heading = "The request")]
    pub(crate) url: Option<String>,
    /// The method [default: POST]
    #[arg(long, value_name = "METHOD", help_heading = "The request")]
    pub(crate) method: Option<String>,
    /// A header, as 'Name: value'; may be repeated
    #[arg(long = "header", short = 'H', value_name = "HEADER", value_parser = header, help_heading = "The request")]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// A file with the body, byte for byte; - is the standard input
    #[arg(long, value_name = "FILE", help_heading = "The request")]
    pub(crate) body: Option<String>,
    /// The time at which it arrives: seconds since 1970, or 2026-01-02T03:04:05Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "The request")]
    pub(crate) now: Option<Timestamp>,

    /// The secret, token or `user:password` as the provider shows it; repeated while several are valid
    #[arg(long = "secret", value_name = "SECRET", help_heading = "The receiver")]
    pub(crate) secrets: Vec<String>,
    /// The same from a file, so that it is not seen in the list of processes
    #[arg(long, value_name = "FILE", help_heading = "The receiver")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The public key that the provider shows, as a file (PEM, base64 or hex)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secrets", "secret_file"], help_heading = "The receiver")]
    pub(crate) public_key: Option<PathBuf>,
    /// The second key, where the provider has two at the same time (Box)
    #[arg(long, value_name = "SECRET", help_heading = "The receiver")]
    pub(crate) secret_secondary: Option<String>,
    /// Only this scheme of the provider
    #[arg(long, value_name = "NAME", help_heading = "The receiver")]
    pub(crate) scheme: Option<String>,
    /// How many seconds old or early a request may be [default: what the provider documents]
    #[arg(long, value_name = "SECONDS", help_heading = "The receiver")]
    pub(crate) tolerance: Option<u64>,
    /// A certificate (PEM) for PayPal, as URL=FILE; with FILE alone, the one that the request names
    #[arg(long = "certificate", value_name = "FILE", help_heading = "The receiver")]
    pub(crate) certificates: Vec<String>,
    /// The token that was agreed on with Meta
    #[arg(long, value_name = "TOKEN", help_heading = "The receiver")]
    pub(crate) verify_token: Option<String>,
    /// The URL as registered with the provider, where it signs that one (Square)
    #[arg(long, value_name = "URL", help_heading = "The receiver")]
    pub(crate) notification_url: Option<String>,
    /// The same for Trello
    #[arg(long, value_name = "URL", help_heading = "The receiver")]
    pub(crate) callback_url: Option<String>,
    /// An origin that CloudEvents may come from; may be repeated [default: all]
    #[arg(long = "allowed-origin", value_name = "ORIGIN", help_heading = "The receiver")]
    pub(crate) allowed_origins: Vec<String>,
    /// The header of the timestamp, where its name was chosen (Grafana)
    #[arg(long, value_name = "NAME", help_heading = "The receiver")]
    pub(crate) timestamp_header: Option<String>,
    /// The settings of the generic schemes, such as '{"header": "x-signature", "algorithm": "sha256"}'
    #[arg(long, value_name = "JSON", value_parser = config, help_heading = "The receiver")]
    pub(crate) config: Option<Config>,
}

/// A provider of the table. Two are equal if their names are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known(pub(crate) &'static Provider);

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl IncomingArgs {
    /// `None` where no provider is named.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Incoming>> {
        let Some(Known(provider)) = self.provider else { return Ok(None) };
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        let body = self.body.as_deref().map(read_body).transpose()?.unwrap_or_default();
        // What is JSON is sent as JSON by everyone; a form has to be told.
        if !headers.contains_key(CONTENT_TYPE) && serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let settings = self.settings(&headers)?;
        Ok(Some(Incoming {
            provider,
            settings,
            method: self.method.as_deref().unwrap_or("POST").to_ascii_uppercase(),
            url: self.url.clone().unwrap_or_else(|| "/".to_owned()),
            headers,
            body,
            peer_ip: None,
            id: None,
            now: self.now,
        }))
    }

    fn settings(&self, headers: &HeaderMap) -> anyhow::Result<Settings> {
        let mut secrets: Vec<Secret> = self.secrets.iter().map(Secret::new).collect();
        for file in self.secret_file.iter().chain(&self.public_key) {
            secrets.push(read_secret(file)?);
        }
        let mut secrets = secrets.into_iter();
        let secret = |text: &Option<String>| text.as_ref().map(Secret::new);
        Ok(Settings {
            scheme: self.scheme.clone(),
            secret: secrets.next(),
            secret_secondary: secret(&self.secret_secondary),
            secrets: secrets.collect(),
            private_key: None,
            verify_token: secret(&self.verify_token),
            notification_url: self.notification_url.clone(),
            callback_url: self.callback_url.clone(),
            certificates: self.read_certificates(headers)?,
            allowed_origins: self.allowed_origins.clone(),
            tolerance: self.tolerance,
            timestamp_header: self.timestamp_header.clone(),
            config: self.config.clone().unwrap_or_default(),
        })
    }

    fn read_certificates(&self, headers: &HeaderMap) -> anyhow::Result<BTreeMap<String, String>> {
        let named = headers.get(&CERTIFICATE_URL).and_then(|url| url.to_str().ok());
        let mut certificates = BTreeMap::new();
        for given in &self.certificates {
            let (url, file) = match given.rsplit_once('=') {
                Some((url, file)) => (url, file),
                None => {
                    let missing =
                        || Failure::Usage(format!("--certificate {given}: no header `{CERTIFICATE_URL}` says which it is; give URL=FILE"));
                    (named.ok_or_else(missing)?, given.as_str())
                }
            };
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
            certificates.insert(url.to_owned(), text);
        }
        Ok(certificates)
    }
}

/// The verifier, or the flag that is missing or wrong.
pub(crate) fn verifier(incoming: &Incoming) -> Result<Verifier, Failure> {
    Verifier::new(incoming.provider, &incoming.settings).map_err(|error| Failure::Usage(usage(incoming.provider, &error)))
}

fn usage(provider: &Provider, error: &SettingsError) -> String {
    let flag = match error.field {
        "secrets" => "--secret".to_owned(),
        "certificates" => "--certificate".to_owned(),
        "allowed_origins" => "--allowed-origin".to_owned(),
        field if field.starts_with("config.") => format!("--config '{{\"{}\": …}}'", &field["config.".len()..]),
        field => format!("--{}", field.replace('_', "-")),
    };
    format!("{flag}: {error} (`hookpost providers {}` says what is needed)", provider.name)
}

fn known_provider(name: &str) -> Result<Known, String> {
    provider_named(name).map(Known)
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = fields::header(text)?;
    let header = name.parse().map_err(|_| format!("`{name}` is not the name of a header"))?;
    let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| format!("the value of `{name}` cannot stand in a header"))?;
    Ok((header, value))
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let seconds = text.parse().ok().and_then(|seconds: u64| seconds.checked_mul(1000)).map(Timestamp::from_unix_ms);
    let found = seconds.or_else(|| Timestamp::parse_rfc3339(text)).filter(|timestamp| *timestamp <= Timestamp::MAX);
    found.ok_or_else(|| "must be seconds since 1970, or a time such as 2026-01-02T03:04:05Z".to_owned())
}

fn config(text: &str) -> Result<Config, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("`{path}`: {}", error.inner()),
    })
}

fn read_body(file: &str) -> anyhow::Result<Vec<u8>> {
    if file == "-" {
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body).context("cannot read the standard input")?;
        return Ok(body);
    }
    std::fs::read(file).with_context(|| format!("cannot read {file}"))
}

/// Editors end a file with a newline that no secret has.
pub(crate) fn read_secret(file: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}
