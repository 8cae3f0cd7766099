"""What is lost when servers are killed: `uv run python -m benchmarks.torture`.

Servers over stdio share one store. Each has a driver that adds, updates, deletes and restores, its own memories and
some that all of them change, and remembers what was acknowledged. Meanwhile one after the other is killed with SIGKILL,
at any moment, and started again. At the end every acknowledged write has to be there, once, in a history without gaps.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from benchmarks.report import p50, print_table
from store.models import Memory
from store.table import MemoryTable

SHARED = 5
"""So many memories are changed by all drivers."""

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "torture", "version": "1"}}


@dataclass
class Journal:
    """What was acknowledged, by all drivers."""

    added: dict[str, str] = field(default_factory=dict[str, str])
    """By the text that was added, the id of the memory."""
    rows: dict[str, str] = field(default_factory=dict[str, str])
    """By the row of an update or a restoration, its text; empty for any."""
    deleted: dict[str, str] = field(default_factory=dict[str, str])
    """By the reason given for a deletion, the id of the memory."""
    sent: int = 0
    acknowledged: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    kills: int = 0
    recoveries: list[float] = field(default_factory=list[float])
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Verdict:
    """What the store says in the end, against the journal."""

    found: int
    lost: list[str]
    duplicated: list[str]
    gaps: list[str]
    findings: tuple[str, ...]


class Server:
    """A server process that may be gone at any moment."""

    def __init__(self, store: Path) -> None:
        self._number = 0
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "server.stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=os.environ | {"SOUVENIR_STORE": str(store), "SOUVENIR_EMBEDDER": "hashing"},
        )

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        """Return the result of a request, None if the process is gone."""
        assert self.process.stdin
        assert self.process.stdout
        self._number += 1
        try:
            message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            return None
        return json.loads(line)["result"] if line.endswith("\n") else None

    def start(self) -> bool:
        """Do the handshake; whether it lived long enough."""
        if self.ask("initialize", HELLO) is None:
            return False
        try:
            assert self.process.stdin
            self.process.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        except OSError:
            return False
        return True

    def kill(self) -> None:
        self.process.kill()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            try:
                assert stream
                stream.close()
            except OSError:  # what was not sent goes nowhere
                pass


class Driver(threading.Thread):
    """Uses one server after the other until it has sent its share of operations."""

    def __init__(self, number: int, store: Path, operations: int, shared: list[str], journal: Journal) -> None:
        super().__init__()
        self._name = f"driver {number}"
        self._store = store
        self._operations = operations
        self._shared = shared
        self._own: list[str] = []
        self._deleted: list[tuple[str, int]] = []
        self._journal = journal
        self._chance = random.Random(number)  # noqa: S311 - no secret
        self.server: Server | None = None
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            for number in range(self._operations):
                self._operate(f"{self._name} operation {number}")
        except Exception as error:  # noqa: BLE001 - of a thread: raised again by `torture`
            self.failure = error
        finally:
            if self.server:
                self.server.close()

    def _running(self) -> Server:
        while self.server is None:
            server = Server(self._store)
            if server.start():
                self.server = server
            else:
                server.close()
        return self.server

    def _operate(self, text: str) -> None:
        kind = self._chance.choices(["add", "update", "delete", "restore"], [50, 35, 10, 5])[0]
        if kind == "restore" and self._deleted:
            memory_id, version = self._deleted.pop()
            result = self._call("update_memory", memory_id=memory_id, restore_version=version)
            if result:
                self._journal.rows[_row(result)] = ""
        elif kind == "delete" and self._own:
            memory_id = self._own.pop(self._chance.randrange(len(self._own)))
            result = self._call("delete_memory", memory_ids=[memory_id], reason=text)
            if result:
                self._journal.deleted[text] = memory_id
                self._deleted.append((memory_id, 1))
        elif kind == "update":
            memory_id = self._chance.choice(self._own if self._own and self._chance.random() < 0.5 else self._shared)
            result = self._call("update_memory", memory_id=memory_id, content=text)
            if result:
                self._journal.rows[_row(result)] = text
        else:
            result = self._call("add_memory", content=text)
            if result:
                [one] = result["results"]
                self._journal.added[text] = one["memory_id"]
                self._own.append(one["memory_id"])

    def _call(self, tool: str, **arguments: Any) -> dict[str, Any] | None:
        """Return what a server acknowledged, None if nobody knows or it refused."""
        server = self._running()
        with self._journal.lock:
            self._journal.sent += 1
        answer = server.ask("tools/call", {"name": tool, "arguments": arguments})
        if answer is None:
            self._recover()
            return None
        with self._journal.lock:
            if answer.get("isError"):
                self._journal.refused[answer["content"][0]["text"][:80]] += 1
                return None
            self._journal.acknowledged += 1
        return answer["structuredContent"]

    def _recover(self) -> None:
        """Start servers until one answers a question about the store."""
        began = time.perf_counter()
        answer = None
        while answer is None:
            if self.server:
                self.server.close()
                self.server = None
            answer = self._running().ask("tools/call", {"name": "list_memories", "arguments": {"limit": 1}})
        with self._journal.lock:
            self._journal.recoveries.append(time.perf_counter() - began)


def _row(result: dict[str, Any]) -> str:
    [one] = result["results"]
    return f"{one['memory_id']}.{one['version']}"


def torture(store: Path, *, processes: int, operations: int, kills: int) -> Journal:
    """Run everything and return what was acknowledged."""
    journal = Journal()
    shared = _shared(store, journal)
    drivers = [Driver(number, store, operations // processes, shared, journal) for number in range(processes)]
    for driver in drivers:
        driver.start()
    chance = random.Random(0)  # noqa: S311 - no secret
    while any(driver.is_alive() for driver in drivers):
        time.sleep(0.005)
        if journal.kills < kills and journal.sent >= operations * (journal.kills + 1) / (kills + 1):
            time.sleep(chance.random() / 20)
            victim = chance.choice(drivers).server
            if victim is not None and victim.process.poll() is None:
                victim.kill()
                journal.kills += 1
    for driver in drivers:
        driver.join()
        if driver.failure:
            raise driver.failure
    return journal


def _shared(store: Path, journal: Journal) -> list[str]:
    server = Server(store)
    assert server.start()
    for number in range(SHARED):
        text = f"shared by all, number {number}"
        answer = server.ask("tools/call", {"name": "add_memory", "arguments": {"content": text}})
        assert answer
        journal.added[text] = answer["structuredContent"]["results"][0]["memory_id"]
    server.close()
    return list(journal.added.values())


async def judged(store: Path, journal: Journal) -> Verdict:
    """Compare the store with the journal."""
    table = await MemoryTable.open(store)
    rows = await table.find("row_id != ''")
    findings = table.findings
    table.close()
    by_row = {row.row_id: row for row in rows}
    firsts = {row.content: row.memory_id for row in rows if row.version == 1}
    reasons = {row.deleted_reason: row.memory_id for row in rows if row.deleted_at}
    lost = [text for text, memory_id in journal.added.items() if firsts.get(text) != memory_id]
    lost += [one for one, text in journal.rows.items() if one not in by_row or text not in ("", by_row[one].content)]
    lost += [reason for reason, memory_id in journal.deleted.items() if reasons.get(reason) != memory_id]
    found = len(journal.added) + len(journal.rows) + len(journal.deleted) - len(lost)
    times = Counter([row.row_id for row in rows]) + Counter(row.content for row in rows if row.version == 1)
    return Verdict(found, lost, [one for one, count in times.items() if count > 1], _gaps(rows), findings)


def _gaps(rows: list[Memory]) -> list[str]:
    """Return the memories whose versions do not follow on each other, up to one current version."""
    histories: dict[str, list[Memory]] = {}
    for row in sorted(rows, key=lambda one: one.version):
        histories.setdefault(row.memory_id, []).append(row)
    return [
        memory_id
        for memory_id, history in histories.items()
        if [one.version for one in history] != list(range(1, len(history) + 1))
        or [one.superseded_at for one in history] != [*(one.updated_at for one in history[1:]), None]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--operations", type=int, default=5_000)
    parser.add_argument("--kills", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        started = time.perf_counter()
        journal = torture(store, processes=arguments.processes, operations=arguments.operations, kills=arguments.kills)
        seconds = time.perf_counter() - started
        verdict = anyio.run(judged, store, journal)
    print(
        f"{arguments.processes} processes, {os.cpu_count()} cores, Python {sys.version.split()[0]}, {seconds:.0f} s\n"
    )
    recoveries = journal.recoveries or [0.0]
    print_table(
        ("what", "how many"),
        [
            ("operations sent", journal.sent),
            ("acknowledged", journal.acknowledged),
            ("refused, with the reason", sum(journal.refused.values())),
            ("kills", journal.kills),
            ("acknowledged writes looked for", verdict.found + len(verdict.lost)),
            ("found", verdict.found),
            ("lost", len(verdict.lost)),
            ("duplicated", len(verdict.duplicated)),
            ("histories with gaps", len(verdict.gaps)),
            ("damage found at the end", len(verdict.findings)),
            ("time to recover, p50", f"{p50(recoveries):.1f} s"),
            ("time to recover, longest", f"{max(recoveries):.1f} s"),
        ],
    )
    for name, what in (("lost", verdict.lost), ("duplicated", verdict.duplicated), ("gaps", verdict.gaps)):
        if what:
            print(f"\n{name}: {what[:20]}")
    for problem, count in journal.refused.most_common(5):
        print(f"\nrefused {count} times: {problem}")
    for finding in verdict.findings[:5]:
        print(f"\n{finding}")
    unheard = journal.acknowledged < journal.sent - journal.kills
    sys.exit(bool(unheard or verdict.lost or verdict.duplicated or verdict.gaps or verdict.findings))


if __name__ == "__main__":
    main()
