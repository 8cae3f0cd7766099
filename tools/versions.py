"""From a draft to a first version, and from one version to the next: pure functions."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime, timedelta

from store.errors import InvalidRequestError
from store.models import Memory, Scope, Source, Vector
from tools.guards import content_hash
from tools.outcomes import Change, Draft

_EMPTY: Mapping[str, object] = {
    "tags": (),
    "metadata": {},
    "occurred_at": None,
    "expires_at": None,
    "pinned": False,
}

CHANGEABLE = ("content", "type", "tags", "metadata", "importance", "pinned", "occurred_at", "expires_at")
"""What a caller can change, and what `changed` reports."""


def first_version(
    draft: Draft, scope: Scope, source: Source, *, memory_id: str, now: datetime, vector: Vector | None
) -> Memory:
    """Return the draft as version 1."""
    return Memory(
        memory_id=memory_id,
        version=1,
        content=draft.content,
        content_hash=content_hash(draft.content),
        type=draft.type,
        tags=draft.tags,
        metadata=draft.metadata,
        user_id=scope.user_id,
        project=scope.project,
        agent_id=scope.agent_id,
        run_id=scope.run_id,
        source=source,
        importance=draft.importance,
        pinned=draft.pinned,
        occurred_at=draft.occurred_at,
        expires_at=draft.expires_at,
        created_at=now,
        updated_at=now,
        vector=vector,
    )


def is_in(memory: Memory, scope: Scope) -> bool:
    """Whether a memory was stored exactly here."""
    return (memory.user_id, memory.project, memory.agent_id, memory.run_id) == (
        scope.user_id,
        scope.project,
        scope.agent_id,
        scope.run_id,
    )


def says_the_same(existing: Memory, draft: Draft) -> bool:
    """Whether a draft repeats a memory: the same words, and not told of another day."""
    return existing.content_hash == content_hash(draft.content) and (
        draft.occurred_at is None or draft.occurred_at == existing.occurred_at
    )


def changed_version(old: Memory, change: Change, source: Source, now: datetime) -> Memory:
    """Return the next version of a memory; its vector is dropped if the content differs.

    Raises:
        InvalidRequestError: A field is to be both set and cleared.
    """
    given = {field.name: getattr(change, field.name) for field in fields(change) if field.name != "clear"}
    given = {name: value for name, value in given.items() if value is not None}
    if both := [name for name in change.clear if name in given]:
        raise InvalidRequestError(f"{', '.join(both)}: pass a new value or name it in clear, and not both.")
    given |= {name: _EMPTY[name] for name in change.clear}
    new = replace(_next(old, source, now), **given)
    if new.content == old.content:
        return new
    return replace(new, content_hash=content_hash(new.content), vector=None)


def restored_version(old: Memory, wanted: Memory, source: Source, now: datetime) -> Memory:
    """Return the next version of a memory, which says again what an earlier one said."""
    return replace(
        wanted,
        version=old.version + 1,
        source=source,
        created_at=old.created_at,
        updated_at=_after(old, now),
        superseded_at=None,
    )


def deleted_version(old: Memory, reason: str, source: Source, now: datetime) -> Memory:
    """Return the next version of a memory, which says that it is deleted."""
    new = _next(old, source, now)
    return replace(new, deleted_at=new.updated_at, deleted_reason=reason, vector=None)


def differences(old: Memory, new: Memory) -> tuple[str, ...]:
    """Return the names of what a caller would see changed."""
    changed = [name for name in CHANGEABLE if getattr(old, name) != getattr(new, name)]
    return tuple(changed + (["deleted"] if bool(old.deleted_at) != bool(new.deleted_at) else []))


def _next(old: Memory, source: Source, now: datetime) -> Memory:
    return replace(old, version=old.version + 1, source=source, updated_at=_after(old, now))


def _after(old: Memory, now: datetime) -> datetime:
    """Return now, or just after the old version if a clock stepped back: versions never overlap in time."""
    return max(now, old.updated_at + timedelta(microseconds=1))
