//! `hookpost providers`: whose webhooks can be verified, and what a receiver has to know of them. Needs no server.

use clap::Args;
use hookpost_providers::{AddressList, Provider, Scheme, address_lists, providers};
use serde_json::{Value, json};

use super::incoming::provider_named;
use crate::failure::Failure;
use crate::output::{self, Table};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hookpost providers
  hookpost providers stripe
  hookpost providers --addresses
  hookpost providers --json")]
pub(crate) struct ProvidersArgs {
    /// Show this one in full
    name: Option<String>,
    /// The addresses from which providers send, as this version knows them, and of which day each list is
    #[arg(long)]
    addresses: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ProvidersArgs) -> anyhow::Result<()> {
    if args.addresses {
        return show_addresses(args);
    }
    let Some(name) = &args.name else {
        if args.json {
            let all: Vec<_> = providers().iter().map(as_json).collect();
            return Ok(output::print_json(&json!({"data": all}))?);
        }
        return Ok(output::print(table())?);
    };
    let provider = provider_named(name).map_err(Failure::Usage)?;
    if args.json {
        return Ok(output::print_json(&as_json(provider))?);
    }
    Ok(output::print(in_full(provider))?)
}

/// All lists, or that of one name, which need not be a provider whose webhooks are known here.
fn show_addresses(args: &ProvidersArgs) -> anyhow::Result<()> {
    let is_wanted = |list: &&AddressList| args.name.as_deref().is_none_or(|name| list.name == name);
    let lists: Vec<_> = address_lists().iter().filter(is_wanted).collect();
    match (&args.name, lists.as_slice()) {
        (Some(name), []) => {
            let known: Vec<_> = address_lists().iter().map(|list| list.name).collect();
            Err(Failure::Usage(format!("there is no list of addresses {name:?}; there are {}", known.join(", "))).into())
        }
        (Some(_), [list]) if args.json => Ok(output::print_json(&addresses_as_json(list))?),
        (Some(_), [list]) => Ok(output::print(addresses_in_full(list))?),
        _ if args.json => Ok(output::print_json(&json!({"data": lists.into_iter().map(addresses_as_json).collect::<Vec<_>>()}))?),
        _ => Ok(output::print(addresses_table(&lists))?),
    }
}

fn addresses_table(lists: &[&AddressList]) -> Table {
    let mut table = Table::new(&["NAME", "NETWORKS", "AS OF", "PUBLISHED AT"]);
    for list in lists {
        table.row([list.name.to_owned(), list.networks().len().to_string(), list.as_of.to_owned(), list.published_at.to_owned()]);
    }
    table
}

fn addresses_as_json(list: &AddressList) -> Value {
    let networks: Vec<_> = list.networks().iter().map(ToString::to_string).collect();
    json!({ "name": list.name, "asOf": list.as_of, "publishedAt": list.published_at, "networks": networks })
}

fn addresses_in_full(list: &AddressList) -> String {
    let networks: String = list.networks().iter().map(|network| format!("{network}\n")).collect();
    format!("{}, as of {}, published at {}\n{networks}", list.name, list.as_of, list.published_at)
}

fn table() -> Table {
    let mut table = Table::new(&["NAME", "PROVIDER", "SCHEMES", "EVENT ID", "EVENT TYPE", "HANDSHAKE", "DOCUMENTATION"]);
    for provider in providers() {
        let schemes: Vec<_> = provider.schemes.iter().map(|scheme| scheme.name).collect();
        table.row([
            provider.name.to_owned(),
            provider.display_name.to_owned(),
            schemes.join(", "),
            first_place(provider, |scheme| scheme.event_id),
            first_place(provider, |scheme| scheme.event_type),
            if provider.has_handshake() { "yes" } else { "-" }.to_owned(),
            or_dash(provider.documentation),
        ]);
    }
    table
}

