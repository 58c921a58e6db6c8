//! The description of the API: complete, consistent, and the same until somebody means to change it.

use std::collections::BTreeSet;

use serde_json::Value;

fn document() -> Value {
    serde_json::from_str(&crate::openapi_document()).unwrap()
}

#[test]
fn is_as_it_was() {
    insta::assert_snapshot!(crate::openapi_document());
}

#[test]
fn every_operation_is_named_once_and_every_reference_leads_somewhere() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no id"));
            assert!(ids.insert(id.to_owned()), "{id} stands twice");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{id}");
            let described: BTreeSet<&str> = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let given: BTreeSet<&str> = parameters.filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
            assert_eq!(given, described, "{method} {path}");
            let success = operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2'));
            assert!(success, "{id} has no answer");
        }
    }
    for reference in references(&document) {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str);
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// What the published clients, from the oldest in use to the newest, cannot do without.
#[test]
fn answers_have_the_fields_that_clients_need() {
    let document = document();
    for (model, fields) in [
        ("ApplicationOut", "id name createdAt updatedAt metadata"),
        ("EndpointOut", "id url description createdAt updatedAt metadata version"),
        ("EventTypeOut", "name description deprecated createdAt updatedAt"),
        ("MessageOut", "id eventType payload timestamp"),
        (
            "MessageAttemptOut",
            "id url response responseStatusCode responseDurationMs status statusText triggerType msgId endpointId timestamp",
        ),
        ("EndpointStats", "success pending sending fail canceled"),
        ("RecoverOut", "id status task updatedAt"),
        ("EndpointHeadersOut", "headers sensitive"),
        ("EndpointSecretOut", "key"),
        ("AppPortalAccessOut", "url token"),
        ("BackgroundTaskOut", "id status task data updatedAt"),
        ("IngestSourceOut", "id name type config createdAt updatedAt metadata"),
        ("RotateTokenOut", "ingestUrl"),
        ("IngestLogOut", "id source_id status_code error_text headers payload created_at updated_at"),
        ("IngestEndpointTransformationOut", "enabled"),
        ("ListResponse_IngestSourceOut_", "data iterator done"),
        ("ListResponse_IngestLogOut_", "data iterator done"),
        ("ListResponse_ApplicationOut_", "data iterator done"),
        ("ListResponse_EndpointOut_", "data iterator done"),
        ("ListResponse_MessageOut_", "data iterator done"),
        ("HttpErrorOut", "code detail"),
        ("HTTPValidationError", "detail"),
        ("ValidationError", "loc msg type"),
    ] {
        let required = &document["components"]["schemas"][model]["required"];
        let required: BTreeSet<&str> =
            required.as_array().unwrap_or_else(|| panic!("{model} is missing")).iter().map(|f| f.as_str().unwrap()).collect();
        for field in fields.split(' ') {
            assert!(required.contains(field), "{model} does not promise {field}: {required:?}");
        }
    }
}
