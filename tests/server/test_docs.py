"""The README and the example configuration say what is true."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from server.cli import app
from server.settings_table import settings_table
from tests.e2e.wire import CLIENT

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")

QUICK_START = ["pip install uv && uv run souvenir demo", "pip install uv && uv run pytest"]


def example() -> dict[str, Any]:
    text = (ROOT / "claude_desktop_config.example.json").read_text("utf-8")
    return json.loads(text)["mcpServers"]["souvenir"]


def test_the_quick_start_has_exactly_the_two_commands() -> None:
    section = README.split("## Quick start")[1].split("\n## ")[0]
    assert re.findall(r"^    (\S.*)$", section, re.MULTILINE) == QUICK_START


def test_the_block_for_claude_desktop_stands_by_line_30_and_is_the_example() -> None:
    beginning = "\n".join(README.splitlines()[:30])
    [block] = re.findall(r"```json\n(.*?)```", beginning, re.DOTALL)
    shown = json.loads(block)["mcpServers"]["souvenir"]
    assert (shown["command"], shown["args"]) == (example()["command"], example()["args"])


def test_the_example_and_the_readme_show_http_too() -> None:
    servers = json.loads((ROOT / "claude_desktop_config.example.json").read_text("utf-8"))["mcpServers"]
    assert [one["url"] for one in servers.values() if "url" in one] == ["http://127.0.0.1:8765/mcp"]
    assert '"url": "http://127.0.0.1:8765/mcp"' in README.split("## Over the network")[1]


def test_every_setting_stands_in_the_readme_as_generated() -> None:
    assert settings_table() in README


def test_every_command_and_tool_stands_in_the_readme() -> None:
    names = [
        command.name or (command.callback.__name__ if command.callback else "") for command in app.registered_commands
    ]
    names += [group.name or "" for group in app.registered_groups]
    assert len(names) == 18
    for name in names:
        assert f"`souvenir {name}" in README, name
    for tool in ("search_memory", "add_memory", "update_memory", "delete_memory", "list_memories"):
        assert f"`{tool}`" in README


@pytest.mark.parametrize("client", ["Claude Code", "Cursor", "VS Code", "Codex", "Gemini CLI", "Zed", "Goose"])
def test_each_client_has_a_block_that_starts_the_server(client: str) -> None:
    section = README.split(f"**{client}**")[1].split("\n**")[0]
    assert "souvenir-mcp" in section


def test_the_figures_stand_beside_the_commands_that_print_them() -> None:
    figures = README.split("## Figures")[1].split("\n## ")[0]
    for benchmark in ("startup", "latency", "scale", "load", "retrieval", "torture", "upkeep"):
        assert f"`uv run python -m benchmarks.{benchmark}" in figures
        assert (ROOT / "benchmarks" / f"{benchmark}.py").is_file()
    assert figures.count("\n|--") >= 4


def test_json_and_toml_blocks_of_the_readme_can_be_parsed() -> None:
    blocks = re.findall(r"```(json|toml)\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 5
    for kind, text in blocks:
        assert json.loads(text) if kind == "json" else tomllib.loads(text)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built from its sdist as a release is."""
    target = tmp_path_factory.mktemp("dist")
    subprocess.run([uv(), "build", "--quiet", "--out-dir", str(target), str(ROOT)], check=True, timeout=300)
    [sdist] = target.glob("*.tar.gz")
    assert sdist.stat().st_size > 10_000_000  # the bundled model is in it
    [built] = target.glob("*.whl")
    return built


def uv() -> str:
    """Return uv, which runs the tests; a project's own environment need not have it on its path."""
    found = shutil.which("uv")
    return found or str(Path(sys.executable).with_name("uv"))


def test_the_command_of_the_example_starts_the_server(wheel: Path, tmp_path: Path) -> None:
    """Exactly the command that the example names; uv finds the package beside the wheel of this checkout."""
    configured = example()
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    search_path = f"{Path(uv()).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    settings = {
        "PATH": search_path,
        "UV_FIND_LINKS": str(wheel.parent),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_PYTHON": sys.executable,
        "SOUVENIR_STORE": str(tmp_path / "store"),
    }
    command: list[str] = [configured["command"], *configured["args"]]
    done = subprocess.run(
        [shutil.which(command[0], path=search_path) or command[0], *command[1:]],
        input=json.dumps(request) + "\n",
        env=clean_environment() | configured["env"] | settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"]["serverInfo"] == {
        "name": "souvenir",
        "title": "Souvenir",
        "version": "0.1.0",
    }


def test_the_wheel_runs_the_demo_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([uv(), "venv", "--quiet", "--python", sys.executable, str(environment)], check=True, timeout=120)
    scripts = environment / ("Scripts" if sys.platform == "win32" else "bin")
    python = scripts / Path(sys.executable).name
    subprocess.run([uv(), "pip", "install", "--quiet", "--python", str(python), str(wheel)], check=True, timeout=300)
    done = subprocess.run(
        [str(scripts / "souvenir"), "demo"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 14 answers were right" in done.stdout


def clean_environment() -> dict[str, str]:
    """Return this environment without what would lead back into the checkout."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
