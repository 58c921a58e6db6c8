"""The environment by one Python SDK: settings, export and import, event types from and to OpenAPI documents. Run as a part of python_suite.py."""

from __future__ import annotations

import json
from typing import Any

import svix.api as sdk
import svix.models as models
from python_base import SdkTest, new_tenant, ok, plain, sdk_with, unique
from harness.receiver import always

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "examples": [{"n": 7}]}


def document(**webhooks: str) -> dict[str, Any]:
    """An OpenAPI document with a webhook for each name, described as given."""

    def webhook(description: str) -> dict[str, Any]:
        body = {"content": {"application/json": {"schema": SCHEMA}}}
        return {"post": {"description": description, "requestBody": body, "responses": {"200": {"description": "ok"}}}}

    described = {name.replace("_", "."): webhook(description) for name, description in webhooks.items()}
    return {"openapi": "3.1.0", "info": {"title": "Orders", "version": "1"}, "webhooks": described}


class EnvironmentTest(SdkTest):
    own_tenant = True

    def names(self, tenant: Any = None) -> list[str]:
        return [event_type.name for event_type in (tenant or self.svix).event_type.list(sdk.EventTypeListOptions(limit=250)).data]

    def create(self, name: str, **options: Any) -> Any:
        return self.svix.event_type.create(models.EventTypeIn(name=name, **{"description": f"about {name}", **options}))


class Environments(EnvironmentTest):
    def test_what_was_exported_can_be_imported(self) -> None:
        self.create("order.paid", schemas={"1": SCHEMA}, group_name="orders", feature_flags=["beta"])
        self.create("order.lost", deprecated=True)
        exported = self.svix.environment.export()
        self.assertEqual({event_type.name for event_type in exported.event_types}, {"order.paid", "order.lost"})
        self.assertEqual(exported.connectors, [])

        other = sdk_with(new_tenant())
        settings = json.loads(exported.model_dump_json(by_alias=True))
        incoming = models.EnvironmentIn.model_validate({"eventTypes": settings["eventTypes"], "settings": settings["settings"]})
        for _ in range(2):  # Importing again changes nothing.
            self.assertIsNone(other.environment.import_(incoming))
            paid, lost = other.event_type.get("order.paid"), other.event_type.get("order.lost")
            self.assertEqual((paid.description, paid.group_name, paid.feature_flags), ("about order.paid", "orders", ["beta"]))
            self.assertEqual((paid.schemas, lost.deprecated), ({"1": SCHEMA}, True))
            self.assertEqual(self.names(other), ["order.lost", "order.paid"])
        again = other.environment.export()
        self.assertEqual({event_type.name for event_type in again.event_types}, {"order.paid", "order.lost"})
        self.assertEqual(again.settings, exported.settings)

    def test_an_import_takes_nothing_away(self) -> None:
        self.create("order.kept")
        incoming = models.EnvironmentIn.model_validate({"eventTypes": [{"name": "order.new", "description": "new"}]})
        self.svix.environment.import_(incoming)
        self.assertEqual(self.names(), ["order.kept", "order.new"])
        self.assertEqual(self.svix.event_type.get("order.kept").description, "about order.kept")

    def test_settings(self) -> None:
        body = {"settings": {"displayName": "Acme", "customColor": "#123456", "enableChannels": True}}
        self.svix.environment.import_(models.EnvironmentIn.model_validate(body))
        shown = ok(self.plain("GET", "/environment/settings"))
        self.assertEqual((shown["displayName"], shown["customColor"], shown["enableChannels"]), ("Acme", "#123456", True))
        exported = self.svix.environment.export().settings
        self.assertEqual((exported["displayName"], exported["enableChannels"]), ("Acme", True))
        # Who is in a portal may know how it is to look.
        portal = self.svix.authentication.app_portal_access(self.app.id, models.AppPortalAccessIn()).token
        self.assertEqual(ok(plain("GET", "/environment/settings", token=portal))["displayName"], "Acme")

    def test_a_wrong_import_changes_nothing(self) -> None:
        good, bad = {"name": "order.good", "description": ""}, {"name": "order bad", "description": ""}
        self.assertEqual(self.plain("POST", "/environment/import", {"eventTypes": [good, bad]}).status, 422)
        self.assertEqual(self.names(), [])


