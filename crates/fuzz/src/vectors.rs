//! Where the runners begin: the requests that the providers' own libraries have signed.

use std::path::Path;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookpost_domain::Timestamp;
use hookpost_providers::{Settings, SignedRequest, Verifier, provider};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

#[derive(Debug)]
pub struct Vector {
    pub provider: String,
    pub settings: Settings,
    request: SignedRequest,
    now: Timestamp,
    verifier: Option<Verifier>,
}

impl Vector {
    pub fn verifier(&self) -> Option<&Verifier> {
        self.verifier.as_ref()
    }

    pub fn request(&self) -> &SignedRequest {
        &self.request
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    fn read(fields: &Map<String, Value>) -> Option<Self> {
        let text = |field: &str| fields.get(field).and_then(Value::as_str);
        let mut headers = HeaderMap::new();
        for (name, value) in fields.get("headers")?.as_object()? {
            headers.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_bytes(value.as_str()?.as_bytes()).ok()?);
        }
        let known = fields.iter().filter(|(field, _)| Settings::FIELDS.contains(&field.as_str()));
        let settings: Map<_, _> = known.map(|(field, value)| (field.clone(), value.clone())).collect();
        let settings = serde_json::from_value(settings.into()).ok()?;
        let name = text("provider")?;
        Some(Self {
            provider: name.to_owned(),
            verifier: Verifier::new(provider(name)?, &settings).ok(),
            settings,
            request: SignedRequest {
                method: text("method")?.to_owned(),
                url: text("url")?.to_owned(),
                headers,
                body: STANDARD.decode(text("body_base64")?).ok()?,
            },
            now: Timestamp::from_unix_ms(fields.get("now")?.as_u64()? * 1000),
        })
    }
}

/// All of them, in the same order whenever they are read, so that a finding stays one.
pub fn vectors() -> &'static [Vector] {
    static VECTORS: OnceLock<Vec<Vector>> = OnceLock::new();
    VECTORS.get_or_init(|| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../providers/tests/vectors");
        let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        let read = |file: &std::path::PathBuf| {
            let text = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let vectors: Vec<Map<String, Value>> =
                serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            vectors.iter().map(|fields| Vector::read(fields).unwrap_or_else(|| panic!("{}: not a vector", file.display()))).collect()
        };
        files.iter().flat_map(|file| -> Vec<Vector> { read(file) }).collect()
    })
}
