"""Open the memories that the settings name: at once for commands, when first needed for servers."""

import importlib
import os
import tempfile
from pathlib import Path

import anyio
import anyio.lowlevel

from server.config import Settings
from store.clock import utc_now
from store.embedders.base import Embedder
from store.embedders.choice import ApiAccess, choose_embedder
from store.errors import ConfigError
from store.ids import TimeOrderedIds
from store.reranker import choose_reranker
from tools.memories import Memories
from tools.quota import Quota


def prepare_store(store: Path | str) -> None:
    """Make sure that a store's folder can be used, see `prepare_folder`; of an address, the first call will tell."""
    if isinstance(store, Path):
        prepare_folder(store)


def prepare_folder(folder: Path) -> None:
    """Create the store's folder and make sure that it can be written, without loading any library.

    One with a table in it may be read-only: who only reads never needs to write.

    Raises:
        ConfigError: It can't; one line that names the setting.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.glob("*.lance")):
            return
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"SOUVENIR_STORE is {str(folder)!r}, which can't be written: {reason}.") from None


def chosen_embedder(settings: Settings) -> Embedder | None:
    """Return the embedder that the settings name, None for full text alone. Its model is loaded when it is first used.

    Raises:
        ConfigError: The setting is wrong.
    """
    api = ApiAccess(
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key.get_secret_value(),
        timeout=settings.embedder_timeout,
        retries=settings.embedder_retries,
    )
    return choose_embedder(settings.embedder, api)


def prepare_libraries() -> None:
    """Set what libraries read from the environment when they are imported, unless the user has set it."""
    os.environ.setdefault("LANCEDB_LOG", "error")  # keeps LanceDB's own log off stderr
    # A second thread of numpy's waits for a core by spinning, which takes it from whoever has it: the client, most
    # often. One search in twenty took three times as long (benchmarks/scale.py).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


async def open_memories(settings: Settings, *, patient: bool = False) -> Memories:
    """Open the store, creating it where there is none yet.

    Args:
        settings: Where it is, and what to open it with.
        patient: Migrate an older store however long it takes.

    Raises:
        ConfigError: The embedder's setting is wrong.
        StoreError: The store can't be opened.
    """
    prepare_libraries()
    from store.table import MemoryTable  # imports LanceDB, which takes more than a second

    embedder, reranker = chosen_embedder(settings), choose_reranker(settings.reranker)
    table = await MemoryTable.open(settings.store, settings.durability, patient=patient, options=settings.options)
    return Memories(
        table,
        embedder,
        clock=utc_now,
        new_id=TimeOrderedIds(),
        min_score=settings.min_score,
        half_life_days=settings.recency_half_life,
        reranker=reranker,
        quota=Quota(settings.quota_memories, settings.quota_bytes),
    )


class LateMemories:
    """The memories of a server that answers before its libraries are loaded.

    Awaiting it opens the store, once; after a failure the next caller tries again.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opening = anyio.Lock()
        self._memories: Memories | None = None
        self.opened = anyio.Event()

    async def __call__(self) -> Memories:
        """Return the memories, opening them the first time."""
        async with self._opening:
            if self._memories is None:
                await self.load_libraries()
                self._memories = await open_memories(self._settings)
                self.opened.set()
            return self._memories

    async def load_libraries(self) -> None:
        """Import what takes seconds, on this thread, letting other tasks run in between."""
        prepare_libraries()
        for name in (
            "numpy",
            "pyarrow",
            "lancedb",
            "store.table",
            *_embedding_libraries(self._settings.embedder),
        ):
            importlib.import_module(name)
            await anyio.lowlevel.checkpoint()

    def close(self) -> None:
        """Release the store, if it was opened."""
        if self._memories is not None:
            self._memories.close()


def _embedding_libraries(embedder: str) -> tuple[str, ...]:
    match embedder.partition(":")[0]:
        case "bundled" | "fastembed":
            return ("fastembed",)
        case "openai":
            return ("openai",)
        case _:
            return ()
