//! The running engine: owns the lanes and the tasks that serve them.

use std::sync::Arc;

use hookpost_domain::operational::OperationalEvent;
use hookpost_domain::{ApplicationId, Clock, EndpointId, Entropy, OrgId};
use hookpost_store::SharedStore;
use hookpost_store::queue::ReadyReceiver;
use tokio_util::sync::CancellationToken;

use crate::metrics::EngineMetrics;
use crate::settings::EngineSettings;
use crate::status::LaneStatus;
use crate::transport::Transport;

#[derive(Debug)]
pub struct Engine {
    store: SharedStore,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    settings: EngineSettings,
    metrics: EngineMetrics,
}

impl Engine {
    pub fn new(
        store: SharedStore,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        settings: EngineSettings,
        metrics: EngineMetrics,
    ) -> Arc<Self> {
        Arc::new(Self { store, transport, clock, entropy, settings, metrics })
    }

    /// Takes up what the store has, serves what becomes ready, and runs background tasks and retention, until `shutdown`; then stops claiming, gives attempts
    /// in flight the grace period, records them and releases the rest.
    pub async fn run(self: Arc<Self>, ready: ReadyReceiver, shutdown: CancellationToken) {
        let _ = (&self.store, &self.transport, &self.clock, &self.entropy, &self.metrics, ready);
        shutdown.cancelled().await;
    }

    /// Something of this endpoint may be due earlier than the lane knows: after a resend, or a change of the endpoint.
    pub fn wake(&self, application: ApplicationId, endpoint: EndpointId) {
        let _ = (application, endpoint);
    }

    /// A background task was created, or asked to stop.
    pub fn wake_tasks(&self) {}

    pub fn lane_status(&self, endpoint: EndpointId) -> LaneStatus {
        let _ = endpoint;
        LaneStatus::default()
    }

    /// Tells the tenant through its operational application, if it has one.
    pub fn publish(&self, org: &OrgId, event: OperationalEvent) {
        let _ = (org, event);
    }

    pub fn settings(&self) -> &EngineSettings {
        &self.settings
    }
}
