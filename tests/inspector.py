"""Run the official MCP inspector over all transports, in both protocol eras: `python -m tests.inspector`.

Exit status 0 only if every call answered as expected.
"""

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from tests.e2e.web import serving
from tests.node import installed, run_by

PACKAGE, VERSION = "@modelcontextprotocol/inspector", "2.12.0"
LAUNCHER = "clients/launcher/build/index.js"

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


TRANSPORTS, ERAS = ("stdio", "http", "sse"), ("modern", "legacy")

AT_A_TIME = 2
"""Most of the time goes by while the inspector starts."""


def main() -> int:
    """Return 0 if the inspector finds nothing wrong."""
    inspector = [str(run_by()), str(installed(PACKAGE, VERSION) / LAUNCHER), "--cli"]
    ways = list(product(TRANSPORTS, ERAS))
    passed = failed = 0
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        all_problems = pool.map(partial(_over, inspector), *zip(*ways, strict=True))
        for (transport, era), problems in zip(ways, all_problems, strict=True):
            for call, problem in problems.items():
                print(f"{transport:6}{era:7}{call:80}{problem or 'ok'}", flush=True)
            failed += sum(bool(problem) for problem in problems.values())
            passed += sum(not problem for problem in problems.values())
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _over(inspector: list[str], transport: str, era: str) -> dict[str, str]:
    """Return what was wrong with each call of a new server, empty if nothing was."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        if transport == "stdio":
            server = [str(Path(sys.executable).with_name("souvenir-mcp")), "-e", f"SOUVENIR_STORE={store}"]
            return _problems([*inspector, *server, "-e", "SOUVENIR_EMBEDDER=none"], era)
        with serving(store, embedder="none") as served:
            address = f"{served.url}/{'mcp' if transport == 'http' else 'sse'}"
            return _problems([*inspector, address, "--transport", transport], era)


def _problems(inspector: list[str], era: str) -> dict[str, str]:
    return {
        f"{method:26}{' '.join(options)[:52]}": _problem([*inspector, "--protocol-era", era], method, options)
        for method, options in CALLS
    }


def _problem(inspector: list[str], method: str, options: list[str]) -> str:
    command = [*inspector, "--format", "json", "-q", "--method", method, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
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
