//! What is made of a request that came in: where its values stand, what is written with them, and the message that it becomes.
//!
//! - [`JsonPath`] finds values in a JSON document, [`Template`] writes text with values in it.
//! - [`Incoming`] is a request as rules see it: its body is decoded and parsed when a rule asks for it, and not before.
//! - [`Mapping`] is what the rules of a source say about messages, checked and compiled; [`Mapping::message`] carries it out.
//!
//! Nothing here does IO or reads a clock, and every result has a bound: what comes from outside can be no larger for having been unpacked,
//! repeated or nested. Whether a request is genuine is not asked here.

mod encoding;
mod extraction;
mod form;
mod incoming;
mod mapping;
mod names;
mod path;
mod template;

pub use encoding::Unreadable;
pub use extraction::{CompiledExtraction, RequestVariables, Said};
pub use incoming::Incoming;
pub use mapping::{InvalidRule, Mapped, Mapping, OnceHash, payload_type};
pub use names::{channel, event_type_name};
pub use path::JsonPath;
pub use template::{Found, Template, TooLong, Variables};
