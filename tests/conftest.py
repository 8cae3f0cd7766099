"""What every test stands on: a caged environment, a clock that is turned by hand, memories in a temporary folder."""

import os
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent

from server.app import build_server
from store.embedders.base import Embedder
from store.embedders.hashing import HashingEmbedder
from store.models import Scope, Source
from store.table import MemoryTable
from tools.callers import Access, Caller
from tools.memories import Memories

# Rich keeps the width that it sees first, and pytest-xdist tells its workers 80.
os.environ.pop("COLUMNS", None)

Era = Literal["legacy", "auto"]

ALICE = Scope("alice")
SOURCE = Source(client="tests", transport="memory")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def caged_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting of this machine reaches a test, and no test writes into the home folder."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("SOUVENIR_", "OPENAI_", "FASTEMBED_", "HF_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("LANCEDB_LOG", "error")


@dataclass
class TurnedClock:
    """A clock that moves a second with each look, and by hand."""

    now: datetime = datetime(2026, 5, 8, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def forward(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclass
class CountedIds:
    """Ids 000000000001, 000000000002 and so on."""

    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __call__(self) -> str:
        return f"{next(self.numbers):012d}"


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def embedder() -> Embedder | None:
    return HashingEmbedder()


@pytest.fixture
async def table(tmp_path: Path) -> AsyncGenerator[MemoryTable]:
    opened = await MemoryTable.open(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def memories(table: MemoryTable, embedder: Embedder | None, clock: TurnedClock) -> Memories:
    return Memories(table, embedder, clock=clock, new_id=CountedIds())


def access_to(memories: Memories, clock: TurnedClock, caller: Caller | None = None) -> Access:
    async def opened() -> Memories:
        return memories

    return Access(opened, lambda: caller or Caller(ALICE, SOURCE), clock)


@dataclass(frozen=True)
class Tools:
    """A connected MCP client, and short ways to call the tools."""

    client: Client

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return the structured result of a call that has to succeed."""
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, text_of(result)
        assert result.structured_content is not None
        return result.structured_content

    async def error(self, tool: str, **arguments: Any) -> str:
        """Return the text of a call that has to fail."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, text_of(result)
        return text_of(result)


def text_of(result: CallToolResult) -> str:
    [block] = result.content
    assert isinstance(block, TextContent)
    return block.text


@pytest.fixture(params=["legacy", "auto"])
def era(request: pytest.FixtureRequest) -> Era:
    """Both protocol eras: the handshake one, and 2026-07-28."""
    return request.param


@pytest.fixture
async def tools(memories: Memories, clock: TurnedClock, era: Era) -> AsyncGenerator[Tools]:
    async with Client(build_server(access_to(memories, clock)), mode=era) as client:
        yield Tools(client)
