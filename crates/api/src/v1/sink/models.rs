//! What sinks look like outside. Those of streams and those of applications differ in the names of their types, and in nothing else.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hookpost_domain::Sink;
use hookpost_domain::application::Metadata;
use hookpost_domain::endpoint::CustomHeader;
use hookpost_domain::sink::{SinkProgress, SinkTarget};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::Kind;
use crate::client::Client;
use crate::extract::present;
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::endpoint::headers::EndpointHeadersOut;
use crate::v1::{Time, feed};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SinkStatusIn {
    Enabled,
    Disabled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SinkStatus {
    Enabled,
    Disabled,
    /// The last batch failed, and is tried again.
    Retrying,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SinkHttpConfigIn {
    /// Where batches are sent to.
    #[schemars(extend("format" = "uri"))]
    pub(super) url: String,
    /// Headers that every batch carries.
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// The signing secret: `whsec_` or `whsk_` and base64. Better left out, and made by us.
    pub(super) key: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SinkHttpConfigPatch {
    #[schemars(extend("format" = "uri"))]
    pub(super) url: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SinkIn {
    /// Whether it asks, or is called.
    pub(super) r#type: String,
    /// Of one that is called.
    #[schemars(with = "Option<SinkHttpConfigIn>")]
    pub(super) config: Option<Value>,
    /// Your own identifier; it stands wherever the id could.
    #[schemars(length(min = 1, max = 60), regex(pattern = r"^(?!sink_)[a-zA-Z0-9_-]+$"))]
    pub(super) uid: Option<String>,
    /// What is `disabled` is sent nothing until it is enabled, and then goes on where it stood.
    pub(super) status: Option<SinkStatusIn>,
    /// Events in one batch at most; 100 if left out.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) batch_size: Option<u16>,
    /// How long a batch that is not full waits for more; not at all if left out.
    #[schemars(range(max = 300))]
    pub(super) max_wait_secs: Option<u16>,
    /// Only these event types. Left out or empty: all.
    pub(super) event_types: Option<Vec<String>>,
    /// Only events with one of these channels. Left out or empty: all.
    pub(super) channels: Option<Vec<String>>,
    pub(super) metadata: Option<Metadata>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SinkPatch {
    /// The type that it has; it cannot be changed here.
    pub(super) r#type: Option<String>,
    #[schemars(with = "Option<SinkHttpConfigPatch>")]
    pub(super) config: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 1, max = 60), regex(pattern = r"^(?!sink_)[a-zA-Z0-9_-]+$"))]
    pub(super) uid: Option<Option<String>>,
    pub(super) status: Option<SinkStatusIn>,
    #[schemars(range(min = 1, max = 1000))]
    pub(super) batch_size: Option<u16>,
    #[schemars(range(max = 300))]
    pub(super) max_wait_secs: Option<u16>,
    /// Replaces all event types.
    pub(super) event_types: Option<Vec<String>>,
    /// Replaces all channels.
    pub(super) channels: Option<Vec<String>>,
    /// Replaces all metadata.
    pub(super) metadata: Option<Metadata>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SinkHttpConfigOut {
    #[schemars(extend("format" = "uri"))]
    url: String,
    #[schemars(with = "EndpointHeadersOut")]
    headers: SinkHeadersOut,
}

/// Clients of version 1 cannot read an answer in which the headers are not a plain map.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum SinkHeadersOut {
    Plain(BTreeMap<String, String>),
    WithSensitive(EndpointHeadersOut),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SinkOut {
    id: String,
    r#type: &'static str,
    /// Of one that is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<SinkHttpConfigOut>,
    uid: Option<String>,
    status: SinkStatus,
    /// Everything up to here was taken or skipped. (A consumer that is told where it is by us has a place of its own.)
    current_iterator: String,
    /// Why the last batch failed.
    failure_reason: Option<String>,
    /// When it is tried again.
    next_retry_at: Option<Time>,
    batch_size: u16,
    max_wait_secs: u16,
    event_types: Vec<String>,
    channels: Vec<String>,
    metadata: Metadata,
    created_at: Time,
    updated_at: Time,
}

impl SinkHeadersOut {
    fn new(client: Client, headers: &[CustomHeader]) -> Self {
        let out = EndpointHeadersOut::of(headers);
        if client.is_before(2, 0) { Self::Plain(out.headers) } else { Self::WithSensitive(out) }
    }
}

impl SinkOut {
    pub(crate) async fn load(api: &Api, client: Client, sink: &Sink) -> Result<Self, Problem> {
        let progress = api.store.sink_progress(sink.id, "").await?;
        Ok(Self::new(api, client, sink, progress))
    }

    fn new(api: &Api, client: Client, sink: &Sink, progress: SinkProgress) -> Self {
        let config = match &sink.target {
            SinkTarget::Poller => None,
            SinkTarget::Http(http) => {
                Some(SinkHttpConfigOut { url: http.url.clone(), headers: SinkHeadersOut::new(client, &http.headers) })
            }
        };
        let status = match &progress.failing {
            _ if sink.disabled => SinkStatus::Disabled,
            Some(_) => SinkStatus::Retrying,
            None => SinkStatus::Enabled,
        };
        let failing = progress.failing.filter(|_| status == SinkStatus::Retrying);
        Self {
            id: api.public(sink.id),
            r#type: Kind::of(&sink.target).name(sink.owner),
            config,
            uid: sink.uid.as_ref().map(ToString::to_string),
            status,
            current_iterator: feed::place_text(api, sink.id.row(), progress.after),
            next_retry_at: failing.as_ref().map(|failing| Time(failing.next_at)),
            failure_reason: failing.map(|failing| failing.reason),
            batch_size: sink.batch_size,
            max_wait_secs: sink.max_wait_s,
            event_types: sink.event_types.iter().map(ToString::to_string).collect(),
            channels: sink.channels.iter().map(ToString::to_string).collect(),
            metadata: sink.metadata.clone(),
            created_at: Time(sink.created_at),
            updated_at: Time(sink.updated_at),
        }
    }
}

macro_rules! named {
    ($($derive:ident $name:ident is $model:ident of $owner:ident;)*) => { $(
        #[derive(Debug, $derive)]
        #[serde(transparent)]
        pub(crate) struct $name($model);

        impl From<$model> for $name {
            fn from(model: $model) -> Self {
                Self(model)
            }
        }

        impl From<$name> for $model {
            fn from(named: $name) -> Self {
                named.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                with_types($model::json_schema(generator), Kind::$owner)
            }
        }
    )* };
}

named! {
    Deserialize StreamSinkIn is SinkIn of STREAM_NAMES;
    Deserialize StreamSinkPatch is SinkPatch of STREAM_NAMES;
    Serialize StreamSinkOut is SinkOut of STREAM_NAMES;
    Deserialize DestinationIn is SinkIn of APPLICATION_NAMES;
    Deserialize DestinationPatch is SinkPatch of APPLICATION_NAMES;
    Serialize DestinationOut is SinkOut of APPLICATION_NAMES;
}

fn with_types(mut schema: Schema, names: [&'static str; 2]) -> Schema {
    let field = schema.as_object_mut().and_then(|schema| schema.get_mut("properties")?.get_mut("type"));
    if let Some(Value::Object(field)) = field {
        field.insert("type".to_owned(), "string".into());
        field.insert("enum".to_owned(), names.as_slice().into());
    }
    schema
}
