"""What a commit wrote is on the disk before the commit is acknowledged.

Lance writes files under temporary names and renames them, and never asks the operating system to write anything down:
after a power cut a memory could be gone although it was acknowledged, or a manifest could name files without bytes.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread

Durability = Literal["full", "fast"]
"""`full`: before each answer; `fast`: whenever the operating system likes, which a power cut can forestall."""


class Settled:
    """Which files of a folder are on the disk, as far as this process has seen to it.

    Files are never written to again once they have their names, so each is seen to once. Those of other processes are
    among them: what this process commits builds on what they committed, whether they lived to write it down or not.

    Args:
        folder: All files below it, at any depth.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[tuple[str, int, int]] = set()
        self._at_it = anyio.Lock()

    async def settle(self) -> None:
        """Write down all files that are new, and the folders that name them.

        Raises:
            OSError: The disk refused, so that nothing may be acknowledged.
        """
        async with self._at_it:
            await anyio.to_thread.run_sync(self._settle)

    def _settle(self) -> None:
        found: set[tuple[str, int, int]] = set()
        changed: set[str] = set()
        for entry in _files(self._folder):
            try:
                status = entry.stat(follow_symlinks=False)
                key = (entry.path, status.st_ino, status.st_mtime_ns)
                if key not in self._known:
                    write_down(entry.path)
                    changed.add(str(Path(entry.path).parent))
            except FileNotFoundError:  # a temporary name, or removed by a cleanup
                continue
            found.add(key)
        for folder in _with_parents(changed, self._folder):
            write_down(folder)
        if not self._known:  # maybe it was made just now
            write_down(str(self._folder.parent))
        self._known = found


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        yield entry
        except FileNotFoundError:
            continue


def _with_parents(folders: set[str], top: Path) -> list[str]:
    """Return these folders and those above them up to `top`: a new folder is an entry of the one above."""
    wanted: set[str] = set()
    for folder in folders:
        path = Path(folder)
        wanted.update(str(one) for one in (path, *path.parents) if one == top or top in one.parents)
    return sorted(wanted, key=len, reverse=True)


def write_down(path: Path | str) -> None:
    """Return when a file, or a folder with the names in it, is on the disk.

    Raises:
        OSError: The disk refused.
    """
    if sys.platform == "win32" and Path(path).is_dir():  # can't be opened there; NTFS keeps a journal of them
        return
    # Windows wants a handle that may write.
    handle = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        _sync(handle)
    finally:
        os.close(handle)


def _sync(handle: int) -> None:
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(handle, fcntl.F_FULLFSYNC)  # fsync leaves the bytes in the drive's own cache there
    else:
        os.fsync(handle)
