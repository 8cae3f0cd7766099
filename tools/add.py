"""The tool `add_memory`."""

from dataclasses import replace
from typing import Annotated

from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from store.models import MemoryType, Scope
from tools import guards, times
from tools.arguments import AgentId, ExpiresAt, Metadata, OccurredAt, Project, RunId, Tags, UserId
from tools.budget import fit
from tools.callers import Access
from tools.contract import StrictTool, answer, strict_tool
from tools.outcomes import AddOutcome, Draft
from tools.results import NOTICE, AddedResult, AddResults, SimilarResult, scope_result

SIMILAR_TOKENS = 1_500


def add_tool(access: Access) -> StrictTool:
    """Return the tool on these memories."""

    async def add_memory(
        content: Annotated[str, Field(description="One self-contained statement")] = "",
        contents: Annotated[list[str], Field(description="Several statements, instead of content")] = [],  # noqa: B006
        type: MemoryType = "fact",  # noqa: A002 - the contract's word
        tags: Tags = [],  # noqa: B006
        metadata: Metadata = {},  # noqa: B006
        importance: Annotated[float, Field(description="0 to 1")] = 0.5,
        pinned: Annotated[bool, Field(description="Always in the profile; never expires")] = False,
        occurred_at: OccurredAt = "",
        expires_at: ExpiresAt = "",
        user_id: UserId = "",
        project: Project = "",
        agent_id: AgentId = "",
        run_id: RunId = "",
    ) -> Annotated[CallToolResult, AddResults]:
        """Save what will still matter in later conversations: facts, preferences, decisions, events, how-tos.
        Write each as one statement that stands alone, with names instead of pronouns ("Anna prefers tea").
        Not for secrets, passwords, guesses, small talk or what the current task alone needs. event ADD: stored; NONE:
        it was there already. If a result under similar says the same or is outdated by this, use update_memory on
        it instead of keeping both.
        """
        caller = access.caller()
        scope = caller.scope(user_id, guards.place("project", project), guards.place("agent_id", agent_id), run_id)
        texts = guards.contents(content, contents)
        first = Draft(
            content=texts[0],
            type=type,
            tags=guards.tags(tags),
            metadata=guards.metadata(metadata),
            importance=guards.fraction("importance", importance),
            pinned=pinned,
            occurred_at=times.moment("occurred_at", occurred_at),
            expires_at=times.moment("expires_at", expires_at),
        )
        drafts = [replace(first, content=text) for text in texts]
        outcome = await (await access.memories()).add(drafts, scope, caller.source)
        return answer(add_results(outcome, scope))

    return strict_tool(
        add_memory,
        title="Add memory",
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


def add_results(outcome: AddOutcome, scope: Scope) -> AddResults:
    """Return what came of each statement; of one that was there already, the text that is stored."""
    similar = iter(fit([hit.memory.content for one in outcome.added for hit in one.similar], SIMILAR_TOKENS))
    known = iter(fit([one.memory.content for one in outcome.added if one.event == "NONE"], SIMILAR_TOKENS))
    results = [
        AddedResult(
            event=one.event,
            memory_id=one.memory.memory_id,
            content=next(known).text if one.event == "NONE" else "",
            similar=[
                SimilarResult(memory_id=hit.memory.memory_id, content=next(similar).text, score=round(hit.score, 3))
                for hit in one.similar
            ],
        )
        for one in outcome.added
    ]
    shows_memories = any(one.event == "NONE" or one.similar for one in outcome.added)
    return AddResults(
        results=results,
        scope=scope_result(scope),
        notice=NOTICE if shows_memories else "",
        notes=list(outcome.notes),
    )
