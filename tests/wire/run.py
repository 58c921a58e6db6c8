#!/usr/bin/env python3
"""The management API over plain HTTP: what producers and SDKs may rely on, and what bad input gets."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import suite  # noqa: E402

if __name__ == "__main__":
    sys.exit(suite.run_folder(HERE))
