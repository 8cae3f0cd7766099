"""Standard input that can be ended from within, and an end that waits for the answers."""

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse, RequestId

_CHUNK = 65_536


class EndableInput:
    """Puts a pipe in front of file descriptor 0, so that a signal can end the input as its writer would.

    The transport reads standard input in a thread that nothing can interrupt; closing the pipe's other end does.
    """

    def __init__(self) -> None:
        self._source = os.dup(0)
        read_end, self._write_end = os.pipe()
        os.dup2(read_end, 0)
        os.close(read_end)
        self._closing = threading.Lock()
        self._closed = False
        # Not joined: it may sit in a read for ever, and holds nothing that needs to be given back.
        threading.Thread(target=self._pump, name="souvenir-stdin", daemon=True).start()

    def end(self) -> None:
        """End the input: whoever reads file descriptor 0 sees the end of file."""
        with self._closing:
            if not self._closed:
                self._closed = True
                os.close(self._write_end)

    def _pump(self) -> None:
        try:
            while chunk := os.read(self._source, _CHUNK):
                while chunk:
                    chunk = chunk[os.write(self._write_end, chunk) :]
        except OSError:
            pass  # ended from within, or the terminal is gone: the same as the end of the input
        self.end()


class _Reader(Protocol):
    async def receive(self) -> SessionMessage | Exception: ...
    async def aclose(self) -> None: ...


class _Writer(Protocol):
    async def send(self, item: SessionMessage, /) -> None: ...
    async def aclose(self) -> None: ...


class InFlight:
    """The requests that have come in and are not answered yet, and when something last came or went."""

    def __init__(self) -> None:
        self._requests: set[RequestId] = set()
        self._settled = anyio.Event()
        self._moved = anyio.Event()
        self._answered = anyio.Event()

    def came(self, item: SessionMessage | Exception) -> None:
        """Note a message from the client."""
        self._moved.set()
        if isinstance(item, Exception):
            return
        match item.message:
            case JSONRPCRequest(id=request_id):
                self._requests.add(request_id)
            case JSONRPCNotification(method="notifications/cancelled", params=dict(params)):
                self._finish(params.get("requestId"))
            case _:
                pass

    def went(self, item: SessionMessage) -> None:
        """Note a message to the client."""
        self._moved.set()
        match item.message:
            case JSONRPCResponse(id=request_id) | JSONRPCError(id=request_id):
                self._finish(request_id)
                self._answered.set()
            case _:
                pass

    def _finish(self, request_id: object) -> None:
        self._requests = {one for one in self._requests if one != request_id}
        if not self._requests:
            self._settled.set()
            self._settled = anyio.Event()

    async def settled(self) -> None:
        """Wait until every request is answered or cancelled."""
        while self._requests:
            await self._settled.wait()

    async def quiet(self, seconds: float) -> None:
        """Wait until the first answer has gone out, and then nothing moved for so long."""
        await self._answered.wait()
        while True:
            self._moved = anyio.Event()
            with anyio.move_on_after(seconds):
                await self._moved.wait()
                continue
            return


class DrainedReader:
    """A read stream whose end is told to `ended`, and held back until all requests are answered or patience ends."""

    def __init__(
        self, inner: _Reader, in_flight: InFlight, patience: float, ended: Callable[[], None] = lambda: None
    ) -> None:
        self._inner = inner
        self._in_flight = in_flight
        self._patience = patience
        self._ended = ended

    @property
    def last_context(self) -> object:
        """The sender's context variables, where the inner stream carries them."""
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message."""
        try:
            item = await self._inner.receive()
        except anyio.EndOfStream:
            self._ended()
            with anyio.move_on_after(self._patience):
                await self._in_flight.settled()
            raise
        self._in_flight.came(item)
        return item

    async def aclose(self) -> None:
        """Close the inner stream."""
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


class NotingWriter:
    """A write stream that notes which requests have been answered."""

    def __init__(self, inner: _Writer, in_flight: InFlight) -> None:
        self._inner = inner
        self._in_flight = in_flight

    async def send(self, item: SessionMessage, /) -> None:
        """Send a message."""
        await self._inner.send(item)
        self._in_flight.went(item)

    async def aclose(self) -> None:
        """Close the inner stream."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()
