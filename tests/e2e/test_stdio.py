"""The stdio server as a process: both eras, clean ends, nothing but JSON-RPC on stdout."""

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pytest
from filelock import FileLock
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.conftest import Era, Tools
from tests.e2e.wire import Wire, initialized

EXIT_SECONDS = 5.0
"""Two where nothing else runs. Libraries that are being loaded when the end comes hold up a busy machine."""


def stored_contents(store: Path) -> list[str]:
    """Return what a fresh server finds in a store."""
    with initialized(store) as wire:
        result = wire.answer(wire.call("list_memories", limit=100))
        return [one["content"] for one in result["structuredContent"]["results"]]


async def test_a_real_client_adds_and_finds_with_the_bundled_model(tmp_path: Path, era: Era) -> None:
    parameters = StdioServerParameters(
        command=str(Path(sys.executable).with_name("souvenir-mcp")), env={"SOUVENIR_STORE": str(tmp_path)}
    )
    async with Client(stdio_client(parameters), mode=era) as client:
        tools = Tools(client)
        await tools("add_memory", contents=["Anna is allergic to peanuts", "The dog is called Pixel"])
        found = await tools("search_memory", query="Which food could make her ill?")
        assert found["results"][0]["content"] == "Anna is allergic to peanuts"
        history = await tools("list_memories", memory_id=found["results"][0]["memory_id"])
        assert history["total"] == 1


def test_initialize_names_the_server_and_carries_the_instructions(tmp_path: Path) -> None:
    with Wire(tmp_path) as wire:
        result = wire.initialize()
        assert result["protocolVersion"] == "2025-11-25"
        assert (result["serverInfo"]["name"], result["serverInfo"]["version"]) == ("souvenir", "0.1.0")
        assert "search_memory" in result["instructions"]


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_every_handshake_revision_is_served(tmp_path: Path, version: str) -> None:
    with Wire(tmp_path) as wire:
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
        assert wire.answer(wire.send("initialize", params))["protocolVersion"] == version
        wire.notify("notifications/initialized")
        assert len(wire.answer(wire.send("tools/list"))["tools"]) == 5


def test_discover_is_answered_and_tools_can_be_called_without_a_handshake(tmp_path: Path) -> None:
    with Wire(tmp_path) as wire:
        assert "2026-07-28" in wire.answer(wire.send("server/discover", modern=True))["supportedVersions"]
        assert len(wire.answer(wire.send("tools/list", modern=True))["tools"]) == 5
        added = wire.answer(wire.call("add_memory", modern=True, content="Anna likes tea"))
        assert added["structuredContent"]["results"][0]["event"] == "ADD"


@pytest.mark.parametrize("switch", [{"arguments": ["--legacy"]}, {"environ": {"SOUVENIR_LEGACY": "true"}}])
def test_a_legacy_server_survives_a_client_that_discovers_and_then_initializes(
    tmp_path: Path, switch: dict[str, Any]
) -> None:
    with Wire(tmp_path, *switch.get("arguments", []), **switch.get("environ", {})) as wire:
        discover = wire.send("server/discover", modern=True)
        assert wire.receive() | {"error": None} == {"jsonrpc": "2.0", "id": discover, "error": None}
        wire.initialize()
        assert len(wire.answer(wire.send("tools/list"))["tools"]) == 5


def test_the_client_is_recorded_as_the_source(tmp_path: Path) -> None:
    with initialized(tmp_path) as wire:
        [added] = wire.answer(wire.call("add_memory", content="Anna likes tea"))["structuredContent"]["results"]
        result = wire.answer(wire.send("resources/read", {"uri": f"memory://{added['memory_id']}"}))
        [version] = json.loads(result["contents"][0]["text"])["versions"]
        assert version["source"] == {
            "client": "wire",
            "client_version": "1.0",
            "transport": "stdio",
            "origin": "agent",
        }


def test_the_end_of_the_input_ends_the_server_cleanly(tmp_path: Path) -> None:
    with initialized(tmp_path) as wire:
        wire.answer(wire.call("add_memory", content="Anna likes tea"))
        started = time.monotonic()
        assert wire.end() == 0
        assert time.monotonic() - started < EXIT_SECONDS


