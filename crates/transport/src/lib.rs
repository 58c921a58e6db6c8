//! Brings one request to one receiver and its bounded answer back: implements [`hookpost_engine::Transport`].
//!
//! ```text
//!  send ─► pool (per host) ─► idle connection ────────────────┐
//!              └─► connect: name ─► guard ─► TCP ─► proxy, TLS ┴─► exchange ─► answer ─► pool
//! ```
//!
//! It never follows a redirect, never reaches an address that the [`AddressPolicy`] forbids, never reads more than it was told to, and
//! puts no header, query or user information of a request into an error. A request is sent again by itself only if not a
//! byte of it had left.

mod client;
mod connect;
mod error;
mod http1;
mod http2;
mod pool;
mod proxy;
mod resolve;
mod settings;
mod stream;
mod target;
mod tls;

pub use client::HttpTransport;
pub use hookpost_domain::address::AddressPolicy;
pub use proxy::{InvalidProxy, Proxy};
pub use settings::TransportSettings;
