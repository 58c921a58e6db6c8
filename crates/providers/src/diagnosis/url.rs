//! Is it the URL? Behind a proxy the one that arrives is not the one that was called, and some schemes sign it.

use super::{Case, Diagnosis, finding};
use crate::request::Request;
use crate::settings::Settings;
use crate::verifier::Verifier;

pub(super) fn explain(case: &Case<'_>) -> Option<Diagnosis> {
    if !case.verifier.active().iter().any(|active| active.check.signs_url()) {
        return None;
    }
    let settings = case.verifier.settings();
    let fixed = settings.notification_url.as_deref().or(settings.callback_url.as_deref());
    let settings = Settings { notification_url: None, callback_url: None, ..settings.clone() };
    let verifier = Verifier::new(case.verifier.provider(), &settings).ok()?;
    let ours = fixed.unwrap_or(case.request.url);
    let mut candidates = variants(ours, case.request);
    candidates.extend(fixed.map(|_| case.request.url.to_owned()));
    let url = candidates.iter().find(|url| *url != ours && case.verifies(&verifier, &Request { url, ..*case.request }))?;
    let remedy = match fixed {
        Some(_) => "Write it into the settings as it is registered with the provider.",
        None => "Tell the gateway its public URL, or let the proxy hand on host and scheme.",
    };
    Some(finding("url_differs", format!("The provider signed the URL `{url}`, and here it is `{ours}`. {remedy}")))
}

fn variants(url: &str, request: &Request<'_>) -> Vec<String> {
    let header = |name: &str| {
        request.headers.get(name).and_then(|value| value.to_str().ok()).map(|value| value.split(',').next().unwrap_or(value).trim())
    };
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));

    let mut authorities = vec![authority.to_owned()];
    authorities.extend(["x-forwarded-host", "x-original-host", "host"].iter().filter_map(|name| header(name)).map(str::to_owned));
    let without_ports: Vec<_> =
        authorities.iter().filter_map(|authority| authority.rsplit_once(':')).map(|(host, _)| host.to_owned()).collect();
    let port = header("x-forwarded-port").unwrap_or("443");
    let with_ports: Vec<_> = authorities.iter().map(|authority| format!("{authority}:{port}")).collect();
    authorities.extend(without_ports);
    authorities.extend(with_ports);

    let mut paths = vec![path.to_owned()];
    paths.push(match path.strip_suffix('/') {
        Some(without) => without.to_owned(),
        None => format!("{path}/"),
    });
    paths.extend(header("x-forwarded-prefix").map(|prefix| format!("{}{path}", prefix.trim_end_matches('/'))));
    paths.extend(header("x-original-uri").map(|uri| uri.split('?').next().unwrap_or(uri).to_owned()));

    let mut queries = vec![query.map(str::to_owned)];
    if let Some(query) = query {
        let mut pairs: Vec<_> = query.split('&').collect();
        pairs.sort_unstable();
        let sorted = pairs.join("&");
        pairs.reverse();
        queries.extend([Some(sorted), Some(pairs.join("&")), Some(query.replace("%20", "+")), Some(query.replace('+', "%20")), None]);
    }

    let other_scheme = if scheme == "https" { "http" } else { "https" };
    let mut urls = Vec::new();
    for query in &queries {
        for path in &paths {
            for authority in &authorities {
                for scheme in [scheme, other_scheme] {
                    let query = query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
                    urls.push(format!("{scheme}://{authority}{path}{query}"));
                }
            }
        }
    }
    urls
}
