//! Is the header there under another name, or is it one of another scheme or provider?

use http::{HeaderMap, HeaderName};

use super::{Case, Diagnosis, finding};
use crate::provider::providers;

/// What proxies and gateways put before names, without their hyphens.
const PREFIXES: [&str; 7] = ["xforwarded", "xoriginal", "xamznremapped", "xproxy", "http", "xhttp", "x"];

pub(super) fn explain(case: &Case<'_>) -> Option<Diagnosis> {
    let mut headers: HeaderMap = case.request.headers.clone();
    let mut renamed = Vec::new();
    for active in case.verifier.active() {
        for name in active.check.headers().into_iter().filter(|name| !case.request.headers.contains_key(name)) {
            let alias = case.request.headers.keys().find(|present| is_alias(present, &name));
            if let Some(alias) = alias {
                headers.insert(&name, case.request.headers[alias].clone());
                renamed.push((name, alias.clone()));
            }
        }
    }
    let (name, alias) = renamed.first()?;
    let certainty = if case.verifies_with_headers(&headers) { "; with its own name the request verifies" } else { "" };
    let detail =
        format!("The header `{name}` is missing and `{alias}` is there{certainty}. Let the proxy hand it on under the name it came with.");
    Some(finding("renamed_header", detail))
}

/// The request may be fine for a scheme that is not accepted here, or for another provider.
pub(super) fn other_scheme(case: &Case<'_>) -> Option<Diagnosis> {
    let ours = case.verifier.provider();
    let is_there = |header: Option<&str>| header.is_some_and(|name| case.request.headers.contains_key(name.to_ascii_lowercase()));
    let expected: Vec<_> = case.verifier.schemes().filter_map(|scheme| scheme.rule.signature_header()).collect();
    if expected.iter().any(|name| is_there(Some(name))) {
        return None;
    }
    let scheme = ours.schemes.iter().find(|scheme| is_there(scheme.rule.signature_header()));
    if let Some(scheme) = scheme {
        let header = scheme.rule.signature_header().unwrap_or_default();
        let detail = format!(
            "The request is signed by the scheme `{}` (header `{header}`), which these settings do not accept: name it as `scheme`, or let the provider use another one.",
            scheme.name
        );
        return Some(finding("other_scheme", detail));
    }
    let other = providers().iter().find(|provider| provider.schemes.iter().any(|scheme| is_there(scheme.rule.signature_header())))?;
    let header = other.schemes.iter().filter_map(|scheme| scheme.rule.signature_header()).find(|name| is_there(Some(name)))?;
    let detail =
        format!("The request has the header `{header}`, which is how {} signs: is the source of the right provider?", other.display_name);
    Some(finding("other_provider", detail))
}

fn is_alias(present: &HeaderName, wanted: &HeaderName) -> bool {
    let bare = |name: &HeaderName| name.as_str().replace(['-', '_'], "");
    let (present, wanted) = (bare(present), bare(wanted));
    let mut present_forms = vec![present.as_str()];
    present_forms.extend(PREFIXES.iter().filter_map(|prefix| present.strip_prefix(prefix)));
    let mut wanted_forms = vec![wanted.as_str()];
    wanted_forms.extend(wanted.strip_prefix('x'));
    present_forms.iter().any(|form| form.len() > 3 && wanted_forms.contains(form))
}
