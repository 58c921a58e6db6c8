//! What holds for the whole API; what holds for one resource is tested beside it.

mod access;
mod applications;
mod audit;
mod bad_input;
mod catalogue;
mod description;
mod environment;
mod event_types;
mod idempotency;
mod keys_and_tokens;
mod portal_sessions;
mod strangers;
mod tenancy;
mod tenant_limits;
mod things;
mod wire;
