"""Serving over stdio: quick to answer, clean to end."""

import functools
import logging
import os
import signal
import sys
import threading
from contextlib import suppress

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server

from server.app import build_server, local_caller
from server.config import Settings
from server.maintenance import maintain_always
from server.opening import LateMemories, chosen_embedder, prepare_store
from server.wire import DrainedReader, EndableInput, InFlight, NotingWriter
from store.clock import utc_now
from store.models import Scope
from store.reranker import choose_reranker
from tools.callers import Access

DRAIN_SECONDS = 1.0
"""How long answers may still take after the input has ended."""

EXIT_SECONDS = 1.8
"""After this the process ends, whatever it waits for. An acknowledged write is committed long before."""

QUIET_SECONDS = 0.1
"""A client that has sent nothing for so long has its tool list, and can bear a pause while libraries load."""


def run(settings: Settings) -> None:
    """Serve with these settings until the input ends or a signal says so.

    Raises:
        ConfigError: The store's folder can't be used.
    """
    prepare_store(settings.store)
    chosen_embedder(settings)  # wrong settings are told now, not at the first call
    choose_reranker(settings.reranker)
    if sys.stdin.isatty():
        print(  # noqa: T201 - stderr, for a person who started it by hand
            "souvenir-mcp waits for an MCP client on stdin. To try it out: souvenir demo", file=sys.stderr
        )
    try:
        anyio.run(_serve, settings)
    except* BrokenPipeError:
        os._exit(0)  # nobody listens any more; every acknowledged write is committed


async def _serve(settings: Settings) -> None:
    memories = LateMemories(settings)
    if sys.platform == "win32":
        # A first import of numpy while another thread reads a pipe on stdin deadlocks there (python-sdk#2832).
        await memories.load_libraries()
    # Before the SDK does it, in its own way.
    logging.basicConfig(level=settings.log_level, stream=sys.stderr, format="souvenir: %(levelname)s %(message)s")
    server = build_server(
        Access(memories, functools.partial(local_caller, _scope(settings), "stdio"), utc_now),
        log_level=settings.log_level,
    )
    standard_input = EndableInput()
    in_flight = InFlight()
    async with stdio_server() as (read_stream, write_stream), anyio.create_task_group() as tasks:
        tasks.start_soon(_end_on_signal, standard_input)
        tasks.start_soon(_load_when_quiet, memories, in_flight)
        tasks.start_soon(maintain_always, memories)
        tasks.start_soon(_exit_soon_after_cancellation)
        reader = DrainedReader(read_stream, in_flight, DRAIN_SECONDS, _exit_soon)
        writer = NotingWriter(write_stream, in_flight)
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the client closed its end first
            await _exchange(server, reader, writer, legacy=settings.legacy)
        tasks.cancel_scope.cancel()
    memories.close()


async def _exchange(server: MCPServer, reader: DrainedReader, writer: NotingWriter, *, legacy: bool) -> None:
    lowlevel = server._lowlevel_server  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - MCPServer's own runner takes no streams
    if legacy:
        await serve_loop(lowlevel, reader, writer, lifespan_state={})
    else:
        await lowlevel.run(reader, writer, lowlevel.create_initialization_options())


async def _end_on_signal(standard_input: EndableInput) -> None:
    if sys.platform == "win32":
        return  # the event loop there has no signal handlers; the one of `main` ends the process
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            _exit_soon()
            standard_input.end()


async def _exit_soon_after_cancellation() -> None:
    # However serving ends, by a client that no longer reads too: a call's thread can't be cancelled, only left behind.
    try:
        await anyio.sleep_forever()
    finally:
        _exit_soon()


async def _load_when_quiet(memories: LateMemories, in_flight: InFlight) -> None:
    await in_flight.quiet(QUIET_SECONDS)
    await memories.load_libraries()


def _exit_soon() -> None:
    timer = threading.Timer(EXIT_SECONDS, os._exit, args=(0,))
    timer.daemon = True
    timer.start()


def _scope(settings: Settings) -> Scope:
    return Scope(settings.user, settings.project, settings.agent)
