"""Checks a JSON value against a shape of the published description, as extract_shapes.py keeps them. Extra fields are always allowed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

PUBLISHED = Path(__file__).resolve().parent / "published_shapes.json"
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|\+00:00)"
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}

_shapes: dict[str, Any] = json.loads(PUBLISHED.read_text()) if PUBLISHED.exists() else {}


def knows(name: str) -> bool:
    return name in _shapes


def problems(name: str, value: Any) -> list[str]:
    return _problems(_shapes[name], value, name)


def _problems(schema: dict[str, Any], value: Any, at: str) -> list[str]:
    if "ref" in schema:
        if value is None and schema.get("nullable"):
            return []
        return _problems(_shapes[schema["ref"]], value, at)
    if value is None:
        return [] if schema.get("nullable") or not schema else [f"{at} must not be null"]
    wrong = _wrong_type(schema.get("type"), value) or _wrong_form(schema, value)
    if wrong:
        return [f"{at} {wrong}"]
    found = []
    if isinstance(value, dict):
        found += _in_object(schema, value, at)
    if isinstance(value, list) and "items" in schema:
        found += [problem for index, item in enumerate(value) for problem in _problems(schema["items"], item, f"{at}[{index}]")]
    for choice in schema.get("oneOf", []):
        # A kind that the description does not know is newer than it.
        if _is_kind(choice, value):
            found += _problems(choice, value, at)
    return found


def _is_kind(choice: dict[str, Any], value: Any) -> bool:
    """Of the choices of the description each has its own `type`."""
    return isinstance(value, dict) and value.get("type") in choice["properties"]["type"]["enum"]


def _in_object(schema: dict[str, Any], value: dict[str, Any], at: str) -> list[str]:
    fields = schema.get("properties", {})
    found = [f"{at} lacks {name}" for name in schema.get("required", []) if name not in value]
    for name, item in value.items():
        # A field that may be absent may as well be null: every SDK reads both.
        if name in fields and (item is not None or name in schema.get("required", [])):
            found += _problems(fields[name], item, f"{at}.{name}")
        elif name not in fields and schema.get("values"):
            found += _problems(schema["values"], item, f"{at}.{name}")
    return found


def _wrong_type(wanted: str | None, value: Any) -> str | None:
    if wanted is None:
        return None
    # A bool is an int in Python, but not in JSON.
    good = isinstance(value, TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
    return None if good else f"must be a JSON {wanted}, is {value!r}"


def _wrong_form(schema: dict[str, Any], value: Any) -> str | None:
    if "enum" in schema and value not in schema["enum"]:
        return f"must be one of {schema['enum']}, is {value!r}"
    if not isinstance(value, str):
        return None
    if schema.get("format") == "date-time" and not re.fullmatch(MOMENT, value):
        return f"must be a time of RFC 3339 in UTC, is {value!r}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return f"must match {schema['pattern']}, is {value!r}"
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return f"must have {schema.get('minLength', 0)} to {schema.get('maxLength')} characters, is {value!r}"
    return None
