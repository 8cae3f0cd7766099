"""How long a client may take: connections that never say anything end, and bodies that never end are refused."""

import asyncio
import socket
import sys
from contextlib import suppress
from typing import ClassVar

import anyio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 20.0
"""From a connection's beginning to the end of its first request's headers."""

BODY_SECONDS = 30.0
"""From there to the end of the body."""


MOST_CONNECTIONS = 4_000
"""At a time; each costs some 60 kB. Further ones are closed at once."""

OWN_FILES = 400
"""How many files the store and the program itself may have open, beside connections."""


def most_connections() -> int:
    """Return how many connections leave the store files to open; raises this process's limit as far as it goes."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS  # sockets are not counted there
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(50, min(MOST_CONNECTIONS, soft - OWN_FILES))


class PatientProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it; it has no limit of its own for clients that are slow to ask."""

    most_connections: ClassVar[int] = MOST_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as in the base class
        """Begin to wait for a request, and find out if the other machine has gone."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.abort()
        opened = transport.get_extra_info("socket")
        if opened is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._waiting: asyncio.TimerHandle | None = self.loop.call_later(HEADER_SECONDS, self._end)

    def data_received(self, data: bytes) -> None:
        """Take what came; a request that has begun has to come to the end of its headers in time."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:  # pyright: ignore[reportUnnecessaryComparison] - None until the first request
            self._waiting = self._waiting or self.loop.call_later(HEADER_SECONDS, self._end)
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


class WholeBody:
    """Passes on requests whose body comes in time."""

    def __init__(self, app: ASGIApp, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        deadline = anyio.current_time() + self._seconds
        whole, begun = False, False

        async def in_time() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            with anyio.fail_after(max(0.0, deadline - anyio.current_time())):
                message = await receive()
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, in_time, noted)
        except TimeoutError:
            if whole or begun:
                raise
            problem = {"error": "timeout", "error_description": f"The body took longer than {self._seconds:g} seconds."}
            await JSONResponse(problem, 408, {"Connection": "close"})(scope, receive, send)
