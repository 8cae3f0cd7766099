"""What a client can read without a tool call: one memory whole, the profile of the user, the state of the store."""

import json
from dataclasses import asdict
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from store.errors import NotFoundError, SouvenirError
from store.models import Memory
from tools.budget import fit, tokens
from tools.callers import Access
from tools.results import NOTICE
from tools.times import written

PROFILE_TOKENS = 1_500

MOST_VERSIONS = 100
"""Of one memory; a thousand of the longest would be more than 30 MB."""

LONG_LINES = 4 * PROFILE_TOKENS
"""Shared among a hundred memories at most, it leaves each line short enough for many to be shown."""


def add_resources(server: MCPServer, access: Access) -> None:
    """Register the three resources on a server."""

    @server.resource(
        "memory://profile",
        name="profile",
        title="Profile",
        description="What is always worth knowing of the user: pinned memories, profile and preferences.",
        mime_type="text/markdown",
    )
    async def profile() -> str:
        scope = access.caller().scope("", "", "", "")
        try:
            return profile_text(await (await access.memories()).profile(scope))
        except SouvenirError as error:
            raise ResourceError(str(error)) from error

    @server.resource(
        "memory://stats",
        name="stats",
        title="Statistics",
        description="The state of the store: counts, embedder, maintenance.",
        mime_type="application/json",
    )
    async def stats() -> str:
        caller = access.caller()
        try:
            memories = await access.memories()
            if caller.user_is_fixed:  # what others have is none of this user's business
                own = await memories.page(caller.scope_of_id("", "", "", ""), limit=1)
                return json.dumps({"memories": own.total}, indent=1)
            return json.dumps(asdict(await memories.stats()), indent=1)
        except SouvenirError as error:
            raise ResourceError(str(error)) from error

    @server.resource(
        "memory://{memory_id}",
        name="memory",
        title="Memory",
        description=f"One memory, whole, with its newest {MOST_VERSIONS} versions.",
        mime_type="application/json",
    )
    async def memory(memory_id: str) -> str:
        scope = access.caller().scope_of_id("", "", "", "")
        try:
            history = await (await access.memories()).history(memory_id, scope, limit=MOST_VERSIONS)
        except NotFoundError as error:
            raise ResourceNotFoundError(str(error)) from error
        except SouvenirError as error:
            raise ResourceError(str(error)) from error
        shown = {
            "notice": NOTICE,
            "memory_id": memory_id,
            "total_versions": history[0].version,
            "versions": [version(one) for one in history],
        }
        return json.dumps(shown, ensure_ascii=False, indent=1)

    # Used by the decorators above; named so that the type checker sees it.
    _ = profile, stats, memory


def profile_text(memories: list[Memory], budget: int = PROFILE_TOKENS) -> str:
    """Return memories as a Markdown list of at most about `budget` tokens; what did not fit is counted."""
    shown: list[str] = []
    left = budget
    for memory, text in zip(memories, fit([memory.content for memory in memories], LONG_LINES), strict=True):
        words = " ".join(text.text.split())  # a line break would let a memory write lines of its own
        line = f"- {words} ({memory.type}, {written(memory.updated_at)[:10]}, {memory.memory_id})"
        left -= tokens(line)
        if left < 0:
            break
        shown.append(line)
    if not memories:
        shown.append("Nothing is known of the user yet.")
    elif len(shown) < len(memories):
        shown.append(f"- … and {len(memories) - len(shown)} more: list_memories shows them.")
    return "\n".join([NOTICE, "", *shown])


def version(memory: Memory) -> dict[str, Any]:
    """Return everything about one version, in plain JSON values."""
    fields = asdict(memory)
    for name in ("vector", "content_hash", "memory_id"):
        del fields[name]
    return {
        name: written(value) if name.endswith("_at") else value
        for name, value in fields.items()
        if value not in (None, "", [], (), {})
    }
