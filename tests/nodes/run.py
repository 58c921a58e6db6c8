#!/usr/bin/env python3
"""Several nodes on one PostgreSQL: what holds when nodes, the database or the network between them fail.

`run.py [--long] [module or module.Class …]`: the long form does the same for longer and more often.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import databases, suite  # noqa: E402

if __name__ == "__main__":
    if "--long" in sys.argv:
        sys.argv.remove("--long")
        os.environ["HOOKPOST_TEST_LONG"] = "1"
    os.environ[databases.CHOICE] = "postgres"
    sys.exit(suite.run_folder(HERE))
