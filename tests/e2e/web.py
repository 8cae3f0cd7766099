"""A server process that serves over HTTP, and what tests say to it."""

import functools
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from server.http.tokens import Tokens
from store.clock import utc_now

SOUVENIR = [sys.executable, "-P", "-c", "from server.cli import main; main()"]


@dataclass
class Served:
    """A server process, and where it listens."""

    process: subprocess.Popen[str]
    url: str

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return the status and the body of a GET request."""
        status, body, _ = self.ask(path, headers)
        return status, body

    def ask(self, path: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, str, dict[str, str]]:
        """Return status, body and headers of an answer: to a POST if there is a body to send."""
        request = urllib.request.Request(self.url + path, data=body, headers=headers)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                return answer.status, answer.read().decode(), _lower(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), _lower(error.headers)

    @asynccontextmanager
    async def client(self, token: str = "", **options: Any) -> AsyncGenerator[Client]:
        """Yield the official client, with a credential if one is given."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60, follow_redirects=True) as web,
            Client(streamable_http_client(f"{self.url}/mcp", http_client=web), **options) as client,
        ):
            yield client


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def serving(store: Path | str, *options: str, **settings: str) -> Generator[Served]:
    """Run a server on loopback, with settings by their names."""
    port = free_port()
    variables = {f"SOUVENIR_{name.upper()}": value for name, value in settings.items()}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*SOUVENIR, "serve", "--http", "--port", str(port), *options],
            env=os.environ | {"SOUVENIR_STORE": str(store), "SOUVENIR_EMBEDDER": "hashing"} | variables,
            stderr=log,
            text=True,
        )
        server = Served(process, f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError):
                if server.get("/health")[0] == 200:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                log.seek(0)
                raise AssertionError(log.read())
            time.sleep(0.05)
        try:
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def token_of(store: Path, user: str, **rights: Any) -> str:
    """Return a new token, as `souvenir token create` would."""
    make = functools.partial(Tokens(store / "tokens.json", utc_now).create, user, **rights)
    with ThreadPoolExecutor(1) as thread:  # this one may have an event loop already
        return thread.submit(anyio.run, make).result()[0]


async def called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the structured result of a call that has to succeed."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    assert result.structured_content is not None
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """Return the text of a call that has to fail."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result
    return str(getattr(result.content[0], "text", ""))
