"""The MCP server: five tools, three resources, three prompts, on memories that are opened when first needed."""

from collections.abc import Sequence
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS
from pydantic import ValidationError

from store.models import Scope, Source
from tools.add import add_tool
from tools.callers import Access, Caller
from tools.delete import delete_tool
from tools.instructions import INSTRUCTIONS
from tools.list import list_tool
from tools.prompts import add_prompts
from tools.resources import add_resources
from tools.search import search_tool
from tools.update import update_tool

DISTRIBUTION = "souvenir-mcp"

TOOLS = {
    "search_memory": search_tool,
    "add_memory": add_tool,
    "update_memory": update_tool,
    "delete_memory": delete_tool,
    "list_memories": list_tool,
}

LONGEST_CLIENT = 100

_request: ContextVar[ServerRequestContext[Any, Any]] = ContextVar("request")
"""The request being served: the SDK hands it to tools and templates, but not to resources of a fixed address."""


def build_server(
    access: Access, *, log_level: str = "WARNING", middleware: Sequence[ServerMiddleware[Any]] = ()
) -> MCPServer:
    """Return the server. It answers `initialize` and the lists at once, whether or not the memories are open yet.

    Args:
        access: What it works with.
        log_level: What is logged.
        middleware: What each request passes through; `current_request` tells it which one that is.
    """
    server: MCPServer = MCPServer(
        name="souvenir",
        title="Souvenir",
        version=version(DISTRIBUTION),
        instructions=INSTRUCTIONS,
        tools=[make(access) for make in TOOLS.values()],
        subscriptions=False,  # no change notifications are sent
        middleware=[_remember_request, *middleware, _explain_prompts],
        log_level=log_level,  # pyright: ignore[reportArgumentType] - checked by Settings
    )
    add_resources(server, access)
    add_prompts(server)
    return server


async def _remember_request(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    token = _request.set(ctx)
    try:
        return await call_next(ctx)
    finally:
        _request.reset(token)


async def _explain_prompts(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Name an unknown prompt, or a missing argument of one, as the invalid parameter that it is.

    The SDK raises ValueError for them, which reaches a client of the newest revision as "Internal server error".
    """
    try:
        return await call_next(ctx)
    except ValueError as error:
        if ctx.method != "prompts/get" or isinstance(error, ValidationError):
            raise
        raise MCPError(INVALID_PARAMS, str(error)) from error


def current_request() -> ServerRequestContext[Any, Any]:
    """Return the request being served."""
    return _request.get()


def source_of_request(transport: str) -> Source:
    """Return where the request being served comes from: the client that introduced itself, by this transport."""
    parameters = current_request().session.client_params
    client = parameters.client_info if parameters else None
    return Source(
        client=_short(client.name) if client else "",
        client_version=_short(client.version) if client else "",
        transport=transport,
    )


def _short(text: str) -> str:
    """Return what a client says of itself as it is stored with each memory: valid Unicode, no more than a name."""
    return text[:LONGEST_CLIENT].encode(errors="replace").decode()


def local_caller(defaults: Scope, transport: str) -> Caller:
    """Return who calls over a local transport: the configured user, through the client that introduced itself."""
    return Caller(defaults, source_of_request(transport))
