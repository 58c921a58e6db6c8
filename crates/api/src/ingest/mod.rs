//! The ingest API: sources, the endpoints of their applications, and the receipts of what arrived.
//!
//! What a source makes of a request is in [`crate::door`]; here it is told what to do, and what it did is shown. Published models are called as in the
//! description of Svix; fields and operations that it does not have say so.
//!
//! No answer shows a secret: not those of a source, and not those that arrived with a request. The one exception is the URL of a source, which is
//! there to be pasted.

pub(crate) mod endpoint;
pub(crate) mod kind;
pub(crate) mod log;
pub(crate) mod portal;
pub(crate) mod provider;
pub(crate) mod receipt;
pub(crate) mod replay;
pub(crate) mod rules;
mod settings;
pub(crate) mod source;
pub(crate) mod token;
pub(crate) mod transformation;

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SourcePath {
    /// The id or uid of the source.
    pub(crate) source_id: String,
}
