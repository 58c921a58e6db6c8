//! Is it the secret? Another endpoint's, one pasted with what stood around it, or one read in another way than the sender does.

use std::borrow::Cow;

use super::{Case, Context, Diagnosis, finding, is_explained};
use crate::keys::SecretForm;
use crate::settings::{Secret, Settings};
use crate::verifier::Verifier;

pub(super) fn explain(case: &Case<'_>, context: &Context<'_>) -> Option<Diagnosis> {
    of_another(case, context).or_else(|| pasted(case)).or_else(|| read_otherwise(case))
}

fn of_another(case: &Case<'_>, context: &Context<'_>) -> Option<Diagnosis> {
    let other = context.other_secrets.iter().find(|other| verifies_with(case, other.secret.reveal()))?;
    let detail = format!(
        "The request was made with the secret of {}: it was sent to the wrong place, or the secrets were mixed up. Compare the secret here with the one the provider shows for this URL.",
        other.label
    );
    Some(finding("secret_of_another_endpoint", detail))
}

/// What is around a secret when it is copied from a file or a page.
fn pasted(case: &Case<'_>) -> Option<Diagnosis> {
    let found = case.verifier.settings().live_secrets().into_iter().find_map(|secret| {
        let trimmed = secret.trim();
        let unquoted = trimmed.trim_matches(['"', '\'', '`']).trim();
        let changed = [
            ("secret_whitespace", "without the white space around it", Cow::Borrowed(trimmed)),
            ("secret_quotes", "without the quotes around it", Cow::Borrowed(unquoted)),
            ("secret_newline", "with the newline at its end that the sender has in its own", Cow::Owned(format!("{secret}\n"))),
            ("secret_case", "in lower case", Cow::Owned(secret.to_lowercase())),
        ];
        changed.into_iter().find(|(_, _, changed)| *changed != secret && verifies_with(case, changed))
    });
    let (code, how, _) = found?;
    Some(finding(code, format!("The request fits the secret {how}: paste it again in that way.")))
}

/// The same secret as other bytes: decoded where it is used as text, or as text where it is decoded.
fn read_otherwise(case: &Case<'_>) -> Option<Diagnosis> {
    let ways = [
        (SecretForm::Text, "", "secret_not_decoded", "as the text that it is, which is decoded here"),
        (SecretForm::Text, "whsec_", "secret_prefix", "as the text after `whsec_`"),
        (SecretForm::Base64, "", "secret_decoded", "after base64 is decoded, which is used as text here"),
        (SecretForm::Whsec, "", "secret_decoded", "after `whsec_` is taken off and base64 decoded, which is used as text here"),
        (SecretForm::Hex, "", "secret_decoded", "after hex is decoded, which is used as text here"),
    ];
    let (_, _, code, how) = ways.into_iter().find(|(form, prefix, _, _)| verifies_in_form(case, *form, prefix))?;
    let detail =
        format!("The sender uses the secret {how}. Check in its documentation how the secret is written, and that it is of this provider.");
    Some(finding(code, detail))
}

fn verifies_with(case: &Case<'_>, secret: &str) -> bool {
    let settings = with_secret(case.verifier.settings(), secret);
    Verifier::new(case.verifier.provider(), &settings).is_ok_and(|verifier| case.verifies(&verifier, case.request))
}

fn verifies_in_form(case: &Case<'_>, form: SecretForm, without_prefix: &str) -> bool {
    let settings = case.verifier.settings();
    settings.live_secrets().into_iter().filter_map(|secret| secret.strip_prefix(without_prefix)).any(|secret| {
        let settings = with_secret(settings, secret);
        case.verifier.active().iter().any(|active| {
            let rule = active.scheme.rule.with_secret_form(form);
            let check = rule.and_then(|rule| rule.check(&settings).ok());
            check.is_some_and(|check| is_explained(&check.verify(case.request, case.now)))
        })
    })
}

fn with_secret(settings: &Settings, secret: &str) -> Settings {
    Settings { secret: Some(Secret::new(secret)), secret_secondary: None, secrets: Vec::new(), ..settings.clone() }
}