def test_calls_that_are_still_running_at_the_end_of_the_input_are_answered(tmp_path: Path) -> None:
    with initialized(tmp_path) as wire:
        wire.answer(wire.send("tools/list"))
        wire.answer(wire.call("list_memories"))
        sent = {wire.call("add_memory", content=f"fact number {number}") for number in range(10)}
        assert wire.process.stdin
        wire.process.stdin.close()
        answered = {wire.receive()["id"] for _ in sent}
        assert answered == sent
        assert wire.process.wait(30) == 0
    assert len(stored_contents(tmp_path)) == 10


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("idle", [True, False], ids=["idle", "while writing"])
def test_a_signal_ends_the_server_soon_and_loses_no_write(tmp_path: Path, which: signal.Signals, idle: bool) -> None:
    with initialized(tmp_path) as wire:
        wire.answer(wire.call("list_memories"))
        acknowledged = [
            text
            for text in [f"fact number {number}" for number in range(5)]
            if wire.answer(wire.call("add_memory", content=text))
        ]
        if not idle:
            for number in range(5, 30):
                wire.call("add_memory", content=f"fact number {number}")
        started = time.monotonic()
        wire.process.send_signal(which)
        output, errors = wire.process.communicate(timeout=30)
        assert time.monotonic() - started < EXIT_SECONDS
        assert wire.process.returncode == 0
        assert "Traceback" not in errors
        late = [json.loads(line) for line in output.splitlines()]
        acknowledged += [
            f"fact number {one['id'] - 3}" for one in late if not one.get("error") and not one["result"].get("isError")
        ]
    assert set(acknowledged) <= set(stored_contents(tmp_path))


def test_a_signal_before_anything_was_said_ends_the_server_too(tmp_path: Path) -> None:
    with Wire(tmp_path) as wire:
        wire.initialize()
        started = time.monotonic()
        wire.process.send_signal(signal.SIGTERM)
        assert wire.process.wait(30) == 0
        assert time.monotonic() - started < EXIT_SECONDS


def test_an_interrupt_while_the_server_starts_is_no_traceback(tmp_path: Path) -> None:
    with Wire(tmp_path) as wire:
        time.sleep(0.4)  # anywhere between the first import and the first message
        wire.process.send_signal(signal.SIGINT)
        _, errors = wire.process.communicate(timeout=30)
        assert "Traceback" not in errors


def test_a_client_that_stops_reading_ends_the_server_without_a_traceback(tmp_path: Path) -> None:
    with initialized(tmp_path) as wire:
        assert wire.process.stdout
        assert wire.process.stderr
        wire.process.stdout.close()
        with suppress(BrokenPipeError):
            for _ in range(3):
                wire.call("list_memories")
            wire.end()
        assert "Traceback" not in wire.process.stderr.read()


@pytest.mark.parametrize("reads", [True, False], ids=["input ends", "client stops reading"])
def test_a_call_that_waits_for_another_process_does_not_hold_up_the_end(tmp_path: Path, reads: bool) -> None:
    with initialized(tmp_path) as wire:
        wire.answer(wire.call("add_memory", content="Anna likes tea"))
        with FileLock(tmp_path / "write.lock"):
            wire.call("add_memory", content="Anna likes coffee")
            wire.answer(wire.call("list_memories"))
            assert wire.process.stdin
            assert wire.process.stdout
            if reads:
                wire.process.stdin.close()
            else:
                wire.process.stdout.close()
                wire.call("list_memories")
            assert wire.process.wait(20) == 0  # the lock is waited for half as long again
    assert stored_contents(tmp_path) == ["Anna likes tea"]


