//! The vocabulary of Hookpost and every decision it takes.
//!
//! Nothing here does IO, is async, reads a clock or draws a random number: `now`, jitter and data come in, what should
//! happen goes out. So every rule of the product can be read, tested and simulated without a server.
//!
//! The invariants that the rest of the system is held to, checked by the tests of the stores and the engine:
//!
//! 1. An acknowledged message is never forgotten before its retention.
//! 2. A delivery is in exactly one state.
//! 3. There is at most one live lease per delivery.
//! 4. A delivered delivery is never claimed again unless someone asks.
//! 5. Attempts are numbered 1..n without gaps.
//! 6. `Retry-After` never moves an attempt earlier.
//! 7. One endpoint's failure changes no other's deliveries.
//! 8. No secret appears in a log, an error or an API answer that did not ask for it.
//! 9. In an ordered lane message k+1 is not attempted before k is done or given up.
//! 10. One tenant never reads another's row.

pub mod access;
pub mod address;
pub mod application;
pub mod delivery;
pub mod endpoint;
pub mod environment;
pub mod event_type;
pub mod health;
pub mod id;
pub mod integration;
pub mod limits;
pub mod message;
pub mod multipart;
pub mod name;
pub mod operational;
pub mod reason;
pub mod receipt;
pub mod request;
pub mod retry;
pub mod routing;
pub mod secret;
pub mod signature;
pub mod sink;
pub mod source;
pub mod stream;
pub mod task;
pub mod tenant;
pub mod throttle;
pub mod time;

pub use access::{ApiKey, OrgId, Principal, Scope};
pub use application::Application;
pub use delivery::{Attempt, AttemptOutcome, Delivery, DeliveryKey, DeliveryState, Progress, Transition, Trigger};
pub use endpoint::Endpoint;
pub use environment::{Clock, Entropy};
pub use event_type::EventType;
pub use id::{
    ApiKeyId, ApplicationId, AttemptId, AuditEntryId, EndpointId, EventTypeId, IntegrationId, MessageId, PublicIds, ReceiptId, RowId,
    SinkAttemptId, SinkId, SourceId, StreamEventTypeId, StreamId, TaskId,
};
pub use integration::Integration;
pub use message::{Message, MessageContent};
pub use name::{Channel, EventTypeName, EventTypePattern, Invalid, Tag, Uid};
pub use reason::Reason;
pub use receipt::Receipt;
pub use retry::RetrySchedule;
pub use secret::SigningSecret;
pub use sink::Sink;
pub use source::Source;
pub use stream::{Stream, StreamEventType};
pub use task::BackgroundTask;
pub use time::Timestamp;
