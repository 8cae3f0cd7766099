"""Export and import: the whole history as JSON Lines, and what is current as Markdown for reading.

The first line says what follows; each further one is one version of a memory, sorted by `memory_id` and version, with
sorted keys, so that the same memories always give the same bytes. Vectors are left out unless asked for: they can be
made again. What other columns are derived from is exported, what is derived is not.
"""

import json
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from store import backup
from store.errors import ConflictError, InvalidRequestError
from store.filters import Predicate, all_of, one_of
from store.models import Fingerprint, Memory, MemoryType, Origin, Source
from tools import guards
from tools.outcomes import ImportOutcome
from tools.times import written

if TYPE_CHECKING:
    from store.table import MemoryTable

FORMAT = 1
_AT_ONCE = 500


# Out


async def exported(table: "MemoryTable", what: Predicate = "", *, vectors: bool = False) -> AsyncGenerator[str]:
    """Yield the lines of an export, each with its end; the history of each memory is as of one moment.

    Args:
        table: The memories.
        what: Which; all if empty.
        vectors: Whether to export them too.
    """
    model = await table.fingerprint() if vectors else None
    yield _line({"souvenir": "export", "format": FORMAT, "vectors": _model(model) if model else None})
    async for history in _histories(table, what, vectors=vectors):
        for memory in history:
            yield _line(_fields(memory, vectors=vectors))


async def _histories(table: "MemoryTable", what: Predicate, *, vectors: bool) -> AsyncGenerator[list[Memory]]:
    memory_ids = sorted(await table.memory_ids(what))
    for start in range(0, len(memory_ids), _AT_ONCE):
        some = one_of("memory_id", memory_ids[start : start + _AT_ONCE])
        found = await table.find(all_of(some, what), with_vectors=vectors)
        for _, history in groupby(sorted(found, key=_place), key=lambda memory: memory.memory_id):
            yield list(history)


def _place(memory: Memory) -> tuple[str, int]:
    return memory.memory_id, memory.version


