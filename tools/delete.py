"""The tool `delete_memory`."""

from typing import Annotated

from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from store.models import Scope
from tools import guards
from tools.budget import fit
from tools.callers import Access
from tools.contract import StrictTool, answer, strict_tool
from tools.outcomes import DeleteOutcome
from tools.results import NOTICE, DeletedResult, DeleteResults, scope_result


def delete_tool(access: Access) -> StrictTool:
    """Return the tool on these memories."""

    async def delete_memory(
        memory_ids: Annotated[list[str], Field(description="What to delete, 1 to 100 ids")],
        reason: Annotated[str, Field(description="Kept in the history")] = "",
        user_id: str = "",
        project: str = "",
        agent_id: str = "",
        run_id: str = "",
    ) -> Annotated[CallToolResult, DeleteResults]:
        """Delete memories when the user asks to forget them, or when they are wrong and nothing replaces them.
        If a fact merely changed, use update_memory. Search first for the ids. Deleted memories are gone from search
        and can be brought back: undo says how.
        """
        caller = access.caller()
        scope = caller.scope_to_change(user_id, project, agent_id, run_id)
        outcome = await (await access.memories()).delete(
            guards.memory_ids(memory_ids),
            scope,
            caller.source,
            reason=guards.name("reason", reason),
        )
        return answer(delete_results(outcome, scope))

    return strict_tool(
        delete_memory,
        title="Delete memory",
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
        ),
    )


def delete_results(outcome: DeleteOutcome, scope: Scope) -> DeleteResults:
    """Return what was deleted, and how to bring each of it back."""
    texts = fit([memory.content for memory in outcome.deleted])
    return DeleteResults(
        results=[
            DeletedResult(memory_id=memory.memory_id, content=text.text, restore_version=memory.version - 1)
            for memory, text in zip(outcome.deleted, texts, strict=True)
        ],
        deleted=len(outcome.deleted),
        undo="update_memory with the memory_id and its restore_version",
        scope=scope_result(scope),
        notice=NOTICE,
        not_found=list(outcome.not_found),
    )
