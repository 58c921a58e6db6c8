//! Keys that create messages of one application, and do nothing else: for producers that should not be trusted with more.

use std::time::Duration;

use axum::extract::State;
use hookpost_domain::Invalid;
use hookpost_domain::access::KeyReach;
use hookpost_domain::limits::NAME_CHARS_MAX;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::api_key::{NewApiKey, new_api_key};
use crate::auth::{Caller, Right};
use crate::extract::{Body, Json, Path};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::api_token::ApiTokenOut;
use crate::v1::application::ApplicationPath;

const EXPIRY_SECONDS_MAX: u64 = 100 * 365 * 24 * 3600;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateTokenIn {
    /// What the token is for, for people.
    #[schemars(length(max = 256))]
    name: String,
    /// Seconds until it stops working; never, if not given.
    expiry: Option<u64>,
}

pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Body(input): Body<CreateTokenIn>,
) -> Result<Json<ApiTokenOut>, Problem> {
    let (name, life) = input.parse()?;
    let view = caller.application(&api, &path.app_id, Right::Admin).await?;
    let now = api.now();
    let new = NewApiKey {
        org: view.application.org.clone(),
        name,
        scopes: Vec::new(),
        reach: KeyReach::MessagesOf(view.application.id),
        expires_at: life.map(|life| now + life),
    };
    let (text, key) = new_api_key(new, api.store.new_row_id(now), &*api.entropy, now);
    let out = ApiTokenOut::new(&api, text, &key);
    api.store.create_api_key(key).await?;
    Ok(Json(out))
}

impl CreateTokenIn {
    fn parse(self) -> Result<(String, Option<Duration>), Problem> {
        let mut wrong = Wrong::in_body();
        if self.name.chars().count() > NAME_CHARS_MAX {
            wrong.add("name", format!("must be at most {NAME_CHARS_MAX} characters long"));
        }
        let life = wrong.optional("expiry", self.expiry, |seconds| match seconds {
            0..=EXPIRY_SECONDS_MAX => Ok(Duration::from_secs(seconds)),
            _ => Err(Invalid::new(format!("must be between 0 and {EXPIRY_SECONDS_MAX} seconds"))),
        });
        wrong.nothing().map(|()| (self.name, life))
    }
}