class OpenApi(EnvironmentTest):
    def import_(self, **options: Any) -> Any:
        return self.svix.event_type.import_openapi(models.EventTypeImportOpenApiIn(**options)).data

    def test_import(self) -> None:
        imported = self.import_(spec=document(order_paid="an order was paid", order_lost="gone"))
        self.assertEqual(sorted(imported.modified), ["order.lost", "order.paid"])
        paid = self.svix.event_type.get("order.paid")
        self.assertEqual((paid.description, paid.archived), ("an order was paid", False))
        self.assertEqual(paid.schemas["1"]["properties"], SCHEMA["properties"])
        # The example is what a test sends.
        endpoint = self.endpoint()
        self.svix.endpoint.send_example(self.app.id, endpoint.id, models.EventExampleIn(event_type="order.paid"))
        self.assertEqual(json.loads(self.receiver.wait(self.path, 1)[0].body), {"n": 7})

    def test_a_dry_run_changes_nothing(self) -> None:
        self.create("order.paid")
        tried = self.import_(spec=document(order_paid="changed", order_new="new"), dry_run=True)
        self.assertEqual(sorted(event_type.name for event_type in tried.to_modify), ["order.new", "order.paid"])
        self.assertEqual((self.names(), self.svix.event_type.get("order.paid").description), (["order.paid"], "about order.paid"))

    def test_replacing_all_archives_the_others(self) -> None:
        self.create("order.old")
        self.import_(spec_raw=json.dumps(document(order_new="new")))
        self.assertEqual(self.names(), ["order.new", "order.old"])
        self.import_(spec=document(order_new="newer"), replace_all=True)
        self.assertEqual((self.names(), self.svix.event_type.get("order.new").description), (["order.new"], "newer"))
        self.assertTrue(self.svix.event_type.get("order.old").archived)
        # What is imported again comes back.
        self.import_(spec=document(order_old="back"))
        self.assertFalse(self.svix.event_type.get("order.old").archived)

    def test_a_document_that_is_none_is_refused(self) -> None:
        self.refused(422, lambda: self.import_(spec_raw="{"))
        self.refused(400, lambda: self.import_())

    def test_export(self) -> None:
        self.create("order.paid", schemas={"1": SCHEMA})
        task = ok(self.plain("POST", "/event-type/export/openapi"), 202)
        self.assertEqual(task["task"], "sdk.generate")
        finished = self.finished(task["id"])
        self.assertEqual(finished.status, "finished")
        # Who imports it has the same.
        other = sdk_with(new_tenant())
        other.event_type.import_openapi(models.EventTypeImportOpenApiIn(spec=finished.data["spec"]))
        imported = other.event_type.get("order.paid")
        self.assertEqual((imported.description, imported.schemas), ("about order.paid", {"1": SCHEMA}))


class EventTypes(EnvironmentTest):
    def test_groups_flags_and_the_archive(self) -> None:
        created = self.create("order.paid", group_name="orders", feature_flags=["one", "two"])
        self.assertEqual((created.group_name, created.feature_flags), ("orders", ["one", "two"]))
        patched = self.svix.event_type.patch("order.paid", models.EventTypePatch(archived=True, group_name="sales"))
        self.assertEqual((patched.archived, patched.group_name, patched.feature_flags), (True, "sales", ["one", "two"]))
        self.assertEqual(self.names(), [])
        self.create("order.paid")
        self.assertFalse(self.svix.event_type.get("order.paid").archived)

    def test_retry_schedules(self) -> None:
        name = unique("slow")
        self.create(name)
        at = f"/event-type/{name}/retry-schedule"
        self.assertFalse(ok(self.plain("GET", at)).get("retrySchedule"))
        schedule = {"retrySchedule": [{"secs": 0, "nanos": 50_000_000}]}
        self.assertEqual(ok(self.plain("PUT", at, schedule)), ok(self.plain("GET", at)))
        self.endpoint(always(500))
        message = self.svix.message.create(self.app.id, models.MessageIn(event_type=name, payload={}))
        self.attempts(message, 2)
        self.assertEqual(self.svix.message_attempt.list_attempted_destinations(self.app.id, message.id).data[0].next_attempt, None)
        self.assertEqual(len(self.receiver.at(self.path)), 2)
