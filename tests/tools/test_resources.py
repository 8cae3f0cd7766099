import json

import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import TextResourceContents

from tests.builders import memory
from tests.conftest import Tools
from tools.budget import tokens
from tools.resources import PROFILE_TOKENS, profile_text
from tools.results import NOTICE


async def read(tools: Tools, uri: str) -> str:
    [content] = (await tools.client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return content.text


async def test_a_memory_can_be_read_whole_with_its_history(tools: Tools) -> None:
    [result] = (await tools("add_memory", content="Anna lives in Berlin", tags=["home"]))["results"]
    memory_id = result["memory_id"]
    await tools("update_memory", memory_id=memory_id, content="Anna lives in Munich")
    shown = json.loads(await read(tools, f"memory://{memory_id}"))
    assert (shown["notice"], shown["memory_id"], shown["total_versions"]) == (NOTICE, memory_id, 2)
    assert [(one["version"], one["content"]) for one in shown["versions"]] == [
        (2, "Anna lives in Munich"),
        (1, "Anna lives in Berlin"),
    ]
    assert shown["versions"][1]["superseded_at"] == shown["versions"][0]["updated_at"]
    assert shown["versions"][0]["source"]["client"] == "tests"


async def test_of_very_many_versions_the_newest_are_shown_and_all_are_counted(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.resources.MOST_VERSIONS", 2)
    [result] = (await tools("add_memory", content="Anna is 30"))["results"]
    for age in (31, 32):
        await tools("update_memory", memory_id=result["memory_id"], content=f"Anna is {age}")
    shown = json.loads(await read(tools, f"memory://{result['memory_id']}"))
    assert [one["version"] for one in shown["versions"]] == [3, 2]
    assert shown["total_versions"] == 3


async def test_an_unknown_memory_is_not_found(tools: Tools) -> None:
    with pytest.raises(MCPError, match="There is no memory 'nothing'") as caught:
        await read(tools, "memory://nothing")
    assert caught.value.code == -32602


async def test_another_users_memory_is_not_found_either(tools: Tools) -> None:
    [result] = (await tools("add_memory", content="Bob keeps bees", user_id="bob"))["results"]
    with pytest.raises(MCPError, match="There is no memory"):
        await read(tools, f"memory://{result['memory_id']}")


async def test_the_profile_has_pinned_memories_profile_and_preferences(tools: Tools) -> None:
    assert "Nothing is known of the user yet." in await read(tools, "memory://profile")
    await tools("add_memory", content="Anna is a carpenter", type="profile")
    await tools("add_memory", content="Anna prefers tea", type="preference", importance=0.9)
    await tools("add_memory", content="Never call Anna at night", pinned=True)
    await tools("add_memory", content="Anna bought a saw", type="event")
    await tools("add_memory", content="Bob is a cook", type="profile", user_id="bob")
    lines = (await read(tools, "memory://profile")).splitlines()
    assert lines[0] == NOTICE
    assert [line.partition(" (")[0] for line in lines[2:]] == [
        "- Never call Anna at night",
        "- Anna prefers tea",
        "- Anna is a carpenter",
    ]


def test_the_profile_is_capped_and_says_how_much_is_left_out() -> None:
    text = profile_text([memory(str(number), "x" * 400) for number in range(100)])
    assert tokens(text) < PROFILE_TOKENS * 1.05
    shown = text.count(" (fact, ")
    assert shown > 20
    assert f"… and {100 - shown} more" in text


async def test_the_statistics_tell_the_state_of_the_store(tools: Tools) -> None:
    await tools("add_memory", contents=["one", "two"])
    stats = json.loads(await read(tools, "memory://stats"))
    assert stats["table"]["memories"] == 2
    assert stats["table"]["fingerprint"]["provider"] == "hashing"
    assert stats["maintenance"] == {"embedded": 0, "files": "nothing", "problem": ""}


async def test_resources_and_templates_are_listed(tools: Tools) -> None:
    listed = await tools.client.list_resources()
    assert {str(one.uri) for one in listed.resources} == {"memory://profile", "memory://stats"}
    [template] = (await tools.client.list_resource_templates()).resource_templates
    assert template.uri_template == "memory://{memory_id}"
