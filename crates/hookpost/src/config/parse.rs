//! Readers of single values: text in, a value or the rule that it breaks out.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use hookpost_domain::Invalid;
use hookpost_domain::request::HeaderSets;
use hookpost_domain::secret::SignatureKind;
use hookpost_store_postgres::DatabaseUrl;
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::settings::{DatabaseChoice, LogFormat, Secret};

const JWT_SECRET_CHARS_MIN: usize = 16;
const NODE_NAME_CHARS_MAX: usize = 255;

pub(super) fn addresses(text: &str) -> Result<Vec<SocketAddr>, Invalid> {
    let addresses: Result<Vec<_>, _> = items(text).map(address).collect();
    addresses.and_then(|all| if all.is_empty() { Err(Invalid::new(ADDRESS_RULE)) } else { Ok(all) })
}

const ADDRESS_RULE: &str = "must be an address with a port, such as `127.0.0.1:8071` or `[::]:8071`";

fn address(text: &str) -> Result<SocketAddr, Invalid> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    // `localhost` is the one name that everybody writes here; it needs no resolver.
    let localhost = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok());
    localhost
        .and_then(|port| (std::net::Ipv4Addr::LOCALHOST, port).to_socket_addrs().ok()?.next())
        .ok_or_else(|| Invalid::new(ADDRESS_RULE))
}

pub(super) fn path(text: &str) -> Result<PathBuf, Invalid> {
    if text.is_empty() { Err(Invalid::new("must be a path")) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn database(text: &str) -> Result<DatabaseChoice, Invalid> {
    match text.split_once(':').map_or(text, |(scheme, _)| scheme) {
        "" => Ok(DatabaseChoice::Embedded),
        "sqlite" if text == "sqlite" => Ok(DatabaseChoice::Embedded),
        "sqlite" => Err(Invalid::new("must be `sqlite` alone: the embedded store lies in the directory that `data_dir` names")),
        "postgres" | "postgresql" => {
            DatabaseUrl::parse(text).map(DatabaseChoice::Postgres).map_err(|error| Invalid::new(error.to_string()))
        }
        _ => Err(Invalid::new("must be `sqlite`, or a URL such as `postgres://user:password@host:5432/name`")),
    }
}

/// It stands in logs and lists.
pub(super) fn node_name(text: &str) -> Result<String, Invalid> {
    if text.chars().count() > NODE_NAME_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(Invalid::new(format!("must be a line of at most {NODE_NAME_CHARS_MAX} characters")));
    }
    Ok(text.to_owned())
}

pub(super) fn http_url(text: &str) -> Result<Url, Invalid> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| Invalid::new("must be a URL that begins with http:// or https://"))
}

/// Kept as text: the transport reads it together with the exceptions.
pub(super) fn proxy(text: &str) -> Result<Secret, Invalid> {
    match hookpost_transport::Proxy::parse(text, "") {
        Ok(_) => Ok(Secret(text.to_owned())),
        Err(_) => Err(Invalid::new("must be a URL that begins with http://, https://, socks5:// or socks5h://")),
    }
}

pub(super) fn long_secret(text: &str) -> Result<Secret, Invalid> {
    if text.chars().count() < JWT_SECRET_CHARS_MIN {
        return Err(Invalid::new(format!("must be at least {JWT_SECRET_CHARS_MIN} characters long")));
    }
    Ok(Secret(text.to_owned()))
}

pub(super) fn key_bytes(text: &str) -> Result<[u8; 32], Invalid> {
    let from_hex = || {
        let digits = text.as_bytes();
        let mut key = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(key)
    };
    let from_base64 = || {
        let lenient = base64::engine::GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
        let alphabet = if text.contains(['-', '_']) { base64::alphabet::URL_SAFE } else { base64::alphabet::STANDARD };
        base64::engine::GeneralPurpose::new(&alphabet, lenient).decode(text).ok()?.try_into().ok()
    };
    from_hex()
        .or_else(from_base64)
        .ok_or_else(|| Invalid::new("must be 32 bytes in base64 or hexadecimal; make one with `openssl rand -hex 32`"))
}

pub(super) fn switch(text: &str) -> Result<bool, Invalid> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(Invalid::new("must be `true` or `false`")),
    }
}

pub(super) fn subnets(text: &str) -> Result<Vec<IpNet>, Invalid> {
    items(text)
        .map(|item| {
            let single = item.parse::<std::net::IpAddr>().map(IpNet::from);
            item.parse().or(single).map_err(|_| Invalid::new("must be networks such as `10.1.0.0/16`, separated by commas"))
        })
        .collect()
}

