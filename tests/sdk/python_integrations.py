"""Integrations by one Python SDK: third parties that act for one application, each with a key. Run as a part of python_suite.py."""

from __future__ import annotations

from typing import Any

import svix.api as sdk
import svix.models as models
from python_base import V1, SdkTest, ok, sdk_with


class Integrations(SdkTest):
    def integration(self, name: str = "Zapier", **options: Any) -> Any:
        return self.svix.integration.create(self.app.id, models.IntegrationIn(name=name, **options))

    def key(self, integration: Any) -> str:
        """Version 2 of the libraries can only make another one."""
        if V1:
            return self.svix.integration.get_key(self.app.id, integration.id).key
        return ok(self.plain("GET", f"/app/{self.app.id}/integration/{integration.id}/key"))["key"]

    def test_life_of_an_integration(self) -> None:
        api, app = self.svix.integration, self.app.id
        created = self.integration(feature_flags=["beta"])
        self.assertEqual((created.name, created.feature_flags), ("Zapier", ["beta"]))
        self.assertEqual(api.get(app, created.id), created)
        changed = api.update(app, created.id, models.IntegrationUpdate(name="Make"))
        self.assertEqual((changed.id, changed.name, changed.created_at), (created.id, "Make", created.created_at))
        self.assertEqual(api.get(app, created.id).name, "Make")
        ids = [created.id, self.integration().id]
        first = api.list(app, sdk.IntegrationListOptions(limit=1, order="ascending"))
        rest = api.list(app, sdk.IntegrationListOptions(limit=1, order="ascending", iterator=first.iterator))
        self.assertEqual([integration.id for integration in first.data + rest.data], ids)
        self.assertIsNone(api.delete(app, created.id))
        self.assertEqual(self.refused(404, api.get, app, created.id).code, "not_found")
        self.assertEqual([integration.id for integration in api.list(app).data], ids[1:])

    def test_a_key_is_good_for_its_application(self) -> None:
        integration = self.integration()
        third_party = sdk_with(self.key(integration))
        url = self.receiver.url(self.path)
        endpoint = third_party.endpoint.create(self.app.id, models.EndpointIn(url=url))
        self.assertEqual([found.id for found in self.svix.endpoint.list(self.app.id).data], [endpoint.id])
        message = self.send()
        self.assertEqual(self.receiver.wait(self.path, 1)[0].message_id, message.id)

        other = self.svix.application.create(models.ApplicationIn(name="other"))
        self.refused(404, third_party.endpoint.list, other.id)
        self.refused(403, third_party.application.list)
        self.refused(403, third_party.integration.rotate_key, self.app.id, integration.id)

    def test_rotation_ends_the_old_key_at_once(self) -> None:
        integration = self.integration()
        before = self.key(integration)
        after = self.svix.integration.rotate_key(self.app.id, integration.id).key
        self.assertNotEqual(before, after)
        self.assertEqual(self.key(integration), after)
        self.assertEqual(sdk_with(after).endpoint.list(self.app.id).data, [])
        self.assertEqual(self.refused(401, sdk_with(before).endpoint.list, self.app.id).code, "authentication_failed")

    def test_no_integration_no_key(self) -> None:
        integration = self.integration()
        key = self.key(integration)
        self.svix.integration.delete(self.app.id, integration.id)
        self.refused(401, sdk_with(key).endpoint.list, self.app.id)
        self.refused(404, self.svix.integration.rotate_key, self.app.id, integration.id)
