#!/usr/bin/env python3
"""Several nodes on one PostgreSQL: what holds when nodes, the database or the network between them fail.

`run.py [--long] [module or module.Class …]`: the long form does the same for longer and more often. Without names everything runs, in two halves at a
time: most of it is waiting.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import databases, suite  # noqa: E402

HALVES = (["test_database", "test_start", "test_beside"], ["test_kill", "test_pause", "test_network", "test_rolling", "test_global", "test_move", "test_cancel"])


def run_halves() -> int:
    missing = {path.stem for path in HERE.glob("test_*.py")} - {name for half in HALVES for name in half}
    if missing:
        raise SystemExit(f"in neither half: {', '.join(sorted(missing))}")
    outputs = [tempfile.TemporaryFile("w+") for _ in HALVES]
    halves = [
        subprocess.Popen([sys.executable, "-B", "-u", __file__, *names], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        for names, output in zip(HALVES, outputs)
    ]
    codes = [half.wait() for half in halves]
    for output in outputs:
        output.seek(0)
        print(output.read(), end="", flush=True)
    return max(codes, key=abs)


if __name__ == "__main__":
    if "--long" in sys.argv:
        sys.argv.remove("--long")
        os.environ["HOOKPOST_TEST_LONG"] = "1"
    os.environ[databases.CHOICE] = "postgres"
    sys.exit(suite.run_folder(HERE) if sys.argv[1:] else run_halves())