/// Schemes of one provider mostly agree; where they do not, `providers NAME` says so.
fn first_place(provider: &Provider, place: fn(&Scheme) -> &'static str) -> String {
    or_dash(provider.schemes.iter().map(place).find(|place| !place.is_empty()).unwrap_or_default())
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn as_json(provider: &Provider) -> Value {
    let schemes: Vec<_> = provider
        .schemes
        .iter()
        .map(|scheme| {
            json!({
                "name": scheme.name,
                "needs": scheme.needs(),
                "takes": scheme.takes(),
                "eventId": place_or_null(scheme.event_id),
                "eventType": place_or_null(scheme.event_type),
                "onlyIfNamed": scheme.only_if_named,
                "signsWithPrivateKey": scheme.signs_with_private_key(),
            })
        })
        .collect();
    json!({
        "name": provider.name,
        "displayName": provider.display_name,
        "documentation": place_or_null(provider.documentation),
        "schemes": schemes,
        "handshake": provider.handshake(),
        "canBeSigned": provider.can_be_signed(),
    })
}

fn place_or_null(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn in_full(provider: &Provider) -> String {
    let mut text = format!("{} ({})\n", provider.display_name, provider.name);
    let mut row = |name: &str, value: &str| text.push_str(&format!("  {name:<15}{value}\n"));
    if !provider.documentation.is_empty() {
        row("documentation", provider.documentation);
    }
    row("handshake", provider.handshake().unwrap_or("none"));
    if let Some(list) = address_lists().iter().find(|list| list.name == provider.name) {
        row("addresses", &format!("known, as of {}: allowedNetworks = [\"{}\"]", list.as_of, list.name));
    }
    for scheme in provider.schemes {
        text.push_str(&format!("\nscheme {}\n", scheme.name));
        let mut row = |name: &str, value: &str| text.push_str(&format!("  {name:<15}{value}\n"));
        if scheme.only_if_named {
            row("", "believed only where the settings name it: others can send it too easily, or it is no longer sent");
        }
        row("event id", &or_dash(scheme.event_id));
        row("event type", &or_dash(scheme.event_type));
        for field in scheme.needs() {
            row("needs", &explained(field, scheme));
        }
        for field in scheme.takes() {
            row("takes", &explained(field, scheme));
        }
    }
    let example = provider.schemes.first().map(example).unwrap_or_default();
    text.push_str(&format!("\n  hookpost verify --provider {}{example} --header '…' --body event\n", provider.name));
    text
}

fn example(scheme: &Scheme) -> String {
    let flag = |field: &&str| match *field {
        "secret" if holds_public_key(scheme) => " --public-key key.pem".to_owned(),
        "certificates" => " --certificate certificate.pem".to_owned(),
        field if field.starts_with("config.") => format!(" --config '{{\"{}\": …}}'", &field["config.".len()..]),
        field => format!(" --{} …", field.replace('_', "-")),
    };
    let certificate = ["certificates"].into_iter().filter(|field| uses_certificates(scheme) && !scheme.needs().contains(field));
    scheme.needs().iter().copied().chain(certificate).map(|field| flag(&field)).collect()
}

/// Whether the secret is none: anyone may know it.
fn holds_public_key(scheme: &Scheme) -> bool {
    scheme.signs_with_private_key() && !uses_certificates(scheme)
}

fn uses_certificates(scheme: &Scheme) -> bool {
    scheme.needs().iter().chain(scheme.takes()).any(|field| *field == "certificates")
}

/// A setting and what belongs into it.
fn explained(field: &str, scheme: &Scheme) -> String {
    let meaning = match field {
        "secret" if holds_public_key(scheme) => "the public key that the provider shows, as it is shown",
        "secret" if uses_certificates(scheme) => "the id that the provider gave to the webhook",
        "secret" => "the secret or token that the provider shows or asks for, as it is written there",
        "secret_secondary" => "a second secret that is valid at the same time",
        "secrets" => "further secrets that are valid too, during a rotation",
        "private_key" => "for signing: the other half of the public key",
        "verify_token" => "the word that both sides agreed on for the handshake",
        "notification_url" | "callback_url" => "the URL as it is registered with the provider; else that of the request is taken",
        "certificates" => "certificates (PEM) by the URL that requests name them by",
        "allowed_origins" => "origins that may ask for deliveries; all, if there are none",
        "tolerance" => "how many seconds a request may be old or early",
        "timestamp_header" | "config.timestamp_header" => "the header of the timestamp",
        "config.header" => "the header of the signature or token",
        "config.in" => "`header` or `query`",
        "config.name" => "the header or query parameter of the key",
        "config.scheme" => "the word before the token, such as Bearer",
        "config.algorithm" => "the hash or algorithm, such as sha256",
        "config.encoding" => "how the signature is written: hex, base64 or base64url",
        "config.prefix" => "what stands before the signature, such as sha256=",
        "config.secret_encoding" => "how the secret is written: utf8, hex or base64",
        "config.template" => "what is signed, such as {timestamp}.{body}",
        "config.timestamp_unit" => "s, ms or rfc3339",
        "config.tolerance" => "as `tolerance`",
        "config.separator" => "what separates the elements of the signature header",
        "config.element" => "the name of the elements that are signatures, such as v1",
        "config.timestamp_element" => "the name of the element that is the timestamp, such as t",
        "config.event_id" => "where the event id is, such as header:x-id or $.data.id",
        "config.event_type" => "where the event type is, such as $.type",
        "config.allow" => "addresses and networks that may send",
        "config.trusted_proxies" => "proxies whose X-Forwarded-For is believed",
        "config.issuer" => "the `iss` that a token must have",
        "config.audience" => "the `aud` that a token must have",
        "config.require" => "claims that a token must have; exp, if it is left out",
        "config.leeway" => "how many seconds exp, nbf and iat may be off",
        "config.jwks" => "a JSON Web Key Set, instead of the secret",
        _ => "",
    };
    format!("{field:<24}{meaning}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_explained() {
        for provider in providers() {
            for scheme in provider.schemes {
                for field in scheme.needs().iter().chain(scheme.takes()) {
                    assert!(explained(field, scheme).len() > field.len(), "{}: {field}", provider.name);
                }
            }
        }
    }

    #[test]
    fn the_table_has_all() {
        let table = table().to_string();
        assert!(providers().iter().all(|provider| table.contains(provider.display_name)));
    }
}
