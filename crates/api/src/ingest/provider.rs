//! The table of providers: which there are, and what a source of each needs to be told. (Hookpost's own.)

use axum::extract::State;
use hookpost_providers::{Provider, Scheme, providers};
use schemars::JsonSchema;
use serde::Serialize;

use super::kind;
use crate::auth::{Caller, Right};
use crate::extract::Json;
use crate::page::Page;
use crate::problem::Problem;
use crate::state::Api;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProviderOut {
    /// The `type` of its sources.
    name: &'static str,
    /// As people write it.
    display_name: &'static str,
    /// Where the provider describes its webhooks.
    documentation: Option<&'static str>,
    /// The ways in which it signs. Without a `scheme` in the `config`, all of which the settings suffice for are believed.
    schemes: Vec<SchemeOut>,
    /// What it asks before it sends, and what is answered.
    handshake: Option<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SchemeOut {
    name: &'static str,
    /// The fields of `config` without which it cannot verify.
    needs: Vec<String>,
    /// Further fields of `config` that it takes.
    takes: Vec<String>,
    /// It is believed only where `config` names it, because there is a better one.
    only_if_named: bool,
}

pub(crate) async fn list(State(_): State<Api>, caller: Caller) -> Result<Json<Page<ProviderOut>>, Problem> {
    caller.org(Right::Read)?;
    let mut all: Vec<_> = providers().iter().collect();
    all.sort_unstable_by_key(|provider| provider.name);
    Ok(Json(Page::new(all.into_iter().map(|provider| (provider.name.to_owned(), ProviderOut::new(provider))), true)))
}

impl ProviderOut {
    fn new(provider: &'static Provider) -> Self {
        Self {
            name: provider.name,
            display_name: provider.display_name,
            documentation: Some(provider.documentation).filter(|link| !link.is_empty()),
            schemes: provider.schemes.iter().map(|scheme| SchemeOut::new(provider, scheme)).collect(),
            handshake: provider.handshake(),
        }
    }
}

impl SchemeOut {
    fn new(provider: &Provider, scheme: &'static Scheme) -> Self {
        let words = |fields: &[&str]| fields.iter().map(|field| kind::word_of_field(provider, field)).collect();
        Self { name: scheme.name, needs: words(scheme.needs()), takes: words(scheme.takes()), only_if_named: scheme.only_if_named }
    }
}
