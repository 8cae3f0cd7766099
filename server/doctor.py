"""Checks of everything that can go wrong, each with a hint what to do."""

import platform
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from server.app import DISTRIBUTION
from server.config import Loaded, Settings
from server.opening import chosen_embedder, open_memories, prepare_folder
from store.errors import SouvenirError
from store.models import Scope, Source
from store.recovery import noted_findings
from tools.memories import Memories
from tools.outcomes import Draft

ENOUGH_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: whether it is as it should be, what was found, and what to do if it is not."""

    name: str
    ok: bool
    found: str
    hint: str = ""


async def examine(loaded: Loaded) -> list[Check]:
    """Return all checks; one that can't be made is one that failed."""
    settings = loaded.settings
    checks = [_versions(), _folder(settings)]
    if checks[-1].ok:
        checks += await _embedder(settings)
        checks += await _table(settings)
        checks.append(await _write_and_read_back(settings))
    return checks


def _versions() -> Check:
    found = ", ".join(f"{name} {version(name)}" for name in (DISTRIBUTION, "mcp", "lancedb", "fastembed"))
    return Check("versions", True, f"{found}, Python {platform.python_version()} on {platform.system()}")


def _folder(settings: Settings) -> Check:
    if not isinstance(settings.store, Path):
        return Check("folder", True, f"none: the store is {settings.store}")
    try:
        prepare_folder(settings.store)
    except SouvenirError as error:
        return Check("folder", False, str(error), "Set SOUVENIR_STORE to a folder that you may write to.")
    free = shutil.disk_usage(settings.store).free
    return Check(
        "folder",
        free > ENOUGH_BYTES,
        f"{settings.store}, {free / 1e9:.1f} GB free",
        "Make room on the disk: a full one refuses new memories.",
    )


async def _embedder(settings: Settings) -> list[Check]:
    hint = "Check SOUVENIR_EMBEDDER and what it needs; until then search finds by words alone."
    try:
        embedder = chosen_embedder(settings)
        if embedder is None:
            return [Check("embedder", True, "none: full text alone, as set")]
        return [Check("embedder", True, str(await embedder.fingerprint()))]
    except SouvenirError as error:
        return [Check("embedder", False, str(error), hint)]


async def _table(settings: Settings) -> list[Check]:
    try:
        memories = await open_memories(settings)
    except SouvenirError as error:
        return [Check("table", False, str(error), "See the message; damaged files are kept in the folder quarantine.")]
    try:
        return await _health(memories, settings)
    except SouvenirError as error:
        return [Check("table", False, str(error), "Files may be damaged; run souvenir doctor --repair.")]
    finally:
        memories.close()


async def _health(memories: Memories, settings: Settings) -> list[Check]:
    state = (await memories.stats()).table
    found = f"{state.memories} memories, {state.versions} versions, {state.bytes / 1e6:.1f} MB"
    embedder = chosen_embedder(settings)
    earlier = noted_findings(settings.store) if isinstance(settings.store, Path) else []
    checks = [
        Check("table", True, found),
        Check(
            "damage",
            not (state.findings or earlier),
            " ".join(earlier or state.findings) or "none found",
            "The damaged files are in the folder quarantine of the store; nothing was deleted. Remove it when you have "
            "seen this.",
        ),
        Check(
            "indexes",
            not state.missing_indexes,
            f"missing on {', '.join(state.missing_indexes)}" if state.missing_indexes else "all there",
            "souvenir doctor --repair makes them.",
        ),
        Check(
            "compaction",
            state.fragments < 500,
            f"{state.fragments} fragments",
            "A running server compacts by itself; souvenir doctor --repair does it now.",
        ),
        Check(
            "maintenance",
            state.failures is None,
            f"failed {state.failures.count} times since {state.failures.since}: {state.failures.last}"
            if state.failures
            else "no failure",
            "A running server tries again by itself; souvenir doctor --repair does it now.",
        ),
        Check(
            "embeddings",
            embedder is None or not state.pending_embeddings,
            f"{state.pending_embeddings} memories without a vector",
            "They are found by words; a running server embeds them as soon as the embedder works.",
        ),
    ]
    if embedder and state.fingerprint:
        try:
            own = await embedder.fingerprint()
        except SouvenirError:
            return checks  # said by the embedder's own check
        checks.append(
            Check(
                "fingerprint",
                own == state.fingerprint,
                f"the store's vectors are of {state.fingerprint}, the setting is {own}",
                "Set SOUVENIR_EMBEDDER back to the store's model, or move the store: souvenir reembed --embedder ...",
            )
        )
    return checks


async def _write_and_read_back(settings: Settings) -> Check:
    """Write a memory to a scratch store in the same folder and find it again, so that no junk stays behind."""
    hint = "Nothing can be stored here: check the disk and the folder's permissions."
    try:
        folder = settings.store if isinstance(settings.store, Path) else None
        with tempfile.TemporaryDirectory(prefix="doctor-", dir=folder) as scratch:
            memories = await open_memories(settings.model_copy(update={"store": Path(scratch), "embedder": "none"}))
            scope = Scope("doctor")
            await memories.add([Draft(content="The doctor was here.")], scope, Source("doctor"))
            outcome = await memories.search("doctor", scope)
            memories.close()
    except (SouvenirError, OSError) as error:
        return Check("write and read back", False, str(error), hint)
    return Check("write and read back", len(outcome.hits) == 1, f"found {len(outcome.hits)} of 1", hint)
