//! What only sinks that are called have: a signing secret and headers. And the transformation that none has yet.

use std::collections::BTreeMap;

use hookpost_domain::endpoint::CustomHeader;
use hookpost_domain::request::check_custom_header;
use hookpost_domain::secret::RotateError;
use hookpost_domain::sink::{HttpSink, SinkTarget};
use hookpost_domain::{Invalid, SigningSecret, Sink};
use hookpost_store::WriteError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::extract::present;
use crate::problem::{Problem, Wrong};
use crate::state::Api;
pub(crate) use crate::v1::attempt::resend::EmptyResponse;
use crate::v1::endpoint::fields::check_headers_together;
use crate::v1::endpoint::headers::EndpointHeadersOut;
use crate::v1::endpoint::secret::Rotation;

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SinkSecretOut {
    /// `whsec_…`, or `whpk_…`, the public key of an ed25519 secret: what the receiver verifies with.
    key: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct HttpSinkHeadersPatchIn {
    /// The headers to set; a `null` removes one.
    headers: BTreeMap<String, Option<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SinkTransformationOut {
    code: Option<String>,
    enabled: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SinkTransformIn {
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 10, max = 51_200))]
    code: Option<Option<String>>,
}

pub(crate) fn secret(sink: &Sink) -> Result<SinkSecretOut, Problem> {
    Ok(SinkSecretOut { key: Some(called(sink)?.secrets.current.verification_key()) })
}

/// The newest clients need the new key, and no older one minds it.
pub(crate) async fn rotate(api: &Api, sink: &Sink, Rotation { given, grace }: Rotation) -> Result<SinkSecretOut, Problem> {
    let kind = called(sink)?.secrets.current.kind();
    let new = given.unwrap_or_else(|| SigningSecret::generate(kind, &*api.entropy));
    let now = api.now();
    let rotated =
        change(api, sink, move |http| http.secrets.rotate(new, grace, now).map_err(|error| Invalid::new(error.to_string()))).await;
    match rotated {
        // The grace period was checked: it can only be the number of old secrets.
        Err(WriteError::Refused(_)) => Err(Problem::bad_request("limit_reached", RotateError::TooManyOld.to_string())),
        rotated => secret(&rotated?),
    }
}

pub(crate) fn headers(sink: &Sink) -> Result<EndpointHeadersOut, Problem> {
    Ok(EndpointHeadersOut::of(&called(sink)?.headers))
}

pub(crate) async fn patch_headers(api: &Api, sink: &Sink, input: HttpSinkHeadersPatchIn) -> Result<EndpointHeadersOut, Problem> {
    let mut wrong = Wrong::in_body();
    let (mut gone, mut set) = (Vec::new(), Vec::new());
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
    called(sink)?;
    let updated = change(api, sink, move |http| {
        http.headers.retain(|header| !gone.iter().any(|name| name.eq_ignore_ascii_case(&header.name)));
        for new in set {
            match http.headers.iter_mut().find(|header| header.name.eq_ignore_ascii_case(&new.name)) {
                Some(header) => *header = new,
                None => http.headers.push(new),
            }
        }
        check_headers_together(&http.headers)
    })
    .await?;
    headers(&updated)
}

pub(crate) fn transformation() -> SinkTransformationOut {
    SinkTransformationOut { code: None, enabled: false }
}

/// What asks for nothing to be transformed is how it is already. To take code and not run it would be a lie that shows only at the receiver.
pub(crate) fn patch_transformation(input: &SinkTransformIn) -> Result<EmptyResponse, Problem> {
    if matches!(input.code, Some(Some(_))) {
        let detail = "Transformations are not there yet: events are sent as they came. Nothing was changed.";
        return Err(Problem::bad_request("transformations_not_available", detail));
    }
    Ok(EmptyResponse {})
}

fn called(sink: &Sink) -> Result<&HttpSink, Problem> {
    match &sink.target {
        SinkTarget::Http(http) => Ok(http),
        SinkTarget::Poller => {
            Err(Problem::bad_request("not_called", "This one is polled: nothing is sent to it that could be signed or carry headers."))
        }
    }
}

async fn change(
    api: &Api,
    sink: &Sink,
    change: impl FnOnce(&mut HttpSink) -> Result<(), Invalid> + Send + 'static,
) -> Result<Sink, WriteError> {
    let now = api.now();
    let write = move |sink: &mut Sink| {
        let SinkTarget::Http(http) = &mut sink.target else { return Err(Invalid::new("It is polled now.")) };
        change(http)?;
        sink.updated_at = now;
        Ok(())
    };
    let updated = api.store.update(&sink.org, sink.owner.row(), sink.id.row(), write).await?;
    api.engine.wake_sinks();
    Ok(updated)
}
