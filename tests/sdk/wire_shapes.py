"""What an answer must look like: what the published description says of it (published.py), and here what SDK 1.99 to 2.9 want beyond that, and
the answers that are ours alone.

`problems(shape, body)` returns sentences, none when the answer is good. Extra fields are always allowed.
"""

from __future__ import annotations

import re
from typing import Any, Callable

import published

Check = Callable[[Any], str | None]


def pattern(regex: str) -> Check:
    compiled = re.compile(regex)
    return lambda value: None if isinstance(value, str) and compiled.fullmatch(value) else f"must match {regex}, is {value!r}"


def public_id(prefix: str) -> Check:
    return pattern(rf"{prefix}_[A-Za-z0-9]{{27}}")


def of_type(*types: type) -> Check:
    def check(value: Any) -> str | None:
        # A bool is an int in Python, but not in JSON.
        good = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        return None if good else f"must be {' or '.join(t.__name__ for t in types)}, is {value!r}"

    return check


def maybe(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def string_map(value: Any) -> str | None:
    good = isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
    return None if good else f"must map strings to strings, is {value!r}"


def string_list(value: Any) -> str | None:
    good = isinstance(value, list) and all(isinstance(v, str) for v in value)
    return None if good else f"must be a list of strings, is {value!r}"


text, number, flag, obj = of_type(str), of_type(int), of_type(bool), of_type(dict)
moment = pattern(published.MOMENT)
secret = pattern(r"(whsec|whpk)_[A-Za-z0-9+/=]+")
ingest_url = pattern(r"https?://.+/in/[A-Za-z0-9_-]{32,}")
#: Version 1 of the libraries knows these names.
endpoint_of_version_1 = {"version": number, "filterTypes?": maybe(string_list), "rateLimit?": maybe(number)}

#: `name?` may be absent; everything else must be there.
SHAPES: dict[str, dict[str, Check]] = {
    "EndpointOut": endpoint_of_version_1,
    "MessageEndpointOut": endpoint_of_version_1,
    "EndpointSecretOut": {"key": secret},
    # Of rotations; the libraries before 2.7 look at nothing of it, later ones want the key.
    "RotatedSecretOut": {"key": secret},
    "StreamSinkOut": {"type": text},
    "DestinationOut": {"type": text},
    "EndpointAttemptStats": {"success": number, "fail": number, "canceled": number},
    "IngestSourceOut": {"id": public_id("src"), "type": text, "config": obj, "ingestUrl?": maybe(ingest_url)},
    "RotateTokenOut": {"ingestUrl": ingest_url},
    "IngestLogOut": {
        "id": text,
        "source_id": public_id("src"),
        "status_code": number,
        "error_text": text,
        "headers": string_map,
        "payload": text,
        "created_at": moment,
        "updated_at": moment,
    },
    "ReceiptOut": {"id": public_id("rcpt"), "sourceId": public_id("src"), "receivedAt": moment, "verdict": text, "statusCode": number, "timing": obj},
    "ReceiptCountsOut": {"accepted": number, "duplicate": number, "handshake": number, "quarantined": number, "rejected": number},
    "ReplayReceiptsOut": {"accepted": number, "duplicate": number, "refused": number, "skipped": number, "iterator": maybe(text), "done": flag},
    "ProviderOut": {"name": text, "displayName": text, "schemes": of_type(list)},
    "LimitsOut": {"orgId": text, "own": flag},
    "AuditEntryOut": {"id": text, "timestamp": moment, "actor": obj, "operation": text, "path": text, "status": number},
    "Object": {},
}

#: The libraries of version 1 read the headers of a sink as a plain map, and can read nothing else.
OTHER_FOR_VERSION_1 = {"StreamSinkOut", "DestinationOut"}

#: The payload of each operational webhook, by its event type.
WEBHOOKS = {
    event: f"{shape}Event"
    for event, shape in [
        ("endpoint.created", "EndpointCreated"),
        ("endpoint.updated", "EndpointUpdated"),
        ("endpoint.deleted", "EndpointDeleted"),
        ("endpoint.enabled", "EndpointEnabled"),
        ("endpoint.disabled", "EndpointDisabled"),
        ("message.attempt.exhausted", "MessageAttemptExhausted"),
        ("message.attempt.failing", "MessageAttemptFailing"),
        ("message.attempt.recovered", "MessageAttemptRecovered"),
        ("message.attempt.log", "MessageAttemptLog"),
        ("background_task.finished", "BackgroundTaskFinished"),
        ("ingest.endpoint.disabled", "IngestEndpointDisabled"),
        ("ingest.message.attempt.exhausted", "IngestMessageAttemptExhausted"),
        ("ingest.message.attempt.failing", "IngestMessageAttemptFailing"),
        ("ingest.message.attempt.recovered", "IngestMessageAttemptRecovered"),
    ]
}

LIST = {"data": of_type(list), "iterator": maybe(text), "done": flag, "prevIterator?": maybe(text)}


def problems(shape: str, body: Any, for_version_1: bool = False) -> list[str]:
    """`shape` is a name of SHAPES or of the published ones, or `[Name]` for a page of them."""
    if shape.startswith("["):
        found = _missing("page", LIST, body)
        if found:
            return found
        if body["data"] and (not body["iterator"] or not body.get("prevIterator")):
            found.append("a page with data needs iterator and prevIterator")
        for index, item in enumerate(body["data"]):
            found += [f"data[{index}]: {problem}" for problem in problems(shape.strip("[]"), item, for_version_1)]
        return found
    found = _missing(shape, SHAPES.get(shape, {}), body)
    if not published.knows(shape) or (for_version_1 and shape in OTHER_FOR_VERSION_1):
        return found
    return found + published.problems(shape, body)


def _missing(name: str, fields: dict[str, Check], body: Any) -> list[str]:
    if not isinstance(body, dict):
        return [f"{name} must be an object, is {body!r}"]
    found = []
    for field, check in fields.items():
        key = field.rstrip("?")
        if key not in body:
            if not field.endswith("?"):
                found.append(f"{name} lacks {key}")
        elif problem := check(body[key]):
            found.append(f"{name}.{key} {problem}")
    return found
