"""Clients that mean harm, or vanish: the server stays up, its memory bounded, and others are served meanwhile."""

import json
import random
import socket
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import anyio
import pytest

from tests.e2e.web import Served, called, refused, serving
from tests.fuzz import MODERN, fuzz, request

IDLE = 500

NAMED = {"Mcp-Method": "tools/call", "Mcp-Name": "add_memory"}


@pytest.fixture
def served(tmp_path: Path) -> Generator[Served]:
    with serving(tmp_path / "store", durability="fast") as server:
        yield server


@contextmanager
def connection(served: Served) -> Generator[socket.socket]:
    port = int(served.url.rpartition(":")[2])
    with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as opened:
        yield opened


def post(body: bytes, length: int | None = None, **headers: str) -> bytes:
    """Return a request as it stands on the wire."""
    lines = {"Host": "127.0.0.1", "Content-Length": str(len(body) if length is None else length)} | MODERN | headers
    return "".join(["POST /mcp HTTP/1.1\r\n", *(f"{n}: {v}\r\n" for n, v in lines.items()), "\r\n"]).encode() + body


def answered(served: Served, sent: bytes) -> str:
    """Return the first line of what is answered to these bytes; empty if nothing is."""
    with connection(served) as opened:
        try:
            opened.sendall(sent)
            opened.shutdown(socket.SHUT_WR)
            return opened.recv(65_536).split(b"\r\n")[0].decode("latin-1")
        except OSError:
            return ""


def until(stream: socket.socket, wanted: bytes) -> None:
    """Read until this has come; a timeout is an error."""
    seen = b""
    while wanted not in seen:
        part = stream.recv(4_096)
        assert part, seen
        seen += part


def megabytes(served: Served) -> float:
    if not sys.platform.startswith("linux"):
        return 0.0
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1_000


async def assert_serves(served: Served) -> None:
    started = time.monotonic()
    async with served.client() as client:
        await called(client, "search_memory", query="tea")
    assert time.monotonic() - started < 20


async def test_garbage_on_the_wire_harms_nobody(served: Served) -> None:
    chance = random.Random(3)  # noqa: S311 - no secret
    lines = [
        b"\r\n" * 1_000,
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /mcp HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a handshake of TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]
    lines += [bytes(chance.randrange(256) for _ in range(500)) for _ in range(50)]
    for sent in lines:
        assert " 5" not in answered(served, sent)[8:11]
    await assert_serves(served)


@pytest.mark.parametrize(
    ("body", "length", "status"),
    [
        (b"x" * 1_000, 5 * 1024 * 1024, "413"),
        (b"x" * (5 * 1024 * 1024), None, "413"),
        (b"[" * 1_000_000, None, "400"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, None, "400"),
        (json.dumps(request("tools/call", {"name": "add_memory"})).encode() + b" " * 1_000_000, None, "200"),
        (b'"' + b"\\u0000" * 100_000 + b'"', None, "400"),
        (b"9" * 1_000_000, None, "400"),
    ],
)
async def test_what_is_too_large_or_too_deep_is_refused(
    served: Served, body: bytes, length: int | None, status: str
) -> None:
    assert answered(served, post(body, length, **NAMED)).split()[1:2] == [status]
    await assert_serves(served)


