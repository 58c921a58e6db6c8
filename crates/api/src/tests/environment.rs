//! The environment as a whole: settings, export and import, event types from OpenAPI, checking of messages.

use serde_json::{Value, json};

use crate::testing::{OTHER_ORG, TestServer};

const SETTINGS: &str = "/management/environment-settings";

#[tokio::test(start_paused = true)]
async fn settings_are_replaced_and_changed() {
    let server = TestServer::start();
    assert_eq!(server.call("GET", SETTINGS, None).await.json(), json!({}));
    let body = json!({ "displayName": "Acme", "customColor": "#112233", "unknown": 1, "colorPaletteDark": { "primary": "#000" } });
    let expected = json!({ "displayName": "Acme", "customColor": "#112233", "colorPaletteDark": { "primary": "#000" } });
    assert_eq!(server.call("PUT", SETTINGS, body).await.json(), expected);
    let changed = server.call("PATCH", SETTINGS, json!({ "customColor": null, "enableChannels": true, "retryPolicy": [1, 2] })).await;
    let expected =
        json!({ "displayName": "Acme", "enableChannels": true, "retryPolicy": [1, 2], "colorPaletteDark": { "primary": "#000" } });
    assert_eq!(changed.json(), expected);
    assert_eq!(server.call("GET", SETTINGS, None).await.json(), expected);
    assert_eq!(server.call("GET", "/management/environment", None).await.column("name"), [json!("Acme")]);

    let app = server.app().await;
    let portal = server.portal_token(&app, |_| {});
    let shown = server.call_as(&portal, "GET", "/environment/settings", None).await.json();
    assert_eq!(shown, json!({ "displayName": "Acme", "enableChannels": true, "colorPaletteDark": { "primary": "#000" } }));
    assert_eq!(server.call_as(&portal, "GET", SETTINGS, None).await.status, 403);
    let other = server.token_of(OTHER_ORG);
    assert_eq!(server.call_as(&other, "GET", SETTINGS, None).await.json(), json!({}));
    let foreign = format!("/management/environment/{}", hookpost_domain::OrgId::DEFAULT);
    assert_eq!(server.call_as(&other, "GET", &foreign, None).await.summary(), "404 not_found");
    assert_eq!(server.call("GET", &foreign, None).await.json()["region"], json!("self-hosted"));
    for (body, expected) in [
        (json!({ "enableChannels": "yes" }), "422 body.enableChannels: must be a boolean, not string \"yes\""),
        (
            json!({ "customFontFamily": "a;b", "customLogoUrl": "javascript:x" }),
            "422 body.customFontFamily: must be 1 to 256 letters, digits, spaces, `-` or `_`; body.customLogoUrl: must be a URL that begins with `https://` or `http://`",
        ),
    ] {
        assert_eq!(server.call("PATCH", SETTINGS, body.clone()).await.summary(), expected);
        assert_eq!(server.call("PUT", SETTINGS, body).await.summary(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_environment_is_moved_as_one_document() {
    let server = TestServer::start();
    server.event_type("a.b", Some(json!({ "1": { "type": "object" } }))).await;
    server.call("POST", "/event-type", json!({ "name": "old", "description": "o", "featureFlags": ["x"], "groupName": "g" })).await;
    server.call("DELETE", "/event-type/old", None).await;
    server.call("PUT", "/event-type/a.b/retry-schedule", json!({ "retrySchedule": "1s,2s" })).await;
    server.call("PUT", SETTINGS, json!({ "displayName": "Acme" })).await;
    let document = server.call("POST", "/environment/export", None).await.json();
    assert_eq!((&document["version"], &document["connectors"]), (&json!(1), &json!([])));

    let other = server.token_of(OTHER_ORG);
    server.call_as(&other, "POST", "/event-type", json!({ "name": "own", "description": "" })).await;
    let import = async |document: &Value| server.call_as(&other, "POST", "/environment/import", document.clone()).await.summary();
    assert_eq!(import(&document).await, "204");
    let version = server.api.store.version();
    assert_eq!(import(&document).await, "204");
    assert_eq!(server.api.store.version(), version, "nothing was changed the second time");
    let copy = server.call_as(&other, "POST", "/environment/export", None).await.json();
    let names = |document: &Value| -> Vec<Value> {
        document["eventTypes"].as_array().unwrap().iter().map(|event_type| event_type["name"].clone()).collect()
    };
    assert_eq!(names(&copy), [json!("a.b"), json!("old"), json!("own")]);
    assert_eq!((&copy["settings"], &copy["retrySchedules"]), (&document["settings"], &document["retrySchedules"]));
    let strip = |mut event_type: Value| {
        event_type["createdAt"].take();
        event_type["updatedAt"].take();
        event_type
    };
    for n in 0..2 {
        assert_eq!(strip(copy["eventTypes"][n].clone()), strip(document["eventTypes"][n].clone()));
    }
    let wrong = json!({ "eventTypes": [{ "name": "good", "description": "" }, { "name": "a b", "description": "" }], "settings": { "readOnly": 1 } });
    assert_eq!(
        import(&wrong).await,
        "422 body.eventTypes.1.name: has the character ' '; allowed are letters, digits and `-` `_` `.`; body.settings.readOnly: must be a boolean, not integer `1`"
    );
    assert_eq!(server.call_as(&other, "GET", "/event-type/good", None).await.status, 404);
}

const SPEC: &str = r##"
openapi: 3.1.0
webhooks:
  pet.new:
    post:
      summary: A pet
      description: A new pet
      x-svix-group-name: pets
      x-svix-feature-flags: [beta]
      requestBody: { $ref: "#/components/requestBodies/Pet" }
  pet.gone:
    x-svix-feature-flag: beta
    post: { deprecated: true, summary: It went }
components:
  requestBodies:
    Pet:
      content:
        application/json:
          schema: { $ref: "#/components/schemas/Pet" }
          example: { name: Rex }
  schemas:
    Pet:
      type: object
      required: [name]
      properties:
        name: { type: string, nullable: true, example: Rex }
        type: { type: string }
        example: { $ref: "#/components/schemas/Age" }
        friends: { type: array, items: { $ref: "#/components/schemas/Pet" } }
    Age: { type: integer, minimum: 0, exclusiveMinimum: true }
"##;

#[tokio::test(start_paused = true)]
async fn event_types_come_from_openapi_documents() {
    let server = TestServer::start();
    server.event_type("before", None).await;
    let import = async |body: Value| server.call("POST", "/event-type/import/openapi", body).await;
    let dry = import(json!({ "specRaw": SPEC, "dryRun": true, "replaceAll": true })).await.json()["data"].clone();
    assert_eq!((&dry["modified"], &dry["archived"]), (&json!([]), &json!(["before"])));
    assert_eq!(
        dry["to_modify"][0],
        json!({
            "name": "pet.new",
            "description": "A new pet",
            "deprecated": false,
            "groupName": "pets",
            "featureFlags": ["beta"],
            "schemas": { "1": {
                "type": "object",
                "required": ["name"],
                "examples": [{ "name": "Rex" }],
                "properties": {
                    "name": { "type": ["string", "null"], "examples": ["Rex"] },
                    "type": { "type": "string" },
                    "example": { "$ref": "#/definitions/Age" },
                    "friends": { "type": "array", "items": { "$ref": "#/definitions/Pet" } },
                },
                "definitions": {
                    "Age": { "type": "integer", "exclusiveMinimum": 0 },
                    "Pet": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": { "type": ["string", "null"], "examples": ["Rex"] },
                            "type": { "type": "string" },
                            "example": { "$ref": "#/definitions/Age" },
                            "friends": { "type": "array", "items": { "$ref": "#/definitions/Pet" } },
                        },
                    },
                },
            } },
        })
    );
    assert_eq!(server.call("GET", "/event-type", None).await.column("name"), [json!("before")], "a dry run");
    let first = import(json!({ "specRaw": SPEC })).await.json()["data"].clone();
    assert_eq!(first, json!({ "modified": ["pet.new", "pet.gone"], "archived": [] }));
    assert_eq!(import(json!({ "specRaw": SPEC })).await.json()["data"]["modified"], json!([]), "nothing is new");
    server.call("DELETE", "/event-type/pet.new", None).await;
    let again = import(json!({ "specRaw": SPEC, "replaceAll": true })).await.json()["data"].clone();
    assert_eq!(again, json!({ "modified": ["pet.new"], "archived": ["before"] }));
    assert_eq!(server.call("GET", "/event-type", None).await.column("name"), [json!("pet.gone"), json!("pet.new")]);

    // What it makes is of use: recursion, numbers and all.
    server.call("PATCH", SETTINGS, json!({ "validateMessages": true })).await;
    let app = server.app().await;
    let send = async |payload: Value| {
        let body = json!({ "eventType": "pet.new", "payload": payload });
        server.call("POST", &format!("/app/{app}/msg"), body).await.summary()
    };
    assert_eq!(send(json!({ "name": null, "friends": [{ "name": "Tom", "example": 1 }] })).await, "202");
    let refused = send(json!({ "name": "x", "friends": [{ "name": "Tom", "example": 0 }] })).await;
    assert!(refused.starts_with("422 body.payload.friends.0.example: The payload does not fit the schema of `pet.new`"), "{refused}");
    let refused = send(json!({})).await;
    assert!(refused.starts_with("422 body.payload: The payload does not fit"), "{refused}");
    let text = json!({ "eventType": "pet.new", "payload": {}, "transformationsParams": { "rawPayload": "text" } });
    assert!(server.call("POST", &format!("/app/{app}/msg"), text).await.summary().starts_with("422 body.payload: is no JSON"));
    server.call("PATCH", SETTINGS, json!({ "validateMessages": null })).await;
    assert_eq!(send(json!({})).await, "202");
}

#[tokio::test(start_paused = true)]
async fn documents_that_cannot_be_used_are_refused_as_a_whole() {
    let server = TestServer::start();
    let import = async |body: Value| server.call("POST", "/event-type/import/openapi", body).await.summary();
    assert_eq!(import(json!({})).await, "400 generic_error");
    assert_eq!(import(json!({ "spec": {}, "specRaw": "" })).await, "400 generic_error");
    assert_eq!(import(json!({ "spec": {} })).await, "422 body.spec: has neither `webhooks` nor `x-webhooks`");
    let body = |schema: Value| json!({ "post": { "requestBody": { "content": { "application/json": { "schema": schema } } } } });
    let refused = import(json!({ "spec": { "x-webhooks": {
        "good": body(json!({})),
        "a b": body(json!({})),
        "far": body(json!({ "$ref": "other.yaml#/Pet" })),
        "lost": body(json!({ "$ref": "#/components/schemas/Pet" })),
        "odd": body(json!({ "type": "creature" })),
        "none": {},
    } } }))
    .await;
    for expected in [
        "body.spec.webhooks.a b: has the character ' '",
        "body.spec.webhooks.far: refers to `other.yaml#/Pet`, which is not in this document",
        "body.spec.webhooks.lost: refers to `#/components/schemas/Pet`, which is not there",
        "body.spec.webhooks.odd: is not a JSON Schema of draft 7",
        "body.spec.webhooks.none: has no operation, such as `post`",
    ] {
        assert!(refused.contains(expected), "{refused}");
    }
    assert!(import(json!({ "specRaw": "a: [1" })).await.starts_with("422 body.specRaw: is neither YAML nor JSON"));
    let circle = json!({ "components": { "x": { "$ref": "#/components/y" }, "y": { "$ref": "#/components/x" } }, "webhooks": { "a": { "$ref": "#/components/x" } } });
    assert_eq!(import(json!({ "spec": circle })).await, "422 body.spec.webhooks.a: has references that lead to each other without end");
    assert_eq!(server.call("GET", "/event-type", None).await.column("name"), [] as [Value; 0]);
    let started = server.call("POST", "/event-type/export/openapi", None).await;
    assert_eq!((started.status.as_u16(), &started.json()["task"]), (202, &json!("sdk.generate")));
}
