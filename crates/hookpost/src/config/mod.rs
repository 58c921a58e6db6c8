//! Configuration: one table of settings, read once from flags, environment and file, in this order of precedence.
//!
//! Everything here is pure: sources come in as maps and text, parsed settings or a list of problems go out. Nothing outside
//! [`sources`] looks at the environment of the process, and nothing after this looks at text again.

mod example;
mod parse;
mod print;
mod settings;
mod sources;

pub(crate) use example::example;
pub(crate) use print::{as_json, as_table};
pub(crate) use settings::{DatabaseChoice, Form, LogFormat, MasterKey, SETTINGS, Secret, Settings};
#[cfg(test)]
pub(crate) use sources::resolve_for_test;
pub(crate) use sources::{ConfigError, Environment, Resolved, Sources, read_file, resolve};
