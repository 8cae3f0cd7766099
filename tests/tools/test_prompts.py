import pytest
from mcp import MCPError
from mcp.types import INVALID_PARAMS, TextContent

from tests.conftest import Tools


async def prompt(tools: Tools, name: str, **arguments: str) -> str:
    [message] = (await tools.client.get_prompt(name, arguments)).messages
    assert isinstance(message.content, TextContent)
    return message.content.text


async def test_the_three_prompts_are_listed(tools: Tools) -> None:
    listed = (await tools.client.list_prompts()).prompts
    assert [one.name for one in listed] == ["recall", "remember", "review"]
    assert [one.name for one in listed[0].arguments or []] == ["topic"]


async def test_each_prompt_names_the_tools_it_is_about(tools: Tools) -> None:
    recall = await prompt(tools, "recall", topic="the Atlas project")
    assert "the Atlas project" in recall
    assert "search_memory" in recall
    assert "add_memory" in await prompt(tools, "remember")
    assert "list_memories" in await prompt(tools, "review")


async def test_an_unknown_prompt_or_a_missing_argument_is_named(tools: Tools) -> None:
    for name, said in (("no such prompt", "Unknown prompt: no such prompt"), ("recall", "topic")):
        with pytest.raises(MCPError, match=said) as raised:
            await tools.client.get_prompt(name, {})
        assert raised.value.code == INVALID_PARAMS
