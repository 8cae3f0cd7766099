"""What the use cases take and return: plain frozen values, before any of it becomes JSON or a table on a screen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from store.models import Hit, Memory, MemoryType, TableStats, Upkept

Clearable = Literal["tags", "metadata", "occurred_at", "expires_at", "pinned"]
"""What `update_memory` can empty; an empty argument leaves a field as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A memory to be: what a caller says of it."""

    content: str
    type: MemoryType = "fact"
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    importance: float = 0.5
    pinned: bool = False
    occurred_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What the next version of a memory is to differ in: None leaves a field as it is."""

    content: str | None = None
    type: MemoryType | None = None
    tags: tuple[str, ...] | None = None
    metadata: Mapping[str, object] | None = None
    importance: float | None = None
    pinned: bool | None = None
    occurred_at: datetime | None = None
    expires_at: datetime | None = None
    clear: tuple[Clearable, ...] = ()


@dataclass(frozen=True, slots=True)
class Added:
    """What came of one draft: stored (`ADD`), or already there (`NONE`), and what is close to it."""

    event: Literal["ADD", "NONE"]
    memory: Memory
    similar: tuple[Hit, ...] = ()


@dataclass(frozen=True, slots=True)
class AddOutcome:
    """The outcome of each draft, in order, and what the caller should know."""

    added: tuple[Added, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """Hits, best first; how many more lay below the threshold; what the caller should know."""

    hits: tuple[Hit, ...]
    omitted: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UpdateOutcome:
    """The version that is current now, and which fields differ from the one before."""

    memory: Memory
    changed: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteOutcome:
    """The memories that are deleted now, and the ids that name nothing that could be."""

    deleted: tuple[Memory, ...]
    not_found: tuple[str, ...] = ()


@dataclass(slots=True)
class ImportOutcome:
    """How many versions were imported, how many were there already, and why each other line was refused."""

    imported: int = 0
    known: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    notes: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class PurgeOutcome:
    """How many memories and versions of them were erased for good, and which backup files may still hold them."""

    memories: int
    versions: int
    backups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the memories that match, how many match in all, and where the next page begins."""

    memories: tuple[Memory, ...]
    total: int
    next_cursor: str = ""


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What the last maintenance did; `problem` is empty unless it failed."""

    embedded: int = 0
    files: Upkept = "nothing"
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Stats:
    """The state of the store and of whatever serves it."""

    table: TableStats
    embedder: str
    maintenance: Maintenance
    folder: str
