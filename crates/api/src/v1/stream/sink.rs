//! Sinks of streams: the paths, and who may take them.

use hookpost_domain::Sink;
use schemars::JsonSchema;
use serde::Deserialize;

use super::StreamPath;
use crate::auth::{Caller, Right};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::sink::Holder;
use crate::v1::sink::attempt::SinkAttemptOut;
use crate::v1::sink::models::{StreamSinkIn, StreamSinkOut, StreamSinkPatch};
use crate::v1::sink::named::{AttemptPath, HolderPath, SinkPath};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct StreamSinkPath {
    /// The id or uid of the stream.
    stream_id: String,
    /// The id or uid of the sink.
    sink_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SinkAttemptPath {
    /// The id or uid of the stream.
    stream_id: String,
    /// The id or uid of the sink.
    sink_id: String,
    attempt_id: String,
}

impl HolderPath for StreamPath {
    type In = StreamSinkIn;
    type Patch = StreamSinkPatch;
    type Out = StreamSinkOut;
    type Attempt = SinkAttemptOut;

    async fn find(&self, api: &Api, caller: &Caller, right: Right) -> Result<Holder, Problem> {
        caller.stream(api, &self.stream_id, right).await.map(|stream| Holder::stream(&stream))
    }
}

impl SinkPath for StreamSinkPath {
    type Holder = StreamPath;

    async fn find(&self, api: &Api, caller: &Caller, right: Right) -> Result<Sink, Problem> {
        caller.sink_of_stream(api, &self.stream_id, &self.sink_id, right).await.map(|(_, sink)| sink)
    }

    fn split(self) -> (StreamPath, String) {
        (StreamPath { stream_id: self.stream_id }, self.sink_id)
    }
}

impl AttemptPath for SinkAttemptPath {
    type Sink = StreamSinkPath;

    fn split(self) -> (StreamSinkPath, String) {
        let Self { stream_id, sink_id, attempt_id } = self;
        (StreamSinkPath { stream_id, sink_id }, attempt_id)
    }
}
