"""The arguments that several tools share: types with the descriptions that a model reads."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from store.filters import Selection, metadata_pairs
from store.models import MemoryType
from tools import guards, times

TypeOrUnchanged = Literal["", "fact", "preference", "profile", "event", "task", "procedure", "summary"]

Types = Annotated[list[MemoryType], Field(description="Only these types")]
TypesFilter = Annotated[list[str], Field(description="Only these types")]
TagsFilter = Annotated[list[str], Field(description="With all of these tags")]
AnyTag = Annotated[bool, Field(description="One of the tags is enough")]
MetadataFilter = Annotated[dict[str, Any], Field(description="With these keys and values")]
Since = Annotated[str, Field(description="ISO date, or an age like 7d, 24h, 3mo")]
Until = Annotated[str, Field(description="ISO date (inclusive), or an age")]
Tags = Annotated[list[str], Field(description="Up to 32 short labels")]
Metadata = Annotated[dict[str, Any], Field(description="Free JSON object")]
OccurredAt = Annotated[str, Field(description="ISO date of the event, if known")]
ExpiresAt = Annotated[str, Field(description="ISO date after which search hides it")]

UserId = Annotated[str, Field(description="Whose; empty: the configured user")]
Project = Annotated[str, Field(description="Only for this codebase or workspace; empty: for all")]
ProjectFilter = Annotated[str, Field(description="Also this project's memories; *: of all")]
AgentId = Annotated[str, Field(description="Only for this agent; empty: for all")]
AgentFilter = Annotated[str, Field(description="Also this agent's memories; *: of all")]
RunId = Annotated[str, Field(description="Conversation it comes from")]
RunFilter = Annotated[str, Field(description="Only this conversation's")]


def selection(
    now: datetime,
    *,
    types: Sequence[MemoryType] = (),
    tags: Sequence[str] = (),
    any_tag: bool = False,
    metadata: Mapping[str, object] | None = None,
    since: str = "",
    until: str = "",
) -> Selection:
    """Return what these arguments narrow a search or a list to.

    Raises:
        InvalidRequestError: One of them is wrong.
    """
    return Selection(
        types=tuple(types),
        tags=guards.tags(tags),
        any_tag=any_tag,
        metadata=metadata_pairs(guards.metadata(metadata or {})),
        since=times.bound("since", since, now),
        until=times.bound("until", until, now, end=True),
    )
