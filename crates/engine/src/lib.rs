//! Carries every delivery to its end.
//!
//! ```text
//!  ready groups (store) ─┐                                     ┌─► done
//!  claims (store) ───────┼─► lane ─► attempt ─► decide ─► record ─► waiting until T (store)
//!  wake (resend, timer) ─┘   per endpoint                      └─► dead, canceled
//! ```
//!
//! What comes in without a call (cron, polls, back-fill) begins in [`pull`].
//!
//! Time, randomness, transport and store are arguments; nothing here opens a socket or a file. The engine decides nothing that
//! `hookpost-domain` can decide: it asks `advance`, `Health`, `Throttle`, and acts.

pub mod metrics;
pub mod pull;
pub mod schema;
pub mod settings;
pub mod status;
pub mod transport;
pub mod why;

mod attempt;
mod attempt_log;
mod budget;
mod cancel;
mod disable;
mod engine;
mod lane;
mod lanes;
mod listeners;
mod operational;
mod placement;
mod recorder;
mod retention;
mod sinks;
mod target;
mod tasks;
mod timer;

pub use engine::{Arrival, Engine};
pub use listeners::Listener;
pub use metrics::EngineMetrics;
pub use settings::EngineSettings;
pub use status::LaneStatus;
pub use transport::{Answer, OutgoingRequest, Transport, TransportError};
