"""A store that a power cut or a disk has damaged opens at the newest state that is whole.

A file of Lance's ends with a mark of its own, so that one that was cut off, zeroed or never written shows by its end.
Damaged files are never deleted: they move into `quarantine/` beside the table.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

_ENDS = {".manifest": b"LANC", ".lance": b"LANC", ".arrow": b"ARROW1"}

QUARANTINE = "quarantine"


def damaged_files(table: Path) -> list[Path]:
    """Return the files below a table's folder that do not end as they should, in order.

    Reads the last bytes of each: some ten milliseconds for a few hundred files.
    """
    return sorted(file for file in _files(table) if not is_whole(file))


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


def empty_table(table: Path) -> bool:
    """Whether the folder is there and is no table: nothing was ever committed in it."""
    return table.is_dir() and newest_manifest(table) is None


def _files(table: Path) -> Iterator[Path]:
    for name in ("_versions", "data", "_deletions", "_indices"):
        for folder, _, files in os.walk(table / name):
            for file in files:
                if not file.startswith("."):
                    yield Path(folder) / file
