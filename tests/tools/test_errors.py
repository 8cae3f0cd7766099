"""What a model reads when it calls a tool wrongly: the exact texts, and that nothing was stored."""

from typing import Any

import pytest

from tests.conftest import Tools

DATES = "Pass an ISO date or time (2026-05-08, 2026-05-08T14:30:00Z)"
UNKNOWN = "There is no memory 'nothing'. Take a memory_id from search_memory or list_memories."

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("search_memory", {}, "query is missing."),
    ("search_memory", {"query": 5}, "query is 5: Input should be a valid string."),
    (
        "search_memory",
        {"query": " "},
        (
            "query is empty. Pass a question or topic, or filters such as types, tags or since; list_memories pages "
            "through everything."
        ),
    ),
    (
        "search_memory",
        {"query": "x" * 8_001},
        "query has 8,001 characters; at most 8,000 are searched. Ask a shorter question.",
    ),
    ("search_memory", {"query": "a", "limit": 0}, "limit is 0; it goes from 1 to 100. Page for more."),
    ("search_memory", {"query": "a", "limit": 10_000}, "limit is 10,000; it goes from 1 to 100. Page for more."),
    (
        "search_memory",
        {"query": "a", "limit": "many"},
        "limit is 'many': Input should be a valid integer, unable to parse string as an integer.",
    ),
    (
        "search_memory",
        {"query": "a", "types": ["facts"]},
        "types.0 is 'facts'; valid are 'fact', 'preference', 'profile', 'event', 'task', 'procedure' or 'summary'.",
    ),
    (
        "search_memory",
        {"query": "a", "top_k": 3},
        (
            "top_k is no argument of search_memory; valid are query, limit, types, tags, any_tag, metadata, since, "
            "until, as_of, min_score, detail, user_id, project, agent_id, run_id."
        ),
    ),
    ("search_memory", {"query": "a", "min_score": 2}, "min_score is 2; it goes from 0 to 1."),
    ("search_memory", {"query": "a", "detail": "all"}, "detail is 'all'; valid are 'brief', 'normal' or 'full'."),
    (
        "search_memory",
        {"query": "a", "since": "yesterday"},
        f"since is 'yesterday', which is no date. {DATES} or an age such as 24h, 7d or 3mo.",
    ),
    ("search_memory", {"query": "a", "since": "999999y"}, "since is '999999y', which lies too far from now."),
    (
        "search_memory",
        {"query": "a", "as_of": "2026-13-01"},
        f"as_of is '2026-13-01', which is no date. {DATES} or an age such as 24h, 7d or 3mo.",
    ),
    ("search_memory", {"query": "a", "project": "x" * 300}, "project has 300 characters; at most 256."),
    (
        "search_memory",
        {"query": "\ud800"},
        "query has half of a surrogate pair, which is no character. Pass valid Unicode. Nothing was stored.",
    ),
    ("add_memory", {}, "Pass either content (one statement) or contents (a list of them), and not both."),
    (
        "add_memory",
        {"content": "a", "contents": ["b"]},
        "Pass either content (one statement) or contents (a list of them), and not both.",
    ),
    (
        "add_memory",
        {"content": " \n "},
        "Pass either content (one statement) or contents (a list of them), and not both.",
    ),
    (
        "add_memory",
        {"contents": ["a", " "]},
        "content is empty. Pass one self-contained statement of 1 to 32,000 characters.",
    ),
    (
        "add_memory",
        {"content": "x" * 32_001},
        (
            "content has 32,001 characters; a memory holds at most 32,000. Split it into several statements and pass "
            "them as contents. Nothing was stored."
        ),
    ),
    (
        "add_memory",
        {"contents": ["x"] * 101},
        "contents has 101 statements; one call takes at most 100. Pass the rest in further calls. Nothing was stored.",
    ),
    ("add_memory", {"content": "a", "tags": ["x" * 65]}, "A tag has 65 characters; each tag has 1 to 64."),
    ("add_memory", {"content": "a", "tags": [""]}, "A tag has 0 characters; each tag has 1 to 64."),
    (
        "add_memory",
        {"content": "a", "tags": [str(number) for number in range(33)]},
        "tags has 33 entries; a memory has at most 32.",
    ),
    (
        "add_memory",
        {"content": "a", "metadata": {"x": "y" * 16_000}},
        "metadata has 16,009 bytes of JSON; at most 16,000. Put long text into content instead.",
    ),
    (
        "add_memory",
        {"content": "a", "metadata": [1]},
        "metadata is [1]: Input should be a valid dictionary.",
    ),
    ("add_memory", {"content": "a", "importance": 1.5}, "importance is 1.5; it goes from 0 to 1."),
    ("add_memory", {"content": "a", "occurred_at": "soon"}, f"occurred_at is 'soon', which is no date. {DATES}."),
    ("add_memory", {"content": "a", "expires_at": "7d"}, f"expires_at is '7d', which is no date. {DATES}."),
    (
        "add_memory",
        {"content": "a", "project": "*"},
        "project is '*', which is for reading: name one, or leave it empty for all.",
    ),
    (
        "add_memory",
        {"content": "lone \udfff half"},
        "content has half of a surrogate pair, which is no character. Pass valid Unicode. Nothing was stored.",
    ),
    ("update_memory", {"content": "a"}, "memory_id is missing."),
    (
        "update_memory",
        {"memory_id": " ", "content": "a"},
        "memory_id is empty. Take one from search_memory or list_memories.",
    ),
    ("update_memory", {"memory_id": "nothing", "content": "a"}, UNKNOWN),
    ("update_memory", {"memory_id": "nothing", "restore_version": 1}, UNKNOWN),
    (
        "update_memory",
        {"memory_id": "nothing"},
        "Nothing to update: pass what should differ (content, tags, ...), clear, or restore_version.",
    ),
    (
        "update_memory",
        {"memory_id": "nothing", "content": "a", "restore_version": 1},
        "restore_version goes alone: restore first, then update in a second call. Nothing was changed.",
    ),
    (
        "update_memory",
        {"memory_id": "nothing", "clear": ["content"]},
        "clear.0 is 'content'; valid are 'tags', 'metadata', 'occurred_at', 'expires_at' or 'pinned'.",
    ),
    ("delete_memory", {}, "memory_ids is missing."),
    ("delete_memory", {"memory_ids": []}, "memory_ids has 0 entries; one call takes 1 to 100. Nothing was deleted."),
    ("delete_memory", {"memory_ids": ["nothing"]}, UNKNOWN),
    ("delete_memory", {"memory_ids": [""]}, "memory_id is empty. Take one from search_memory or list_memories."),
    ("delete_memory", {"memory_ids": "nothing"}, "memory_ids is 'nothing': Input should be a valid list."),
    ("list_memories", {"memory_id": "nothing"}, UNKNOWN),
    (
        "list_memories",
        {"cursor": "garbage"},
        (
            "cursor is not one that this list returned. Pass next_cursor as it came, with the same sort, or leave it "
            "empty for the first page."
        ),
    ),
    (
        "list_memories",
        {"sort": "best"},
        "sort is 'best'; valid are 'newest', 'oldest', 'updated' or 'importance'.",
    ),
]


