"""The tool `list_memories`."""

from collections.abc import Sequence
from typing import Annotated

from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from store.models import Memory, Scope
from tools import guards
from tools.arguments import (
    AgentFilter,
    AnyTag,
    MetadataFilter,
    ProjectFilter,
    Since,
    TagsFilter,
    TypesFilter,
    Until,
    selection,
)
from tools.budget import RESULT_TOKENS, Shortened, fit
from tools.callers import Access
from tools.contract import StrictTool, answer, strict_tool
from tools.outcomes import Page
from tools.paging import Sort
from tools.results import (
    NOTICE,
    ListResults,
    MemoryResult,
    any_shortened,
    full_fields,
    memory_result,
    scope_result,
)
from tools.search import SHORTENED

MANY_VERSIONS = 20
"""So many versions of one memory are shown, the newest ones; `memory://{memory_id}` has more."""


def list_tool(access: Access) -> StrictTool:
    """Return the tool on these memories."""

    async def list_memories(
        memory_id: Annotated[str, Field(description="Show all versions of this memory instead")] = "",
        types: TypesFilter = [],  # noqa: B006 - pydantic copies defaults; a plain [] keeps the schema free of unions
        tags: TagsFilter = [],  # noqa: B006
        any_tag: AnyTag = False,
        metadata: MetadataFilter = {},  # noqa: B006
        since: Since = "",
        until: Until = "",
        sort: Sort = "newest",
        limit: Annotated[int, Field(description="1 to 100")] = 20,
        cursor: Annotated[str, Field(description="next_cursor of the last page")] = "",
        include_deleted: Annotated[bool, Field(description="Also deleted and expired ones")] = False,
        user_id: str = "",
        project: ProjectFilter = "",
        agent_id: AgentFilter = "",
        run_id: str = "",
    ) -> Annotated[CallToolResult, ListResults]:
        """Page through memories, when the user wants to see or review what is stored; with memory_id, show the
        history of one memory, whole. To find something, use search_memory.
        """
        now = access.clock()
        caller = access.caller()
        scope = caller.scope(user_id, project, agent_id, run_id)
        narrowed = selection(
            now, types=guards.types(types), tags=tags, any_tag=any_tag, metadata=metadata, since=since, until=until
        )
        memories = await access.memories()
        if memory_id:
            scope = caller.scope_of_id(user_id, project, agent_id, run_id)
            return answer(
                history_results(await memories.history(guards.memory_id(memory_id), scope, limit=MANY_VERSIONS), scope)
            )
        page = await memories.page(
            scope,
            selection=narrowed,
            sort=sort,
            limit=guards.limit(limit),
            cursor=cursor,
            include_deleted=include_deleted,
        )
        return answer(page_results(page, scope))

    return strict_tool(
        list_memories,
        title="List memories",
        annotations=ToolAnnotations(
            read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


def page_results(page: Page, scope: Scope) -> ListResults:
    """Return one page of memories."""
    texts = fit([memory.content for memory in page.memories])
    shown = [
        memory_result(memory, text, importance=memory.importance)
        for memory, text in zip(page.memories, texts, strict=True)
    ]
    return _listed(shown, scope, page.total, page.next_cursor)


def history_results(versions: Sequence[Memory], scope: Scope) -> ListResults:
    """Return all versions: the newest whole, as the only way to see a long memory, the others within the budget."""
    newest, *older = versions
    texts = fit([memory.content for memory in older], RESULT_TOKENS)
    shown = [memory_result(newest, Shortened(newest.content), **full_fields(newest, alone=True))]
    shown += [memory_result(memory, text, **full_fields(memory)) for memory, text in zip(older, texts, strict=True)]
    return _listed(shown, scope, newest.version, "")


def _listed(shown: list[MemoryResult], scope: Scope, total: int, next_cursor: str) -> ListResults:
    return ListResults(
        results=shown,
        total=total,
        scope=scope_result(scope),
        notice=NOTICE,
        next_cursor=next_cursor,
        notes=[SHORTENED] if any_shortened(shown) else [],
    )
