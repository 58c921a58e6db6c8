//! The HTTP API: one route table, one way to write a handler.
//!
//! [`router`] makes everything that a server answers: the management API under `/api/v1` and `/ingest/api/v1`, the doors of sources under `/in`, the
//! description, a readable page at `/docs`, health and `/metrics`. A handler is five moves: extract, parse, call, map, answer; `v1/mod.rs` shows how to add one.
//!
//! Nothing here decides what happens to messages: that is `hookpost-domain`'s, kept by the store and carried out by the engine. No error leaves
//! as anything but JSON, and none of the crate's answers carries a secret that was not asked for.

mod audit;
mod auth;
mod client;
mod docs_page;
mod door;
mod extract;
mod front;
mod idempotency;
mod ingest;
mod metrics;
mod openapi;
mod page;
mod problem;
mod query;
mod routes;
mod state;
mod table;
mod tenant;
mod v1;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use auth::api_key::{NewApiKey, new_api_key};
pub use auth::token::{TokenSecret, org_token};
pub use door::{AddressPresets, PeerAddress};
pub use front::router;
pub use metrics::ApiMetrics;
pub use openapi::document as openapi_document;
pub use state::{ApiSettings, ApiState};
