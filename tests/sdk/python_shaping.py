"""What comes with shaping: it is refused in words that the SDKs can read, and never taken and then left undone. Run as a part of python_suite.py."""

from __future__ import annotations

from typing import Any

import svix.models as models
from python_base import SdkTest, method, model, ok
from python_sinks import http_config

CODE = "function handler(input) { return input }"


class Shaping(SdkTest):
    def test_sinks_transform_nothing(self) -> None:
        streaming = self.svix.streaming
        stream = streaming.stream.create(models.StreamIn(name=self.id())).id
        config = http_config(url=self.receiver.url(self.path))
        sink = streaming.sink.create(stream, models.StreamSinkIn(type="http", config=config)).id
        if hasattr(streaming.sink, "transformation"):
            get, patch = streaming.sink.transformation.get, streaming.sink.transformation.patch
        else:
            get, patch = streaming.sink_transformation_get, streaming.sink.transformation_partial_update
        patch(stream, sink, models.SinkTransformIn(code=None))
        refused = self.refused(400, patch, stream, sink, models.SinkTransformIn(code=CODE))
        self.assertEqual(refused.code, "transformations_not_available")
        shown = get(stream, sink)
        self.assertEqual((shown.enabled, shown.code), (False, None))

    def test_destinations_transform_nothing(self) -> None:
        config = {"url": self.receiver.url(self.path)}
        made = ok(self.plain("POST", f"/app/{self.app.id}/destination", {"type": "fifoEndpoint", "config": config}), 201)["id"]
        at = f"/app/{self.app.id}/destination/{made}/transformation"
        ok(self.plain("PATCH", at, {"code": None}))
        self.assertEqual(self.plain("PATCH", at, {"code": CODE}).json["code"], "transformations_not_available")
        self.assertEqual(ok(self.plain("GET", at))["enabled"], False)

    def test_endpoints_transform_nothing(self) -> None:
        api, endpoint = self.svix.endpoint, self.endpoint()
        if hasattr(api, "transformation"):
            get, patch = api.transformation.get, api.transformation.patch
        else:
            get, patch = api.transformation_get, api.transformation_partial_update
        given = model("EndpointTransformationPatch", "EndpointTransformationIn")(code=CODE, enabled=True)
        self.not_there_yet(get, self.app.id, endpoint.id)
        self.not_there_yet(patch, self.app.id, endpoint.id, given)

    def test_there_are_no_connectors(self) -> None:
        api = self.svix.connector
        connector = models.ConnectorIn(name="Slack", transformation=CODE)
        upsert_in = model("ConnectorUpsertIn", "ConnectorUpdate")(transformation=CODE)
        self.not_there_yet(api.list)
        self.not_there_yet(api.create, connector)
        self.not_there_yet(api.get, "trtmpl_1")
        self.not_there_yet(method(api, "upsert", "update"), "trtmpl_1", upsert_in)
        self.not_there_yet(api.patch, "trtmpl_1", models.ConnectorPatch(name="x"))
        self.not_there_yet(api.delete, "trtmpl_1")

    def not_there_yet(self, call: Any, *arguments: Any) -> None:
        self.assertEqual(self.refused(404, call, *arguments).code, "not_found")
