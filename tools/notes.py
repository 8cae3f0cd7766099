"""What a caller is told besides the answer."""

from collections.abc import Sequence
from dataclasses import replace

from store.errors import ConflictError, NotFoundError
from store.models import Memory
from tools.outcomes import Added, Draft


def unknown(memory_ids: str) -> NotFoundError:
    """Return the error for ids that name nothing of the user's; the same whoever else has them."""
    return NotFoundError(
        f"There is no memory {memory_ids[:200]!r}. Take a memory_id from search_memory or list_memories."
    )


def changed_meanwhile(current: Memory, expected: int) -> ConflictError:
    """Return the error for a change that is based on another version than the current one."""
    return ConflictError(
        f"{current.memory_id} is at version {current.version}, not {expected}. It says now: "
        f"{current.content[:1_000]!r}. Nothing was changed. Update again, based on that."
    )


def left_as_they_are(drafts: Sequence[Draft], added: Sequence[Added]) -> tuple[str, ...]:
    """Return a note if a repeated statement came with more than its words, which were not stored."""
    plain = Draft(content="")
    ids = [
        one.memory.memory_id
        for draft, one in zip(drafts, added, strict=True)
        if one.event == "NONE" and replace(draft, content="", occurred_at=None) != plain
    ]
    if not ids:
        return ()
    return (f"Known already, left as they are: {', '.join(ids)}. To change tags or other fields, use update_memory.",)


def without_neighbours(problem: str) -> tuple[str, ...]:
    """Return a note if it could not be looked up what is close to a statement."""
    return (f"Stored, but what is similar could not be looked up. {problem}",) if problem else ()


def without_vector(problem: str) -> tuple[str, ...]:
    """Return a note if something was stored that could not be embedded."""
    if not problem:
        return ()
    return (f"Stored, but found by words alone until it can be embedded. {problem}",)
