"""Serving over HTTP: Streamable HTTP at `/mcp` and the older HTTP+SSE at `/sse`, in one process on one store."""

import functools
import ipaddress
import logging
from importlib.metadata import version

import anyio
import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.app import DISTRIBUTION, build_server, local_caller
from server.config import Settings
from server.maintenance import maintain_always
from server.opening import LateMemories, chosen_embedder, prepare_folder
from store.clock import utc_now
from store.errors import ConfigError
from store.models import Scope
from store.reranker import choose_reranker
from tools.callers import Access

DRAIN_SECONDS = 5
"""How long running calls may still take after a signal; streams that only wait are cut then."""


def run(settings: Settings, host: str, port: int) -> None:
    """Serve with these settings until a signal ends it.

    Raises:
        ConfigError: A setting is wrong, or the address is not of this machine alone.
        StoreError: The store can't be opened.
    """
    if not is_loopback(host):
        raise ConfigError(
            f"--host is {host!r}, which other machines can reach, and nothing would ask them who they are. "
            "Serve on 127.0.0.1, behind something that does."
        )
    prepare_folder(settings.store)
    chosen_embedder(settings)
    choose_reranker(settings.reranker)
    anyio.run(_serve, settings, host, port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _serve(settings: Settings, host: str, port: int) -> None:
    logging.basicConfig(level=settings.log_level, format="souvenir: %(levelname)s %(message)s")
    memories = LateMemories(settings)
    await memories()
    defaults = Scope(settings.user, settings.project, settings.agent)
    access = Access(memories, functools.partial(local_caller, defaults, "http"), utc_now)
    config = uvicorn.Config(
        http_app(build_server(access, log_level=settings.log_level)),
        host=host,
        port=port,
        log_level=settings.log_level.lower(),
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(maintain_always, memories)
        await uvicorn.Server(config).serve()
        tasks.cancel_scope.cancel()
    memories.close()


def http_app(server: MCPServer) -> Starlette:
    """Return both transports and `/health` as one application, for this machine alone: Host and Origin are checked."""
    hosts = ("127.0.0.1", "localhost", "[::1]")
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[f"{host}:*" for host in hosts],
        allowed_origins=[f"http://{host}:*" for host in hosts],
    )
    streamable = server.streamable_http_app(transport_security=security)
    older = server.sse_app(transport_security=security)
    return Starlette(
        routes=[*streamable.routes, *older.routes, Route("/health", _health)],
        lifespan=streamable.router.lifespan_context,  # runs the sessions of Streamable HTTP; the other needs nothing
    )


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok", "version": version(DISTRIBUTION)})
