"""Send a server what no client should, and see it answer in order: `python -m tests.fuzz --inputs 10000`.

Most inputs are calls of the tools with arguments that are made from their own schemas, some in order and most not; the
rest is garbage on the wire. Exit status 0 only if nothing crashed, no answer was a 5xx or held a traceback, and the
server's memory stayed bounded. Inputs are the same ones for a seed.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, cast

import anyio
import httpx2

from tests.e2e.web import Served, serving

AT_A_TIME = 16
MOST_MEGABYTES = 600
"""Of growth: what is stored and remembered meanwhile takes its place too."""

ODD_TEXTS = (
    "",
    " ",
    "\0",
    "\ud800",
    "a\u0301" * 50,
    "🦊" * 300,
    "\u202eabc",
    "' OR 1=1 --",
    '{"a": [1]}',
    "../../etc/passwd",
    "%s%n{0}{x}",
    "<script>",
    "memory://profile",
    "x" * 9_000,
    "x" * 40_000,
    "2026-02-30",
    "9999-12-31T23:59:59.999999+14:00",
    "-7d",
    "99999999y",
    "NaN",
    "null",
    "\n\r\t\u2028",
    "ABC-123_x C++ C#",
)
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1e308,
    -0.0,
    0.1,
    [],
    {},
    [[]],
    [None],
    {"a": {"b": {"c": [1, 2, {"d": None}]}}},
    "text",
    ["a"] * 200,
    {f"key {n}": n for n in range(50)},
)
TROUBLE = (
    "Traceback",
    "Error executing tool",
    "Internal server error",
    'File "/',
    "panicked",
    "RuntimeError",
    "The store could not",
)
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
MODERN = HEADERS | {"MCP-Protocol-Version": "2026-07-28"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "fuzz", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def request(method: str, parameters: dict[str, Any], number: int = 1) -> dict[str, Any]:
    """Return one self-contained request."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters | {"_meta": dict(META)}}


class Inputs:
    """Makes inputs from the tools' own schemas."""

    def __init__(self, tools: list[dict[str, Any]], seed: int) -> None:
        self._tools = tools
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self.memory_ids: list[str] = ["0123456789ab"]

    def text(self) -> str:
        chance = self._chance
        match chance.randrange(5):
            case 0:
                return chance.choice(ODD_TEXTS)
            case 1:
                return "".join(
                    chr(chance.choice((chance.randrange(32, 127), chance.randrange(0x2FFF)))) for _ in range(20)
                )
            case 2:
                return chance.choice(self.memory_ids)
            case _:
                return " ".join(chance.choices(("Anna", "likes", "tea", "Graz", "2026", "7d", "müde", "猫"), k=4))

    def value(self, schema: dict[str, Any]) -> Any:
        chance = self._chance
        if chance.random() < 0.06:
            return chance.choice(ODD_VALUES)
        if "enum" in schema and chance.random() < 0.8:
            return chance.choice(schema["enum"])
        match schema.get("type"):
            case "string":
                return self.text()
            case "integer":
                return chance.choice((1, 2, 10, 100, 101, 0, -1, 2**40))
            case "number":
                return chance.choice((0.0, 0.5, 1.0, -1, 1.0001, 1e300))
            case "boolean":
                return chance.random() < 0.5
            case "array":
                return [self.value(schema.get("items", {})) for _ in range(chance.randrange(4))]
            case "object":
                return {self.text(): self.value({"type": "string"}) for _ in range(chance.randrange(4))}
            case _:
                return chance.choice(ODD_VALUES)

    def call(self) -> dict[str, Any]:
        chance = self._chance
        tool = chance.choice(self._tools)
        properties: dict[str, Any] = tool["inputSchema"]["properties"]
        names = chance.sample(list(properties), min(chance.choice((0, 1, 2, 6)), len(properties)))
        wanted = [name for name in tool["inputSchema"].get("required", []) if chance.random() < 0.9]
        arguments = {name: self.value(properties[name]) for name in {*names, *wanted}}
        if tool["name"] == "add_memory" and chance.random() < 0.3:
            arguments = {"content": f"{self.text()} {chance.random()}"}
        if chance.random() < 0.05:
            arguments[self.text()[:50]] = chance.choice(ODD_VALUES)
        call = request("tools/call", {"name": tool["name"], "arguments": arguments})
        if chance.random() < 0.1:
            information = {"name": self.text(), "version": self.text()}
            call["params"]["_meta"] = META | {"io.modelcontextprotocol/clientInfo": information}
        return call

    def garbage(self) -> tuple[bytes, dict[str, str]]:
        """Return a body that is no request, and headers that may not be in order either."""
        chance = self._chance
        whole = json.dumps(self.call())
        bodies = (
            b"",
            b"[" * 100_000,
            b'{"a":' * 50_000,
            whole[: chance.randrange(len(whole))].encode("utf-8", "replace"),
            bytes(chance.randrange(256) for _ in range(200)),
            json.dumps([self.call()] * 3).encode(),
            json.dumps(self.call() | {"method": self.text()}).encode(),
            json.dumps(self.call() | {"params": chance.choice(ODD_VALUES)}).encode(),
            json.dumps(self.call() | {"id": chance.choice(ODD_VALUES)}).encode(),
            json.dumps(request("tools/call", {"name": self.text(), "arguments": {}})).encode(),
            json.dumps(request("resources/read", {"uri": self.text()})).encode(),
            json.dumps(request("prompts/get", {"name": "recall", "arguments": {"topic": self.text()}})).encode(),
            json.dumps(request("completion/complete", {"ref": self.text()})).encode(),
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add_memory","arguments":{"content":1e999}}}',
        )
        headers = chance.choice(
            (MODERN, HEADERS, MODERN | {"MCP-Protocol-Version": "1999-01-01"}, HEADERS | {"Mcp-Session-Id": "x" * 500})
        )
        return chance.choice(bodies), headers


