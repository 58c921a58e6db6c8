//! The table of settings and what they become. A setting is added here and nowhere else.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hookpost_domain::limits;
use hookpost_domain::secret::SignatureKind;
use hookpost_domain::tenant::TenantLimits;
use hookpost_domain::{Invalid, RetrySchedule};
use hookpost_engine::EngineSettings;
use hookpost_store_postgres::DatabaseUrl;
use ipnet::IpNet;
use url::Url;

use super::parse;

/// One setting: its name in the file; the flag and the variable follow from it.
#[derive(Debug)]
pub(crate) struct Setting {
    /// As in the file: `retry_schedule`. The variable is `HOOKPOST_RETRY_SCHEDULE`, the flag `--retry-schedule`.
    pub(crate) name: &'static str,
    /// In the same written form as anywhere else; empty: not set.
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
    pub(crate) form: Form,
    parse: fn(&mut Settings, &str) -> Result<(), Invalid>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    /// The flag may stand without a value.
    Switch,
    /// Lists by name: a table in the file.
    Lists,
    /// Never printed.
    Secret,
    /// A URL, printed without its password.
    PasswordUrl,
}

impl Setting {
    pub(crate) fn variable(&self) -> String {
        format!("HOOKPOST_{}", self.name.to_uppercase())
    }

    pub(crate) fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    pub(crate) fn is_secret(&self) -> bool {
        self.form == Form::Secret
    }

    /// Reads `text` into its place. An empty text means "not set" for settings whose default is empty.
    pub(crate) fn parse_into(&self, settings: &mut Settings, text: &str) -> Result<(), Invalid> {
        let text = text.trim();
        if text.is_empty() && self.default.is_empty() { Ok(()) } else { (self.parse)(settings, text) }
    }
}

/// All settings, parsed. Each part of the program gets only what is its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) data_dir: PathBuf,
    pub(crate) database: DatabaseChoice,
    pub(crate) database_connections_max: usize,
    pub(crate) database_notify: bool,
    pub(crate) database_poll_every: Duration,
    pub(crate) node_name: Option<String>,
    pub(crate) lease: Duration,
    pub(crate) public_url: Option<Url>,
    pub(crate) portal_url: Option<Url>,
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Lists of addresses that go before those of the program, or stand beside them.
    pub(crate) address_presets: BTreeMap<String, Vec<IpNet>>,
    pub(crate) connections_max: usize,
    /// 0: no limit.
    pub(crate) connections_per_address_max: usize,
    pub(crate) jwt_secret: Option<Secret>,
    pub(crate) master_key: Option<MasterKey>,
    pub(crate) request_body_bytes_max: usize,
    pub(crate) default_signature: SignatureKind,
    pub(crate) payload_retention: Duration,
    /// Of organizations that have none of their own.
    pub(crate) limits: TenantLimits,
    /// Retries, health, header sets, concurrency, retention of rows: handed to the engine as it is.
    pub(crate) engine: EngineSettings,
    pub(crate) allow_private_networks: bool,
    pub(crate) allowed_subnets: Vec<IpNet>,
    pub(crate) https_only: bool,
    /// May hold a password.
    pub(crate) proxy: Option<Secret>,
    pub(crate) no_proxy: Vec<String>,
    /// 0: chosen by the number of processors.
    pub(crate) io_threads: usize,
    pub(crate) shutdown_delay: Duration,
    pub(crate) shutdown_grace: Duration,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
}

/// Where the data is.
#[derive(Debug, Clone, Default)]
pub(crate) enum DatabaseChoice {
    /// In the data directory, for this process alone.
    #[default]
    Embedded,
    /// In a database that several nodes share.
    Postgres(DatabaseUrl),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Text that no log and no `Debug` shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The key that seals signing secrets on disk.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct MasterKey(pub(crate) [u8; 32]);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    /// Reads 32 bytes in base64 or hexadecimal.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        parse::key_bytes(text).map(Self)
    }
}

macro_rules! setting {
    ($name:literal, $default:literal, $form:ident, $help:literal, $parse:expr) => {
        Setting { name: $name, default: $default, help: $help, form: Form::$form, parse: $parse }
    };
}