def _line(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _model(fingerprint: Fingerprint) -> dict[str, object]:
    return {name: getattr(fingerprint, name) for name in ("provider", "model", "dimension", "normalised")}


def _fields(memory: Memory, *, vectors: bool) -> dict[str, object]:
    fields: dict[str, object] = {name: getattr(memory, name) for name in Line.model_fields if name != "vector"}
    fields |= {"source": asdict(memory.source), "metadata": dict(memory.metadata), "tags": list(memory.tags)}
    for name, value in fields.items():
        if isinstance(value, datetime):
            fields[name] = value.astimezone(UTC).isoformat()
    if vectors:
        fields["vector"] = None if memory.vector is None else list(memory.vector)
    return fields


async def markdown(table: "MemoryTable", what: Predicate) -> AsyncGenerator[str]:
    """Yield what is current as Markdown, for reading: by project, then by type, oldest first."""
    found = await table.find(what)
    yield "# Memories\n"
    for project, of_project in groupby(sorted(found, key=lambda one: one.project), key=lambda one: one.project):
        yield f"\n## {project or 'Everywhere'}\n"
        by_type = sorted(of_project, key=lambda one: (one.type, one.happened_at, one.memory_id))
        for type_, memories in groupby(by_type, key=lambda one: one.type):
            yield f"\n### {type_.capitalize()}\n\n"
            for one in memories:
                about = [written(one.happened_at)[:10], *one.tags, *(["pinned"] if one.pinned else []), one.memory_id]
                text = one.content.replace("\n", "\n  ")
                yield f"- {text} *({', '.join(about)})*\n"


# In


class SourceLine(BaseModel):
    """Where a version came from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client: str = ""
    client_version: str = ""
    transport: str = ""
    origin: Origin = "import"


class Line(BaseModel):
    """One version of a memory, as it stands in an export."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory_id: Annotated[str, Field(min_length=1, max_length=64)]
    version: Annotated[int, Field(ge=1, lt=2**31)]
    content: str
    user_id: Annotated[str, Field(min_length=1)]
    created_at: AwareDatetime
    updated_at: AwareDatetime
    type: MemoryType = "fact"
    tags: tuple[str, ...] = ()
    metadata: dict[str, object] = Field(default_factory=dict[str, object])
    project: str = ""
    agent_id: str = ""
    run_id: str = ""
    source: SourceLine = SourceLine()
    importance: float = 0.5
    confidence: float = 1.0
    pinned: bool = False
    occurred_at: AwareDatetime | None = None
    superseded_at: AwareDatetime | None = None
    deleted_at: AwareDatetime | None = None
    deleted_reason: str = ""
    expires_at: AwareDatetime | None = None
    vector: tuple[FiniteFloat, ...] | None = None


async def imported(table: "MemoryTable", lines: Iterable[str]) -> ImportOutcome:
    """Store what an export holds; what is there already stays as it is, so that a repetition changes nothing.

    A longer history of a memory that is there continues it. The state before is kept beside the table.

    Args:
        table: Where to.
        lines: The lines of the export.

    Raises:
        InvalidRequestError: It is no export of Souvenir. Nothing was changed.
        StoreError: The store failed; what was imported until then is there, and a repetition adds the rest.
    """
    numbered = enumerate(lines, 1)
    model = _header(next(numbered, (1, ""))[1])
    outcome = ImportOutcome()
    before = await backup.snapshot(table.handle, "import") if await table.count() else ""
    await _adopt(table, model)
    batch: list[_History] = []
    for history in _read(numbered, model.dimension if model else 0, outcome):
        batch.append(history)
        if len(batch) == _AT_ONCE:
            await _store(table, batch, outcome, model)
            batch = []
    await _store(table, batch, outcome, model)
    if before and not outcome.imported:
        await backup.drop(table.handle, before)
    outcome.refused.sort()
    return outcome


def _header(line: str) -> Fingerprint | None:
    try:
        header = json.loads(line)
        assert header["souvenir"] == "export"
        number, model = header["format"], header["vectors"]
        assert number == FORMAT
        return Fingerprint(**model) if model else None
    except (ValueError, KeyError, TypeError, AssertionError):
        raise InvalidRequestError(
            f'This is no export of Souvenir: line 1 should be {{"souvenir":"export","format":{FORMAT},"vectors":...}}. '
            "Nothing was changed."
        ) from None


async def _adopt(table: "MemoryTable", model: Fingerprint | None) -> None:
    """Let a table without vectors take those of the export."""
    async with table.writing():
        if model and await table.fingerprint() is None:
            await table.adopt(model)


async def _fitting(table: "MemoryTable", model: Fingerprint | None, outcome: ImportOutcome) -> bool:
    """Whether the export's vectors may go into the table. Call it under `writing()`."""
    stored = await table.fingerprint()
    if model and stored != model:
        note = f"The export's vectors were made by {model}, the store's by {stored}: they are left out."
        outcome.notes += [note] if note not in outcome.notes else []
    return model is not None and stored == model


@dataclass(frozen=True, slots=True)
class _History:
    """The versions of one memory, and the lines that they stand in."""

    numbers: Sequence[int]
    versions: Sequence[Memory]


def _read(numbered: Iterator[tuple[int, str]], dimension: int, outcome: ImportOutcome) -> Iterator[_History]:
    """Yield the whole histories; lines that can't be used are refused."""

    def parsed() -> Iterator[tuple[int, Memory]]:
        for number, line in numbered:
            if line.strip():
                try:
                    yield number, _memory(line, dimension)
                except InvalidRequestError as error:
                    outcome.refused.append((number, str(error)))

    for _, group in groupby(parsed(), key=lambda pair: pair[1].memory_id):
        numbers, versions = zip(*group, strict=True)
        history = _History(cast("Sequence[int]", numbers), cast("Sequence[Memory]", versions))
        if problem := _gap(history.versions):
            outcome.refused += [(number, problem) for number in history.numbers]
        else:
            yield history


def _memory(line: str, dimension: int) -> Memory:
    try:
        one = Line.model_validate_json(line)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in details["loc"])
        raise InvalidRequestError(f"{where}: {details['msg']}" if where else details["msg"]) from None
    if one.vector is not None and len(one.vector) != dimension:
        raise InvalidRequestError(f"vector has {len(one.vector)} numbers; by line 1 it has {dimension}.")
    fields = {name: getattr(one, name) for name in Line.model_fields}
    for name, value in fields.items():
        if isinstance(value, datetime):
            fields[name] = value.astimezone(UTC)
    fields |= {
        "memory_id": guards.memory_id(one.memory_id),
        "content": guards.content(one.content),
        "content_hash": guards.content_hash(one.content),
        "tags": guards.tags(one.tags),
        "metadata": guards.metadata(one.metadata),
        "importance": guards.fraction("importance", one.importance),
        "confidence": guards.fraction("confidence", one.confidence),
        "deleted_reason": guards.name("deleted_reason", one.deleted_reason),
        "source": Source(**one.source.model_dump()),
    }
    fields |= {name: guards.place(name, fields[name]) for name in ("user_id", "project", "agent_id", "run_id")}
    return Memory(**fields)


