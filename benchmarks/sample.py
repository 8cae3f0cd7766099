"""Made-up memories and questions about them, for benchmarks of speed: varied words, no data from elsewhere."""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import numpy as np

from store.clock import utc_now
from store.embedders.onnx import bundled
from store.ids import TimeOrderedIds
from store.models import Scope, Source
from store.table import MemoryTable
from store.vectors import Vectors
from tools.outcomes import Draft
from tools.versions import first_version

PEOPLE = (
    "Anna Ben Carla David Elena Farid Greta Hiro Ines Jonas Keiko Luis Mira Nadia Oscar Priya Quentin Rosa Sven Tara"
)
THINGS = (
    "green tea,mountain bikes,the cello,Sunday markets,watercolour painting,old maps,chess openings,sourdough bread,"
    "wild swimming,jazz records,bonsai trees,night trains,crime novels,pottery,bird watching,board games,hot springs,"
    "street food,rock climbing,astronomy,typewriters,kites,beekeeping,opera,fountain pens,surfing,marathons,calligraphy"
)
PLACES = "Graz Lisbon Kyoto Oslo Bogota Tallinn Dakar Hobart Lyon Split Quito Riga Cork Ghent Porto Turin Basel Leeds"
TEMPLATES = (
    "{person} is very fond of {thing}",
    "{person} moved to {place} because of {thing}",
    "{person} and {other} talked about {thing} in {place}",
    "{person} does not care for {thing} any more",
    "{person} bought something for {thing} from {other} for {number} euros",
    "The team of {person} in {place} has {number} members who like {thing}",
    "On a trip to {place}, {person} discovered {thing}",
    "{person} promised {other} to try {thing} within {number} days",
)
QUESTIONS = (
    "What does {person} like to do?",
    "Who lives in {place}?",
    "Which plans are there for {thing}?",
    "What did {person} and {other} talk about?",
    "Who spent money on {thing}?",
)


def _words(chance: random.Random) -> dict[str, object]:
    person, other = chance.sample(PEOPLE.split(), 2)
    return {
        "person": person,
        "other": other,
        "thing": chance.choice(THINGS.split(",")),
        "place": chance.choice(PLACES.split()),
        "number": chance.randint(2, 99_999),
    }


def statements(count: int, seed: int = 1) -> list[str]:
    """Return `count` different statements, always the same ones for a seed."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    made: dict[str, None] = {}
    while len(made) < count:
        made[f"{chance.choice(TEMPLATES).format(**_words(chance))} (note {len(made)})"] = None
    return list(made)


async def fill(store: Path | str, count: int, options: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """Make a store of `count` memories of the default user and return their ids.

    Bulk-loaded past the tools, which look for neighbours of each; what is stored is what they would store.
    """
    table = await MemoryTable.open(store, options=options)
    new_id, vectors = TimeOrderedIds(), Vectors(table, bundled())
    memory_ids: list[str] = []
    made = drafts(statements(count))
    for start in range(0, count, 1_000):
        batch = made[start : start + 1_000]
        embedded = await vectors.of_documents([draft.content for draft in batch])
        async with table.writing():
            await vectors.admit(embedded)
            memories = [
                first_version(draft, Scope("default"), Source(), memory_id=new_id(), now=utc_now(), vector=vector)
                for draft, vector in zip(batch, embedded.vectors, strict=True)
            ]
            await table.insert(memories)
        memory_ids += [memory.memory_id for memory in memories]
    await table.upkeep.compact()
    table.close()
    return memory_ids


SEARCHER, SMALL, OTHERS = "default", "small", 100
"""Whose memories `bulk_load` makes: half of them the searcher's, fifty a small user's, the rest of so many others."""

SMALL_COUNT = 50
CLUSTERS = 4_000


async def bulk_load(store: Path, count: int) -> MemoryTable:
    """Make a store of `count` memories of many users, without its final indexes; for sizes where embedding takes hours.

    The vectors lie in clusters around those of real statements, at a cosine of about 0.94 to their centre; the texts
    are those statements, each with a number of its own.
    """
    table = await MemoryTable.open(store)
    embedder, chance, new_id = bundled(), np.random.default_rng(1), TimeOrderedIds()
    texts = [text.partition(" (note")[0] for text in statements(CLUSTERS, seed=3)]
    centres = np.asarray(await embedder.embed_documents(texts), np.float32)
    async with table.writing():
        await table.adopt(await embedder.fingerprint())
    for start in range(0, count, 20_000):
        size = min(20_000, count - start)
        chosen = chance.integers(0, CLUSTERS, size)
        vectors = centres[chosen] + chance.normal(0, 0.35 / 384**0.5, (size, 384)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        made = drafts([f"{texts[cluster]} (note {start + n})" for n, cluster in enumerate(chosen)], start)
        rows = [
            first_version(
                draft, Scope(_owner(start + n, count)), Source(), memory_id=new_id(), now=utc_now(), vector=vector
            )
            for n, (draft, vector) in enumerate(zip(made, vectors.tolist(), strict=True))
        ]
        await table.insert(rows)
    return table


def _owner(number: int, count: int) -> str:
    if number % (count // SMALL_COUNT) == 1:
        return SMALL
    return SEARCHER if number % 2 == 0 else f"user {number % OTHERS}"


def questions(count: int, seed: int = 2) -> list[str]:
    """Return `count` questions, always the same ones for a seed."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    return [chance.choice(QUESTIONS).format(**_words(chance)) for _ in range(count)]


def drafts(texts: Sequence[str], first: int = 0) -> list[Draft]:
    """Return statements as drafts, one a minute."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return [
        Draft(content=text, occurred_at=start + timedelta(minutes=minute)) for minute, text in enumerate(texts, first)
    ]
