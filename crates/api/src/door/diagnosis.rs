//! Which usual mistake made a request unbelievable: a hint for its receipt. Looked for after the answer, at a bounded rate, off the threads that
//! serve: it tries many signatures.

use std::sync::Arc;

use bytes::Bytes;
use hookpost_domain::limits::DIAGNOSIS_SOURCES_MAX;
use hookpost_domain::source::SourceKind;
use hookpost_providers::{Context, LabelledSecret, Rejection, diagnose};
use hookpost_store::{Order, PageRequest};

use super::arrival::Arrival;
use super::prepared;
use crate::state::Api;

/// `None` where nothing explains it, or too much is to be explained at the moment.
pub(super) async fn hint(api: &Api, arrival: &Arc<Arrival>, body: &Bytes, rejection: Rejection) -> Option<String> {
    if !arrival.doorway.usage.may_diagnose(api.now()) {
        return None;
    }
    let turn = Arc::clone(&api.door.diagnosing).acquire_owned().await.ok()?;
    let other_secrets = other_secrets(api, arrival).await;
    let (arrival, body) = (Arc::clone(arrival), body.clone());
    let search = api.tasks.spawn_blocking(move || {
        let _turn = turn;
        let verifier = arrival.prepared.verifier.as_ref()?;
        let context = Context { other_secrets: &other_secrets };
        diagnose(verifier, &arrival.request(&body), arrival.verified_at, &rejection, &context).map(|found| found.detail)
    });
    search.await.ok().flatten()
}

/// The secrets of the other sources of the tenant that have the same provider: a request signed with one of them went to the wrong door.
async fn other_secrets(api: &Api, arrival: &Arrival) -> Vec<LabelledSecret> {
    let page = PageRequest::first(DIAGNOSIS_SOURCES_MAX, Order::Descending);
    let Ok(sources) = api.store.sources(&arrival.source().org, page).await else { return Vec::new() };
    let others = sources.items.into_iter().filter(|other| other.id != arrival.source().id);
    let of_other = |other: hookpost_domain::Source| {
        let SourceKind::Webhook { type_name, settings } = &other.kind else { return Vec::new() };
        let same_provider = prepared::provider_of(type_name).is_some_and(|provider| provider.name == arrival.provider_name());
        let settings = prepared::read_settings(settings).filter(|_| same_provider).unwrap_or_default();
        let secrets = settings.secret.into_iter().chain(settings.secret_secondary).chain(settings.secrets);
        secrets.map(|secret| LabelledSecret { label: other.name.clone(), secret }).collect()
    };
    others.flat_map(of_other).collect()
}
