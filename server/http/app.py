"""The web application: both transports, `/health`, `/metrics`, and the metadata that OAuth clients look for."""

import ipaddress
from collections.abc import Sequence
from importlib.metadata import version
from urllib.parse import urlsplit

from mcp.server.auth.routes import create_protected_resource_routes
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from pydantic import AnyHttpUrl, ConfigDict, TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from server.app import DISTRIBUTION
from server.config import Settings
from server.http.allowance import Allowance
from server.http.identity import Credentials, Guard
from server.http.metrics import Metrics
from server.http.oauth import READ, WRITE
from server.http.patience import WholeBody

MOST_BYTES = 4 * 1024 * 1024
"""Of a request's body. A hundred memories of the longest kind, in a script of three bytes a letter, are larger: they
come in several calls."""

MOST_SESSIONS, SESSIONS_A_MINUTE = 4_000, 100
"""Of clients of the handshake protocol: at a time, and how many new ones each user may open. One that says nothing for
half an hour is forgotten, so that one user can't take all of them."""

_ADDRESS = TypeAdapter(AnyHttpUrl, config=ConfigDict(url_preserve_empty_path=True))
"""An issuer is compared letter by letter: no slash may be added to its end."""


def http_app(
    server: MCPServer, settings: Settings, credentials: Credentials, metrics: Metrics, *, host: str = "127.0.0.1"
) -> Starlette:
    """Return everything that is served, each part behind what it needs.

    Args:
        server: The MCP server.
        settings: What holds.
        credentials: Who is let in.
        metrics: What `/metrics` tells.
        host: The address that is listened on.
    """
    security = accepted_names(settings, host)
    streamable = server.streamable_http_app(
        transport_security=security,
        max_request_body_size=MOST_BYTES,
        max_sessions=MOST_SESSIONS,
        stateless_http=settings.stateless,
    )
    older = server.sse_app(transport_security=security, max_request_body_size=MOST_BYTES)
    openings = None if settings.stateless else Allowance(SESSIONS_A_MINUTE)

    def guarded(app: ASGIApp, path: str = "", *, opens: bool = False) -> Guard:
        return Guard(
            app,
            credentials,
            required=credentials_required(settings, host),
            resource=f"{settings.public_url}{path}" if settings.oauth_issuer else "",
            openings=openings if opens else None,
        )

    application = Starlette(
        routes=[
            # The SDK's routes: their own guard would need a credential of everybody, and knows nothing of `scope=`.
            *(
                Mount("/messages", app=guarded(route.app, "/sse"))
                if isinstance(route, Mount)
                else Route(route.path, guarded(route.app, route.path, opens=True))
                for route in (*streamable.routes, *older.routes)
                if isinstance(route, Route | Mount)
            ),
            *_metadata(settings),
            Route("/health", _health),
            Route("/metrics", guarded(_measured(metrics, security))),
        ],
        lifespan=streamable.router.lifespan_context,  # runs the sessions of Streamable HTTP; the other needs nothing
    )
    application.add_middleware(WholeBody)
    return application


def _metadata(settings: Settings) -> list[Route]:
    """Return where clients read which issuer to ask for a token."""
    if not settings.oauth_issuer:
        return []
    return [
        route
        for path in ("/mcp", "/sse")
        for route in create_protected_resource_routes(
            _ADDRESS.validate_python(f"{settings.public_url}{path}"),
            [_ADDRESS.validate_python(settings.oauth_issuer)],
            scopes_supported=[READ, WRITE],
            resource_name="Souvenir",
        )
    ]


def _measured(metrics: Metrics, security: TransportSecuritySettings) -> ASGIApp:
    """Return what answers a scrape, by a name that is accepted; the transports see to that themselves."""
    checks = TransportSecurityMiddleware(security)

    async def measured(request: Request) -> Response:
        return await checks.validate_request(request) or await metrics.endpoint(request)

    return Route("/metrics", measured).app


def credentials_required(settings: Settings, host: str) -> bool:
    """Whether each call needs a credential: where others than this machine's own programs can be the callers."""
    return bool(not is_loopback(host) or settings.public_url or settings.trusted_proxies or settings.oauth_issuer)


def accepted_names(settings: Settings, host: str) -> TransportSecuritySettings:
    """Return which Host and Origin headers are accepted: by which names this server is known, and no other.

    A page of any website can make a browser send it requests, under a name that was made to point here.
    """
    names = ["127.0.0.1", "localhost", "[::1]"]
    if not is_loopback(host) and not _is_any(host):
        names.append(f"[{host}]" if ":" in host else host)
    hosts = [accepted for name in names for accepted in (name, f"{name}:*")]
    origins = [f"http://{name}" for name in hosts]
    if settings.public_url:
        parts = urlsplit(settings.public_url)
        hosts += [parts.netloc, *([f"{parts.netloc}:{_DEFAULT_PORTS[parts.scheme]}"] if parts.port is None else [])]
        origins.append(settings.public_url)
    return TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins)


_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == ""


def audiences(settings: Settings) -> Sequence[str]:
    """Return for whom an issuer's tokens may be made out."""
    here = settings.public_url
    return [settings.oauth_audience] if settings.oauth_audience else [here, f"{here}/", f"{here}/mcp", f"{here}/sse"]


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok", "version": version(DISTRIBUTION)})
