//! Signatures that other implementations made or judged (`vectors/*.json`, each names its oracle): what they accept must verify,
//! what they reject must not, and what we sign must be what they signed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookpost_domain::secret::EndpointSecrets;
use hookpost_domain::signature::{Signer, VerificationKey};
use hookpost_domain::{SigningSecret, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

const VECTORS: &[&str] = &[include_str!("vectors/standard_webhooks.json"), include_str!("vectors/svix.json")];

#[test]
fn agrees_with_other_implementations() {
    let (mut verified, mut signed) = (0, 0);
    for vector in VECTORS.iter().flat_map(|file| serde_json::from_str::<Vec<Value>>(file).unwrap()) {
        let text = |field: &str| vector[field].as_str().unwrap_or_default();
        let name = format!("{} {}", text("provider"), text("case"));
        let mut headers = HeaderMap::new();
        for (header, value) in vector["headers"].as_object().unwrap() {
            let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
            headers.insert(HeaderName::from_bytes(header.as_bytes()).unwrap(), value);
        }
        let body = STANDARD.decode(text("body_base64")).unwrap();
        let now = Timestamp::from_unix_ms(vector["now"].as_u64().unwrap() * 1000);
        let tolerance = Duration::from_secs(vector["tolerance"].as_u64().unwrap_or(300));
        let key = VerificationKey::parse(text("secret")).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));

        let verdict = key.verify(&headers, &body, now, tolerance);
        assert_eq!(verdict.is_ok(), text("expect") == "valid", "{name}: {verdict:?}");
        if let Ok(id) = verdict {
            assert_eq!(id, text("event_id"), "{name}");
            verified += 1;
        }

        if let (Ok(id), Ok(secret)) = (verdict, SigningSecret::parse(text("secret"))) {
            let header =
                |name: &str| headers.get(format!("webhook-{name}")).or(headers.get(format!("svix-{name}"))).unwrap().to_str().unwrap();
            let sent_at = Timestamp::from_unix_ms(header("timestamp").parse::<u64>().unwrap() * 1000);
            let signature = Signer::new(&EndpointSecrets::new(secret)).sign(id, sent_at, &body);
            assert!(header("signature").split(' ').any(|theirs| theirs == signature), "{name}: we sign {signature}");
            signed += 1;
        }
    }
    assert!(verified >= 15 && signed >= 10, "the vectors are there: {verified} verified, {signed} signed");
}
