#!/usr/bin/env python3
"""The example receivers, each against a real server: a delivery arrives and verifies, a repetition is noticed, a forgery refused."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import suite  # noqa: E402

if __name__ == "__main__":
    sys.exit(suite.run_folder(HERE))
