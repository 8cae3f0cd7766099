"""The Arrow schema of the one table, and the way between its rows and `Memory`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pyarrow as pa

from store import filters
from store.models import Fingerprint, Memory, Source
from store.words import spelled_out

SCHEMA_VERSION = 2

DEFAULT_DIMENSION = 384
"""The bundled model's. A table that holds no vector yet takes the dimension of the first embedder that delivers."""

_VERSION_KEY = b"souvenir.schema_version"
_MIGRATIONS_KEY = b"souvenir.migrations"
_FINGERPRINT_KEY = "souvenir.fingerprint"

_TIMESTAMP = pa.timestamp("us", "UTC")


def table_schema(
    dimension: int = DEFAULT_DIMENSION,
    fingerprint: Fingerprint | None = None,
    migrations: Sequence[Mapping[str, object]] = (),
) -> pa.Schema:
    """Return the schema of a new table: version 2, no vectors yet.

    The schema version stands in the table's metadata, the fingerprint in that of the `vector` field: it is set when
    the first vector is stored and goes with the column when it is ever replaced.

    Args:
        dimension: How many numbers a vector has.
        fingerprint: Which model makes the vectors, if that is known already.
        migrations: What the table has been through, see `store.migrations`.
    """
    vector = vector_field(dimension)
    if fingerprint:
        vector = vector.with_metadata({**fingerprint_metadata(fingerprint)})
    return pa.schema(
        [
            pa.field("row_id", pa.string(), nullable=False),
            pa.field("memory_id", pa.string(), nullable=False),
            pa.field("version", pa.int32(), nullable=False),
            pa.field("content", pa.string(), nullable=False),
            pa.field("search_text", pa.string(), nullable=False),
            pa.field("content_hash", pa.string(), nullable=False),
            pa.field("live_scope", pa.string(), nullable=False),
            pa.field("card", pa.string(), nullable=False),
            pa.field("type", pa.string(), nullable=False),
            pa.field("tags", pa.list_(pa.string())),
            pa.field("metadata", pa.string(), nullable=False),
            pa.field("metadata_pairs", pa.list_(pa.string())),
            pa.field("user_id", pa.string(), nullable=False),
            pa.field("project", pa.string(), nullable=False),
            pa.field("agent_id", pa.string(), nullable=False),
            pa.field("run_id", pa.string(), nullable=False),
            pa.field(
                "source",
                pa.struct([(name, pa.string()) for name in ("client", "client_version", "transport", "origin")]),
            ),
            pa.field("importance", pa.float32(), nullable=False),
            pa.field("confidence", pa.float32(), nullable=False),
            pa.field("pinned", pa.bool_(), nullable=False),
            pa.field("occurred_at", _TIMESTAMP),
            pa.field("created_at", _TIMESTAMP, nullable=False),
            pa.field("updated_at", _TIMESTAMP, nullable=False),
            pa.field("superseded_at", _TIMESTAMP),
            pa.field("deleted_at", _TIMESTAMP),
            pa.field("deleted_reason", pa.string(), nullable=False),
            pa.field("expires_at", _TIMESTAMP),
            vector,
        ],
        metadata={
            _VERSION_KEY: str(SCHEMA_VERSION).encode(),
            _MIGRATIONS_KEY: json.dumps([dict(one) for one in migrations]).encode(),
        },
    )


def vector_field(dimension: int) -> "pa.Field[Any]":
    """Return the column for embeddings of this many dimensions; null where a version has none yet."""
    return pa.field("vector", pa.list_(pa.float32(), dimension))


def schema_version(schema: pa.Schema) -> int | None:
    """Return the version that a table was made with, None if it is none of ours."""
    text = (schema.metadata or {}).get(_VERSION_KEY, b"")
    return int(text) if text.isdigit() else None


def migrations(schema: pa.Schema) -> list[Mapping[str, object]]:
    """Return what a table has been through, oldest first."""
    return json.loads((schema.metadata or {}).get(_MIGRATIONS_KEY, b"[]"))


def dimension(schema: pa.Schema) -> int:
    """Return how many floats the table's vectors have."""
    return cast("pa.FixedSizeListType[Any, Any]", _vector_field(schema).type).list_size


def fingerprint(schema: pa.Schema) -> Fingerprint | None:
    """Return which model made the table's vectors, None if it holds none yet."""
    text = (_vector_field(schema).metadata or {}).get(_FINGERPRINT_KEY.encode())
    return Fingerprint(**json.loads(text)) if text else None


def _vector_field(schema: pa.Schema) -> "pa.Field[Any]":
    return cast("pa.Field[Any]", schema.field("vector"))  # pyright: ignore[reportUnknownMemberType]


def fingerprint_metadata(fingerprint: Fingerprint) -> dict[str, str]:
    """Return the metadata of the `vector` field that says which model made the vectors."""
    return {
        _FINGERPRINT_KEY: canonical_json(
            {
                "provider": fingerprint.provider,
                "model": fingerprint.model,
                "dimension": fingerprint.dimension,
                "normalised": fingerprint.normalised,
            }
        )
    }


