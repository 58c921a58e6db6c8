//! Destinations of applications: the paths, and who may take them. A destination takes the messages of its application in their order, as a sink takes the events of a
//! stream.

use hookpost_domain::Sink;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::{Caller, Right};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::application::ApplicationPath;
use crate::v1::sink::Holder;
use crate::v1::sink::attempt::DestinationAttemptOut;
use crate::v1::sink::models::{DestinationIn, DestinationOut, DestinationPatch};
use crate::v1::sink::named::{AttemptPath, HolderPath, SinkPath};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DestinationPath {
    /// The id or uid of the application.
    app_id: String,
    /// The id or uid of the destination.
    destination_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DestinationAttemptPath {
    /// The id or uid of the application.
    app_id: String,
    /// The id or uid of the destination.
    destination_id: String,
    attempt_id: String,
}

impl HolderPath for ApplicationPath {
    type In = DestinationIn;
    type Patch = DestinationPatch;
    type Out = DestinationOut;
    type Attempt = DestinationAttemptOut;

    async fn find(&self, api: &Api, caller: &Caller, right: Right) -> Result<Holder, Problem> {
        caller.application(api, &self.app_id, right).await.map(|view| Holder::application(&view))
    }
}

impl SinkPath for DestinationPath {
    type Holder = ApplicationPath;

    async fn find(&self, api: &Api, caller: &Caller, right: Right) -> Result<Sink, Problem> {
        caller.sink_of_application(api, &self.app_id, &self.destination_id, right).await.map(|(_, sink)| sink)
    }

    fn split(self) -> (ApplicationPath, String) {
        (ApplicationPath { app_id: self.app_id }, self.destination_id)
    }
}

impl AttemptPath for DestinationAttemptPath {
    type Sink = DestinationPath;

    fn split(self) -> (DestinationPath, String) {
        let Self { app_id, destination_id, attempt_id } = self;
        (DestinationPath { app_id, destination_id }, attempt_id)
    }
}
