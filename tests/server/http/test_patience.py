"""Clients that are slow to ask: connections that say nothing end, bodies that do not end are refused."""

import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import anyio
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from server.http import patience
from server.http.patience import PatientProtocol, WholeBody
from tests.e2e.web import free_port

BEGINNING = b"POST / HTTP/1.1\r\nHost: x\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"{len(body)} bytes")(scope, receive, send)


@asynccontextmanager
async def listening(*, body_seconds: float = 30) -> AsyncGenerator[int]:
    port = free_port()
    app = WholeBody(echo, seconds=body_seconds)
    config = uvicorn.Config(app, port=port, http=PatientProtocol, ws="none", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        await started(server)
        yield port
        server.should_exit = True


async def started(server: uvicorn.Server) -> None:
    with anyio.fail_after(60):
        while not server.started:  # noqa: ASYNC110 - it has no event
            await anyio.sleep(0.01)


async def said(port: int, *parts: bytes, pause: float = 0.2) -> bytes:
    """Return what the server says until it ends the connection, while parts are sent with pauses between them."""
    answer = bytearray()
    async with await anyio.connect_tcp("127.0.0.1", port) as stream, anyio.create_task_group() as tasks:

        async def listen() -> None:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    answer.extend(await stream.receive())
            tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
        with anyio.fail_after(30), suppress(anyio.BrokenResourceError):
            for part in parts:
                await stream.send(part)
                await anyio.sleep(pause)
            await anyio.sleep_forever()
    return bytes(answer)


async def test_what_comes_in_time_is_served() -> None:
    async with listening() as port:
        answer = await said(
            port, BEGINNING + b"Connection: close\r\n", b"Content-Length: 4\r\n\r\nab", b"cd", pause=0.1
        )
        assert answer.endswith(b"4 bytes")


async def test_connections_that_ask_nothing_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEADER_SECONDS", 0.3)
    async with listening() as port:
        assert await said(port) == b""
        assert await said(port, *[b"G", b"E", b"T", b" "] * 20, pause=0.05) == b""
        whole = BEGINNING + b"Content-Length: 0\r\n\r\n"
        answer = await said(port, whole, b"PO", b"ST", b" ", b"/", b" ", pause=0.1)  # and later ones too
        assert answer.count(b"HTTP/1.1") == 1


async def test_a_body_that_does_not_end_is_refused() -> None:
    async with listening(body_seconds=0.5) as port:
        answer = await said(port, BEGINNING + b"Content-Length: 100\r\n\r\n", *[b"x"] * 5)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"The body took longer than 0.5 seconds" in answer


async def test_connections_beyond_the_limit_are_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatientProtocol, "most_connections", 3)
    async with listening() as port, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port)) for _ in range(5)]
        for stream in streams[3:]:
            with anyio.fail_after(30), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
        await streams[0].send(BEGINNING + b"Content-Length: 2\r\n\r\nab")
        assert (await streams[0].receive()).startswith(b"HTTP/1.1 200")


@pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")
def test_the_store_keeps_files_to_open() -> None:
    code = "from server.http.patience import most_connections as m; print(m())"
    for limits, expected in (("ulimit -Sn 1024; ulimit -Hn 1024", 624), ("ulimit -Sn 100; ulimit -Hn 2000", 1_600)):
        command = ["sh", "-c", f'{limits}; exec "$0" -c "$1"', sys.executable, code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert int(done.stdout) == expected


async def test_the_other_end_is_asked_whether_it_is_there() -> None:
    seen: list[int] = []

    class Watched(PatientProtocol):
        def connection_made(self, transport: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            super().connection_made(transport)  # pyright: ignore[reportArgumentType]
            opened = self.transport.get_extra_info("socket")
            seen.append(opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    port = free_port()
    config = uvicorn.Config(echo, port=port, http=Watched, ws="none", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        await started(server)
        assert b"0 bytes" in await said(port, BEGINNING + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
        server.should_exit = True
    assert seen == [1]