async def fuzz(served: Served, count: int, seed: int) -> list[str]:
    """Send `count` inputs and return what was wrong with the answers."""
    problems: list[str] = []
    statuses: Counter[str] = Counter()
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as web:
        listed = await web.post("/mcp", json=request("tools/list", {}), headers=MODERN | {"Mcp-Method": "tools/list"})
        inputs = Inputs(listed.json()["result"]["tools"], seed)
        before = _megabytes(served)
        waiting = iter(range(count))

        async def send() -> None:
            for number in waiting:
                body, headers = inputs.garbage() if number % 10 == 0 else (_encoded(inputs.call()), MODERN)
                try:
                    answer = await web.post("/mcp", content=body, headers=headers | _routed(body))
                except httpx2.HTTPError as error:
                    problems.append(f"{error!r}: {body[:300]!r}")
                    continue
                statuses[f"{answer.status_code}"] += 1
                if answer.status_code >= 500 or any(word in answer.text for word in TROUBLE):
                    problems.append(f"{answer.status_code} {answer.text[:300]}: {body[:300]!r}")
                elif '"event":"ADD"' in answer.text:
                    statuses["ADD"] += 1
                    found = cast("dict[str, Any]", answer.json())["result"]["structuredContent"]["results"]
                    inputs.memory_ids = [one["memory_id"] for one in found] + inputs.memory_ids[:50]

        async with anyio.create_task_group() as tasks:
            for _ in range(AT_A_TIME):
                tasks.start_soon(send)
        if (grown := _megabytes(served) - before) > MOST_MEGABYTES:
            problems.append(f"The server's memory grew by {grown:.0f} MB.")
        if (await web.get("/health")).status_code != 200:
            problems.append("The server does not answer any more.")
        print(f"{count} inputs, answers by status: {dict(sorted(statuses.items()))}, memory +{grown:.0f} MB")
    return problems


def _encoded(call: dict[str, Any]) -> bytes:
    return json.dumps(call).encode()


def _routed(body: bytes) -> dict[str, str]:
    """Return the headers by which the newest revision names the method and the tool, if the body says them."""
    try:
        call = json.loads(body)
        headers = {"Mcp-Method": str(call["method"]), "Mcp-Name": str(call["params"]["name"])}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {
        name: value
        for name, value in headers.items()
        if value.isascii() and value.isprintable() and value == value.strip()
    }


def _megabytes(served: Served) -> float:
    status = Path(f"/proc/{served.process.pid}/status")
    if not status.exists():
        return 0.0
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1_000


def main() -> int:
    """Return 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "store", durability="fast") as served:
        problems = anyio.run(fuzz, served, arguments.inputs, arguments.seed)
    for problem in problems[:20]:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
