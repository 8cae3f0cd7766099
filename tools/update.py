"""The tool `update_memory`."""

from typing import Annotated

from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from store.errors import InvalidRequestError
from store.models import Scope
from tools import guards, times
from tools.arguments import ExpiresAt, Metadata, OccurredAt, Tags, TypeOrUnchanged
from tools.budget import fit
from tools.callers import Access
from tools.contract import StrictTool, answer, strict_tool
from tools.outcomes import Change, Clearable, UpdateOutcome
from tools.results import NOTICE, UpdateResults, full_fields, memory_result, scope_result


def update_tool(access: Access) -> StrictTool:
    """Return the tool on these memories."""

    async def update_memory(
        memory_id: str,
        content: Annotated[str, Field(description="The new statement, whole")] = "",
        type: TypeOrUnchanged = "",  # noqa: A002 - the contract's word
        tags: Tags = [],  # noqa: B006 - pydantic copies defaults; a plain [] keeps the schema free of unions
        metadata: Metadata = {},  # noqa: B006
        importance: Annotated[float, Field(description="0 to 1; -1: unchanged")] = -1.0,
        pinned: bool = False,
        occurred_at: OccurredAt = "",
        expires_at: ExpiresAt = "",
        clear: Annotated[list[Clearable], Field(description="Fields to empty")] = [],  # noqa: B006
        expected_version: Annotated[int, Field(description="Refuse if another is current; 0: never")] = 0,
        restore_version: Annotated[int, Field(description="Bring this version back, alone; 0: no")] = 0,
        user_id: str = "",
        project: str = "",
        agent_id: str = "",
        run_id: str = "",
    ) -> Annotated[CallToolResult, UpdateResults]:
        """Correct or replace a memory that search_memory, list_memories or similar returned, when a fact changed or
        was wrong. Empty arguments stay as they are; clear empties fields. The old version stays in the history.
        restore_version brings an earlier or a deleted version back.
        """
        caller = access.caller()
        scope = caller.scope_to_change(user_id, project, agent_id, run_id)
        wanted = guards.memory_id(memory_id)
        change = Change(
            content=guards.content(content) if content else None,
            type=type or None,
            tags=guards.tags(tags) or None,
            metadata=guards.metadata(metadata) or None,
            importance=None if importance == -1 else guards.fraction("importance", importance),
            pinned=pinned or None,
            occurred_at=times.moment("occurred_at", occurred_at),
            expires_at=times.moment("expires_at", expires_at),
            clear=tuple(clear),
        )
        memories = await access.memories()
        if restore_version:
            if change != Change() or expected_version:
                raise InvalidRequestError(
                    "restore_version goes alone: restore first, then update in a second call. Nothing was changed."
                )
            outcome = await memories.restore(wanted, restore_version, scope, caller.source)
        else:
            outcome = await memories.update(wanted, change, scope, caller.source, expected_version=expected_version)
        return answer(update_results(outcome, scope))

    return strict_tool(
        update_memory,
        title="Update memory",
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


def update_results(outcome: UpdateOutcome, scope: Scope) -> UpdateResults:
    """Return the version that is current now, and what changed."""
    [text] = fit([outcome.memory.content])
    return UpdateResults(
        results=[memory_result(outcome.memory, text, **full_fields(outcome.memory, alone=True))],
        changed=list(outcome.changed),
        scope=scope_result(scope),
        notice=NOTICE,
        notes=[*outcome.notes, *([] if outcome.changed else ["Nothing differs: no new version was stored."])],
    )
