"""Run the official conformance suite against the server over HTTP: `python -m tests.conformance`.

What it is known not to pass stands with its reason in `conformance.yml`, check by check; a check that is listed there
and passes is a failure too, so that the list stays true.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.web import serving
from tests.node import installed, run_by

PACKAGE, VERSION = "@modelcontextprotocol/conformance", "0.2.0-alpha.12"
BASELINE = Path(__file__).with_name("conformance.yml")

RUNS = (
    ["--requirements", "2025-11-25", "--expected-failures", str(BASELINE)],
    ["--requirements", "2026-07-28", "--expected-failures", str(BASELINE)],
    # These two pass, and are in no set that the suite judges by.
    ["--scenario", "server-session-lifecycle", "--spec-version", "2025-11-25"],
    ["--scenario", "http-header-validation", "--spec-version", "2026-07-28"],
)


def main() -> int:
    """Return 0 if the suite finds nothing but what is listed."""
    suite = [str(run_by()), str(installed(PACKAGE, VERSION) / "dist/index.js"), "server"]
    status = 0
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "store", embedder="none") as served:
        for options in RUNS:
            print(f"-- {' '.join(options[:4])}", flush=True)
            done = subprocess.run([*suite, "--url", f"{served.url}/mcp", *options], check=False, timeout=300)
            status = status or done.returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
