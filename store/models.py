"""What a memory is: plain frozen values that every layer passes around."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

MemoryType = Literal["fact", "preference", "profile", "event", "task", "procedure", "summary"]
MEMORY_TYPES: tuple[MemoryType, ...] = get_args(MemoryType)

Origin = Literal["user", "agent", "import", "extraction"]

Vector = Sequence[float]
"""One embedding: as many floats as the fingerprint's dimension."""

EVERYWHERE = "*"
"""As a `project` or `agent_id` to read by: any of them."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memory, and where it applies.

    Reading: the user's shared memories (an empty `project` or `agent_id`) and those of the named project and
    agent; `*` means any. An empty `run_id` reads all conversations. Writing: exactly these values are stored.
    `own_project_alone` leaves out what all projects share.
    """

    user_id: str
    project: str = ""
    agent_id: str = ""
    run_id: str = ""
    own_project_alone: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Where a version came from; stamped by the server, never by the model."""

    client: str = ""
    client_version: str = ""
    transport: str = ""
    origin: Origin = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One version of a memory: one row of the table. Times are aware and in UTC.

    `vector` is None where it was not read, or where the version has not been embedded yet.
    """

    memory_id: str
    version: int
    content: str
    content_hash: str
    user_id: str
    created_at: datetime
    updated_at: datetime
    type: MemoryType = "fact"
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    project: str = ""
    agent_id: str = ""
    run_id: str = ""
    source: Source = Source()
    importance: float = 0.5
    confidence: float = 1.0
    pinned: bool = False
    occurred_at: datetime | None = None
    superseded_at: datetime | None = None
    deleted_at: datetime | None = None
    deleted_reason: str = ""
    expires_at: datetime | None = None
    vector: Vector | None = field(default=None, repr=False, compare=False)

    @property
    def row_id(self) -> str:
        """The merge key: unique among all versions of all memories."""
        return f"{self.memory_id}.{self.version}"

    @property
    def happened_at(self) -> datetime:
        """The date that search filters and shows: when it was true, else when it was stored."""
        return self.occurred_at or self.created_at


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that a search returns, its score in [0, 1], and what the score was made of.

    `meaning` and `words` are in [0, 1] too: what each of them says by itself. `lent` is what the neighbours in its
    conversation made of the score, `nudge` what importance, pinning and age did. `reranked` is what a second stage says
    of the hit, None without one.
    """

    memory: Memory
    score: float
    meaning: float = 0.0
    words: float = 0.0
    lent: float = 0.0
    nudge: float = 0.0
    reranked: float | None = None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Which model made a table's vectors. Vectors of two fingerprints are never compared."""

    provider: str
    model: str
    dimension: int
    normalised: bool = True
    cosine_range: tuple[float, float] = field(default=(0.0, 1.0), compare=False)
    """Below are unrelated texts, above answers and paraphrases, see `store.embedders.calibration`."""

    def __str__(self) -> str:
        return f"{self.provider}:{self.model} ({self.dimension} dimensions)"


@dataclass(frozen=True, slots=True)
class Failures:
    """How often maintenance has failed since it last succeeded, since when (ISO 8601, UTC), and why the last time."""

    count: int
    since: str
    last: str


Upkept = Literal["nothing", "merged", "compacted", "busy", "overtaken"]
"""What upkeep did. `busy`: another process is at it; `overtaken`: others came in between, and it is tried again."""


@dataclass(frozen=True, slots=True)
class TableStats:
    """Counts that `stats` and `doctor` show. `bytes` is the size on disk of the current table version."""

    memories: int
    deleted: int
    versions: int
    pending_embeddings: int
    fragments: int
    bytes: int
    table_version: int
    schema_version: int
    fingerprint: Fingerprint | None
    missing_indexes: tuple[str, ...]
    by_type: Mapping[str, int]
    findings: tuple[str, ...] = ()
    """What was damaged when the store was opened, and what is lost."""
    kept: tuple[str, ...] = ()
    """Earlier states of the table that can be restored."""
    failures: Failures | None = None
    """What of the maintenance has failed, by whatever process."""
