"""The arguments that several tools share: types with the descriptions that a model reads."""

from typing import Annotated, Any, Literal

from pydantic import Field

from store.models import MemoryType

TypeOrUnchanged = Literal["", "fact", "preference", "profile", "event", "task", "procedure", "summary"]

Types = Annotated[list[MemoryType], Field(description="Only these types")]
TagsFilter = Annotated[list[str], Field(description="With all of these tags")]
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
