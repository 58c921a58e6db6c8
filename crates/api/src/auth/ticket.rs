//! One-time tokens: what a portal link carries instead of the token itself, so that a link that lies around opens nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookpost_domain::RowId;
use hookpost_domain::access::{Capability, KeyText, Ticket};
use hookpost_store::{Document, Named, WriteError};

use super::api_key;
use crate::problem::Problem;
use crate::state::Api;

const PREFIX: &str = "ott_";
const LIFE: Duration = Duration::from_secs(5 * 60);

/// Makes a one-time token for `token`.
pub(crate) async fn issue(api: &Api, token: &str, capabilities: Option<Vec<Capability>>) -> Result<String, Problem> {
    let text = api_key::random_text(PREFIX, &*api.entropy);
    let now = api.now();
    let ticket = Ticket {
        id: api.store.new_row_id(now),
        name: name_of(&text),
        token: KeyText(token.to_owned()),
        capabilities,
        expires_at: now + LIFE,
    };
    api.store.create(&ticket).await?;
    Ok(text)
}

/// Takes it: of several who do so at the same moment, one gets what it stands for.
pub(crate) async fn redeem(api: &Api, text: &str) -> Result<Ticket, Problem> {
    let management = hookpost_domain::OrgId::management();
    let name = name_of(text);
    let found: Option<Ticket> = api.store.find(&management, RowId::MIN, Named::Name(&name)).await?;
    let ticket = found.filter(|ticket| ticket.expires_at > api.now()).ok_or(Problem::Unauthenticated)?;
    let place = ticket.place();
    match api.store.delete::<Ticket>(place.org, place.owner, place.id).await {
        Ok(()) => Ok(ticket),
        Err(WriteError::NotFound) => Err(Problem::Unauthenticated),
        Err(error) => Err(error.into()),
    }
}

/// Whoever reads the store cannot redeem what he finds there.
fn name_of(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(api_key::hash(text))
}