def test_a_cancelled_call_is_never_split_and_the_server_goes_on(tmp_path: Path) -> None:
    with initialized(tmp_path) as wire:
        wire.answer(wire.call("list_memories"))
        for number in range(20):
            request_id = wire.call("add_memory", contents=[f"first {number}", f"second {number}"])
            wire.notify("notifications/cancelled", requestId=request_id, reason="test")
        wire.answer(wire.call("add_memory", content="the last one"))
        assert wire.end() == 0
    contents = stored_contents(tmp_path)
    assert "the last one" in contents
    for number in range(20):
        assert (f"first {number}" in contents) == (f"second {number}" in contents)


def test_parallel_calls_are_all_answered(tmp_path: Path) -> None:
    with initialized(tmp_path) as wire:
        sent: set[int] = set()
        for number in range(15):
            sent.add(wire.call("add_memory", content=f"fact number {number}"))
            sent.add(wire.call("search_memory", query=f"fact number {number}"))
        answers = [wire.receive() for _ in sent]
        assert {answer["id"] for answer in answers} == sent
        assert not [answer for answer in answers if "error" in answer or answer["result"].get("isError")]
    assert len(stored_contents(tmp_path)) == 15


def test_garbage_on_the_wire_does_not_end_the_server(tmp_path: Path) -> None:
    with initialized(tmp_path) as wire:
        for garbage in (
            "not json\n",
            "{}\n",
            "[]\n",
            "\n",
            '{"jsonrpc": "2.0", "id": 1}\n',
            "\x00\x01\n",
            "[" * 5_000 + "\n",
        ):
            wire.write(garbage)
        assert wire.answer(wire.call("list_memories"))["structuredContent"]["total"] == 0


def test_two_servers_on_one_store_see_each_others_memories_at_once(tmp_path: Path) -> None:
    with initialized(tmp_path) as one, initialized(tmp_path) as other:
        one.answer(one.call("add_memory", content="Anna likes tea"))
        result = other.answer(other.call("search_memory", query="tea"))
        [hit] = result["structuredContent"]["results"]
        other.answer(other.call("update_memory", memory_id=hit["memory_id"], content="Anna likes coffee"))
        result = one.answer(one.call("search_memory", query="coffee"))
        assert [one["content"] for one in result["structuredContent"]["results"]] == ["Anna likes coffee"]


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        (
            {"SOUVENIR_EMBEDDER": "bundeld"},
            "souvenir: SOUVENIR_EMBEDDER is 'bundeld'; valid are bundled, fastembed:MODEL",
        ),
        ({"SOUVENIR_MIN_SCORE": "high"}, "souvenir: SOUVENIR_MIN_SCORE is 'high': Input should be a valid number"),
        ({"SOUVENIR_STORE": "/proc/nowhere"}, "souvenir: SOUVENIR_STORE is '/proc/nowhere', which can't be written: "),
        ({"SOUVENIR_STORE": "/dev/null"}, "souvenir: SOUVENIR_STORE is '/dev/null', which can't be written: "),
    ],
)
def test_a_broken_setting_is_one_line_on_stderr_and_status_2(
    tmp_path: Path, environ: dict[str, str], text: str
) -> None:
    with Wire(tmp_path, **environ) as wire:
        output, errors = wire.process.communicate(timeout=60)
    assert wire.process.returncode == 2
    assert output == ""
    assert errors.startswith(text)
    assert errors.count("\n") == 1


def test_a_store_that_can_not_be_opened_is_told_by_each_call_until_it_can(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("a", pa.int32())], metadata={"souvenir.schema_version": "99"})
    lancedb.connect(tmp_path).create_table("memories", schema=schema)  # pyright: ignore[reportUnknownMemberType]
    with initialized(tmp_path) as wire:
        result = wire.answer(wire.call("list_memories"))
        assert result["isError"]
        assert result["content"][0]["text"].startswith(f"The store in {tmp_path} has schema version 99")
        shutil.rmtree(tmp_path / "memories.lance")
        assert wire.answer(wire.call("list_memories"))["structuredContent"]["total"] == 0


def test_serve_is_the_same_server(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("souvenir")), "--store", str(tmp_path), "serve"]
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    done = subprocess.run(
        command, input=json.dumps(request) + "\n", capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout)["result"]["serverInfo"]["name"] == "souvenir"