async def test_hundreds_of_idle_connections_and_streams_leave_room_for_others(served: Served) -> None:
    """Streams of HTTP+SSE that wait, and connections that never say anything; the streams are kept alive."""
    before = megabytes(served)
    with ExitStack() as stack:
        streams = [stack.enter_context(connection(served)) for _ in range(IDLE)]
        began = time.monotonic()
        for stream in streams:
            stream.sendall(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n")
        for stream in streams:
            until(stream, b"event: endpoint")
        silent = [stack.enter_context(connection(served)) for _ in range(200)]
        await assert_serves(served)
        assert megabytes(served) - before < 150
        for stream in (streams[0], streams[-1]):
            until(stream, b": ping")  # against proxies that cut what says nothing
        assert time.monotonic() - began < 60
        for stream in silent:
            stream.settimeout(30)
        assert silent[0].recv(1) == b""  # cut, as it asked nothing
    await assert_serves(served)


async def test_clients_that_vanish_in_the_middle_of_a_call_leave_whole_writes(served: Served) -> None:
    for number in range(40):
        texts = [f"fact {number} part {part}" for part in range(5)]
        call = request("tools/call", {"name": "add_memory", "arguments": {"contents": texts}})
        with connection(served) as opened:
            opened.sendall(post(json.dumps(call).encode(), None, **NAMED))
            time.sleep(number / 1_000)  # noqa: ASYNC251 - gone at a different moment each time
    await anyio.sleep(1)
    async with served.client() as client:
        counts = [0] * 40
        cursor = ""
        while True:
            page = await called(client, "list_memories", limit=100, cursor=cursor)
            for one in page["results"]:
                counts[int(one["content"].split()[1])] += 1
            cursor = page.get("next_cursor", "")
            if not cursor:
                break
    assert set(counts) <= {0, 5}
    assert 5 in counts


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_signal_lets_a_running_call_finish(served: Served) -> None:
    texts = [f"fact {number}" for number in range(100)]
    call = request("tools/call", {"name": "add_memory", "arguments": {"contents": texts}})
    with connection(served) as opened:
        opened.sendall(post(json.dumps(call).encode(), None, **NAMED))
        time.sleep(0.02)
        served.process.terminate()
        until(opened, b'"event":"ADD"')
    assert served.process.wait(timeout=15) in (0, -15)


async def test_fuzzed_calls_are_answered_in_order(served: Served) -> None:
    """A sample; `.ci/run` sends 10,000: python -m tests.fuzz."""
    assert await fuzz(served, 500, seed=11) == []


async def test_what_a_client_calls_itself_harms_nobody(served: Served) -> None:
    for name in ("\ud800", "x" * 1_000_000, "a\0b"):
        information = {"name": name, "version": name}
        call = request("tools/call", {"name": "add_memory", "arguments": {"content": f"by one of {len(name)}"}})
        call["params"]["_meta"]["io.modelcontextprotocol/clientInfo"] = information
        status, body, _ = served.ask("/mcp", MODERN | NAMED, json.dumps(call).encode())
        assert (status, '"event":"ADD"' in body) == (200, True)
    async with served.client() as client:
        for one in (await called(client, "list_memories"))["results"]:
            shown = await client.read_resource(f"memory://{one['memory_id']}")
            assert len(shown.model_dump_json()) < 3_000


async def test_quotas_are_told_in_words(tmp_path: Path) -> None:
    quotas = {"quota_memories": "3", "quota_bytes": "300", "quota_calls": "20"}
    with serving(tmp_path / "limited", durability="fast", **quotas) as served:
        async with served.client() as client:
            added = await called(client, "add_memory", contents=["one", "two", "three"])
            assert "You have 3 memories of the 3" in await refused(client, "add_memory", content="four")
            first = added["results"][0]["memory_id"]
            await called(client, "delete_memory", memory_ids=[first])
            await called(client, "add_memory", content="four")
            said = await refused(client, "update_memory", memory_id=first, restore_version=1)
            assert "You have 3 memories of the 3" in said
            second = added["results"][1]["memory_id"]
            await called(client, "update_memory", memory_id=second, content="x" * 200)
            assert "bytes of the 300" in await refused(client, "update_memory", memory_id=second, content="y" * 100)
            assert (await called(client, "list_memories"))["total"] == 3
            for _ in range(20):
                result = await client.call_tool("list_memories", {})
                if result.is_error:
                    break
            assert "Too many calls: 20 a minute are allowed" in await refused(client, "list_memories")
        status, body = served.get("/metrics")
        assert status == 200
        assert 'souvenir_refused_total{reason="calls"}' in body


async def test_a_call_that_takes_too_long_is_ended_in_words(tmp_path: Path) -> None:
    with serving(tmp_path / "slow", call_timeout="0.001") as served:
        async with served.client() as client:
            assert "took longer than 0.001 seconds" in await refused(client, "search_memory", query="tea")


async def test_metrics_tell_calls_errors_and_the_store(served: Served) -> None:
    async with served.client() as client:
        await called(client, "add_memory", content="Anna likes green tea")
        await refused(client, "add_memory", content="")
        await client.call_tool("no_such_tool", {})
    lines = served.get("/metrics")[1].splitlines()
    for line in (
        'souvenir_calls_total{tool="add_memory"} 2.0',
        'souvenir_call_errors_total{tool="add_memory"} 1.0',
        'souvenir_call_seconds_count{tool="add_memory"} 2.0',
        'souvenir_calls_total{tool="unknown"} 1.0',
        'souvenir_calls_total{tool="search_memory"} 0.0',
        "souvenir_memories 1.0",
        "souvenir_store_up 1.0",
        "souvenir_maintenance_failures 0.0",
        'souvenir_embedder_info{embedder="hashing",model="words"} 1.0',
    ):
        assert line in lines, (line, [one for one in lines if one.startswith(line.split("{")[0])])
