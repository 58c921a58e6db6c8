"""Tokens by one Python SDK: portals, their sessions and rights, keys of people and of producers. Run as a part of python_suite.py."""

from __future__ import annotations

import urllib.parse
from typing import Any

import svix.models as models
from python_base import SdkTest, new_tenant, ok, plain, sdk_with, unique
from harness import suite


class Portals(SdkTest):
    def access(self, **options: Any) -> Any:
        return self.svix.authentication.app_portal_access(self.app.id, models.AppPortalAccessIn(**options))

    def expire(self, **options: Any) -> None:
        self.assertIsNone(self.svix.authentication.expire_all(self.app.id, models.ApplicationTokenExpireIn(**options)))

    def test_reading_only(self) -> None:
        endpoint = self.endpoint()
        portal = sdk_with(self.access(read_only=True).token)
        self.assertEqual([found.id for found in portal.endpoint.list(self.app.id).data], [endpoint.id])
        self.refused(403, portal.endpoint.delete, self.app.id, endpoint.id)
        self.refused(403, portal.endpoint.patch, self.app.id, endpoint.id, models.EndpointPatch(description="mine"))
        self.assertEqual(self.svix.endpoint.get(self.app.id, endpoint.id).description, "")

    def test_capabilities(self) -> None:
        endpoint, capability = self.endpoint(), models.AppPortalCapability
        looking = sdk_with(self.access(capabilities=[capability("ViewBase")]).token)
        self.refused(403, looking.endpoint.get_secret, self.app.id, endpoint.id)
        self.refused(403, looking.endpoint.delete, self.app.id, endpoint.id)
        knowing = sdk_with(self.access(capabilities=[capability("ViewBase"), capability("ViewEndpointSecret")]).token)
        self.assertEqual(knowing.endpoint.get_secret(self.app.id, endpoint.id), self.svix.endpoint.get_secret(self.app.id, endpoint.id))
        self.refused(403, knowing.endpoint.rotate_secret, self.app.id, endpoint.id, models.EndpointSecretRotateIn())
        managing = sdk_with(self.access(capabilities=[capability("ViewBase"), capability("ManageEndpoint")]).token)
        self.assertIsNone(managing.endpoint.delete(self.app.id, endpoint.id))

    def test_feature_flags_show_more_event_types(self) -> None:
        hidden = unique("hidden")
        self.svix.event_type.create(models.EventTypeIn(name=hidden, description="", feature_flags=["beta"]))
        plain_portal, beta = sdk_with(self.access().token), sdk_with(self.access(feature_flags=["beta"]).token)
        self.assertEqual(beta.event_type.get(hidden).name, hidden)
        self.refused(404, plain_portal.event_type.get, hidden)

    def test_the_application_is_made_on_the_way(self) -> None:
        uid = unique("new")
        self.refused(404, self.svix.authentication.app_portal_access, uid, models.AppPortalAccessIn())
        body = models.AppPortalAccessIn(application=models.ApplicationIn(name="made", uid=uid))
        access = self.svix.authentication.app_portal_access(uid, body)
        self.assertEqual(sdk_with(access.token).application.get(uid).name, "made")

    def test_one_session_is_ended_and_another_goes_on(self) -> None:
        one, two = (sdk_with(self.access(session_id=name).token) for name in ("one", "two"))
        self.assertEqual(ok(plain("GET", "/auth/whoami", token=self.access(session_id="three").token))["sessionId"], "three")
        self.expire(session_ids=["one"], expiry=0)
        self.refused(401, one.endpoint.list, self.app.id)
        self.assertEqual(two.endpoint.list(self.app.id).data, [])
        self.expire(expiry=0)
        self.refused(401, two.endpoint.list, self.app.id)

    def test_forms_of_expiry_and_session(self) -> None:
        for wrong in ({"expiry": 60}, {"expiry": 604_801}, {"session_id": "no spaces"}):
            detail = self.refused(422, lambda wrong=wrong: self.access(**wrong)).detail
            self.assertEqual(detail[0].loc[0], "body", wrong)

    def test_a_link_that_works_once(self) -> None:
        answer = ok(self.plain("POST", f"/auth/app-portal-access/{self.app.id}", {"oneTime": True}))
        fragment = urllib.parse.parse_qs(urllib.parse.urlsplit(answer["url"]).fragment)
        once = {"oneTimeToken": fragment["oneTimeToken"][0]}
        exchanged = ok(plain("POST", "/auth/one-time-token", once, token=None))
        self.assertIn("ManageEndpoint", exchanged["capabilities"])
        self.assertEqual(sdk_with(exchanged["token"]).application.get(self.app.id).id, self.app.id)
        self.assertEqual(plain("POST", "/auth/one-time-token", once, token=None).status, 401)

    def test_only_portal_tokens_can_log_out(self) -> None:
        self.refused(400, self.svix.authentication.logout)
        self.assertEqual(self.svix.application.get(self.app.id).id, self.app.id)


