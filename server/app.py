"""The MCP server: five tools, three resources, three prompts, on memories that are opened when first needed."""

from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer

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

_request: ContextVar[ServerRequestContext[Any, Any]] = ContextVar("request")
"""The request being served: the SDK hands it to tools and templates, but not to resources of a fixed address."""


def build_server(access: Access, *, log_level: str = "WARNING") -> MCPServer:
    """Return the server. It answers `initialize` and the lists at once, whether or not the memories are open yet."""
    server: MCPServer = MCPServer(
        name="souvenir",
        title="Souvenir",
        version=version(DISTRIBUTION),
        instructions=INSTRUCTIONS,
        tools=[
            search_tool(access),
            add_tool(access),
            update_tool(access),
            delete_tool(access),
            list_tool(access),
        ],
        subscriptions=False,  # no change notifications are sent
        middleware=[_remember_request],
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


def local_caller(defaults: Scope, transport: str) -> Caller:
    """Return who calls over a local transport: the configured user, through the client that introduced itself."""
    parameters = _request.get().session.client_params
    client = parameters.client_info if parameters else None
    source = Source(
        client=client.name if client else "",
        client_version=client.version if client else "",
        transport=transport,
    )
    return Caller(defaults, source)
