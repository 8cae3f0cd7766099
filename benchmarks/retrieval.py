"""How often a search finds what answers a question: `uv run python -m benchmarks.retrieval --data FILE`.

FILE is a list of scopes with memories and questions, as in the evaluation data. Every scope is stored as a user of its
own in one store, and the memories are added and searched through the real tools, in process: what is measured is what
ships. Compared with: full text alone, vectors alone, and LanceDB's own reciprocal rank fusion of the two.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from mcp import Client

from benchmarks.report import p50, p95, print_table
from server.app import build_server
from server.config import load
from server.opening import open_memories
from store import filters
from store.clock import utc_now
from store.embedders.onnx import bundled
from store.filters import Predicate
from store.models import Scope, Source
from store.table import MemoryTable
from tools.callers import Access, Caller

Ranking = Callable[[str, str], Awaitable[list[str]]]
"""From the user and the question to the ids of the evaluation data, best first, at most 20."""

DEPTH = 20


@dataclass
class Measured:
    """What one ranking found: one entry for each question."""

    rows: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    categories: dict[str, list[dict[str, float]]] = field(default_factory=lambda: defaultdict(list))
    seconds: list[float] = field(default_factory=list[float])
    stale: list[bool] = field(default_factory=list[bool])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="evaluation data, see its README")
    parser.add_argument("--update", action="store_true", help="overwrite stale memories by update_memory instead")
    arguments = parser.parse_args()
    anyio.run(_measure, json.loads(arguments.data.read_text("utf-8")), arguments.update)


async def _measure(scopes: list[dict[str, Any]], update: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with _tools(Path(folder)) as client:
            started = time.perf_counter()
            known = await _store(client, scopes, update)
            print(f"{len(known)} memories stored by add_memory in {time.perf_counter() - started:.0f} s\n")
            table = await MemoryTable.open(Path(folder))
            rankings = _baselines(table, known) | {
                "souvenir": _souvenir(client, known),
                "souvenir, no threshold": _souvenir(client, known, min_score=0.0),
            }
            measured = {name: await _asked(ranking, scopes) for name, ranking in rankings.items()}
            _report(measured)
            await _report_scores(client, scopes)
            table.close()


@asynccontextmanager
async def _tools(folder: Path) -> AsyncGenerator[Client]:
    memories = await open_memories(load({"SOUVENIR_STORE": str(folder)}).settings)

    async def opened() -> Any:
        if memories.maintenance_due.is_set():
            await memories.maintain()
        return memories

    access = Access(opened, lambda: Caller(Scope("nobody"), Source()), utc_now)
    async with Client(build_server(access)) as client:
        yield client
    memories.close()


async def _store(client: Client, scopes: list[dict[str, Any]], update: bool) -> dict[str, str]:
    """Add all memories and return the evaluation id of each memory id."""
    known: dict[str, str] = {}
    for scope in scopes:
        overwritten = _overwritten(scope) if update else {}
        ids: dict[str, str] = {}
        for memory in scope["memories"]:
            old = ids.get(overwritten.get(memory["id"], ""))
            if old:
                await _called(client, "update_memory", user_id=scope["scope"], memory_id=old, content=memory["content"])
                ids[memory["id"]] = old
                known[old] = memory["id"]
                continue
            optional = {name: memory[name] for name in ("run_id", "occurred_at") if memory.get(name)}
            result = await _called(client, "add_memory", user_id=scope["scope"], content=memory["content"], **optional)
            ids[memory["id"]] = result["results"][0]["memory_id"]
            known.setdefault(ids[memory["id"]], memory["id"])
    return known


def _overwritten(scope: dict[str, Any]) -> dict[str, str]:
    """Return which stale memory each current one takes the place of."""
    return {query["relevant"][0]: query["stale"][0] for query in scope["queries"] if query.get("stale")}


async def _called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


def _souvenir(client: Client, known: dict[str, str], **more: Any) -> Ranking:
    async def ranking(user: str, question: str) -> list[str]:
        found = await _called(client, "search_memory", user_id=user, query=question, limit=DEPTH, **more)
        return [known[hit["memory_id"]] for hit in found["results"]]

    return ranking


def _baselines(table: MemoryTable, known: dict[str, str]) -> dict[str, Ranking]:
    from lancedb.rerankers import RRFReranker  # after the level of its log is set

    lance: Any = table.handle._table  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - LanceDB itself is the baseline
    embedder = bundled()

    def mine(user: str) -> Predicate:
        return filters.all_of(filters.current(), filters.equals("user_id", user))

    async def words(user: str, question: str) -> list[str]:
        found = await table.matching(question, mine(user), DEPTH)
        return [known[memory.memory_id] for memory in found.memories]

    async def vectors(user: str, question: str) -> list[str]:
        found = await table.nearest(await embedder.embed_query(question), mine(user), DEPTH)
        return [known[memory.memory_id] for memory in found.memories]

    async def fusion(user: str, question: str) -> list[str]:
        query: Any = lance.query().nearest_to(list(await embedder.embed_query(question))).distance_type("cosine")
        query = query.nearest_to_text(question, columns=["search_text"]).where(mine(user)).rerank(RRFReranker())
        rows = await query.select(["memory_id"]).limit(DEPTH).to_list()
        return [known[row["memory_id"]] for row in rows]

    return {"full text": words, "vectors": vectors, "LanceDB hybrid (RRF)": fusion}


async def _asked(ranking: Ranking, scopes: list[dict[str, Any]]) -> Measured:
    measured = Measured()
    for scope in scopes:
        for query in scope["queries"]:
            if query["category"] == "adversarial" or not query["relevant"]:
                continue
            started = time.perf_counter()
            found = await ranking(scope["scope"], query["query"])
            measured.seconds.append(time.perf_counter() - started)
            figures = _figures(found, set(query["relevant"]))
            measured.rows.append(figures)
            measured.categories[query["category"]].append(figures)
            if query.get("stale"):
                measured.stale.append(_stale_first(found, query["relevant"], query["stale"]))
    return measured


def _figures(found: Sequence[str], relevant: set[str]) -> dict[str, float]:
    """Return the usual measures of one ranked list (Manning et al., Introduction to Information Retrieval, 8.4)."""
    first = next((place for place, one in enumerate(found) if one in relevant), None)
    gain = sum(1 / math.log2(place + 2) for place, one in enumerate(found[:10]) if one in relevant)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(10, len(relevant))))
    recall = {f"recall@{depth}": len(relevant & set(found[:depth])) / len(relevant) for depth in (5, 10, 20)}
    return recall | {
        "hit@1": float(first == 0),
        "MRR": 0.0 if first is None else 1 / (first + 1),
        "NDCG@10": gain / ideal,
    }


def _stale_first(found: Sequence[str], current: Sequence[str], stale: Sequence[str]) -> bool:
    places = {one: place for place, one in enumerate(found)}
    newest = min(places.get(one, DEPTH) for one in current)
    return any(places.get(one, DEPTH) < newest for one in stale)


def _report(measured: dict[str, Measured]) -> None:
    names = list(next(iter(measured.values())).rows[0])
    rows = [
        (
            name,
            *(f"{statistics.fmean(row[figure] for row in one.rows):.3f}" for figure in names),
            f"{1_000 * p50(one.seconds):.0f} ms",
            f"{1_000 * p95(one.seconds):.0f} ms",
            f"{statistics.fmean(one.stale):.0%}" if one.stale else "",
        )
        for name, one in measured.items()
    ]
    print_table(("ranking", *names, "p50", "p95", "stale first"), rows)
    print()
    ours = measured["souvenir"]
    categories = [
        (name, len(found), *(f"{statistics.fmean(row[figure] for row in found):.3f}" for figure in names))
        for name, found in sorted(ours.categories.items())
    ]
    print_table(("souvenir, by category", "questions", *names), categories)


async def _report_scores(client: Client, scopes: list[dict[str, Any]]) -> None:
    """Print the best score of questions whose answer is in the store, and of the same questions in another's."""
    inside: list[float] = []
    outside: list[float] = []
    for position, scope in enumerate(scopes):
        other = scopes[(position + 1) % len(scopes)]["scope"]
        for query in scope["queries"][::3]:
            for user, scores in ((scope["scope"], inside), (other, outside)):
                found = await _called(
                    client, "search_memory", user_id=user, query=query["query"], limit=1, min_score=0.0
                )
                scores.append(found["results"][0]["score"] if found["results"] else 0.0)
    nonsense: list[float] = []
    for query in NONSENSE:
        found = await _called(client, "search_memory", user_id=scopes[0]["scope"], query=query, limit=1, min_score=0.0)
        nonsense.append(found["results"][0]["score"] if found["results"] else 0.0)
    rows = [
        (
            name,
            len(scores),
            *(f"{sorted(scores)[min(len(scores) - 1, len(scores) * at // 100)]:.2f}" for at in PERCENTILES),
        )
        for name, scores in (
            ("answer in the store", inside),
            ("asked in another's store", outside),
            ("about nothing in it", nonsense),
        )
    ]
    print()
    print_table(("best score", "questions", *(f"p{at}" for at in PERCENTILES)), rows)


PERCENTILES = (5, 25, 50, 75, 95)

NONSENSE = (
    "zxqv blorf wibble",
    "gluon confinement in quantum chromodynamics",
    "COBOL copybooks on a mainframe",
    "trebuchet counterweight ratio",
    "photosynthesis of C4 plants",
    "LLVM register allocation",
    "Byzantine tax law of the ninth century",
    "torque of a diesel locomotive",
    "Laplace transform of a step function",
    "spawning season of the Baltic herring",
    "Gregorian chant notation",
    "melting point of tungsten carbide",
)

if __name__ == "__main__":
    main()
