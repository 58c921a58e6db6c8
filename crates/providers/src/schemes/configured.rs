//! The generic schemes: the same code over text as for the named providers, with every part of it from the settings.

use crate::clock::{Future, Unit};
use crate::encoding::Encoding;
use crate::keys::{Algorithm, Asymmetric, Hash, SecretForm};
use crate::schemes::signed::{Check, Form, SecondText, Signed, Time};
use crate::settings::{Config, Settings, SettingsError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Hmac,
    /// An HMAC for which a timestamp is not optional.
    HmacTimestamp,
    Ed25519,
    Ecdsa,
}

/// What the generic schemes with a timestamp allow without being told.
const TOLERANCE_DEFAULT_SECONDS: u64 = 300;

impl Kind {
    pub(crate) fn check(self, settings: &Settings) -> Result<Check, SettingsError> {
        let config = &settings.config;
        let header = required(&config.header, "config.header")?;
        let signature = format!("header:{header}");
        let time_source = time_source(config, settings.timestamp_header.as_deref());
        if time_source.is_none() && self == Self::HmacTimestamp {
            return Err(SettingsError::new("config.timestamp_header", "is missing"));
        }
        let separator = read(&config.separator, "config.separator", "must be one character", ',', single_character)?;
        let unit = read(&config.timestamp_unit, "config.timestamp_unit", "must be `s`, `ms` or `rfc3339`", Unit::Seconds, Unit::parse)?;
        let tolerance = Some(config.tolerance.unwrap_or(TOLERANCE_DEFAULT_SECONDS));
        let time = time_source.as_deref().map(|source| Time { source, unit, tolerance, future: Future::Within });
        let template = if time.is_some() { "{timestamp}.{body}" } else { "{body}" };
        let rule = Signed {
            algorithm: self.algorithm(config)?,
            secret: read(
                &config.secret_encoding,
                "config.secret_encoding",
                "must be `utf8`, `hex` or `base64`",
                SecretForm::Text,
                secret_form,
            )?,
            encoding: read(&config.encoding, "config.encoding", "must be `hex`, `base64` or `base64url`", Encoding::Hex, encoding)?,
            signature: &signature,
            form: match &config.element {
                Some(key) => Form::Elements { separator, key },
                None => Form::Whole { prefix: config.prefix.as_deref().unwrap_or_default() },
            },
            text: config.template.as_deref().unwrap_or(template),
            second: SecondText::None,
            time,
            must: &[],
        };
        let covers_body = rule.text.contains("{body}");
        if !covers_body {
            return Err(SettingsError::new("config.template", "must contain `{body}`: otherwise anyone could change the body"));
        }
        Check::new(&rule, settings)
    }

    pub(crate) fn is_public(self) -> bool {
        matches!(self, Self::Ed25519 | Self::Ecdsa)
    }

    pub(crate) fn needs(self) -> &'static [&'static str] {
        match self {
            Self::HmacTimestamp => &["secret", "config.header", "config.timestamp_header"],
            Self::Hmac | Self::Ed25519 | Self::Ecdsa => &["secret", "config.header"],
        }
    }

    pub(crate) fn takes(self) -> &'static [&'static str] {
        const ALL: [&str; 17] = [
            "private_key",
            "secrets",
            "secret_secondary",
            "tolerance",
            "config.algorithm",
            "config.encoding",
            "config.prefix",
            "config.secret_encoding",
            "config.template",
            "config.timestamp_unit",
            "config.tolerance",
            "config.separator",
            "config.element",
            "config.timestamp_element",
            "config.event_id",
            "config.event_type",
            "config.timestamp_header",
        ];
        match self {
            Self::Hmac => &ALL[1..],
            Self::HmacTimestamp => &ALL[1..16],
            Self::Ed25519 | Self::Ecdsa => &ALL,
        }
    }

    fn algorithm(self, config: &Config) -> Result<Algorithm, SettingsError> {
        let field = "config.algorithm";
        Ok(match self {
            Self::Hmac | Self::HmacTimestamp => Algorithm::Hmac(read(
                &config.algorithm,
                field,
                "must be `sha1`, `sha256`, `sha384` or `sha512`",
                Hash::Sha256,
                Hash::parse,
            )?),
            Self::Ed25519 => Algorithm::Public(Asymmetric::Ed25519),
            Self::Ecdsa => {
                Algorithm::Public(read(&config.algorithm, field, "must be `p256` or `p384`", Asymmetric::EcdsaP256, |name| match name {
                    "p256" => Some(Asymmetric::EcdsaP256),
                    "p384" => Some(Asymmetric::EcdsaP384),
                    _ => None,
                })?)
            }
        })
    }
}

pub(crate) fn required<'s>(value: &'s Option<String>, field: &'static str) -> Result<&'s str, SettingsError> {
    value.as_deref().filter(|text| !text.trim().is_empty()).ok_or_else(|| SettingsError::new(field, "is missing"))
}

fn time_source(config: &Config, timestamp_header: Option<&str>) -> Option<String> {
    match &config.timestamp_element {
        Some(key) => Some(format!("element:{key}")),
        None => config.timestamp_header.as_deref().or(timestamp_header).map(|name| format!("header:{name}")),
    }
}

fn read<T>(
    value: &Option<String>,
    field: &'static str,
    rule: &'static str,
    default: T,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, SettingsError> {
    match value {
        Some(text) => parse(text).ok_or_else(|| SettingsError::new(field, rule)),
        None => Ok(default),
    }
}

fn single_character(text: &str) -> Option<char> {
    let mut characters = text.chars();
    characters.next().filter(|_| characters.next().is_none())
}

fn secret_form(name: &str) -> Option<SecretForm> {
    match name {
        "utf8" | "text" => Some(SecretForm::Text),
        "hex" => Some(SecretForm::Hex),
        "base64" => Some(SecretForm::Base64),
        _ => None,
    }
}

fn encoding(name: &str) -> Option<Encoding> {
    match name {
        "hex" => Some(Encoding::Hex),
        "base64" => Some(Encoding::Base64),
        "base64url" => Some(Encoding::Base64Url),
        _ => None,
    }
}
