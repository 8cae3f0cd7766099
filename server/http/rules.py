"""What holds for each call over HTTP: which tools a credential may call, how often, and for how long."""

from collections.abc import Mapping
from typing import Any, cast

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, CallToolResult, TextContent

from server.http.allowance import Allowance
from server.http.identity import access_token
from server.http.metrics import Metrics
from server.http.oauth import WRITE

READING = ("search_memory", "list_memories")
"""What a read-only credential sees and can call."""


class Rules:
    """A middleware of the MCP server.

    Args:
        metrics: Where calls are counted.
        calls_a_minute: How many each user may make; 0 for any number.
        seconds: How long one call may take.
        default_user: Who calls without a credential.
    """

    def __init__(self, metrics: Metrics, *, calls_a_minute: int, seconds: float, default_user: str) -> None:
        self._metrics = metrics
        self._allowance = Allowance(calls_a_minute)
        self._seconds = seconds
        self._default_user = default_user

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Serve one request, or refuse it in words."""
        token = access_token()
        read_only = token is not None and WRITE not in token.scopes
        match ctx.method:
            case "tools/list" if read_only:
                return _reading_alone(await call_next(ctx))
            case "tools/call":
                name = (ctx.params or {}).get("name")
                with self._metrics.call(name) as failed:
                    result = await self._called(ctx, call_next, name if read_only else None, token and token.subject)
                    if _is_error(result):
                        failed()
                    return result
            case "resources/read":
                if wait := self._allowance.wait((token and token.subject) or self._default_user):
                    raise MCPError(INTERNAL_ERROR, self._too_many(wait))
                return await call_next(ctx)
            case _:
                return await call_next(ctx)

    async def _called(
        self, context: ServerRequestContext[Any, Any], call_next: CallNext, wanted: object, user: str | None
    ) -> HandlerResult:
        if wanted is not None and wanted not in READING:
            return _error(f"This credential is read-only: {' and '.join(READING)} are the tools that it can call.")
        if wait := self._allowance.wait(user or self._default_user):
            return _error(self._too_many(wait))
        # Not cancelled are commits: a call that is cut off leaves a whole change, or nothing of it.
        with anyio.move_on_after(self._seconds):
            return await call_next(context)
        self._metrics.refused("time")
        return _error(
            f"The call took longer than {self._seconds:g} seconds and was ended. A change that it made is whole or not "
            "there at all: look with list_memories before you repeat it."
        )

    def _too_many(self, wait: float) -> str:
        self._metrics.refused("calls")
        return (
            f"Too many calls: {self._allowance.a_minute} a minute are allowed. Nothing was done. "
            f"Try again in {wait:.0f} seconds."
        )


def _error(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)


def _is_error(result: HandlerResult) -> bool:
    if isinstance(result, Mapping):
        return bool(cast("Mapping[str, object]", result).get("isError"))
    return isinstance(result, CallToolResult) and bool(result.is_error)


def _reading_alone(result: HandlerResult) -> HandlerResult:
    """Return a list of tools without those that write."""
    listed = dict(cast("Mapping[str, Any]", result))
    return listed | {"tools": [tool for tool in listed["tools"] if tool["name"] in READING]}
