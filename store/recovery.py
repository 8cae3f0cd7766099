"""A store that a power cut or a disk has damaged opens at the newest state that is whole.

A file of Lance's ends with a mark of its own, so that one that was cut off, zeroed or never written shows by its end.
Damaged files are never deleted: they move into `quarantine/` beside the table.
"""

import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.to_thread

_ENDS = {".manifest": b"LANC", ".lance": b"LANC", ".arrow": b"ARROW1"}

QUARANTINE = "quarantine"
FOUND = "found.txt"
"""In the quarantine: what was found, whenever it was; it stays until somebody removes the folder."""


def note_findings(folder: Path, findings: Sequence[str]) -> None:
    """Write down what was found, beside the files that were put aside; nothing if none were."""
    if findings and (folder / QUARANTINE).is_dir():
        with suppress(OSError), (folder / QUARANTINE / FOUND).open("a", encoding="utf-8") as stream:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            stream.writelines(f"{now} {finding}\n" for finding in findings)


def noted_findings(folder: Path) -> list[str]:
    """Return what was found in a store, by whatever process, with its time."""
    try:
        return (folder / QUARANTINE / FOUND).read_text("utf-8").splitlines()
    except OSError:
        return []


def damaged_files(table: Path) -> list[Path]:
    """Return the files below a table's folder that do not end as they should, in order.

    Reads the last bytes of each: some ten milliseconds for a few hundred files.
    """
    return sorted(file for file in table_files(table) if not is_whole(file))


def is_whole(file: Path) -> bool:
    """Whether a file of Lance's ends as it should; what has no such mark only has to be there."""
    end = _ENDS.get(file.suffix, b"")
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            if size < len(end):
                return False
            stream.seek(size - len(end))
            return stream.read() == end
    except FileNotFoundError:  # another process has cleaned it up
        return True


def newest_manifest(table: Path) -> Path | None:
    """Return the manifest of the newest commit: Lance counts their names down, so that the first one is the newest."""
    return min((table / "_versions").glob("*.manifest"), default=None)


def put_aside(file: Path, table: Path) -> Path:
    """Move a damaged file into the quarantine beside the table, under its own path, and return where it is now."""
    kept = table.parent / QUARANTINE / f"{time.time_ns()}" / file.relative_to(table)
    kept.parent.mkdir(parents=True, exist_ok=True)
    file.rename(kept)
    return kept


def missing_commits(table: Path) -> int:
    """Return how many commits are newer than the newest manifest, as far as Lance's hint knows."""
    newest = newest_manifest(table)
    try:
        hint = json.loads((table / "_versions" / "latest_version_hint.json").read_bytes())["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return max(0, int(hint) - commit_of(newest)) if newest else int(hint)


def commit_of(manifest: Path) -> int:
    """Return the number of the commit that a manifest describes."""
    return _COUNTED_DOWN_FROM - int(manifest.stem)


_COUNTED_DOWN_FROM = 2**64 - 1


async def mend(folder: Path, table: Path, whole: Callable[[], Awaitable[bool]]) -> list[str]:
    """Make the newest whole state of a table its newest. Call it under the write lock.

    Args:
        folder: The store's folder, for what is told.
        table: The table's folder below it.
        whole: Whether every row of the newest state can be read.

    Returns:
        What was found, and what is lost; a sentence for each.
    """
    findings: list[str] = []
    bad = await anyio.to_thread.run_sync(damaged_files, table)
    while (newest := newest_manifest(table)) and (not is_whole(newest) or not await whole()):
        kept = put_aside(newest, table)
        findings.append(
            f"Commit {commit_of(newest)} is damaged and was put aside ({kept.relative_to(folder)}): what it changed is "
            "lost, everything before it is there."
        )
    if newest is None:
        kept = put_aside(table, table)
        return [*findings, f"The table had no whole state and was put aside ({kept.relative_to(folder)})."]
    for file in bad:
        if file.parent.parent.name != "_indices" and file.exists():
            put_aside(file, table)
            findings.append(f"A damaged file that nothing needs was put aside: {file.relative_to(folder)}.")
    return findings


def table_files(table: Path) -> Iterator[Path]:
    """Yield the files of a table, but for those that are being written."""
    for name in ("_versions", "data", "_deletions", "_indices"):
        for folder, _, files in os.walk(table / name):
            for file in files:
                if not file.startswith(".") and "#" not in file:  # so Lance names what it is still writing
                    yield Path(folder) / file
