//! The settings of an environment.

mod fields;

use axum::extract::State;
use hookpost_domain::tenant::EnvironmentSettings;
use hookpost_domain::{Invalid, OrgId, RowId};
use hookpost_store::WriteError;
use serde_json::{Map, Value};
use url::Url;

use crate::auth::{Caller, Right};
use crate::extract::{Body, Json, RawBody, parse_json};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::tenant::settings_of;

pub(crate) use fields::{EnvironmentSettingsOut, SettingsInternal};

const SETTINGS_BYTES_MAX: usize = 64 << 10;
const FONT_FAMILY_CHARS_MAX: usize = 256;

/// What a portal may see.
pub(crate) async fn get_public(State(api): State<Api>, caller: Caller) -> Result<Json<EnvironmentSettingsOut>, Problem> {
    let (org, _) = caller.org_or_session(Right::Read).or_else(|_| caller.org_or_stream_session(Right::Read))?;
    Ok(Json(shown(&stored(&api, org).await?)?))
}

pub(crate) async fn get(State(api): State<Api>, caller: Caller) -> Result<Json<SettingsInternal>, Problem> {
    let org = caller.org(Right::Read)?;
    Ok(Json(shown(&stored(&api, org).await?)?))
}

pub(crate) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<SettingsInternal>,
) -> Result<Json<SettingsInternal>, Problem> {
    let org = caller.org(Right::Manage)?;
    let new = input.check()?;
    replace(&api, org, new).await.map(Json)
}

/// Changes what is given; `null` takes a setting away.
pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    body: RawBody<SettingsInternal>,
) -> Result<Json<SettingsInternal>, Problem> {
    let org = caller.org(Right::Manage)?;
    let input: SettingsInternal = parse_json(&body.0).map_err(|error| Problem::Invalid(vec![error]))?;
    let given: Map<String, Value> = parse_json(&body.0).map_err(|error| Problem::Invalid(vec![error]))?;
    let set = input.check()?;
    let gone: Vec<String> = given.into_iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name).collect();
    let changed = change_settings(&api, org, move |settings| {
        let mut fields = read_object(&settings.settings);
        fields.retain(|name, _| !gone.contains(name));
        fields.extend(set.clone());
        write(settings, &fields);
    })
    .await?;
    Ok(Json(shown(&changed.settings)?))
}

pub(super) async fn replace(api: &Api, org: &OrgId, new: Map<String, Value>) -> Result<SettingsInternal, Problem> {
    let changed = change_settings(api, org, move |settings| write(settings, &new)).await?;
    shown(&changed.settings)
}

/// The settings as JSON, for whoever looks for one of them.
pub(super) fn read(settings: &str) -> Value {
    Value::Object(read_object(settings))
}

pub(super) fn read_object(settings: &str) -> Map<String, Value> {
    serde_json::from_str(settings).unwrap_or_default()
}

pub(super) async fn stored(api: &Api, org: &OrgId) -> Result<String, Problem> {
    Ok(settings_of(api, org).await?.map_or_else(|| "{}".to_owned(), |settings| settings.settings))
}

fn shown<T: serde::de::DeserializeOwned>(settings: &str) -> Result<T, Problem> {
    serde_json::from_str(settings).map_err(|error| {
        tracing::error!(target: "hookpost::store", %error, "the settings of an environment cannot be read");
        Problem::Internal
    })
}

fn write(settings: &mut EnvironmentSettings, fields: &Map<String, Value>) {
    settings.validates_messages = fields.get("validateMessages") == Some(&Value::Bool(true));
    settings.settings = Value::Object(fields.clone()).to_string();
}

/// Changes the settings of a tenant inside the transaction that writes them back, or makes them.
pub(crate) async fn change_settings(
    api: &Api,
    org: &OrgId,
    change: impl Fn(&mut EnvironmentSettings) + Clone + Send + 'static,
) -> Result<EnvironmentSettings, Problem> {
    let now = api.now();
    loop {
        let change_it = change.clone();
        let write = move |settings: &mut EnvironmentSettings| {
            change_it(settings);
            settings.updated_at = now;
            if settings.settings.len() > SETTINGS_BYTES_MAX {
                return Err(Invalid::new(format!("The settings are larger than {SETTINGS_BYTES_MAX} bytes.")));
            }
            Ok(())
        };
        match api.store.update(org, RowId::MIN, RowId::MAX, write.clone()).await {
            Err(WriteError::NotFound) => {}
            result => return Ok(result?),
        }
        let mut first = EnvironmentSettings {
            org: org.clone(),
            settings: "{}".to_owned(),
            limits: None,
            validates_messages: false,
            created_at: now,
            updated_at: now,
        };
        write(&mut first).map_err(WriteError::Refused)?;
        match api.store.create(&first).await {
            Ok(()) => return Ok(first),
            // Somebody else was faster.
            Err(WriteError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl SettingsInternal {
    /// What is set, by name.
    pub(super) fn check(self) -> Result<Map<String, Value>, Problem> {
        let mut wrong = Wrong::in_body();
        wrong.optional("customFontFamily", self.custom_font_family.as_deref(), font_family);
        for (field, url) in [
            ("customFontFamilyUrl", &self.custom_font_family_url),
            ("customLogoUrl", &self.custom_logo_url),
            ("logoUrl", &self.logo_url),
            ("whitelabelLogo", &self.whitelabel_logo),
            ("applicationAlertsDashboardUrl", &self.application_alerts_dashboard_url),
            ("applicationAlertsLogoUrl", &self.application_alerts_logo_url),
        ] {
            wrong.optional(field, url.as_deref(), web_url);
        }
        wrong.nothing()?;
        match serde_json::to_value(&self) {
            Ok(Value::Object(fields)) => Ok(fields),
            _ => Err(Problem::Internal),
        }
    }
}

fn font_family(text: &str) -> Result<(), Invalid> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ' ');
    if (1..=FONT_FAMILY_CHARS_MAX).contains(&text.len()) && text.chars().all(allowed) {
        Ok(())
    } else {
        Err(Invalid::new(format!("must be 1 to {FONT_FAMILY_CHARS_MAX} letters, digits, spaces, `-` or `_`")))
    }
}

/// It is shown in a page, where `javascript:` would be a program.
fn web_url(text: &str) -> Result<(), Invalid> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "https" | "http") => Ok(()),
        _ => Err(Invalid::new("must be a URL that begins with `https://` or `http://`")),
    }
}
