"""The commands on the whole store, in this process; one of them killed in another."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.embedding_api import served
from tests.server.test_cli import as_json, ok, souvenir


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    ok(souvenir("add", "Anna likes green tea", "Ben plays chess", store=folder))
    ok(souvenir("add", "Carla is in Atlas", "--project", "atlas", "--type", "task", store=folder))
    return folder


def contents(store: Path) -> set[str]:
    return {one["content"] for one in as_json("list", store=store)["results"]}


def test_a_backup_is_made_and_restored_and_the_restore_undone(store: Path, tmp_path: Path) -> None:
    before = contents(store)
    shown = ok(souvenir("backup", "create", str(tmp_path / "backup.zip"), store=store))
    assert "3 versions of memories are in" in shown
    ok(souvenir("add", "something new", store=store))
    refused = souvenir("backup", "restore", str(tmp_path / "backup.zip"), store=store)
    assert (refused.exit_code, "Say --yes" in refused.stderr) == (1, True)
    restored = souvenir("backup", "restore", str(tmp_path / "backup.zip"), "--yes", store=store)
    assert "3 versions of memories are there now." in ok(restored)
    assert contents(store) == before
    undo = restored.stderr.partition("Undo: souvenir backup restore ")[2].split()[0]
    assert undo in ok(souvenir("backup", "list", store=store))
    ok(souvenir("backup", "restore", undo, "--yes", store=store))
    assert contents(store) == {*before, "something new"}
    ok(souvenir("backup", "drop", undo, store=store))
    left = [line.split()[0] for line in ok(souvenir("backup", "list", store=store)).splitlines()]
    assert left[0] == "name"
    assert undo not in left


def test_a_store_is_exported_and_imported_byte_for_byte(store: Path, tmp_path: Path) -> None:
    lines = ok(souvenir("export", store=store))
    file, other = tmp_path / "memories.jsonl", tmp_path / "other"
    ok(souvenir("export", str(file), store=store))
    assert file.read_text("utf-8") == lines
    assert "3 versions were imported, 0 were there already." in ok(souvenir("import", str(file), store=other))
    assert ok(souvenir("export", store=other)) == lines
    assert "0 versions were imported, 3 were there already." in ok(souvenir("import", "-", store=other, stdin=lines))
    assert "## atlas" in ok(souvenir("export", "--markdown", store=other))


def test_an_import_tells_the_lines_that_it_refused(store: Path, tmp_path: Path) -> None:
    lines = ok(souvenir("export", store=store)).splitlines()
    lines[2] = lines[2].replace('"importance":0.5', '"importance":5')
    result = souvenir("import", "-", store=tmp_path / "other", stdin="\n".join(lines))
    assert result.exit_code == 1
    assert "2 versions were imported" in result.stdout
    assert "line 3: importance is 5; it goes from 0 to 1." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["import", "nowhere.jsonl"], "nowhere.jsonl can't be read"),
        (["export", "/proc/nowhere/x"], "/proc/nowhere/x can't be written"),
        (["backup", "create", "/proc/nowhere/x.zip"], "could not back up"),
        (["backup", "restore", "nowhere.zip", "--yes"], "There is no file nowhere.zip"),
        (["backup", "drop", "memories"], "No kept state is called 'memories'"),
        (["purge", "--yes"], "one of the three"),
        (["purge", "--everything"], "Say --yes"),
        (["reembed", "--embedder", "none"], "'none' has no vectors"),
        (["reembed", "--embedder", "bundeld"], "SOUVENIR_EMBEDDER is 'bundeld'"),
    ],
)
def test_what_can_not_be_done_is_one_line_and_changes_nothing(store: Path, arguments: list[str], text: str) -> None:
    before = contents(store)
    result = souvenir(*arguments, store=store)
    assert result.exit_code in (1, 2)
    assert text in result.stderr
    assert "Traceback" not in result.stderr
    assert contents(store) == before


def test_a_purge_asks_counts_and_names_the_backups(store: Path, tmp_path: Path) -> None:
    ok(souvenir("backup", "create", str(tmp_path / "backup.zip"), store=store))
    result = souvenir("purge", "--project", "atlas", "--yes", store=store)
    assert "1 memories of default with 1 versions were erased." in ok(result)
    assert str(tmp_path / "backup.zip") in result.stderr.replace("\n", "")
    assert contents(store) == {"Anna likes green tea", "Ben plays chess"}
    [tea] = [one for one in as_json("list", store=store)["results"] if "tea" in one["content"]]
    ok(souvenir("purge", tea["memory_id"], "--yes", store=store))
    assert contents(store) == {"Ben plays chess"}
    ok(souvenir("purge", "--everything", "--yes", store=store))
    assert contents(store) == set()


def test_doctor_repairs(store: Path) -> None:
    for _ in range(3):
        ok(souvenir("add", "and more", store=store))
    ok(souvenir("doctor", "--repair", store=store))
    checks = {one["name"]: one["found"] for one in as_json("doctor", store=store)}
    assert (checks["compaction"], checks["maintenance"]) == ("1 fragments", "no failure")
    (store / "maintenance.json").write_text('{"count": 3, "since": "2026-11-20T10:00:00Z", "last": "disk full"}')
    result = souvenir("doctor", store=store)
    assert result.exit_code == 1
    assert "failed 3 times since 2026-11-20T10:00:00Z: disk full" in result.stdout


def test_an_interrupted_reembedding_is_continued(store: Path) -> None:
    """Killed with SIGKILL in the middle: nothing is lost, and what was embedded is not embedded again."""
    for start in range(0, 200, 100):
        ok(souvenir("add", "-", store=store, stdin="\n".join(f"fact {n}" for n in range(start, start + 100))))
    with served() as api:
        model = {"SOUVENIR_OPENAI_BASE_URL": api.url, "SOUVENIR_EMBEDDER_RETRIES": "0"}
        environ = os.environ | {"SOUVENIR_STORE": str(store), "SOUVENIR_EMBEDDER": "none"} | model
        api.script = ["works"] * 3 + ["hangs"] * 100  # the model's own check, and then two batches
        souvenir_process = [sys.executable, "-P", "-c", "from server.cli import main; main()"]
        process = subprocess.Popen([*souvenir_process, "reembed", "--embedder", "openai:small"], env=environ)
        deadline = time.monotonic() + 30
        while len(api.requests) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(contents(store)) == 20
        assert as_json("stats", store=store)["table"]["fingerprint"] is None
        api.script = []
        done = len(api.requests)
        shown = ok(souvenir("reembed", "--embedder", "openai:small", store=store, **model))
        assert "203 versions of memories have vectors of openai:small (8 dimensions)." in shown
        again = [text for request in api.requests[done:] for text in request["input"]]
        assert len(again) < 203
        state = as_json("stats", store=store)["table"]
        assert (state["memories"], state["pending_embeddings"]) == (203, 0)
        assert json.dumps(state["fingerprint"]).count("small") == 1
