//! `hookpost token`: signs tokens without a server, for those who give every tenant a token of its own.

use std::time::Duration;

use clap::Args;
use hookpost_domain::{Clock as _, OrgId, Timestamp};
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;
use serde_json::json;

use super::key::organization;
use crate::cli::DataArgs;
use crate::config::Environment;
use crate::failure::Failure;
use crate::output;
use crate::outside::SystemClock;
use crate::secrets;

const ORG_TOKEN_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const APP_TOKEN_LIFE: Duration = Duration::from_secs(28 * 24 * 3600);
const ISSUER: &str = "hookpost";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  HOOKPOST_JWT_SECRET=… hookpost token --org org_23rb8YdGqMT0qIzpgGwdXfHirMu
  hookpost token --org org_23rb8YdGqMT0qIzpgGwdXfHirMu --app app_2cX… --ttl 1h

Any organization id that is `org_` and 27 letters and digits is a tenant of its own. The secret must be the server's: --jwt-secret,
HOOKPOST_JWT_SECRET, or the one that a server made in its data directory.")]
pub(crate) struct TokenArgs {
    /// The organization [default: the default organization]
    #[arg(long, value_name = "ORG_ID", default_value = OrgId::DEFAULT, hide_default_value = true, value_parser = organization)]
    org: OrgId,
    /// Only for this application of it: its id
    #[arg(long, value_name = "APP_ID", value_parser = application)]
    app: Option<String>,
    /// How long it is valid [default: ten years for an organization, 28 days for an application]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    ttl: Option<Duration>,
    /// Print JSON: the token and when it expires
    #[arg(long)]
    json: bool,
    /// The secret to sign with [env: HOOKPOST_JWT_SECRET]
    #[arg(long, value_name = "SECRET")]
    jwt_secret: Option<String>,
    #[command(flatten)]
    data: DataArgs,
}

fn application(text: &str) -> Result<String, String> {
    if hookpost_domain::id::has_public_shape::<hookpost_domain::id::ApplicationKind>(text) {
        Ok(text.to_owned())
    } else {
        Err("must be the id of an application: `app_` and 27 letters and digits (see `hookpost app list`)".to_owned())
    }
}

/// What a token says. The subject is the organization, or the application with the organization beside it.
#[derive(Debug, Serialize)]
struct Claims<'a> {
    iat: u64,
    nbf: u64,
    exp: u64,
    iss: &'a str,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<&'a str>,
}

pub(crate) fn run(args: &TokenArgs, environment: &Environment) -> anyhow::Result<()> {
    let mut serve = args.data.as_serve();
    if let Some(secret) = &args.jwt_secret {
        serve.settings.0.insert("jwt_secret", secret.clone());
    }
    let settings = super::resolve(&serve, environment, &[])?.settings;
    let secret = secrets::jwt_secret_if_any(&settings)?.ok_or_else(|| {
        Failure::Usage(
            "no secret to sign with: set HOOKPOST_JWT_SECRET to the server's, or give --data-dir of a server that made its own".to_owned(),
        )
    })?;
    let (token, expires_at) = sign(args, secret.0.as_bytes(), SystemClock.now())?;
    if args.json {
        return Ok(output::print_json(&json!({"token": token, "expiresAt": expires_at.to_string()}))?);
    }
    Ok(output::print_line(token)?)
}

fn sign(args: &TokenArgs, secret: &[u8], now: Timestamp) -> anyhow::Result<(String, Timestamp)> {
    let life = args.ttl.unwrap_or(if args.app.is_some() { APP_TOKEN_LIFE } else { ORG_TOKEN_LIFE });
    let expires_at = now + life;
    let claims = Claims {
        iat: now.unix_seconds(),
        nbf: now.unix_seconds(),
        exp: expires_at.unix_seconds(),
        iss: ISSUER,
        sub: args.app.as_deref().unwrap_or(args.org.as_str()),
        org: args.app.is_some().then_some(args.org.as_str()),
    };
    Ok((jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret))?, expires_at))
}
