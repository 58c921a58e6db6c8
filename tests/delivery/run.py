#!/usr/bin/env python3
"""Deliveries to local receivers: signatures, retries, order, limits, health, replay, and what survives a crash."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import suite, venvs  # noqa: E402

if __name__ == "__main__":
    venvs.rerun_inside(HERE.parent / "sdk" / "requirements" / "svix-2.9.1.txt")
    sys.exit(suite.run_folder(HERE))