@pytest.mark.parametrize(("tool", "arguments", "text"), WRONG, ids=lambda value: repr(value)[:50])
async def test_a_wrong_call_is_answered_with_what_is_wrong_and_stores_nothing(
    tools: Tools, tool: str, arguments: dict[str, Any], text: str
) -> None:
    assert await tools.error(tool, **arguments) == text
    assert (await tools("list_memories", include_deleted=True))["total"] == 0


async def test_a_deleted_memory_is_not_updated_but_the_way_back_is_told(tools: Tools) -> None:
    [result] = (await tools("add_memory", content="Anna lives in Berlin"))["results"]
    memory_id = result["memory_id"]
    await tools("delete_memory", memory_ids=[memory_id])
    assert await tools.error("update_memory", memory_id=memory_id, content="x") == (
        f"{memory_id} is deleted. Bring it back first: "
        f"update_memory with memory_id='{memory_id}' and restore_version=1."
    )
    assert await tools.error("update_memory", memory_id=memory_id, restore_version=2) == (
        f"{memory_id} has no version 2 to restore; valid are 1."
    )
    assert await tools.error("delete_memory", memory_ids=[memory_id]) == (
        f"There is no memory '{memory_id}'. Take a memory_id from search_memory or list_memories."
    )


async def test_a_field_is_not_both_set_and_cleared(tools: Tools) -> None:
    [result] = (await tools("add_memory", content="Anna lives in Berlin"))["results"]
    text = await tools.error("update_memory", memory_id=result["memory_id"], tags=["a"], clear=["tags"])
    assert text == "tags: pass a new value or name it in clear, and not both."
