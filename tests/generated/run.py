#!/usr/bin/env python3
"""Requests made from our own description, sensible ones and absurd ones: no answer may be a 5xx, have a status that the description does not name, or
a body that is not as it says.

`run.py [--database sqlite|postgres] [--examples N] [--seed N] [operation id …]`
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from harness import databases  # noqa: E402
from harness.venvs import rerun_inside  # noqa: E402

rerun_inside(HERE / "requirements" / "schemathesis.txt")

import schemathesis  # noqa: E402
from hypothesis import HealthCheck, Phase, given, seed as seeded, settings  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.core.failures import FailureGroup  # noqa: E402

from harness.server import Server  # noqa: E402
from world import World  # noqa: E402

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 25
#: An answer that takes longer is a finding of its own.
TIMEOUT_S = 20


def last_of_all(operation: schemathesis.APIOperation) -> tuple[bool, str, str]:
    """What takes things away comes after what needs them."""
    return operation.method == "delete", operation.path, operation.method


def check(operation: schemathesis.APIOperation, world: World, examples: int, seed: int) -> str | None:
    """The first finding, made as small as it gets."""
    chance = random.Random(seed)

    @seeded(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
    )
    @given(case=operation.as_strategy())
    def each(case: schemathesis.Case) -> None:
        world.put_real_things_into(case, chance)
        response = case.call(headers={"authorization": f"Bearer {world.token}"}, timeout=TIMEOUT_S)
        case.validate_response(response, checks=CHECKS)

    try:
        each()
    except FailureGroup as findings:
        return str(findings.exceptions[0]) + "\n" + str(findings).split("Reproduce with:")[-1].strip()
    except Exception as problem:  # noqa: BLE001: whatever it is, it is a finding
        return f"{type(problem).__name__}: {problem}"
    return None


def main() -> int:
    databases.choose_by_arguments()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="requests per operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("operations", nargs="*", metavar="operation id")
    options = parser.parse_args()

    started = time.monotonic()
    passed = failed = 0
    with Server() as server:
        schema = schemathesis.openapi.from_url(f"{server.url}/api/v1/openapi.json")
        world = World(server)
        operations = sorted((result.ok() for result in schema.get_all_operations()), key=last_of_all)
        for operation in operations:
            name = operation.definition.raw.get("operationId", operation.label)
            if options.operations and name not in options.operations:
                continue
            finding = check(operation, world, options.examples, options.seed)
            if finding is None:
                passed += 1
            else:
                failed += 1
                print(f"--- {name}: {operation.label}\n{finding}\n", flush=True)
        if failed:
            print("the end of the server's log:\n" + server.log_tail())
    print(f"generated on {databases.chosen()}: {time.monotonic() - started:.1f} s")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