class Keys(SdkTest):
    own_tenant = True

    def setUp(self) -> None:
        super().setUp()
        self.org = ok(self.plain("GET", "/auth/whoami"))["envId"]
        self.tokens = f"/management/authentication/{self.org}/api-token"

    def make(self, **fields: Any) -> tuple[str, Any]:
        """The id of a token of one's own, and an SDK that has it."""
        made = ok(self.plain("POST", self.tokens, {"name": "CI", **fields}))
        return made["id"], sdk_with(made["token"])

    def test_roles(self) -> None:
        endpoint = self.endpoint()
        (_, owner), (_, developer), (_, viewer) = self.make(), self.make(scopes=["developer"]), self.make(scopes=["viewer"])
        for who in (owner, developer, viewer):
            self.assertEqual([found.id for found in who.endpoint.list(self.app.id).data], [endpoint.id])
        self.refused(403, viewer.endpoint.delete, self.app.id, endpoint.id)
        self.refused(403, viewer.message.create, self.app.id, models.MessageIn(event_type="a", payload={}))
        self.refused(403, viewer.endpoint.get_secret, self.app.id, endpoint.id)
        self.refused(403, developer.endpoint.get_secret, self.app.id, endpoint.id)
        self.assertIsNone(developer.endpoint.delete(self.app.id, endpoint.id))
        self.assertEqual(owner.application.get(self.app.id).id, self.app.id)

    def test_life_of_a_token(self) -> None:
        key, who = self.make(scopes=["developer"])
        who.application.list()
        listed = ok(self.plain("GET", self.tokens))["data"]
        self.assertEqual([(token["id"], token["name"], token["scopes"]) for token in listed], [(key, "CI", ["developer"])])
        self.assertNotIn("token", listed[0])
        renamed = ok(self.plain("PUT", f"{self.tokens}/{key}", {"name": "Deploy"}))
        self.assertEqual((renamed["name"], renamed["scopes"]), ("Deploy", ["developer"]))
        ok(self.plain("PATCH", f"{self.tokens}/{key}", {"scopes": ["viewer"]}))
        self.assertEqual(ok(self.plain("GET", f"{self.tokens}/{key}"))["scopes"], ["viewer"])
        self.refused(403, who.application.create, models.ApplicationIn(name="no more"))
        used = suite.eventually(lambda: ok(self.plain("GET", f"{self.tokens}/{key}"))["lastUsedAt"], what="the last use")
        self.assertTrue(used)
        ok(self.plain("POST", f"{self.tokens}/{key}/expire", {}), 204)
        self.assertEqual(self.refused(401, who.application.list).code, "authentication_failed")

    def test_nobody_makes_tokens_for_others(self) -> None:
        _, developer = self.make(scopes=["developer"])
        self.assertEqual(plain("POST", self.tokens, {"name": "x"}).status, 404)
        token = ok(self.plain("POST", self.tokens, {"name": "dev", "scopes": ["developer"]}))["token"]
        self.assertEqual(plain("POST", self.tokens, {"name": "x"}, token=token).status, 403)

    def test_a_key_that_sends_for_one_application(self) -> None:
        made = ok(self.plain("POST", f"/auth/app/{self.app.id}/create-message-token", {"name": "producer"}))
        producer = sdk_with(made["token"])
        self.endpoint()
        message = producer.message.create(self.app.id, models.MessageIn(event_type="user.signup", payload={"n": 1}))
        self.assertEqual(self.receiver.wait(self.path, 1)[0].message_id, message.id)
        other = self.svix.application.create(models.ApplicationIn(name="other"))
        self.refused(404, producer.message.create, other.id, models.MessageIn(event_type="user.signup", payload={}))
        self.refused(403, producer.message.list, self.app.id)
        self.refused(403, producer.endpoint.list, self.app.id)

    def test_two_tenants_do_not_meet(self) -> None:
        stranger = sdk_with(new_tenant())
        self.refused(404, stranger.application.get, self.app.id)
        self.refused(404, stranger.endpoint.list, self.app.id)
        self.refused(404, stranger.message.create, self.app.id, models.MessageIn(event_type="a", payload={}))
        self.assertNotIn(self.app.id, [app.id for app in stranger.application.list().data])