def canonical_json(value: Mapping[str, object]) -> str:
    """Return compact JSON with sorted keys: the same mapping always gives the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def search_text(memory: Memory) -> str:
    """Return what full text indexes: the content, the tags, and the date of the event in words.

    People ask by date ("in May 2023", "on Monday"), and a stored date that is only a number can't be found so.
    """
    happened_at = memory.happened_at
    date = f"{happened_at:%Y-%m-%d} {happened_at:%A} {happened_at.day} {happened_at:%B} {happened_at.year}"
    return spelled_out("\n".join(part for part in (memory.content, " ".join(memory.tags), date) if part))


def to_arrow(memories: Iterable[Memory], schema: pa.Schema) -> pa.Table:
    """Return memories as rows of a table of this schema."""
    return pa.Table.from_pylist([_to_row(memory) for memory in memories], schema=schema)


def rows_to_arrow(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return rows as rows of a table of this schema, with all derived columns made anew."""
    return to_arrow((_to_memory(row) for row in rows), schema)


def from_arrow(table: pa.Table) -> list[Memory]:
    """Return rows as memories; `vector` is None unless it was selected."""
    return [_to_memory(row) for row in table.to_pylist()]


def _to_row(memory: Memory) -> dict[str, object]:
    source = memory.source
    return {
        "row_id": memory.row_id,
        "memory_id": memory.memory_id,
        "version": memory.version,
        "content": memory.content,
        "search_text": search_text(memory),
        "content_hash": memory.content_hash,
        "live_scope": filters.live_scope(memory),
        "card": card(memory),
        "type": memory.type,
        "tags": list(memory.tags),
        "metadata": canonical_json(memory.metadata),
        "metadata_pairs": list(filters.metadata_pairs(memory.metadata)),
        "user_id": memory.user_id,
        "project": memory.project,
        "agent_id": memory.agent_id,
        "run_id": memory.run_id,
        "source": {
            "client": source.client,
            "client_version": source.client_version,
            "transport": source.transport,
            "origin": source.origin,
        },
        "importance": memory.importance,
        "confidence": memory.confidence,
        "pinned": memory.pinned,
        "occurred_at": memory.occurred_at,
        "created_at": memory.created_at,
        "updated_at": memory.updated_at,
        "superseded_at": memory.superseded_at,
        "deleted_at": memory.deleted_at,
        "deleted_reason": memory.deleted_reason,
        "expires_at": memory.expires_at,
        "vector": None if memory.vector is None else list(memory.vector),
    }


def _to_memory(row: Mapping[str, Any]) -> Memory:
    return Memory(
        memory_id=row["memory_id"],
        version=row["version"],
        content=row["content"],
        content_hash=row.get("content_hash", ""),
        type=row["type"],
        tags=tuple(row["tags"] or ()),
        metadata=json.loads(row["metadata"]),
        user_id=row["user_id"],
        project=row["project"],
        agent_id=row["agent_id"],
        run_id=row["run_id"],
        source=Source(**row["source"]) if "source" in row else Source(),
        importance=round(row["importance"], 6),
        confidence=round(row.get("confidence", 1.0), 6),
        pinned=row["pinned"],
        occurred_at=_utc(row["occurred_at"]),
        created_at=row["created_at"].astimezone(UTC),
        updated_at=row["updated_at"].astimezone(UTC),
        superseded_at=_utc(row.get("superseded_at")),
        deleted_at=_utc(row.get("deleted_at")),
        deleted_reason=row.get("deleted_reason", ""),
        expires_at=_utc(row["expires_at"]),
        vector=row.get("vector"),
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


_FOR_SEARCH = ("search_text", "live_scope", "card", "metadata_pairs")

COLUMNS: tuple[str, ...] = tuple(name for name in table_schema().names if name not in ("vector", *_FOR_SEARCH))
"""What reading a memory selects: all but the columns that only search needs."""


_CARD_FIELDS = (
    "memory_id",
    "version",
    "content",
    "type",
    "tags",
    "user_id",
    "project",
    "agent_id",
    "run_id",
    "importance",
    "pinned",
    "metadata",
)
_CARD_MOMENTS = ("occurred_at", "created_at", "updated_at", "expires_at")


def card(memory: Memory) -> str:
    """Return what a search needs and shows of a memory, as one JSON text.

    In one column, because to read ten rows of sixteen columns takes 19 ms in a table of a million rows, and of one
    column little more than 1 (lancedb 0.40, benchmarks/scale.py).
    """
    fields: dict[str, object] = {name: getattr(memory, name) for name in _CARD_FIELDS}
    for name in _CARD_MOMENTS:
        moment: datetime | None = getattr(memory, name)
        fields[name] = None if moment is None else moment.astimezone(UTC).isoformat()
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def from_card(text: str) -> Memory:
    """Return the memory of a card, without what a card leaves out: hash, source, confidence, its end, its vector."""
    fields = json.loads(text)
    for name in _CARD_MOMENTS:
        fields[name] = datetime.fromisoformat(fields[name]) if fields[name] else None
    fields["tags"] = tuple(fields["tags"])
    return Memory(content_hash="", **fields)
