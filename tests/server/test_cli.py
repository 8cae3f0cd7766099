"""The command line as people and programs use it, in this process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from server.cli import app


def souvenir(*arguments: str, store: Path, stdin: str = "", **environ: str) -> Result:
    """Run `souvenir` on a store without an embedder, which is quick to start."""
    settings = {"SOUVENIR_STORE": str(store), "SOUVENIR_EMBEDDER": "none", "COLUMNS": "200"} | environ
    return CliRunner().invoke(app, arguments, input=stdin, env=settings)


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.stderr
    return result.stdout


def as_json(*arguments: str, store: Path) -> Any:
    return json.loads(ok(souvenir(*arguments, "--json", store=store)))


def test_a_memory_goes_through_its_whole_life(tmp_path: Path) -> None:
    [added] = as_json("add", "Anna prefers green tea", "--type", "preference", "--tag", "drinks", store=tmp_path)[
        "results"
    ]
    memory_id = added["memory_id"]
    assert "green tea" in ok(souvenir("search", "tea", store=tmp_path))
    [hit] = as_json("search", "tea", store=tmp_path)["results"]
    assert (hit["memory_id"], hit["type"], hit["tags"]) == (memory_id, "preference", ["drinks"])
    assert memory_id in ok(souvenir("list", store=tmp_path))
    deleted = souvenir("delete", memory_id, "--reason", "test", store=tmp_path)
    assert f"Undo: souvenir restore {memory_id}" in deleted.stderr
    assert "Nothing relevant." in ok(souvenir("search", "tea", store=tmp_path))
    assert f"{memory_id} is at version 3 again" in ok(souvenir("restore", memory_id, store=tmp_path))
    history = ok(souvenir("show", memory_id, store=tmp_path))
    assert "[deleted] test" in history
    assert [one["version"] for one in as_json("show", memory_id, store=tmp_path)["results"]] == [3, 2, 1]
    stats = as_json("stats", store=tmp_path)
    assert (stats["table"]["memories"], stats["table"]["versions"]) == (1, 3)


def test_lines_from_stdin_are_added_and_listed_page_by_page(tmp_path: Path) -> None:
    ok(souvenir("add", "-", store=tmp_path, stdin="first fact\n\nsecond fact\n"))
    page = souvenir("list", "--limit", "1", "--sort", "oldest", store=tmp_path)
    assert "first fact" in page.stdout
    cursor = page.stderr.split("--cursor ")[1].split()[0]
    assert "second fact" in ok(souvenir("list", "--limit", "1", "--sort", "oldest", "--cursor", cursor, store=tmp_path))


def test_a_cursor_stays_in_one_piece_however_narrow_the_output_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok(souvenir("add", "-", store=tmp_path, stdin="first fact\nsecond fact\n"))
    monkeypatch.setattr("server.console.err.width", 40)
    page = souvenir("list", "--limit", "1", store=tmp_path)
    cursor = page.stderr.split("--cursor ")[1].split()[0]
    assert "second fact" in ok(souvenir("list", "--limit", "1", "--cursor", cursor, store=tmp_path))


def test_the_store_can_be_named_on_the_command_line(tmp_path: Path) -> None:
    ok(souvenir("--store", str(tmp_path / "other"), "add", "a fact", store=tmp_path / "unused"))
    assert (tmp_path / "other" / "memories.lance").is_dir()
    assert not (tmp_path / "unused").exists()


def test_doctor_finds_nothing_wrong_with_a_healthy_store_and_leaves_nothing_behind(tmp_path: Path) -> None:
    ok(souvenir("add", "a fact", store=tmp_path))
    checks = as_json("doctor", store=tmp_path)
    assert {check["name"]: check["ok"] for check in checks} == dict.fromkeys(
        [
            "versions",
            "folder",
            "embedder",
            "table",
            "damage",
            "indexes",
            "compaction",
            "maintenance",
            "embeddings",
            "write and read back",
        ],
        True,
    )
    assert not list(tmp_path.glob("doctor-*"))


def test_doctor_fails_with_a_hint_where_something_is_wrong(tmp_path: Path) -> None:
    result = souvenir(
        "doctor", store=tmp_path, SOUVENIR_EMBEDDER="openai:x", SOUVENIR_OPENAI_BASE_URL="http://127.0.0.1:9"
    )
    assert result.exit_code == 1
    assert "can't be reached" in result.stdout
    assert "Check SOUVENIR_EMBEDDER" in result.stdout


def test_config_shows_values_and_origins_but_no_secret(tmp_path: Path) -> None:
    shown = ok(souvenir("config", store=tmp_path, OPENAI_API_KEY="sk-very-secret"))
    assert "very" not in shown
    settings = {one["variable"]: one for one in as_json("config", store=tmp_path)["settings"]}
    assert settings["SOUVENIR_EMBEDDER"] == {"variable": "SOUVENIR_EMBEDDER", "value": "none", "origin": "environment"}
    assert settings["SOUVENIR_USER"]["origin"] == "default"


@pytest.mark.parametrize(
    ("arguments", "environ", "status", "text"),
    [
        (["search", "tea", "--limit", "0"], {}, 1, "souvenir: limit is 0; it goes from 1 to 100. Page for more."),
        (["show", "nothing"], {}, 1, "souvenir: There is no memory 'nothing'."),
        (["list", "--type", "facts"], {}, 1, "souvenir: type is 'facts'; valid are fact,"),
        (["list"], {"SOUVENIR_EMBEDDER": "bundeld"}, 2, "souvenir: SOUVENIR_EMBEDDER is 'bundeld'; valid are bundled"),
        (["stats"], {"SOUVENIR_STORE": "/proc/nowhere"}, 2, "souvenir: SOUVENIR_STORE is '/proc/nowhere', which can't"),
        (["config"], {"SOUVENIR_EMBEDER": "x"}, 2, "souvenir: SOUVENIR_EMBEDER is no setting."),
    ],
)
def test_an_error_is_one_line_on_stderr_and_a_status(
    tmp_path: Path, arguments: list[str], environ: dict[str, str], status: int, text: str
) -> None:
    result = souvenir(*arguments, store=tmp_path, **environ)
    assert result.exit_code == status
    assert result.stdout == ""
    assert result.stderr.startswith(text)
    assert "Traceback" not in result.stderr


def test_help_names_every_command_and_loads_no_heavy_library() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout
    for command in (
        "serve",
        "demo",
        "add",
        "search",
        "list",
        "show",
        "delete",
        "restore",
        "stats",
        "doctor",
        "config",
        "backup",
        "export",
        "import",
        "purge",
        "reembed",
        "migrate",
    ):
        assert f" {command} " in shown
    script = (
        "import sys; import server.cli; "
        "print([name for name in ('lancedb', 'pyarrow', 'numpy', 'mcp', 'fastembed', 'openai', 'pydantic', 'anyio') "
        "if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_doctor_tells_of_damage_and_the_rest_is_still_there(tmp_path: Path) -> None:
    ok(souvenir("add", "a fact", store=tmp_path))
    ok(souvenir("add", "another fact", store=tmp_path))
    min((tmp_path / "memories.lance" / "_versions").glob("*.manifest")).write_bytes(b"")
    result = souvenir("doctor", "--json", store=tmp_path)
    [damage] = [check for check in json.loads(result.stdout) if check["name"] == "damage"]
    assert result.exit_code == 1
    assert not damage["ok"]
    assert "was put aside (quarantine/" in damage["found"]
    assert "a fact" in ok(souvenir("list", store=tmp_path))
