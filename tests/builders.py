"""Memories and vectors that tests are made of."""

from dataclasses import replace
from datetime import UTC, datetime

from store.models import Memory

NOW = datetime(2026, 5, 8, 12, 0, tzinfo=UTC)


def memory(memory_id: str, content: str = "text", **fields: object) -> Memory:
    """Return version 1 of a memory of Alice's."""
    base = Memory(
        memory_id=memory_id,
        version=1,
        content=content,
        content_hash="hash",
        user_id="alice",
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(base, **fields)  # pyright: ignore[reportArgumentType]


def axis(number: int, dimension: int = 384) -> list[float]:
    """Return a vector of length 1 along one axis: its cosine with every other axis is 0."""
    return [1.0 if position == number else 0.0 for position in range(dimension)]
