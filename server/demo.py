"""`souvenir demo`: everything once, with the real server over stdio and a real MCP client, on a temporary store."""

import json
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from rich.text import Text

from server.console import out

MEMORIES = (
    "Anna is allergic to peanuts",
    "Anna works as a carpenter in Graz",
    "The user's dog is a border collie called Pixel",
    "The user prefers tabs over spaces in Go code",
    "The database of project Atlas runs PostgreSQL 17 on port 5433",
    "The user wants meetings only after ten in the morning",
)

QUESTIONS = {
    "Which food could make her ill?": "Anna is allergic to peanuts",
    "What kind of pet lives in the household?": "The user's dog is a border collie called Pixel",
    "What is her profession?": "Anna works as a carpenter in Graz",
}
"""Questions that share no word with the memory that answers them."""


class DemoFailedError(Exception):
    """The server gave a wrong answer."""


@dataclass(slots=True)
class Walk:
    """Calls tools, shows question and answer, and counts the steps."""

    client: Client
    steps: int = 0

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its structured answer.

        Raises:
            DemoFailedError: The tool reported an error.
        """
        result = await self.client.call_tool(tool, arguments)
        shown = json.dumps(arguments, ensure_ascii=False)
        out.print(Text(f"  {tool} {shown[:150]}{'…' if len(shown) > 150 else ''}", style="dim"))
        if result.is_error or result.structured_content is None:
            raise DemoFailedError(f"{tool} failed: {result.content}")
        return result.structured_content

    def expect(self, right: bool, told: str) -> None:
        """Show one answer; a wrong one ends the demo.

        Raises:
            DemoFailedError: It was not right.
        """
        if not right:
            raise DemoFailedError(f"Not so: {told}")
        self.steps += 1
        out.print(Text.assemble(("  ✓ ", "green"), told))


def run_demo() -> int:
    """Run the demo and return the exit status: 0 only if every answer was right."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="souvenir-demo-") as folder:
        outcome = anyio.run(_demo, Path(folder))
    if outcome.failure:
        out.print(Text(f"  ✗ {outcome.failure}", style="red"))
        return 1
    out.print(f"\nAll {outcome.steps} answers were right, in {time.monotonic() - started:.1f} s.")
    return 0


@dataclass(slots=True)
class _Outcome:
    steps: int = 0
    failure: str = ""


async def _demo(folder: Path) -> _Outcome:
    outcome = _Outcome()
    for parts in ((_add_and_search, _duplicates, _update, _delete_and_undo), (_after_restart,)):
        async with _server(folder) as walk:
            try:
                for part in parts:
                    await part(walk)
            except DemoFailedError as failure:
                outcome.failure = str(failure)
                return outcome
            finally:
                outcome.steps += walk.steps
    return outcome


@asynccontextmanager
async def _server(folder: Path) -> AsyncGenerator[Walk]:
    """Start the server as a client would, with nothing set but where it keeps its memories."""
    (folder / "config.toml").touch()
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "server.stdio"],  # -P: a folder called server where this is run is not ours
        env={
            "SOUVENIR_STORE": str(folder / "store"),
            "SOUVENIR_CONFIG": str(folder / "config.toml"),
        },
    )
    async with Client(stdio_client(parameters)) as client:
        yield Walk(client)


def _heading(text: str) -> None:
    out.print(Text(f"\n{text}", style="bold"))


async def _search(walk: Walk, query: str) -> list[dict[str, Any]]:
    return (await walk.call("search_memory", query=query))["results"]


async def _add_and_search(walk: Walk) -> None:
    _heading("Remember a handful of things")
    added = (await walk.call("add_memory", contents=list(MEMORIES)))["results"]
    walk.expect([one["event"] for one in added] == ["ADD"] * len(MEMORIES), f"{len(added)} memories stored")
    _heading("Find them by meaning, in words that do not occur in them")
    for question, answer in QUESTIONS.items():
        hits = await _search(walk, question)
        found = hits[0]["content"] if hits else "nothing"
        walk.expect(found == answer, f"{found} (score {hits[0]['score'] if hits else 0})")


async def _duplicates(walk: Walk) -> None:
    _heading("Recognise what is known already")
    [again] = (await walk.call("add_memory", content=f"  {MEMORIES[0].upper()}. "))["results"]
    walk.expect(again["event"] == "NONE", f"the same again is event NONE: {again['content']}")
    [near] = (await walk.call("add_memory", content="Anna has a severe allergy to peanuts"))["results"]
    offered = [one["content"] for one in near.get("similar", [])]
    walk.expect(near["event"] == "ADD" and MEMORIES[0] in offered, f"something close is offered: {offered[0]}")


async def _update(walk: Walk) -> None:
    _heading("Change a memory, and keep what it said before")
    [hit, *_] = await _search(walk, "Where does Anna work?")
    memory_id = hit["memory_id"]
    moved = "Anna works as a carpenter in Vienna"
    updated = await walk.call("update_memory", memory_id=memory_id, content=moved)
    walk.expect(updated["changed"] == ["content"], f"{memory_id} is at version {updated['results'][0]['version']}")
    contents = [one["content"] for one in await _search(walk, "Where does Anna work?")]
    walk.expect(contents[0] == moved and MEMORIES[1] not in contents, f"search finds the new text: {contents[0]}")
    history = (await walk.call("list_memories", memory_id=memory_id))["results"]
    said = [one["content"] for one in history]
    walk.expect(said == [moved, MEMORIES[1]], f"the history has both: {' ← '.join(said)}")


async def _delete_and_undo(walk: Walk) -> None:
    _heading("Forget something, and undo that")
    question, answer = "Which port does the Atlas database listen on?", MEMORIES[4]
    [hit, *_] = await _search(walk, question)
    deleted = await walk.call("delete_memory", memory_ids=[hit["memory_id"]], reason="demo")
    walk.expect(deleted["deleted"] == 1 and hit["content"] == answer, f"deleted: {hit['content']}")
    found = await walk.call("search_memory", query=question)
    walk.expect(not found["relevant"] and not found["results"], "search finds nothing relevant any more")
    version = deleted["results"][0]["restore_version"]
    await walk.call("update_memory", memory_id=hit["memory_id"], restore_version=version)
    [back, *_] = await _search(walk, question)
    walk.expect(back["memory_id"] == hit["memory_id"], f"it is back: {back['content']}")


async def _after_restart(walk: Walk) -> None:
    _heading("Restart the server: everything is still there")
    listed = await walk.call("list_memories", limit=100)
    walk.expect(listed["total"] == len(MEMORIES) + 1, f"{listed['total']} memories")
    [hit, *_] = await _search(walk, "Where does Anna work?")
    walk.expect(hit["content"] == "Anna works as a carpenter in Vienna", f"{hit['content']}")