/// In the order in which people meet them.
pub(crate) const SETTINGS: &[Setting] = &[
    setting!(
        "listen",
        "127.0.0.1:8071",
        Text,
        "Address and port of the API. Several may stand separated by commas; port 0 takes a free one.",
        |s, v| parse::addresses(v).map(|x| s.listen = x)
    ),
    setting!(
        "data_dir",
        "./hookpost-data",
        Text,
        "Directory of the embedded store and of the generated keys. One server at a time holds it.",
        |s, v| parse::path(v).map(|x| s.data_dir = x)
    ),
    setting!(
        "database",
        "sqlite",
        PasswordUrl,
        "Where the data is: `sqlite`, the embedded store in the data directory, or `postgres://user:password@host:5432/name`, which any number of nodes may share.",
        |s, v| parse::database(v).map(|x| s.database = x)
    ),
    setting!(
        "database_connections_max",
        "10",
        Text,
        "PostgreSQL: connections for requests. The node has five more for accepting, recording, its lease and what other nodes say.",
        |s, v| parse::whole_number(v, 1, 1000).map(|x| s.database_connections_max = x as usize)
    ),
    setting!(
        "database_notify",
        "true",
        Switch,
        "PostgreSQL: wake other nodes with NOTIFY. Off where a pooler or the engine has none: they then look every `database_poll_every`.",
        |s, v| parse::switch(v).map(|x| s.database_notify = x)
    ),
    setting!(
        "database_poll_every",
        "500ms",
        Text,
        "PostgreSQL: how often this node looks at what other nodes did; at least 10ms, at most 1m.",
        |s, v| parse::duration_within(v, Duration::from_millis(10), Duration::from_secs(60)).map(|x| s.database_poll_every = x)
    ),
    setting!(
        "node_name",
        "",
        Text,
        "PostgreSQL: a name that no other running node has, such as that of the pod. A node that starts takes over at once from a dead one of its name.",
        |s, v| parse::node_name(v).map(|x| s.node_name = Some(x))
    ),
    setting!(
        "lease",
        "10s",
        Text,
        "PostgreSQL: how long a node that fell silent keeps its deliveries before others take them over; at least 2s, at most 5m.",
        |s, v| parse::duration_within(v, Duration::from_secs(2), Duration::from_secs(300)).map(|x| s.lease = x)
    ),
    setting!("public_url", "", Text, "The URL under which clients reach this server, if it is not the listen address.", |s, v| {
        parse::http_url(v).map(|x| s.public_url = Some(x))
    }),
    setting!("portal_url", "", Text, "The URL that links to the application portal lead to. Default: the public URL.", |s, v| {
        parse::http_url(v).map(|x| s.portal_url = Some(x))
    }),
    setting!(
        "trusted_proxies",
        "",
        Text,
        "Networks of the proxies in front of this server, separated by commas: what they say in `X-Forwarded-For`, `-Proto`, `-Host` and `-Port` or in `Forwarded` is believed. Nobody else's is.",
        |s, v| parse::subnets(v).map(|x| s.trusted_proxies = x)
    ),
    setting!(
        "address_presets",
        "",
        Lists,
        "Lists of addresses that sources can name in `allowedNetworks`, in the place of those that `hookpost providers --addresses` shows or beside them: `github=192.0.2.0/24,2001:db8::/32;office=198.51.100.7`. In the file a table.",
        |s, v| parse::address_presets(v).map(|x| s.address_presets = x)
    ),
    setting!("connections_max", "16384", Text, "Connections of clients that may be open at a time; the next ones wait.", |s, v| {
        parse::whole_number(v, 1, 1_000_000).map(|x| s.connections_max = x as usize)
    }),
    setting!(
        "connections_per_address_max",
        "4096",
        Text,
        "Connections that one address may have open, or one /64 network of IPv6; the next ones are closed at once. Proxies that `trusted_proxies` names are not counted. 0: no limit.",
        |s, v| parse::whole_number(v, 0, 1_000_000).map(|x| s.connections_per_address_max = x as usize)
    ),
    setting!(
        "jwt_secret",
        "",
        Secret,
        "Secret of HS256 tokens: whoever holds it can sign a token for any organization. At least 16 characters. Without it one is generated into `jwt.secret` in the data directory; on PostgreSQL it must be given, the same on every node.",
        |s, v| parse::long_secret(v).map(|x| s.jwt_secret = Some(x))
    ),
    setting!(
        "master_key",
        "",
        Secret,
        "Seals signing secrets on disk: 32 bytes in base64 or hexadecimal. Without it a key is generated into `master.key` in the data directory; on PostgreSQL it must be given, the same on every node.",
        |s, v| MasterKey::parse(v).map(|x| s.master_key = Some(x))
    ),
    setting!(
        "allow_private_networks",
        "false",
        Switch,
        "Allow deliveries to loopback, private and link-local addresses. Only for a desk or a closed network.",
        |s, v| parse::switch(v).map(|x| s.allow_private_networks = x)
    ),
    setting!(
        "allowed_subnets",
        "",
        Text,
        "Private networks that deliveries may reach all the same, separated by commas: `10.1.0.0/16,fd00::/8`.",
        |s, v| parse::subnets(v).map(|x| s.allowed_subnets = x)
    ),
    setting!("https_only", "false", Switch, "Refuse endpoints whose URL is not https.", |s, v| parse::switch(v).map(|x| s.https_only = x)),
    setting!(
        "retry_schedule",
        "5s,5m,30m,2h,5h,10h,10h",
        Text,
        "Waits between attempts, after the first immediate one: `5s,5m,30m`, `200ms,1s`, `none`, or a preset such as `stripe`. Endpoints and event types can have their own.",
        |s, v| RetrySchedule::parse(v).map(|x| s.engine.retry_schedule = x)
    ),
    setting!(
        "disable_endpoint_after",
        "120h",
        Text,
        "Disable an endpoint that has failed for this long without a success. `never` (or 0) leaves it enabled.",
        |s, v| parse::duration_or_never(v).map(|x| s.engine.health.disable_after = x)
    ),
    setting!("request_timeout", "15s", Text, "Time that a receiver has for its whole answer, connecting included.", |s, v| {
        parse::positive_duration(v).map(|x| s.engine.request_timeout = x)
    }),
    setting!("default_signature", "hmac256", Text, "Kind of secret generated for new endpoints: `hmac256` or `ed25519`.", |s, v| {
        parse::signature_kind(v).map(|x| s.default_signature = x)
    }),
    setting!(
        "header_sets",
        "webhook,svix",
        Text,
        "Names of the signature headers: `webhook` (webhook-id, …), `svix` (svix-id, …), or both separated by a comma.",
        |s, v| parse::header_sets(v).map(|x| s.engine.header_sets = x)
    ),
    setting!(
        "operational_webhooks",
        "true",
        Switch,
        "Tell organizations by webhook about their own endpoints and messages: disabled, failing, recovered.",
        |s, v| parse::switch(v).map(|x| s.engine.operational_webhooks = x)
    ),
    setting!(
        "request_body_bytes_max",
        "1MiB",
        Text,
        "Largest body of a request to the API or to a source: a number of bytes, or with KiB or MiB.",
        |s, v| parse::bytes(v, 1 << 10, limits::REQUEST_BODY_BYTES_MAX << 6).map(|x| s.request_body_bytes_max = x)
    ),
    setting!("response_body_bytes_kept", "20000", Text, "How much of a receiver's answer is kept with the attempt.", |s, v| parse::bytes(
        v,
        0,
        limits::RESPONSE_BODY_BYTES_READ_MAX
    )
    .map(|x| s.engine.response_body_bytes_kept = x)),
    setting!("retention", "90d", Text, "How long messages, deliveries and attempts are kept.", |s, v| {
        parse::positive_duration(v).map(|x| s.engine.retention.rows = x)
    }),
    setting!(
        "payload_retention",
        "90d",
        Text,
        "How long payloads are kept, unless the message says otherwise; not longer than `retention`.",
        |s, v| parse::positive_duration(v).map(|x| s.payload_retention = x)
    ),
    setting!(
        "receipt_retention",
        "30d",
        Text,
        "How long receipts of sources are kept, whatever became of the requests. The body of one that became a message goes with the payload of that.",
        |s, v| parse::positive_duration(v).map(|x| s.engine.retention.receipts = x)
    ),
    setting!(
        "limit_messages_per_second",
        "",
        Text,
        "Messages a second that each organization may create on each node. Not set: as many as it likes. The management organization can give an organization limits of its own.",
        |s, v| { parse::whole_number(v, 1, u32::MAX.into()).map(|x| s.limits.messages_per_s = Some(x as u32)) }
    ),
    setting!("limit_endpoints", "", Text, "Endpoints that each organization may have in all its applications together.", |s, v| {
        parse::whole_number(v, 0, u32::MAX.into()).map(|x| s.limits.endpoints = Some(x as u32))
    }),
    setting!(
        "limit_payload_bytes",
        "",
        Text,
        "Largest payload of each organization's messages: a number of bytes, or with KiB or MiB.",
        |s, v| { parse::bytes(v, 1, u32::MAX as usize).map(|x| s.limits.payload_bytes = Some(x as u32)) }
    ),
    setting!("limit_stored_days", "", Text, "Days for which each organization may keep payloads.", |s, v| {
        parse::whole_number(v, 1, u16::MAX.into()).map(|x| s.limits.stored_days = Some(x as u16))
    }),
    setting!(
        "circuit_failures",
        "20",
        Text,
        "Failures in a row that open an endpoint's circuit: deliveries wait instead of being tried. 0: never.",
        |s, v| parse::whole_number(v, 0, 1_000_000).map(|x| s.engine.health.circuit_failures = x as u32)
    ),
    setting!("circuit_window", "10s", Text, "The failures that open a circuit must spread over at least this long.", |s, v| {
        parse::duration(v).map(|x| s.engine.health.circuit_window = x)
    }),
    setting!(
        "circuit_cool_down_min",
        "5s",
        Text,
        "Wait before the first probe of an open circuit; doubles with each probe that fails.",
        |s, v| { parse::positive_duration(v).map(|x| s.engine.health.cool_down_min = x) }
    ),
    setting!("circuit_cool_down_max", "5m", Text, "Longest wait between probes of an open circuit.", |s, v| {
        parse::positive_duration(v).map(|x| s.engine.health.cool_down_max = x)
    }),
    setting!(
        "lane_concurrency",
        "64",
        Text,
        "Attempts in flight to one endpoint at a time, unless the endpoint says otherwise.",
        |s, v| parse::whole_number(v, 1, limits::LANE_DELIVERIES_IN_MEMORY_MAX as u64).map(|x| s.engine.lane_concurrency = x as usize)
    ),
    setting!("attempts_in_flight_max", "4096", Text, "Attempts in flight in this process at a time.", |s, v| {
        parse::whole_number(v, 1, 1_000_000).map(|x| s.engine.attempts_in_flight_max = x as usize)
    }),
    setting!(
        "proxy",
        "",
        PasswordUrl,
        "Send deliveries through this proxy: `http://user:password@proxy:3128`, `https://…`, `socks5://…` or `socks5h://…`.",
        |s, v| { parse::proxy(v).map(|x| s.proxy = Some(x)) }
    ),
    setting!(
        "no_proxy",
        "",
        Text,
        "Hosts and domains that are reached without the proxy, separated by commas: `localhost,.internal`.",
        |s, v| { parse::list(v).map(|x| s.no_proxy = x) }
    ),
    setting!(
        "io_threads",
        "auto",
        Text,
        "Threads that serve the network; each keeps the connections that it was given. `auto`: one less than processors, but two on two with the embedded database.",
        |s, v| if v == "auto" { Ok(()) } else { parse::whole_number(v, 1, 1024).map(|x| s.io_threads = x as usize) }
    ),
    setting!(
        "shutdown_delay",
        "0s",
        Text,
        "After SIGTERM go on serving for this long while `/api/v1/health` says 503, so that load balancers send their requests elsewhere first.",
        |s, v| parse::duration(v).map(|x| s.shutdown_delay = x)
    ),
    setting!("shutdown_grace", "15s", Text, "Time to finish requests and attempts after SIGTERM or Ctrl-C.", |s, v| {
        parse::duration(v).map(|x| {
            s.shutdown_grace = x;
            // A quarter is for requests that are still being answered.
            s.engine.shutdown_grace = x * 3 / 4;
        })
    }),
    setting!(
        "log",
        "info",
        Text,
        "What is logged: `error`, `warn`, `info`, `debug`, `trace`, or per part: `info,hookpost_engine=debug`.",
        |s, v| parse::log_filter(v).map(|x| s.log = x)
    ),
    setting!("log_format", "text", Text, "`text` for people, `json` for machines.", |s, v| {
        parse::log_format(v).map(|x| s.log_format = x)
    }),
];

