"""The tool `search_memory`."""

from typing import Annotated, Literal

from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from store.models import Scope
from tools import guards, times
from tools.arguments import (
    AgentFilter,
    AnyTag,
    MetadataFilter,
    ProjectFilter,
    RunFilter,
    Since,
    TagsFilter,
    Types,
    Until,
    UserId,
    selection,
)
from tools.budget import fit
from tools.callers import Access
from tools.contract import StrictTool, answer, strict_tool
from tools.outcomes import SearchOutcome
from tools.results import (
    NOTICE,
    SearchResults,
    any_shortened,
    explained,
    full_fields,
    memory_result,
    scope_result,
)

Detail = Literal["brief", "normal", "full"]

BUDGETS: dict[Detail, int] = {"brief": 1_000, "normal": 2_000, "full": 6_000}
"""Tokens that a result may cost, about; ten hits of usual length fit into the middle one."""


def search_tool(access: Access) -> StrictTool:
    """Return the tool on these memories."""

    async def search_memory(
        query: Annotated[str, Field(description="A question or topic in natural language")],
        limit: Annotated[int, Field(description="1 to 100")] = 10,
        types: Types = [],  # noqa: B006 - pydantic copies defaults; a plain [] keeps the schema free of unions
        tags: TagsFilter = [],  # noqa: B006
        any_tag: AnyTag = False,
        metadata: MetadataFilter = {},  # noqa: B006
        since: Since = "",
        until: Until = "",
        as_of: Annotated[str, Field(description="Search what was current at this ISO date")] = "",
        min_score: Annotated[float, Field(description="0 to 1; -1: the default threshold")] = -1.0,
        detail: Annotated[Detail, Field(description="How much of each memory")] = "normal",
        user_id: UserId = "",
        project: ProjectFilter = "",
        agent_id: AgentFilter = "",
        run_id: RunFilter = "",
    ) -> Annotated[CallToolResult, SearchResults]:
        """Search the long-term memory of the user. Use it before answering anything about the user, their
        preferences, people, projects or past conversations, and at the start of a task. Not for general knowledge.
        Finds by meaning and by words; score is 0 to 1 and means the same for every query. relevant=false: nothing
        fits, so say that you do not know. An empty query with filters returns the most important and recent.
        """
        now = access.clock()
        scope = access.caller().scope(user_id, project, agent_id, run_id)
        narrowed = selection(now, types=types, tags=tags, any_tag=any_tag, metadata=metadata, since=since, until=until)
        question = guards.search_query(query, narrowed)
        outcome = await (await access.memories()).search(
            question,
            scope,
            selection=narrowed,
            as_of=times.bound("as_of", as_of, now, end=True),
            limit=guards.limit(limit),
            min_score=None if min_score == -1 else guards.fraction("min_score", min_score),
        )
        return answer(search_results(outcome, scope, detail, question))

    return strict_tool(
        search_memory,
        title="Search memory",
        annotations=ToolAnnotations(
            read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


SHORTENED = "Long memories are shortened. list_memories with the memory_id, or memory://{memory_id}, has the whole."


def search_results(outcome: SearchOutcome, scope: Scope, detail: Detail, query: str) -> SearchResults:
    """Return a search's outcome as a result; long memories are shortened around the words of the query."""
    texts = fit([hit.memory.content for hit in outcome.hits], BUDGETS[detail], query)
    results = [
        memory_result(
            hit.memory,
            text,
            score=round(hit.score, 3),
            **(full_fields(hit.memory) | explained(hit) if detail == "full" else {}),
        )
        for hit, text in zip(outcome.hits, texts, strict=True)
    ]
    return SearchResults(
        results=results,
        relevant=bool(results),
        omitted=outcome.omitted,
        scope=scope_result(scope),
        notice=NOTICE,
        notes=[*outcome.notes, *([SHORTENED] if any_shortened(results) else [])],
    )
