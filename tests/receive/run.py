#!/usr/bin/env python3
"""What comes in by a source: signed by the providers' own SDKs, hostile, repeated, mended and replayed; and the commands that verify and sign."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import suite  # noqa: E402
from harness.venvs import node_modules, rerun_inside  # noqa: E402

if __name__ == "__main__":
    rerun_inside(HERE / "requirements" / "providers.txt")
    node_modules(HERE / "javascript")
    sys.exit(suite.run_folder(HERE))
