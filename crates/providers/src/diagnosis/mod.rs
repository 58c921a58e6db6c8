//! Why was this request rejected? Tries the usual mistakes, one after the other, and names the one that explains it.
//!
//! A finding is only given for what was tried and then verified, or can be seen in the headers. It never says a secret; those of
//! other endpoints are named by their label.

mod body;
mod header;
mod secret;
mod signature;
mod url;

use std::borrow::Cow;

use hookpost_domain::time::Timestamp;
use http::HeaderMap;

use crate::request::Request;
use crate::settings::Secret;
use crate::verdict::{Rejection, RejectionCode, Verified};
use crate::verifier::Verifier;

/// What was found: a code that stays, and one sentence with the remedy.
///
/// - the body: `body_bom_added`, `body_bom_removed`, `body_line_ends`, `body_lost`, `body_newline_added`, `body_newline_removed`, `body_reserialized`, `body_whitespace`
/// - the secret: `secret_case`, `secret_decoded`, `secret_newline`, `secret_not_decoded`, `secret_of_another_endpoint`, `secret_prefix`, `secret_quotes`, `secret_whitespace`
/// - the signature: `signature_base64`, `signature_base64_alphabet`, `signature_encoded_twice`, `signature_hex`, `signature_prefix`, `signature_quoted`, `signature_upper_case`
/// - the rest: `future_timestamp`, `other_provider`, `other_scheme`, `renamed_header`, `stale_timestamp`, `timestamp_format`, `timestamp_unit`, `url_differs`
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
    let case = Case { verifier, request, now };
    match rejection.code {
        RejectionCode::StaleTimestamp | RejectionCode::FutureTimestamp => Some(clock(&case, rejection)),
        RejectionCode::MissingHeader => header::explain(&case).or_else(|| header::other_scheme(&case)),
        RejectionCode::MalformedTimestamp => Some(Diagnosis {
            code: "timestamp_format",
            detail: format!("{} Something between the provider and here writes it anew, or the provider is another one.", rejection.detail),
        }),
        RejectionCode::MalformedHeader
        | RejectionCode::BadSignature
        | RejectionCode::BadToken
        | RejectionCode::MissingSignature
        | RejectionCode::MalformedBody
        | RejectionCode::BadClaims => secret::explain(&case, context)
            .or_else(|| signature::explain(&case))
            .or_else(|| body::explain(&case))
            .or_else(|| url::explain(&case))
            .or_else(|| header::other_scheme(&case)),
        RejectionCode::UnknownKey | RejectionCode::AddressNotAllowed | RejectionCode::HandshakeRefused | RejectionCode::NoSecret => None,
    }
}

/// A rejected request, to be tried again with one thing changed.
struct Case<'c> {
    verifier: &'c Verifier,
    request: &'c Request<'c>,
    now: Timestamp,
}

impl Case<'_> {
    fn verifies_with_body(&self, body: &[u8]) -> bool {
        self.verifies(self.verifier, &Request { body, ..*self.request })
    }

    fn verifies_with_headers(&self, headers: &HeaderMap) -> bool {
        self.verifies(self.verifier, &Request { headers, ..*self.request })
    }

    /// A handshake that nothing vouches for proves nothing.
    fn verifies(&self, verifier: &Verifier, request: &Request<'_>) -> bool {
        match verifier.verify(request, self.now) {
            Ok(Verified::Handshake(handshake)) if handshake.event.scheme.is_empty() => false,
            result => is_explained(&result),
        }
    }
}

/// That a request is too old as well does not make the mistake another one.
fn is_explained<T>(result: &Result<T, Rejection>) -> bool {
    match result {
        Ok(_) => true,
        Err(rejection) => matches!(rejection.code, RejectionCode::StaleTimestamp | RejectionCode::FutureTimestamp),
    }
}

/// The signature fits, so the timestamp is what the provider wrote, and only its unit, the clocks and the way are left.
fn clock(case: &Case<'_>, rejection: &Rejection) -> Diagnosis {
    let now_ms = case.now.unix_ms();
    let fits_at = |unix_ms| case.verifier.verify(case.request, Timestamp::from_unix_ms(unix_ms)).is_ok();
    let (code, remedy) = if fits_at(now_ms.saturating_mul(1000)) {
        ("timestamp_unit", "It is in milliseconds where seconds are expected: set the unit.")
    } else if fits_at(now_ms / 1000) {
        ("timestamp_unit", "It is in seconds where milliseconds are expected: set the unit.")
    } else if rejection.code == RejectionCode::StaleTimestamp {
        let remedy = "The signature fits, so the request was kept somewhere or sent again as it was; if new ones are as old, set this clock or the tolerance.";
        ("stale_timestamp", remedy)
    } else {
        ("future_timestamp", "The signature fits, so one of the two clocks is wrong: compare this one with a time server.")
    };
    finding(code, format!("{} {remedy}", rejection.detail))
}

fn finding(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Diagnosis {
    Diagnosis { code, detail: detail.into().into_owned() }
}