/// `github=192.0.2.0/24,2001:db8::/32;office=198.51.100.7`
pub(super) fn address_presets(text: &str) -> Result<BTreeMap<String, Vec<IpNet>>, Invalid> {
    let mut presets = BTreeMap::new();
    for list in text.split(';').map(str::trim).filter(|list| !list.is_empty()) {
        let rule = || Invalid::new("must be lists such as `office=192.0.2.0/24,198.51.100.7`, separated by semicolons");
        let (name, networks) = list.split_once('=').ok_or_else(rule)?;
        let name = preset_name(name.trim())?;
        let networks = items(networks).map(|item| network(&name, item)).collect::<Result<Vec<_>, _>>()?;
        if networks.is_empty() {
            return Err(Invalid::new(format!("the list `{name}` must have an address or a network such as `192.0.2.0/24`")));
        }
        if presets.contains_key(&name) {
            return Err(Invalid::new(format!("has the list `{name}` twice")));
        }
        presets.insert(name, networks);
    }
    Ok(presets)
}

/// It stands where networks stand too, so it cannot look like one.
fn preset_name(name: &str) -> Result<String, Invalid> {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_of_name) {
        return Ok(name.to_owned());
    }
    Err(Invalid::new(format!("names a list `{name}`; a name has small letters, digits, `_` and `-`, and begins with a letter")))
}

fn network(list: &str, text: &str) -> Result<IpNet, Invalid> {
    let single = || text.parse::<std::net::IpAddr>().map(IpNet::from).ok();
    let rule = || format!("the list `{list}` has `{text}`, which is neither an address nor a network such as `192.0.2.0/24`");
    text.parse().ok().or_else(single).ok_or_else(|| Invalid::new(rule()))
}

pub(super) fn duration(text: &str) -> Result<Duration, Invalid> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|_| Invalid::new("must be a duration such as `500ms`, `15s`, `5m`, `120h` or `90d`"))
}

pub(super) fn positive_duration(text: &str) -> Result<Duration, Invalid> {
    duration(text).and_then(|value| if value.is_zero() { Err(Invalid::new("must be longer than zero")) } else { Ok(value) })
}

pub(super) fn duration_within(text: &str, min: Duration, max: Duration) -> Result<Duration, Invalid> {
    let rule = || Invalid::new(format!("must be from {} to {}", humantime::format_duration(min), humantime::format_duration(max)));
    duration(text).and_then(|value| if (min..=max).contains(&value) { Ok(value) } else { Err(rule()) })
}

pub(super) fn duration_or_never(text: &str) -> Result<Duration, Invalid> {
    if text == "never" { Ok(Duration::ZERO) } else { duration(text) }
}

pub(super) fn signature_kind(text: &str) -> Result<SignatureKind, Invalid> {
    match text {
        "hmac256" => Ok(SignatureKind::Hmac256),
        "ed25519" => Ok(SignatureKind::Ed25519),
        _ => Err(Invalid::new("must be `hmac256` or `ed25519`")),
    }
}

pub(super) fn header_sets(text: &str) -> Result<HeaderSets, Invalid> {
    let mut sets = HeaderSets { webhook: false, svix: false };
    for item in items(text) {
        match item {
            "webhook" => sets.webhook = true,
            "svix" => sets.svix = true,
            _ => return Err(Invalid::new("must be `webhook`, `svix` or `webhook,svix`")),
        }
    }
    if sets.webhook || sets.svix { Ok(sets) } else { Err(Invalid::new("must be `webhook`, `svix` or `webhook,svix`")) }
}

/// A number of bytes: `65536`, `64KiB`, `1MiB`.
pub(super) fn bytes(text: &str, min: usize, max: usize) -> Result<usize, Invalid> {
    let rule = || Invalid::new(format!("must be a number of bytes from {min} to {max}, such as `65536`, `64KiB` or `1MiB`"));
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => (&text[..at], text[at..].trim()),
        None => (text, ""),
    };
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "kb" => 1_000,
        "mb" => 1_000_000,
        _ => return Err(rule()),
    };
    digits.parse::<usize>().ok().and_then(|n| n.checked_mul(factor)).filter(|n| (min..=max).contains(n)).ok_or_else(rule)
}

pub(super) fn whole_number(text: &str, min: u64, max: u64) -> Result<u64, Invalid> {
    text.parse().ok().filter(|n| (min..=max).contains(n)).ok_or_else(|| Invalid::new(format!("must be a whole number from {min} to {max}")))
}

pub(super) fn list(text: &str) -> Result<Vec<String>, Invalid> {
    Ok(items(text).map(str::to_owned).collect())
}

pub(super) fn log_filter(text: &str) -> Result<String, Invalid> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Invalid::new(
            "must be a level (`error`, `warn`, `info`, `debug`, `trace`), or levels per part: `info,hookpost_engine=debug`",
        )),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, Invalid> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Invalid::new("must be `text` or `json`")),
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}
