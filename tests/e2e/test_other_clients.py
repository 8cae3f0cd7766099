"""Clients of other makes: the 1.x Python SDK and the JavaScript SDK, each over every transport."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.web import Served, serving, token_of
from tests.node import ROOT, installed, run_by

CLIENTS = ROOT / "tests" / "clients"
JAVASCRIPT = ("@modelcontextprotocol/sdk", "1.32.2")
TOOLS = {"search_memory", "add_memory", "update_memory", "delete_memory", "list_memories"}

HOST = dict(os.environ)
"""The environment before tests are kept from it: uv may be configured there."""


def python_1() -> list[str]:
    uv = shutil.which("uv")
    assert uv
    options = ["run", "--quiet", "--no-project", "--isolated", "--python", sys.executable, "--with", "mcp<2"]
    return [uv, *options, "python", str(CLIENTS / "python_1.py")]


def javascript() -> list[str]:
    place = installed(*JAVASCRIPT).parents[2] / "client.mjs"  # where it finds the package
    shutil.copyfile(CLIENTS / "javascript.mjs", place)
    return [str(run_by()), str(place)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with serving(tmp_path_factory.mktemp("store"), embedder="none") as server:
        yield server


def said(command: list[str], **variables: str) -> dict[str, Any]:
    done = subprocess.run(command, env=HOST | variables, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("transport", ["http", "sse", "stdio"])
@pytest.mark.parametrize("client", [python_1, javascript])
def test_another_client_adds_and_finds(client: Any, transport: str, served: Served, tmp_path: Path) -> None:
    targets = {
        "http": f"{served.url}/mcp",
        "sse": f"{served.url}/sse",
        "stdio": str(Path(sys.executable).with_name("souvenir-mcp")),
    }
    settings = {"SOUVENIR_STORE": str(tmp_path), "SOUVENIR_EMBEDDER": "none"}
    answers = said([*client(), transport, targets[transport]], **settings)
    assert set(answers["tools"]) == TOOLS
    assert answers["errors"] == [False, False]
    [added] = answers["added"]["results"]
    assert added["memory_id"] in {hit["memory_id"] for hit in answers["found"]["results"]}


@pytest.mark.parametrize("client", [python_1, javascript])
def test_another_client_passes_its_token(client: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    token = token_of(store, "alice")
    with serving(store, embedder="none", public_url="https://memory.example.com") as served:
        for path, transport in (("mcp", "http"), ("sse", "sse")):
            answers = said([*client(), transport, f"{served.url}/{path}"], TOKEN=token)
            assert answers["added"]["scope"]["user_id"] == "alice"
