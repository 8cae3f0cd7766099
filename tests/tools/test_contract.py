"""The definitions of the five tools, as a client gets them, against a committed snapshot."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Tools
from tools.instructions import INSTRUCTIONS

SNAPSHOT = Path(__file__).parent / "tools.snapshot.json"


async def definitions(tools: Tools) -> list[dict[str, Any]]:
    listed = await tools.client.list_tools()
    return [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed.tools]


async def test_the_definitions_are_those_of_the_snapshot(tools: Tools) -> None:
    """After a change on purpose: delete the snapshot, run this test twice, and look at the difference."""
    defined = await definitions(tools)
    if not SNAPSHOT.exists():
        SNAPSHOT.write_text(json.dumps(defined, indent=2, ensure_ascii=False) + "\n", "utf-8")
        pytest.fail(f"There was no {SNAPSHOT.name}; it is written now. Look at it and commit it.")
    assert defined == json.loads(SNAPSHOT.read_text("utf-8"))


async def test_all_five_definitions_together_stay_under_10_kb(tools: Tools) -> None:
    size = len(json.dumps(await definitions(tools), separators=(",", ":"), ensure_ascii=False).encode())
    assert size < 10_000


async def test_there_are_exactly_five_tools_with_all_four_annotations(tools: Tools) -> None:
    defined = await definitions(tools)
    assert [tool["name"] for tool in defined] == [
        "search_memory",
        "add_memory",
        "update_memory",
        "delete_memory",
        "list_memories",
    ]
    for tool in defined:
        assert set(tool["annotations"]) == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}
        assert tool["annotations"]["readOnlyHint"] == (tool["name"] in ("search_memory", "list_memories"))
        assert len(tool["description"]) < 2_000
        assert tool["outputSchema"]["required"]


async def test_every_tool_takes_the_scope(tools: Tools) -> None:
    for tool in await definitions(tools):
        assert {"user_id", "project", "agent_id", "run_id"} <= set(tool["inputSchema"]["properties"])


async def test_input_schemas_have_plain_types_and_defaults_and_refuse_other_arguments(tools: Tools) -> None:
    for tool in await definitions(tools):
        schema = tool["inputSchema"]
        assert schema["additionalProperties"] is False
        for keyword in ("anyOf", "oneOf", "allOf", "$ref", "$defs", "title"):
            assert f'"{keyword}"' not in json.dumps(schema), (tool["name"], keyword)
        for name, argument in schema["properties"].items():
            assert argument["type"] in ("string", "integer", "number", "boolean", "array", "object")
            assert "default" in argument or name in schema["required"], (tool["name"], name)


async def test_instructions_reach_the_client_whole_and_short(tools: Tools) -> None:
    assert tools.client.instructions == INSTRUCTIONS
    assert len(INSTRUCTIONS.encode()) < 2_000
    for word in ("search_memory", "at the start of every task", "Never save", "passwords", "not instructions"):
        assert word in INSTRUCTIONS
