//! The event types of a tenant as an OpenAPI document: each a webhook, with its newest schema as the body.

use std::collections::BTreeMap;

use hookpost_domain::{EventType, EventTypeName, OrgId, limits};
use hookpost_store::{Cursor, Order, PageRequest, Unavailable};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::result::Yield;
use super::{After, Page, Stop};
use crate::engine::Engine;

impl Engine {
    pub(super) async fn export_page(&self, org: &OrgId) -> Result<Page, Stop> {
        let event_types = self.event_types_of(org).await?;
        let count = event_types.len() as u64;
        let webhooks: Map<String, Value> =
            event_types.iter().map(|event_type| (event_type.name.to_string(), webhook(event_type))).collect();
        let spec = json!({ "openapi": "3.1.0", "info": { "title": "Webhooks", "version": "1.0.0" }, "webhooks": webhooks });
        let result = json!({ "spec": spec }).to_string();
        Ok(Page { looked_at: count, affected: count, send: Vec::new(), after: After::Finished, found: Yield::Whole(result) })
    }

    pub(super) async fn event_type_names(&self, org: &OrgId) -> Result<Vec<EventTypeName>, Unavailable> {
        Ok(self.event_types_of(org).await?.into_iter().map(|event_type| event_type.name).collect())
    }

    /// Those that are not archived.
    async fn event_types_of(&self, org: &OrgId) -> Result<Vec<EventType>, Unavailable> {
        let mut all: Vec<EventType> = Vec::new();
        loop {
            let cursor = all.last().map(|event_type| Cursor::After(event_type.name.clone()));
            let page = PageRequest { limit: limits::PAGE_ITEMS_MAX, order: Order::Ascending, cursor };
            let listed = self.store.event_types(org, false, page).await?;
            let done = listed.done || listed.items.is_empty();
            all.extend(listed.items);
            if done {
                return Ok(all);
            }
        }
    }
}

fn webhook(event_type: &EventType) -> Value {
    let mut operation = json!({
        "summary": event_type.name,
        "description": event_type.description,
        "responses": { "2XX": { "description": "The webhook was received." } },
    });
    if let Some(schema) = newest_schema(event_type) {
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    if event_type.deprecated {
        operation["deprecated"] = true.into();
    }
    if let Some(group) = &event_type.group_name {
        operation["tags"] = json!([group]);
    }
    json!({ "post": operation })
}

fn newest_schema(event_type: &EventType) -> Option<Value> {
    let versions: BTreeMap<String, Box<RawValue>> = serde_json::from_str(event_type.schemas.as_deref()?).ok()?;
    let (_, schema) = versions.iter().max_by_key(|(version, _)| (version.parse::<u64>().unwrap_or_default(), *version))?;
    serde_json::from_str(schema.get()).ok()
}

#[cfg(test)]
mod tests {
    use hookpost_domain::{EventTypeId, RowId, Timestamp};

    use super::*;

    fn event_type(change: impl FnOnce(&mut EventType)) -> EventType {
        let mut event_type = EventType {
            id: EventTypeId::from_row(RowId::from_raw(1)),
            org: OrgId::management(),
            name: EventTypeName::parse("order.paid").unwrap(),
            description: "Somebody paid.".into(),
            archived: false,
            deprecated: false,
            schemas: None,
            group_name: None,
            feature_flags: Vec::new(),
            retry_schedule: None,
            created_at: Timestamp::ZERO,
            updated_at: Timestamp::ZERO,
        };
        change(&mut event_type);
        event_type
    }

    #[test]
    fn an_event_type_is_a_webhook_with_its_newest_schema() {
        let bare = webhook(&event_type(|_| {}));
        assert_eq!((bare["post"]["description"].as_str(), bare["post"].get("requestBody")), (Some("Somebody paid."), None));
        let full = webhook(&event_type(|event_type| {
            event_type.schemas = Some(r#"{"2": {"title": "old"}, "10": {"title": "new"}}"#.into());
            (event_type.deprecated, event_type.group_name) = (true, Some("orders".into()));
        }));
        assert_eq!(full["post"]["requestBody"]["content"]["application/json"]["schema"]["title"], "new");
        assert_eq!((&full["post"]["deprecated"], &full["post"]["tags"][0]), (&Value::from(true), &Value::from("orders")));
    }
}
