//! The fields of the settings, as the published API has them. All are optional: what is not said is as it is without it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most concern the portal; what this server does not do (yet) is kept all the same, so that an environment can be moved.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SettingsInternal {
    #[serde(skip_serializing_if = "Option::is_none")]
    show_svix_brand_footer: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) whitelabel_logo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_policy: Option<Vec<i32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    require_endpoint_channel: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    whitelabel_headers: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    send_svix_webhook_headers: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_msg_atmpt_log: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_otlp: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_color: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) custom_logo_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_theme_override: Option<CustomThemeOverride>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_strings_override: Option<CustomStringsOverride>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_base_font_size: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) custom_font_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) custom_font_family_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_endpoint_on_failure: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_catalog_published: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enforce_https: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_channels: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_message_stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advanced_endpoint_types: Option<Vec<AdvancedEndpointType>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_integration_management: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_transformations: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    require_endpoint_filter_types: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_endpoint_oauth_config: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_endpoint_mtls_config: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    color_palette_light: Option<CustomColorPalette>,
    #[serde(skip_serializing_if = "Option::is_none")]
    color_palette_dark: Option<CustomColorPalette>,
    #[serde(skip_serializing_if = "Option::is_none")]
    show_use_svix_play: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wipe_successful_payload: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_application_alerts: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_alert_events: Option<Vec<ApplicationAlertEvent>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) application_alerts_dashboard_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) application_alerts_logo_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    show_feature_tooltips: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhooks_auto_config: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints_per_app_limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mcp_token: Option<bool>,
    /// Refuse messages that do not fit the JSON Schema of their event type. (Hookpost's own.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) validate_messages: Option<bool>,
    /// (Not among the published settings for owners, but shown to portals.)
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_message_tags: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logo_url: Option<String>,
}

/// What a portal needs of them.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct EnvironmentSettingsOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_color: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logo_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_logo_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_font_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_font_family_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_theme_override: Option<CustomThemeOverride>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_strings_override: Option<CustomStringsOverride>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_channels: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_message_tags: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_message_stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_integration_management: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_transformations: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_endpoint_oauth_config: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_endpoint_mtls_config: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    color_palette_light: Option<CustomColorPalette>,
    #[serde(skip_serializing_if = "Option::is_none")]
    color_palette_dark: Option<CustomColorPalette>,
    #[serde(skip_serializing_if = "Option::is_none")]
    show_use_svix_play: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    show_svix_brand_footer: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wipe_successful_payload: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    show_feature_tooltips: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advanced_endpoint_types: Option<Vec<AdvancedEndpointType>>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CustomThemeOverride {
    #[serde(skip_serializing_if = "Option::is_none")]
    border_radius: Option<BorderRadiusConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    font_size: Option<FontSizeConfig>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct BorderRadiusConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    button: Option<BorderRadiusEnum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<BorderRadiusEnum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<BorderRadiusEnum>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FontSizeConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<u16>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CustomStringsOverride {
    #[serde(skip_serializing_if = "Option::is_none")]
    channels_one: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels_many: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels_help: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CustomColorPalette {
    #[serde(skip_serializing_if = "Option::is_none")]
    primary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    background_primary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    background_secondary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    background_hover: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_primary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_secondary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_danger: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interactive_accent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    navigation_accent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    button_primary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    border_primary: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum BorderRadiusEnum {
    None,
    Lg,
    Md,
    Sm,
    Full,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum AdvancedEndpointType {
    Poller,
    Http,
    AmazonS3,
    AzureBlobStorage,
    GoogleCloudStorage,
    GoogleCloudPubSub,
    Sqs,
    Sns,
    BigQuery,
    Clickhouse,
    EventBridge,
    Snowflake,
    RabbitMq,
    Redshift,
    OtelTracing,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ApplicationAlertEvent {
    #[serde(rename = "endpoint.disabled")]
    EndpointDisabled,
    #[serde(rename = "message.attempt.exhausted")]
    MessageAttemptExhausted,
    #[serde(rename = "stream.sink.disabled")]
    StreamSinkDisabled,
}
