//! What a token says of itself, against what it must say. Times are in seconds, and may have fractions.

use hookpost_domain::time::Timestamp;
use serde_json::{Map, Value};

use super::bad_claims;
use crate::clock::span;
use crate::verdict::{Rejection, RejectionCode};

pub(super) struct Expectations {
    pub(super) issuer: Option<String>,
    /// One of these must be in `aud`; empty: any.
    pub(super) audience: Vec<String>,
    /// Claims that must be there.
    pub(super) require: Vec<String>,
    /// How many seconds the times may be off.
    pub(super) leeway: u64,
    /// Whether a token may not have been issued in the future.
    pub(super) checks_issued_at: bool,
}

impl Expectations {
    /// No more than that the token has not expired.
    pub(super) fn expiring(leeway: u64) -> Self {
        Self { issuer: None, audience: Vec::new(), require: vec!["exp".to_owned()], leeway, checks_issued_at: false }
    }

    pub(super) fn check(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), Rejection> {
        if let Some(missing) = self.require.iter().find(|name| claims.get(*name).is_none_or(Value::is_null)) {
            return Err(bad_claims(format!("The token has no claim `{missing}`, which is required.")));
        }
        self.check_times(claims, now)?;
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(bad_claims(format!("The claim `iss` of the token is not `{issuer}`.")));
        }
        if !self.audience.is_empty() && !self.is_for_us(claims.get("aud")) {
            return Err(bad_claims(format!("The claim `aud` of the token does not name `{}`.", self.audience.join("` or `"))));
        }
        Ok(())
    }

    fn is_for_us(&self, audience: Option<&Value>) -> bool {
        let ours = |value: &Value| value.as_str().is_some_and(|text| self.audience.iter().any(|audience| audience == text));
        match audience {
            Some(Value::Array(several)) => several.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        }
    }

    fn check_times(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), Rejection> {
        let now = now.unix_seconds() as f64;
        let leeway = self.leeway as f64;
        if let Some(expires) = seconds(claims, "exp")?
            && expires <= now - leeway
        {
            let detail = format!("The token expired {} ago.", span(((now - expires) * 1000.0) as i128));
            return Err(Rejection::new(RejectionCode::StaleTimestamp, detail));
        }
        let begins: &[&str] = if self.checks_issued_at { &["nbf", "iat"] } else { &["nbf"] };
        for name in begins {
            if let Some(begin) = seconds(claims, name)?
                && begin > now + leeway
            {
                let detail = format!("The token is valid in {} only (`{name}`).", span(((begin - now) * 1000.0) as i128));
                return Err(Rejection::new(RejectionCode::FutureTimestamp, detail));
            }
        }
        Ok(())
    }
}

pub(super) fn issued_at(claims: &Map<String, Value>) -> Option<Timestamp> {
    claims.get("iat")?.as_u64()?.checked_mul(1000).map(Timestamp::from_unix_ms).filter(|timestamp| *timestamp <= Timestamp::MAX)
}

fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Rejection> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            value.as_f64().map(f64::floor).map(Some).ok_or_else(|| bad_claims(format!("The claim `{name}` of the token is not a number.")))
        }
    }
}
