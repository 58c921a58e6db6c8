#!/usr/bin/env python3
"""Compares our description of the API with the published one, and says what clients of that one could stumble over.

    check_published_api.py PUBLISHED OURS [--exceptions docs/api-differences.toml]

PUBLISHED is the description that the SDKs are made from. OURS is what `hookpost openapi` prints, or the snapshot of the test that keeps it.

Looked at is every operation that is not `x-internal`: that it is there under its id, with all its parameters and statuses; that requests need no field which is
not needed there, and take every field, value and `null` that is taken there; that answers have every field that they have there, of the same type, always where it is
always there, with no value and no `null` that is unknown there. What we have beyond that harms nobody.

What shall differ stands in the file of exceptions with its reason. One that fits nothing any more is an error too.
"""

import argparse
import copy
import fnmatch
import json
import sys
import tomllib

METHODS = ("get", "post", "put", "patch", "delete")


class Description:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if text.startswith("---\n"):  # A snapshot has a head.
            text = text.split("---\n", 2)[2]
        self.root = json.loads(text)

    def operations(self):
        for path, methods in self.root["paths"].items():
            for method in METHODS:
                if method in methods:
                    yield (method, shape_of(path)), methods[method]

    def resolve(self, thing):
        while "$ref" in thing:
            target = self.root
            for part in thing["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            thing = {**target, **{key: value for key, value in thing.items() if key != "$ref"}}
        return thing


def shape_of(path):
    """What parameters of a path are called makes no difference."""
    return "/".join("{}" if part.startswith("{") else part for part in path.rstrip("/").split("/"))


class Schema:
    """One schema with all references, unions with null and `allOf` taken away."""

    def __init__(self, description, raw):
        self.nullable, self.enum, self.types = False, None, set()
        self.properties, self.required, self.items, self.values = {}, set(), None, None
        self.variants = []
        if raw is True or raw is None:
            raw = {}
        self._take(description, raw)

    def _take(self, description, raw):
        raw = description.resolve(raw)
        types = raw.get("type", [])
        types = {types} if isinstance(types, str) else set(types)
        self.nullable |= raw.get("nullable", False) or "null" in types
        self.types |= types - {"null"}
        if "const" in raw:
            self._add_enum([raw["const"]])
        if "enum" in raw:
            self.nullable |= None in raw["enum"]
            self._add_enum([value for value in raw["enum"] if value is not None])
        for name, value in raw.get("properties", {}).items():
            self.properties[name] = lazily(description, value)
        self.required |= set(raw.get("required", []))
        if "items" in raw:
            self.items = lazily(description, raw["items"])
        if isinstance(raw.get("additionalProperties"), dict):
            self.values = lazily(description, raw["additionalProperties"])
        for part in raw.get("allOf", []):
            self._take(description, part)
        self._take_union(description, raw.get("oneOf", []) + raw.get("anyOf", []))

    def _take_union(self, description, parts):
        parts = [description.resolve(part) for part in parts]
        real = [part for part in parts if part.get("type") != "null" and part.get("enum") != [None]]
        self.nullable |= len(real) < len(parts)
        if len(real) == 1:
            self._take(description, real[0])
        elif real and all("const" in part or "enum" in part for part in real):
            for part in real:
                self._take(description, part)
        else:
            self.variants += [lazily(description, part) for part in real]

    def _add_enum(self, values):
        self.enum = (self.enum or []) + [value for value in values if value not in (self.enum or [])]

    def variants_by_type(self):
        """Of a union that is told apart by the field `type`."""
        found = {}
        for variant in self.variants:
            kind = variant().properties.get("type")
            for value in (kind and kind().enum) or []:
                found[value] = variant()
        return found


def lazily(description, raw):
    """Schemas may contain themselves."""
    made = []

    def make():
        if not made:
            made.append(Schema(description, raw))
        return made[0]

    return make


class Comparison:
    def __init__(self, published, ours):
        self.published, self.ours, self.findings = published, ours, []

    def run(self):
        own = dict(self.ours.operations())
        for key, theirs in self.published.operations():
            if theirs.get("x-internal"):
                continue
            name = theirs["operationId"]
            if key not in own:
                self.find(name, "", "there is no such operation")
                continue
            self.operation(name, theirs, own[key])
        return self.findings

    def find(self, operation, place, what):
        self.findings.append(f"{operation} {place}: {what}" if place else f"{operation}: {what}")

    def operation(self, name, theirs, ours):
        if ours["operationId"] != name:
            self.find(name, "", f"is called {ours['operationId']}")
        self.parameters(name, theirs, ours)
        self.body(name, theirs, ours)
        for status, answer in theirs["responses"].items():
            if status not in ours["responses"]:
                self.find(name, f"answer {status}", "is missing")
            elif status.startswith("2"):
                self.answer(name, status, answer, ours["responses"][status])

    def parameters(self, name, theirs, ours):
        own = {}
        for parameter in map(self.ours.resolve, ours.get("parameters", [])):
            own[(parameter["in"], parameter["name"])] = parameter
        for parameter in map(self.published.resolve, theirs.get("parameters", [])):
            place = f"{parameter['in']} {parameter['name']}"
            if parameter["in"] == "path":
                continue
            mine = own.pop((parameter["in"], parameter["name"]), None)
            if mine is None:
                self.find(name, place, "is missing")
                continue
            if mine.get("required") and not parameter.get("required"):
                self.find(name, place, "must not be required")
            self.request(name, place, Schema(self.published, parameter.get("schema")), Schema(self.ours, mine.get("schema")), null=False)
        for (place, other), parameter in own.items():
            if place != "path" and parameter.get("required"):
                self.find(name, f"{place} {other}", "must not be required")

    def body(self, name, theirs, ours):
        wanted, mine = schema_of(theirs.get("requestBody")), schema_of(ours.get("requestBody"))
        if mine is None:
            if wanted is not None:
                self.find(name, "request", "is missing")
            return
        if ours["requestBody"].get("required") and not theirs.get("requestBody", {}).get("required", False):
            self.find(name, "request", "must not be required")
        self.request(name, "request", Schema(self.published, wanted), Schema(self.ours, mine))

    def answer(self, name, status, theirs, ours):
        wanted, mine = schema_of(self.published.resolve(theirs)), schema_of(self.ours.resolve(ours))
        if (wanted is None) != (mine is None):
            self.find(name, f"answer {status}", "must have no body" if wanted is None else "has no body")
        elif wanted is not None:
            self.response(name, f"answer {status}", Schema(self.published, wanted), Schema(self.ours, mine))

    def request(self, name, place, theirs, ours, null=True, seen=()):
        """Whatever is sent by a client of theirs has to be taken."""
        if self.same_type(name, place, theirs, ours) and null and theirs.nullable and not ours.nullable and known(ours):
            self.find(name, place, "may be null")
        for value in theirs.enum or [] if ours.enum is not None else []:
            if value not in ours.enum:
                self.find(name, place, f"may be {json.dumps(value)}")
        by_variants = set.intersection(*(set(v().required) for v in theirs.variants)) if theirs.variants else set()
        for field in sorted(ours.required - theirs.required - by_variants):
            self.find(name, f"{place} {field}", "must not be required")
        self.deeper(name, place, theirs, ours, self.request, seen)

    def response(self, name, place, theirs, ours, seen=()):
        """Whatever we answer has to be understood by a client of theirs."""
        if self.same_type(name, place, theirs, ours) and ours.nullable and not theirs.nullable and known(theirs):
            self.find(name, place, "must not be null")
        if theirs.enum is not None and known(ours):
            if ours.enum is None:
                self.find(name, place, f"must say that it is one of {json.dumps(theirs.enum)}")
            for value in ours.enum or []:
                if value not in theirs.enum:
                    self.find(name, place, f"must not be {json.dumps(value)}")
        for field in sorted(theirs.required & ours.properties.keys() - ours.required):
            self.find(name, f"{place} {field}", "must always be there")
        self.deeper(name, place, theirs, ours, self.response, seen)

    def same_type(self, name, place, theirs, ours):
        """An integer is a number, too; what says nothing of its type is anything."""
        wide = lambda types: types | ({"integer"} if "number" in types else set())
        if theirs.types and ours.types and not wide(theirs.types) & wide(ours.types):
            self.find(name, place, f"must be {'/'.join(sorted(theirs.types))}, not {'/'.join(sorted(ours.types))}")
            return False
        return True

    def deeper(self, name, place, theirs, ours, compare, seen):
        if (id(theirs), id(ours)) in seen:
            return
        seen = (*seen, (id(theirs), id(ours)))
        if compare == self.request and not ours.properties and not ours.variants:
            return  # It takes anything.
        for field, schema in theirs.properties.items():
            # A field that every variant of ours has is as good as one beside them.
            mine = ours.properties.get(field)
            if mine is None and ours.variants and all(field in v().properties for v in ours.variants):
                continue
            if mine is None:
                self.find(name, f"{place} {field}", "is missing")
            else:
                compare(name, f"{place} {field}", schema(), mine(), seen=seen)
        for part in ("items", "values"):
            if getattr(theirs, part) and getattr(ours, part):
                compare(name, f"{place}[]", getattr(theirs, part)(), getattr(ours, part)(), seen=seen)
        self.variants(name, place, theirs, ours, compare, seen)

    def variants(self, name, place, theirs, ours, compare, seen):
        wanted, own = theirs.variants_by_type(), ours.variants_by_type()
        kind = ours.properties.get("type")
        if compare == self.response and wanted and kind:
            for value in sorted(set(kind().enum or []) - wanted.keys()):
                self.find(name, f"{place} type", f"must not be {json.dumps(value)}")
        for value, variant in wanted.items():
            if value in own:
                compare(name, f"{place} type={value}", variant, own[value], seen=seen)
            elif own or not kind or (kind().enum and value not in kind().enum):
                # What we never answer with need not be understood.
                if compare == self.request:
                    self.find(name, f"{place} type={value}", "is missing")
            else:
                self.flat(name, f"{place} type={value}", variant, ours, compare, seen)

    def flat(self, name, place, variant, ours, compare, seen):
        """We have one object for all types: a field of one of them may be absent, and is so in the others."""
        for field, schema in variant.properties.items():
            if field == "type":
                continue
            if field not in ours.properties:
                self.find(name, f"{place} {field}", "is missing")
                continue
            mine = copy.copy(ours.properties[field]())
            mine.nullable = schema().nullable
            compare(name, f"{place} {field}", schema(), mine, seen=seen)


def known(schema):
    """Whether anything is said of it."""
    return bool(schema.types or schema.properties or schema.enum or schema.variants)


def schema_of(thing):
    content = (thing or {}).get("content", {})
    return content.get("application/json", {}).get("schema")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("published")
    arguments.add_argument("ours")
    arguments.add_argument("--exceptions", default="docs/api-differences.toml")
    arguments = arguments.parse_args()
    findings = Comparison(Description(arguments.published), Description(arguments.ours)).run()
    with open(arguments.exceptions, "rb") as file:
        exceptions = tomllib.load(file).get("difference", [])
    rules = [(rule, exception) for exception in exceptions for rule in rules_of(exception)]
    wrong, used = [], set()
    for finding in findings:
        fitting = {rule for rule, _ in rules if fits(finding, rule)}
        used |= fitting
        if not fitting:
            wrong.append(finding)
    meant = len(findings) - len(wrong)
    for rule, exception in rules:
        if not exception.get("reason", "").strip():
            wrong.append(f"exception without a reason: {rule}")
        if rule not in used:
            wrong.append(f"exception that fits nothing any more: {rule}")
    print("\n".join(wrong))
    print(f"{len(findings)} differences from the published API, {meant} of them meant", file=sys.stderr)
    return 1 if wrong else 0


def rules_of(exception):
    what = exception["what"]
    return [what] if isinstance(what, str) else what


def fits(finding, rule):
    return fnmatch.fnmatchcase(finding, rule.replace("[", "[[]"))


if __name__ == "__main__":
    sys.exit(main())
