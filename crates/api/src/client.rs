//! What a request says of the library that sent it. Some read only what they were made for.

use std::convert::Infallible;

use aide::OperationInput;
use axum::extract::FromRequestParts;
use http::HeaderValue;
use http::header::USER_AGENT;
use http::request::Parts;

use crate::state::Api;

/// The version of a client of the family `svix-libs`; `None` for all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client(Option<(u32, u32)>);

impl Client {
    fn of(user_agent: &[u8]) -> Self {
        let version = std::str::from_utf8(user_agent).ok().and_then(|text| text.trim().strip_prefix("svix-libs/"));
        Self(version.map(|version| {
            let mut numbers = version.split(['.', '/', '-', ' ']).map(|part| part.parse::<u32>().unwrap_or_default());
            (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
        }))
    }

    pub(crate) fn is_since(self, major: u32, minor: u32) -> bool {
        self.0.is_some_and(|version| version >= (major, minor))
    }

    pub(crate) fn is_before(self, major: u32, minor: u32) -> bool {
        self.0.is_some_and(|version| version < (major, minor))
    }
}

impl FromRequestParts<Api> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Infallible> {
        Ok(Self::of(parts.headers.get(USER_AGENT).map_or(&[][..], HeaderValue::as_bytes)))
    }
}

/// Nothing that has to be described: every request says it or not.
impl OperationInput for Client {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_library_is_known() {
        for (user_agent, since_2_7, before_2) in [
            ("svix-libs/2.7.0/python", true, false),
            ("svix-libs/2.10.1/javascript", true, false),
            ("svix-libs/3.0/go", true, false),
            ("svix-libs/2.6.9/python", false, false),
            ("svix-libs/1.99.1/rust", false, true),
            ("curl/8.5.0", false, false),
            ("", false, false),
        ] {
            let client = Client::of(user_agent.as_bytes());
            assert_eq!((client.is_since(2, 7), client.is_before(2, 0)), (since_2_7, before_2), "{user_agent}");
        }
    }
}