/// What holds between settings, checked after each was read.
pub(crate) fn check_together(settings: &Settings) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    if settings.payload_retention > settings.engine.retention.rows {
        problems.push(("payload_retention", "must not be longer than `retention`".to_owned()));
    }
    let health = &settings.engine.health;
    if health.cool_down_min > health.cool_down_max {
        problems.push(("circuit_cool_down_min", "must not be longer than `circuit_cool_down_max`".to_owned()));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_read_like_anything_else_and_agree_with_the_engine() {
        let mut settings = Settings::default();
        for setting in SETTINGS {
            setting.parse_into(&mut settings, setting.default).unwrap_or_else(|error| panic!("{}: {error}", setting.name));
        }
        let engine = EngineSettings::default();
        assert_eq!(settings.engine.retry_schedule, engine.retry_schedule);
        assert_eq!(settings.engine.health, engine.health);
        assert_eq!(settings.engine.request_timeout, engine.request_timeout);
        assert_eq!(settings.engine.lane_concurrency, engine.lane_concurrency);
        assert_eq!(settings.engine.attempts_in_flight_max, engine.attempts_in_flight_max);
        assert_eq!(settings.engine.response_body_bytes_kept, engine.response_body_bytes_kept);
        assert_eq!(settings.engine.retention, engine.retention);
        assert_eq!(settings.request_body_bytes_max, limits::REQUEST_BODY_BYTES_MAX);
        assert_eq!(settings.payload_retention, limits::PAYLOAD_RETENTION_DEFAULT);
        assert_eq!(check_together(&settings), []);
    }

    #[test]
    fn names_are_unique_and_help_is_a_sentence() {
        for (index, setting) in SETTINGS.iter().enumerate() {
            assert!(SETTINGS[..index].iter().all(|other| other.name != setting.name), "{} stands twice", setting.name);
            assert!(setting.help.ends_with('.'), "{}: the help is not a sentence", setting.name);
        }
    }
}
