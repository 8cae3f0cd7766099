"""No write is acknowledged before it is on the disk: shown by a trace of system calls, and by cutting the power in it.

The trace is strace's. Where it is not installed these tests are skipped; what is measured is the same everywhere.
"""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from store import filters
from store.table import MemoryTable

ROOT = Path(__file__).parents[2]

WRITER = """
import sys
from pathlib import Path
import anyio
from store.table import MemoryTable
from tests.builders import axis, memory
from dataclasses import replace

async def main():
    table = await MemoryTable.open(Path(sys.argv[1]), sys.argv[2])
    say("opened")
    for number in range(3):
        await table.insert([memory(f"m{number}", f"text {number}", vector=axis(number))])
        say(f"m{number}.1")
    [old] = await table.find("memory_id = 'm0'", with_vectors=True)
    async with table.writing():
        await table.supersede([(old, replace(old, version=2, content="changed"))])
    say("m0.2")
    table.close()

def say(what):
    sys.stdout.write(f"acknowledged {what}\\n")
    sys.stdout.flush()

anyio.run(main)
"""

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None or sys.platform != "linux", reason="strace is not installed here"
)


@dataclass
class Trace:
    """What happened to the files of a table, in order: ("named" | "synced" | "acknowledged", path or row id)."""

    events: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


_NAMED = re.compile(r'(?:rename|renameat|renameat2|link|linkat)\(.*"([^"]+)"(?:, \S+)?\) = 0')
_CREATED = re.compile(r'openat\([^,]+, "([^"]+)", [^)]*O_CREAT[^)]*\) = \d')
_SYNCED = re.compile(r"f(?:data)?sync\(\d+<([^>]+)>\) += 0")
_SAID = re.compile(r'write\(1<[^>]*>, "acknowledged (\S+)\\n"')


def traced(folder: Path, durability: str) -> Trace:
    log = folder / "trace"
    calls = "openat,rename,renameat,renameat2,link,linkat,fsync,fdatasync,write"
    store = folder / "store"
    strace = ["strace", "-f", "-y", "-qq", "-s", "200", "-e", f"trace={calls}", "-o", str(log)]
    writer = [sys.executable, "-c", WRITER, str(store), durability]
    done = subprocess.run([*strace, *writer], cwd=ROOT, capture_output=True, text=True, check=False)
    if "acknowledged" not in done.stdout:
        pytest.skip(f"strace can't trace here: {done.stderr[-300:]}")
    trace = Trace()
    for line in _whole_lines(log.read_text("utf-8", "replace")):
        if said := _SAID.search(line):
            trace.events.append(("acknowledged", said[1]))
        elif synced := _SYNCED.search(line):
            trace.events.append(("synced", synced[1]))
        elif named := _NAMED.search(line) or _CREATED.search(line):
            trace.events.append(("named", named[1]))
    table = str(store / "memories.lance")
    trace.events = [event for event in trace.events if event[0] == "acknowledged" or event[1].startswith(table)]
    return trace


def _whole_lines(log: str) -> list[str]:
    """Join what strace splits where another thread comes in between; a call counts when it has returned."""
    begun: dict[str, str] = {}
    lines: list[str] = []
    for line in log.splitlines():
        thread, _, call = line.partition(" ")
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>").strip()
        elif resumed := re.search(r"<\.\.\. \w+ resumed>(.*)", call):
            lines.append(begun.pop(thread, "") + resumed[1])
        else:
            lines.append(call)
    return lines


def unsynced(events: list[tuple[str, str]], store: Path) -> list[str]:
    """Return the files that have their names and are not on the disk after these events, or whose names are not."""
    last_named = {path: at for at, (what, path) in enumerate(events) if what == "named"}
    last_synced = {path: at for at, (what, path) in enumerate(events) if what == "synced"}
    kept = [path for path in last_named if Path(path).is_file()]  # temporary names are gone at the end
    return [
        path.removeprefix(str(store))
        for path in kept
        if last_synced.get(path, -1) < last_named[path]
        or last_synced.get(str(Path(path).parent), -1) < last_named[path]
    ]


def test_no_acknowledgement_comes_before_the_files_of_its_commit_are_on_the_disk(tmp_path: Path) -> None:
    trace = traced(tmp_path, "full")
    said = [at for at, (what, _) in enumerate(trace.events) if what == "acknowledged"]
    assert [trace.events[at][1] for at in said] == ["opened", "m0.1", "m1.1", "m2.1", "m0.2"]
    for at in said:
        assert unsynced(trace.events[:at], tmp_path) == [], trace.events[at]
    assert sum(what == "named" for what, _ in trace.events) > 20


def test_the_trace_would_show_it(tmp_path: Path) -> None:
    trace = traced(tmp_path, "fast")
    assert len(unsynced(trace.events, tmp_path)) > 20


def lay_out(disk: Path, events: list[tuple[str, str]], store: Path, *, with_bytes: bool) -> None:
    """Make a store's folder as a power cut after these events leaves it."""
    lost = {store.parent / path.lstrip("/") for path in unsynced(events, store.parent)}
    for path in {Path(path) for kind, path in events if kind == "named" and Path(path).is_file()}:
        target = disk / path.relative_to(store)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path in lost and not with_bytes:
            target.write_bytes(b"")
        else:
            shutil.copyfile(path, target)


@pytest.mark.parametrize("with_bytes", [True, False])
async def test_after_a_power_cut_at_any_moment_every_acknowledged_memory_is_there(
    tmp_path: Path, with_bytes: bool
) -> None:
    """At each event the disk has what was synced, and of the rest the names, with all of their bytes or with none."""
    trace = traced(tmp_path, "full")
    store = tmp_path / "store"
    cuts = 0
    for cut in range(len(trace.events) + 1):
        events = trace.events[:cut]
        if cut < len(trace.events) and trace.events[cut][0] == "synced" and with_bytes:
            continue  # with all bytes it makes no difference
        acknowledged = {what for kind, what in events if kind == "acknowledged"}
        if not acknowledged:
            continue
        disk = tmp_path / "disk" / f"{cut}"
        lay_out(disk, events, store, with_bytes=with_bytes)
        table = await MemoryTable.open(disk, "fast")
        rows = {memory.row_id for memory in await table.find("row_id != ''")}
        current = {memory.row_id for memory in await table.find(filters.current())}
        table.close()
        assert acknowledged - {"opened"} <= rows, (cut, trace.events[cut - 1])
        assert "m0.2" not in acknowledged or "m0.2" in current
        shutil.rmtree(disk)
        cuts += 1
    assert cuts > 20
