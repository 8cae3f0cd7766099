"""A server process, spoken to line by line: for what no client library would do."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CLIENT = {"name": "wire", "version": "1.0"}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Wire:
    """A `souvenir-mcp` process on a store, with an embedder that needs no loading unless another is set."""

    module = "server.stdio"

    def __init__(self, store: Path, *arguments: str, **environ: str) -> None:
        self._next_id = 0
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", self.module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | {"SOUVENIR_STORE": str(store), "SOUVENIR_EMBEDDER": "hashing"} | environ,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                with suppress(BrokenPipeError):
                    stream.close()
        self.process.wait()

    def send(self, method: str, params: dict[str, Any] | None = None, *, modern: bool = False) -> int:
        """Send a request and return its id."""
        self._next_id += 1
        shown = dict(params or {})
        if modern:
            shown["_meta"] = ENVELOPE
        self.write({"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": shown})
        return self._next_id

    def call(self, tool: str, *, modern: bool = False, **arguments: Any) -> int:
        """Send a tool call and return its id."""
        return self.send("tools/call", {"name": tool, "arguments": arguments}, modern=modern)

    def notify(self, method: str, **params: Any) -> None:
        self.write({"jsonrpc": "2.0", "method": method, "params": params})

    def write(self, message: object) -> None:
        assert self.process.stdin
        self.process.stdin.write(message if isinstance(message, str) else json.dumps(message) + "\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Return the next message, which has to be one line of JSON-RPC."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"the server ended: {self.process.stderr.read() if self.process.stderr else ''}"
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        return message

    def answer(self, request_id: int) -> dict[str, Any]:
        """Return the result of a request, whatever else comes before it."""
        while True:
            message = self.receive()
            if message.get("id") == request_id:
                assert "result" in message, message
                return message["result"]

    def initialize(self) -> dict[str, Any]:
        """Do the handshake of the older protocol revisions."""
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
        result = self.answer(self.send("initialize", params))
        self.notify("notifications/initialized")
        return result

    def end(self, timeout: float = 30) -> int:
        """Close the input as a client does, and return the exit status."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(timeout)


@contextmanager
def initialized(store: Path, *arguments: str, **environ: str) -> Generator[Wire]:
    """Yield a server after the handshake."""
    with Wire(store, *arguments, **environ) as wire:
        wire.initialize()
        yield wire
