"""What `import tinygrad_rnn` adds to `import numpy`, which it cannot do without. The target is less than 40 ms.

Run it with `python benchmarks/import_time.py`, where the package is installed. What Python has compiled is kept beside
the sources, as an installation does: `PYTHONDONTWRITEBYTECODE`, which would compile all of them at each import, is
unset.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from harness import DIFFERENCE, compare


def importing(*modules: str) -> dict[str, Any]:
    """Seconds that the imports take in a bare process: this one has imported much already."""
    imports = "; ".join(f"import {module}" for module in modules)
    code = f"import time; start = time.perf_counter(); {imports}; print(time.perf_counter() - start)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {"seconds": float(subprocess.check_output([sys.executable, "-c", code], env=environment))}


if __name__ == "__main__":
    variants = {
        "import numpy": lambda threads: importing("numpy"),
        "import tinygrad_rnn": lambda threads: importing("numpy", "tinygrad_rnn"),
    }
    title = "Import time: target, less than 40 ms more than NumPy"
    compare(title, variants, rounds=15, threads=[1], by=DIFFERENCE, clock="that passes")
