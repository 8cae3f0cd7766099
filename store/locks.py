"""The cross-process lock for whatever reads and then writes.

An operating-system lock on a file: a crashed holder releases it by dying. Within a process the waiters queue up in
order, so the file lock is contended only between processes.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread
from filelock import FileLock, Timeout

from store.errors import StoreError


class Lock(Protocol):
    """What both kinds of locks can do."""

    def held(self) -> AbstractAsyncContextManager[None]:
        """Hold the lock; others wait."""
        ...

    def if_free(self) -> AbstractAsyncContextManager[bool]:
        """Hold the lock if nobody else does, and say whether that is so."""
        ...


class TaskLock:
    """A lock for the tasks of this process alone, where no lock reaches others."""

    def __init__(self) -> None:
        self._tasks = anyio.Lock()

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[None]:
        """Hold the lock; other tasks wait."""
        async with self._tasks:
            yield

    @asynccontextmanager
    async def if_free(self) -> AsyncGenerator[bool]:
        """Hold the lock if nobody else does, and say whether that is so."""
        if self._tasks.locked():
            yield False
            return
        async with self._tasks:
            yield True


class ProcessLock:
    """One named lock in a store's folder, for all tasks of all processes."""

    def __init__(self, path: Path, *, timeout: float = 30.0) -> None:
        self._path = path
        self._timeout = timeout
        self._tasks = TaskLock()
        # Not thread-local: it is taken in a worker thread and released on the event loop's.
        self._file = FileLock(path, thread_local=False)

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[None]:
        """Hold the lock; other tasks and processes wait.

        Raises:
            StoreError: Another process has held it for `timeout` seconds.
        """
        async with self._tasks.held():
            if not self._try():
                await anyio.to_thread.run_sync(self._wait)
            try:
                yield
            finally:
                self._file.release()

    @asynccontextmanager
    async def if_free(self) -> AsyncGenerator[bool]:
        """Hold the lock if nobody else does, and say whether that is so."""
        async with self._tasks.if_free() as free:
            held = free and self._try()
            try:
                yield held
            finally:
                if held:
                    self._file.release()

    def _try(self) -> bool:
        try:
            self._file.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            raise self._unusable(error) from error
        return True

    def _wait(self) -> None:
        try:
            self._file.acquire(timeout=self._timeout, poll_interval=0.005)
        except Timeout:
            raise StoreError(
                f"Another process has been writing to this store for {self._timeout:.0f} seconds. "
                f"Nothing was changed. Try again; if it goes on, see which process holds {self._path}."
            ) from None
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> StoreError:
        return StoreError(f"The lock {self._path} can't be taken: {error.strerror or error}. Nothing was changed.")