def _gap(versions: Sequence[Memory]) -> str:
    """Return what is wrong with a history, empty if nothing is."""
    if [one.version for one in versions] != list(range(1, len(versions) + 1)):
        return "The versions of a memory stand together, from 1 on, without a gap."
    if any(one.user_id != versions[0].user_id for one in versions):
        return "All versions of a memory belong to one user."
    if any(one.superseded_at is None for one in versions[:-1]) or versions[-1].superseded_at is not None:
        return "Exactly the last version of a memory has superseded_at null."
    return ""


async def _store(
    table: "MemoryTable", batch: Sequence[_History], outcome: ImportOutcome, model: Fingerprint | None
) -> None:
    if not batch:
        return
    async with table.writing():
        vectors = await _fitting(table, model, outcome)  # each time: the store may move to another model meanwhile
        ids = [history.versions[0].memory_id for history in batch]
        there = sorted(await table.find(one_of("memory_id", ids), with_vectors=True), key=_place)
        known = {memory_id: list(group) for memory_id, group in groupby(there, key=lambda one: one.memory_id)}
        rows: dict[str, Memory] = {}
        for history in batch:
            before = known.setdefault(history.versions[0].memory_id, [])
            try:
                new = _continuation(before, history.versions)
            except ConflictError as error:
                outcome.refused += [(number, str(error)) for number in history.numbers]
                continue
            if not new:
                outcome.known += len(history.versions)
                continue
            outcome.imported += len(history.versions) - len(before)
            outcome.known += len(before)
            if not vectors:
                new[len(before) and 1 :] = [replace(one, vector=None) for one in new[len(before) and 1 :]]
            rows |= {one.row_id: one for one in new}
            before[-1:] = new
        if rows:
            await table.upsert(list(rows.values()))


def _continuation(before: Sequence[Memory], versions: Sequence[Memory]) -> list[Memory]:
    """Return the rows to write so that a memory has these versions; none if it has them already.

    Raises:
        ConflictError: The store has another history of this memory.
    """
    same = min(len(before), len(versions))
    for number, (one, other) in enumerate(zip(before[:same], versions[:same], strict=True), 1):
        if number == same and len(before) != len(versions):
            one, other = replace(one, superseded_at=None), replace(other, superseded_at=None)
        if one != other:
            raise ConflictError(f"The store has another version {number} of this memory; it stays as it is.")
    if len(versions) <= len(before):
        return []
    closed = [replace(before[-1], superseded_at=versions[same - 1].superseded_at)] if before else []
    return [*closed, *versions[same:]]
