//! The URL of a source: made of a token that only those who were told know, and rotated with a grace period in which the old one opens too.

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookpost_domain::source::{SourceKind, SourceToken};
use hookpost_domain::{Invalid, Source, limits};
use hookpost_store::WriteError;
use schemars::JsonSchema;
use serde::Serialize;

use super::SourcePath;
use crate::auth::{Caller, Right};
use crate::extract::{Json, Path};
use crate::problem::Problem;
use crate::state::Api;

/// Nobody guesses 192 bits.
const TOKEN_BYTES: usize = 24;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotateTokenOut {
    /// The new URL. The old one is good for 48 hours.
    ingest_url: String,
}

pub(crate) async fn rotate(State(api): State<Api>, caller: Caller, Path(path): Path<SourcePath>) -> Result<Json<RotateTokenOut>, Problem> {
    let source = caller.source(&api, &path.source_id, Right::Manage).await?;
    if !matches!(source.kind, SourceKind::Webhook { .. }) {
        return Err(Problem::bad_request("generic_error", "Nobody calls this source, so it has no URL that could be rotated."));
    }
    let now = api.now();
    let new = generate(&api);
    let write = Box::new(move |source: &mut Source| {
        source.tokens.old.retain(|(_, until)| now < *until);
        if source.tokens.old.len() >= limits::SOURCE_TOKENS_OLD_MAX {
            return Err(Invalid::new("too many old tokens"));
        }
        let old = std::mem::replace(&mut source.tokens.current, new);
        source.tokens.old.push((old, now + limits::SOURCE_TOKEN_GRACE));
        source.updated_at = now;
        Ok(())
    });
    let updated = match api.store.update_source(source.id, write).await {
        Err(WriteError::Refused(_)) => return Err(too_often()),
        result => result?,
    };
    Ok(Json(RotateTokenOut { ingest_url: url(&api, &updated.tokens.current) }))
}

fn too_often() -> Problem {
    let detail = format!(
        "A source has at most {} old URLs that are still good, each for {} hours after its rotation. Wait until one of them has ended.",
        limits::SOURCE_TOKENS_OLD_MAX,
        limits::SOURCE_TOKEN_GRACE.as_secs() / 3600,
    );
    Problem::bad_request("limit_reached", detail)
}

pub(crate) fn generate(api: &Api) -> SourceToken {
    let mut bytes = [0; TOKEN_BYTES];
    api.entropy.fill(&mut bytes);
    SourceToken(URL_SAFE_NO_PAD.encode(bytes))
}

/// What is pasted into the settings of a provider.
pub(crate) fn url(api: &Api, token: &SourceToken) -> String {
    format!("{}/in/{}", api.settings.doors_url, token.0)
}
