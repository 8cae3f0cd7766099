"""What `/metrics` tells Prometheus: calls, errors and times per tool, and the state of the store."""

import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from store.errors import SouvenirError
from tools.memories import Memories

STATE_SECONDS = 15.0
"""How old the state of the store may be that is told: to count it takes a second with a million memories."""

_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The counts of one server.

    Args:
        memories: The store whose state is told.
        tools: The names of the tools: nothing else that a caller sends becomes a label.
    """

    def __init__(self, memories: Callable[[], Awaitable[Memories]], tools: frozenset[str]) -> None:
        self._memories = memories
        self._tools = tools
        self._told_at = float("-inf")
        self.registry = CollectorRegistry()
        registry = self.registry
        self._seconds = Histogram(
            "souvenir_call_seconds", "Time that calls of a tool took.", ["tool"], buckets=_BUCKETS, registry=registry
        )
        self._calls = Counter("souvenir_calls", "Calls of a tool.", ["tool"], registry=registry)
        self._errors = Counter(
            "souvenir_call_errors", "Calls of a tool that were answered with an error.", ["tool"], registry=registry
        )
        self._refused = Counter("souvenir_refused", "Calls over a quota, or too long.", ["reason"], registry=registry)
        for tool in sorted(tools):
            for counted in (self._seconds, self._calls, self._errors):
                counted.labels(tool)
        self._size = {
            name: Gauge(f"souvenir_{name}", text, registry=registry)
            for name, text in {
                "memories": "Memories that are current.",
                "versions": "Versions of memories, of all users.",
                "store_bytes": "Size of the table.",
                "fragments": "Files of the table.",
                "pending_embeddings": "Memories that have no vector yet.",
                "maintenance_failures": "Failures of maintenance since it last succeeded.",
                "store_up": "1 if the store could be read.",
            }.items()
        }
        self._embedder = Info("souvenir_embedder", "What makes the vectors.", registry=registry)

    @contextmanager
    def call(self, tool: object) -> Generator[Callable[[], None]]:
        """Count one call and its time; what is yielded notes that it ended in an error."""
        label = tool if isinstance(tool, str) and tool in self._tools else "unknown"
        started = time.perf_counter()
        self._calls.labels(label).inc()
        try:
            yield self._errors.labels(label).inc
        finally:
            self._seconds.labels(label).observe(time.perf_counter() - started)

    def refused(self, reason: str) -> None:
        """Count a call that was refused."""
        self._refused.labels(reason).inc()

    async def endpoint(self, _request: Request) -> Response:
        """Answer a scrape."""
        if time.monotonic() - self._told_at > STATE_SECONDS:
            self._told_at = time.monotonic()
            await self._measure()
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    async def _measure(self) -> None:
        try:
            stats = await (await self._memories()).stats()
        except SouvenirError:
            self._size["store_up"].set(0)
            return
        table = stats.table
        for name, value in {
            "store_up": 1,
            "memories": table.memories,
            "versions": table.versions,
            "store_bytes": table.bytes,
            "fragments": table.fragments,
            "pending_embeddings": table.pending_embeddings,
            "maintenance_failures": table.failures.count if table.failures else 0,
        }.items():
            self._size[name].set(value)
        fingerprint = table.fingerprint
        self._embedder.info({"embedder": stats.embedder, "model": fingerprint.model if fingerprint else ""})
