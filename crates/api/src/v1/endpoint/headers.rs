//! The headers that an endpoint adds to its deliveries. Values that are secrets go in and never come out.

use std::collections::BTreeMap;

use axum::extract::State;
use hookpost_domain::endpoint::CustomHeader;
use hookpost_domain::operational::OperationalEvent;
use hookpost_domain::request::{check_custom_header, is_sensitive};
use hookpost_domain::{Endpoint, Invalid};
use hookpost_store::ApplicationView;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::{check_headers_together, parse_headers};
use super::{EndpointPath, facts, find};
use crate::auth::{Caller, Right};
use crate::extract::{Body, Json, NoContent, Path};
use crate::problem::{Problem, Wrong};
use crate::state::Api;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct EndpointHeadersIn {
    /// All headers; those that are not named are removed.
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointHeadersPatchIn {
    /// The headers to set; a `null` removes one.
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    /// The names of headers to remove.
    #[serde(default)]
    delete_headers: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EndpointHeadersOut {
    pub(crate) headers: BTreeMap<String, String>,
    /// The names of headers whose values are withheld.
    sensitive: Vec<String>,
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
) -> Result<Json<EndpointHeadersOut>, Problem> {
    let (_, endpoint) = find(&api, &caller, &path, Right::Read).await?;
    Ok(Json(EndpointHeadersOut::new(&endpoint)))
}

pub(crate) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Body(input): Body<EndpointHeadersIn>,
) -> Result<NoContent, Problem> {
    let headers = input.parse()?;
    let (view, endpoint) = find(&api, &caller, &path, Right::ManageEndpoint).await?;
    replace_in(&api, &view, &endpoint, headers).await
}

pub(crate) async fn replace_in(
    api: &Api,
    view: &ApplicationView,
    endpoint: &Endpoint,
    headers: Vec<CustomHeader>,
) -> Result<NoContent, Problem> {
    change(api, view, endpoint, move |old| {
        *old = headers;
        Ok(())
    })
    .await
}

pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Body(input): Body<EndpointHeadersPatchIn>,
) -> Result<NoContent, Problem> {
    let mut wrong = Wrong::in_body();
    let mut gone = input.delete_headers;
    let mut set = Vec::new();
    for (name, value) in input.headers {
        match value {
            Some(value) => {
                wrong.check("headers", check_custom_header(&name, &value));
                set.push(CustomHeader { name, value });
            }
            None => gone.push(name),
        }
    }
    wrong.check("headers", check_headers_together(&set));
    wrong.nothing()?;
    let (view, endpoint) = find(&api, &caller, &path, Right::ManageEndpoint).await?;
    change(&api, &view, &endpoint, move |headers| {
        headers.retain(|header| !gone.iter().any(|name| name.eq_ignore_ascii_case(&header.name)));
        for new in set {
            match headers.iter_mut().find(|header| header.name.eq_ignore_ascii_case(&new.name)) {
                Some(header) => *header = new,
                None => headers.push(new),
            }
        }
        check_headers_together(headers)
    })
    .await
}

async fn change(
    api: &Api,
    view: &ApplicationView,
    endpoint: &Endpoint,
    change: impl FnOnce(&mut Vec<CustomHeader>) -> Result<(), Invalid> + Send + 'static,
) -> Result<NoContent, Problem> {
    let now = api.now();
    let write = Box::new(move |endpoint: &mut Endpoint| {
        change(&mut endpoint.headers)?;
        endpoint.updated_at = now;
        Ok(())
    });
    let updated = api.store.update_endpoint(view.application.id, endpoint.id, write).await?;
    api.engine.publish(&view.application.org, OperationalEvent::EndpointUpdated(facts(view, &updated)));
    Ok(NoContent)
}

impl EndpointHeadersIn {
    pub(crate) fn parse(self) -> Result<Vec<CustomHeader>, Problem> {
        let mut wrong = Wrong::in_body();
        let headers = parse_headers(&mut wrong, "headers", self.headers);
        wrong.nothing()?;
        Ok(headers)
    }
}

impl EndpointHeadersOut {
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        Self::of(&endpoint.headers)
    }

    pub(crate) fn of(headers: &[CustomHeader]) -> Self {
        let (sensitive, shown): (Vec<_>, Vec<_>) = headers.iter().partition(|header| is_sensitive(&header.name));
        Self {
            headers: shown.into_iter().map(|header| (header.name.clone(), header.value.clone())).collect(),
            sensitive: sensitive.into_iter().map(|header| header.name.clone()).collect(),
        }
    }
}
