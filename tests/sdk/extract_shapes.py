#!/usr/bin/env python3
"""Writes published_shapes.json: what the published description says of the answers and operational webhooks that are checked here.

    tests/sdk/extract_shapes.py svix-openapi.json

Only the facts: names, types, required fields, forms of ids. Run it again when a newer description is to be followed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from checklist import OPERATIONS
from published import PUBLISHED
from wire_shapes import WEBHOOKS

#: Some published ids have 22 characters after their prefix; all of ours have 27. To clients they are opaque.
SHORT_ID, ANY_ID = "{21,22}", "{21,27}"
#: A log entry is a receipt here, and has the id of one.
OWN_FORM = {"IngestLogOut"}
KEPT = ("type", "required", "enum", "pattern", "format", "nullable", "minLength", "maxLength")


def slim(schema: Any) -> Any:
    """A schema without its prose."""
    if not isinstance(schema, dict):
        return {}
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return {"ref": name, "nullable": True} if schema.get("nullable") else {"ref": name}
    kept = {key: schema[key] for key in KEPT if key in schema}
    if SHORT_ID in schema.get("pattern", ""):
        kept["pattern"] = schema["pattern"].replace(SHORT_ID, ANY_ID)
        kept["maxLength"] += 5
    if "properties" in schema:
        kept["properties"] = {name: slim(field) for name, field in sorted(schema["properties"].items())}
    if isinstance(schema.get("additionalProperties"), dict):
        kept["values"] = slim(schema["additionalProperties"])
    if "items" in schema:
        kept["items"] = slim(schema["items"])
    if "oneOf" in schema:
        kept["oneOf"] = [slim(choice) for choice in schema["oneOf"]]
    if len(schema.get("allOf", [])) == 1:
        kept |= slim(schema["allOf"][0])
    return kept


def refs(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(refs, schema))
    if not isinstance(schema, dict):
        return set()
    own = {schema["ref"]} if isinstance(schema.get("ref"), str) else set()
    return own.union(*map(refs, schema.values()))


def main() -> None:
    described = json.loads(Path(sys.argv[1]).read_text())["components"]["schemas"]
    wanted = [operation.shape.strip("[]") for operation in OPERATIONS] + list(WEBHOOKS.values())
    found: dict[str, Any] = {}
    while wanted:
        name = wanted.pop()
        if name in described and name not in found and name not in OWN_FORM:
            found[name] = slim(described[name])
            wanted += refs(found[name])
    lines = [f"{json.dumps(name)}: {json.dumps(found[name], sort_keys=True)}" for name in sorted(found)]
    PUBLISHED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(found)} shapes")


if __name__ == "__main__":
    main()
