"""Serving over HTTP: Streamable HTTP at `/mcp` and the older HTTP+SSE at `/sse`, in one process on one store."""

import functools
import logging
from contextlib import suppress

import anyio
import uvicorn

from server.app import TOOLS, build_server
from server.config import Settings
from server.http.app import audiences, credentials_required, http_app
from server.http.identity import Credentials, http_caller
from server.http.metrics import Metrics
from server.http.oauth import Issuer
from server.http.patience import PatientProtocol, most_connections
from server.http.rules import Rules
from server.http.tokens import Tokens
from server.maintenance import maintain_always
from server.opening import LateMemories, chosen_embedder, prepare_store
from store.clock import utc_now
from store.errors import ConfigError
from store.models import Scope
from store.reranker import choose_reranker
from tools.callers import Access

DRAIN_SECONDS = 5
"""How long running calls may still take after a signal; streams that only wait are cut then."""

BACKLOG = 1_024


def run(settings: Settings, host: str, port: int) -> None:
    """Serve with these settings until a signal ends it.

    Raises:
        ConfigError: A setting is wrong, or others can reach the address and no credential is set up.
        StoreError: The store can't be opened.
    """
    tokens = Tokens(settings.tokens_file, utc_now)
    _refuse_open_doors(settings, tokens, host)
    prepare_store(settings.store)
    chosen_embedder(settings)
    choose_reranker(settings.reranker)
    with suppress(KeyboardInterrupt):  # how the server ends an interrupt that it has served to the end
        anyio.run(_serve, settings, tokens, host, port)


def _refuse_open_doors(settings: Settings, tokens: Tokens, host: str) -> None:
    if settings.oauth_issuer and not settings.public_url:
        raise ConfigError(
            "SOUVENIR_OAUTH_ISSUER is set and SOUVENIR_PUBLIC_URL is not: clients have to know for which address to "
            "ask the issuer for a token, and this server which tokens are made out for it."
        )
    usable = [token for token in tokens.all() if token.is_valid_at(utc_now())]
    if credentials_required(settings, host) and not usable and not settings.oauth_issuer:
        raise ConfigError(
            f"Others than this machine's own programs can reach this server (--host {host}), and there is no way to "
            "tell who calls. Make a token: souvenir token create --user NAME. Or set SOUVENIR_OAUTH_ISSUER, or serve "
            "on 127.0.0.1 without SOUVENIR_PUBLIC_URL and SOUVENIR_TRUSTED_PROXIES."
        )


async def _serve(settings: Settings, tokens: Tokens, host: str, port: int) -> None:
    logging.basicConfig(level=settings.log_level, format="souvenir: %(levelname)s %(message)s")
    memories = LateMemories(settings)
    await memories()
    defaults = Scope(settings.user, settings.project, settings.agent)
    metrics = Metrics(memories, frozenset(TOOLS))
    rules = Rules(
        metrics, calls_a_minute=settings.quota_calls, seconds=settings.call_timeout, default_user=settings.user
    )
    server = build_server(
        Access(memories, functools.partial(http_caller, defaults), utc_now),
        log_level=settings.log_level,
        middleware=[rules],
    )
    issuer = (
        Issuer(settings.oauth_issuer, audiences(settings), keys=settings.oauth_keys, user_claim=settings.oauth_user)
        if settings.oauth_issuer
        else None
    )
    PatientProtocol.most_connections = most_connections()
    config = uvicorn.Config(
        http_app(server, settings, Credentials(tokens, issuer), metrics, host=host),
        host=host,
        port=port,
        http=PatientProtocol,
        ws="none",
        log_level=settings.log_level.lower(),
        access_log=False,
        backlog=BACKLOG,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(maintain_always, memories)
        await uvicorn.Server(config).serve()
        tasks.cancel_scope.cancel()
    memories.close()
