//! Disabling an endpoint that failed for too long, or whose receiver asked for it.

use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::endpoint::Disabled;
use hookpost_domain::operational::{DisabledTrigger, OperationalEvent};
use hookpost_domain::{Invalid, Timestamp};
use hookpost_store::WriteError;

use crate::engine::Engine;
use crate::lanes::LaneCell;
use crate::operational::endpoint_facts;
use crate::target::ReadyEndpoint;

const RETRY: Duration = Duration::from_secs(1);

impl Engine {
    /// The lane attempts nothing more until the catalogue says that the endpoint is disabled.
    pub(crate) fn disable(self: &Arc<Self>, cell: &Arc<LaneCell>, ready: &ReadyEndpoint, failing_since: Option<Timestamp>) {
        {
            let mut lane = cell.lane.lock();
            if !lane.begin_disabling() {
                return;
            }
            lane.hold();
        }
        let engine = Arc::clone(self);
        let cell = Arc::clone(cell);
        let facts = endpoint_facts(&ready.view, &ready.endpoint);
        let org = ready.view.application.org.clone();
        let url = ready.endpoint.url.clone();
        self.tracker.spawn(async move {
            loop {
                let now = engine.clock.now();
                let url = url.clone();
                let change = Box::new(move |endpoint: &mut hookpost_domain::Endpoint| {
                    // Somebody was faster, or it leads elsewhere by now.
                    if endpoint.disabled.is_disabled() || endpoint.url != url {
                        return Err(Invalid::new("the endpoint was changed"));
                    }
                    endpoint.disabled = Disabled::Automatically { failing_since };
                    endpoint.updated_at = now;
                    Ok(())
                });
                match engine.store.update_endpoint(cell.application, cell.endpoint, change).await {
                    Ok(_) => {
                        tracing::warn!(endpoint_id = engine.store.public_ids().encode(cell.endpoint), failing_since = failing_since.map(tracing::field::display), "endpoint disabled");
                        let trigger = DisabledTrigger::Automatic;
                        engine.publish(&org, OperationalEvent::EndpointDisabled { endpoint: facts, fail_since: failing_since, trigger });
                        break;
                    }
                    Err(WriteError::Unavailable(problem)) => {
                        tracing::warn!(endpoint_id = engine.store.public_ids().encode(cell.endpoint), %problem, "cannot disable an endpoint; trying again");
                        tokio::select! {
                            () = engine.closing.cancelled() => return,
                            () = tokio::time::sleep(RETRY) => {}
                        }
                    }
                    Err(_) => break,
                }
            }
            let _ = engine.look_up(&cell).await;
            {
                let mut lane = cell.lane.lock();
                lane.let_go();
                lane.end_disabling();
            }
            engine.plan(&cell);
        });
    }
}
