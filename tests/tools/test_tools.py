"""The five tools as a client sees them, in both protocol eras."""

import json
from typing import Any

from tests.conftest import Tools, TurnedClock, text_of
from tools.results import NOTICE


async def added(tools: Tools, content: str, **more: Any) -> str:
    """Store one memory and return its id."""
    [result] = (await tools("add_memory", content=content, **more))["results"]
    assert result["event"] == "ADD"
    return result["memory_id"]


async def found(tools: Tools, query: str, **more: Any) -> list[str]:
    return [hit["content"] for hit in (await tools("search_memory", query=query, **more))["results"]]


async def test_what_was_added_is_found_with_its_dates_score_and_scope(tools: Tools) -> None:
    memory_id = await added(tools, "Anna prefers green tea", type="preference", tags=["drinks"])
    assert await tools("search_memory", query="green tea") == {
        "results": [
            {
                "memory_id": memory_id,
                "content": "Anna prefers green tea",
                "type": "preference",
                "tags": ["drinks"],
                "created_at": "2026-05-08T12:00:02Z",
                "updated_at": "2026-05-08T12:00:02Z",
                "score": (await tools("search_memory", query="green tea"))["results"][0]["score"],
            }
        ],
        "relevant": True,
        "omitted": 0,
        "scope": {"user_id": "alice"},
        "notice": NOTICE,
    }


async def test_text_and_structured_content_carry_the_same_facts(tools: Tools) -> None:
    await added(tools, "Anna prefers green tea")
    for name, arguments in (
        ("search_memory", {"query": "tea"}),
        ("list_memories", {}),
        ("add_memory", {"content": "x"}),
    ):
        result = await tools.client.call_tool(name, arguments)
        assert json.loads(text_of(result)) == result.structured_content


async def test_nothing_relevant_is_a_plain_answer(tools: Tools) -> None:
    await added(tools, "Anna prefers green tea")
    result = await tools("search_memory", query="quantum chromodynamics")
    assert (result["results"], result["relevant"]) == ([], False)


async def test_hits_below_the_threshold_are_counted(tools: Tools) -> None:
    await added(tools, "Anna prefers green tea")
    result = await tools("search_memory", query="tea", min_score=1.0)
    assert (result["results"], result["relevant"], result["omitted"]) == ([], False, 1)


async def test_detail_full_shows_signals_version_and_metadata(tools: Tools) -> None:
    await added(tools, "Anna prefers green tea", metadata={"source": "chat"}, importance=0.9)
    [hit] = (await tools("search_memory", query="tea", detail="full"))["results"]
    assert (hit["version"], hit["metadata"], hit["importance"]) == (1, {"source": "chat"}, 0.9)
    assert hit["signals"]["words"] == 1.0
    assert 0 <= hit["signals"]["meaning"] <= 1
    assert hit["why"].startswith(f"meaning {hit['signals']['meaning']:.2f}, words 1.00; -0.")
    assert "standing alone" in hit["why"]


async def test_an_exact_duplicate_returns_the_memory_that_is_there(tools: Tools) -> None:
    memory_id = await added(tools, "Anna prefers green tea")
    result = await tools("add_memory", content="  anna PREFERS\n green tea. ")
    assert result["results"] == [{"event": "NONE", "memory_id": memory_id, "content": "Anna prefers green tea"}]
    assert (await tools("list_memories"))["total"] == 1


async def test_the_same_words_in_another_place_or_of_another_day_are_another_memory(tools: Tools) -> None:
    await added(tools, "Anna went running", occurred_at="2026-05-01")
    await added(tools, "Anna went running", occurred_at="2026-05-02")
    await added(tools, "Anna went running", project="atlas", occurred_at="2026-05-01")
    await added(tools, "Anna went running", user_id="bob", occurred_at="2026-05-01")
    again = await tools("add_memory", content="Anna went running", occurred_at="2026-05-02")
    assert again["results"][0]["event"] == "NONE"


async def test_duplicates_within_one_call_are_stored_once(tools: Tools) -> None:
    results = (await tools("add_memory", contents=["Tea is hot", "Ice is cold", "tea is hot"]))["results"]
    assert [one["event"] for one in results] == ["ADD", "ADD", "NONE"]
    assert results[0]["memory_id"] == results[2]["memory_id"]


async def test_a_near_one_is_stored_and_offered_with_its_score(tools: Tools) -> None:
    memory_id = await added(tools, "Anna is allergic to peanuts")
    [result] = (await tools("add_memory", content="Anna is badly allergic to peanuts"))["results"]
    assert result["event"] == "ADD"
    [similar] = result["similar"]
    assert (similar["memory_id"], similar["content"]) == (memory_id, "Anna is allergic to peanuts")
    assert 0.4 < similar["score"] <= 1
    [unrelated] = (await tools("add_memory", content="The server runs Debian"))["results"]
    assert "similar" not in unrelated


async def test_an_update_wins_and_the_old_text_stays_in_the_history(tools: Tools) -> None:
    memory_id = await added(tools, "Anna lives in Berlin", tags=["home"])
    updated = await tools("update_memory", memory_id=memory_id, content="Anna lives in Munich")
    assert updated["changed"] == ["content"]
    assert updated["results"][0]["version"] == 2
    assert updated["results"][0]["tags"] == ["home"]
    assert await found(tools, "where does Anna live") == ["Anna lives in Munich"]
    history = await tools("list_memories", memory_id=memory_id)
    assert [(one["version"], one["content"]) for one in history["results"]] == [
        (2, "Anna lives in Munich"),
        (1, "Anna lives in Berlin"),
    ]
    assert history["total"] == 2


async def test_every_field_can_be_changed_and_cleared(tools: Tools) -> None:
    memory_id = await added(tools, "Call Anna")
    fields = {
        "type": "task",
        "tags": ["calls"],
        "metadata": {"phone": "1"},
        "importance": 0.75,
        "pinned": True,
        "occurred_at": "2026-05-09T10:00:00Z",
        "expires_at": "2027-01-01T00:00:00Z",
    }
    updated = await tools("update_memory", memory_id=memory_id, **fields)
    assert updated["changed"] == ["type", "tags", "metadata", "importance", "pinned", "occurred_at", "expires_at"]
    assert {name: updated["results"][0][name] for name in fields} == fields
    clear = ["tags", "metadata", "pinned", "occurred_at", "expires_at"]
    cleared = await tools("update_memory", memory_id=memory_id, clear=clear)
    assert cleared["changed"] == clear
    assert not set(clear) & set(cleared["results"][0])


async def test_an_update_based_on_an_older_version_is_refused_with_the_current_text(tools: Tools) -> None:
    memory_id = await added(tools, "Anna lives in Berlin")
    await tools("update_memory", memory_id=memory_id, content="Anna lives in Munich", expected_version=1)
    assert await tools.error(
        "update_memory", memory_id=memory_id, content="Anna lives in Graz", expected_version=1
    ) == (
        f"{memory_id} is at version 2, not 1. It says now: 'Anna lives in Munich'. "
        "Nothing was changed. Update again, based on that."
    )
    assert await found(tools, "Anna lives") == ["Anna lives in Munich"]
    history = await tools("list_memories", memory_id=memory_id)
    assert [version["version"] for version in history["results"]] == [2, 1]


async def test_an_update_that_changes_nothing_stores_no_version(tools: Tools) -> None:
    memory_id = await added(tools, "Anna lives in Berlin")
    same = await tools("update_memory", memory_id=memory_id, content="Anna lives in Berlin")
    assert (same["changed"], same["results"][0]["version"]) == ([], 1)
    assert same["notes"] == ["Nothing differs: no new version was stored."]


async def test_a_deleted_memory_is_gone_from_search_and_comes_back(tools: Tools) -> None:
    memory_id = await added(tools, "Anna lives in Berlin")
    deleted = await tools("delete_memory", memory_ids=[memory_id, memory_id, "unknown"], reason="moved")
    assert deleted == {
        "results": [{"memory_id": memory_id, "content": "Anna lives in Berlin", "restore_version": 1}],
        "deleted": 1,
        "undo": "update_memory with the memory_id and its restore_version",
        "scope": {"user_id": "alice"},
        "notice": NOTICE,
        "not_found": ["unknown"],
    }
    assert await found(tools, "Anna") == []
    assert (await tools("list_memories"))["total"] == 0
    [shown] = (await tools("list_memories", include_deleted=True))["results"]
    assert shown["deleted_at"]
    restored = await tools("update_memory", memory_id=memory_id, restore_version=1)
    assert restored["changed"] == ["deleted"]
    assert await found(tools, "Anna") == ["Anna lives in Berlin"]
    assert (await tools("list_memories", memory_id=memory_id))["total"] == 3


async def test_an_earlier_version_can_be_restored_as_it_was(tools: Tools) -> None:
    memory_id = await added(tools, "Anna lives in Berlin", tags=["home"])
    await tools("update_memory", memory_id=memory_id, content="Anna lives in Munich", clear=["tags"])
    restored = await tools("update_memory", memory_id=memory_id, restore_version=1)
    assert restored["changed"] == ["content", "tags"]
    assert (restored["results"][0]["version"], restored["results"][0]["tags"]) == (3, ["home"])
    assert await found(tools, "Berlin") == ["Anna lives in Berlin"]


async def test_many_memories_are_deleted_in_one_call(tools: Tools) -> None:
    results = (await tools("add_memory", contents=[f"Fact number {number}" for number in range(20)]))["results"]
    deleted = await tools("delete_memory", memory_ids=[one["memory_id"] for one in results])
    assert deleted["deleted"] == 20
    assert (await tools("list_memories"))["total"] == 0


async def test_an_expired_memory_is_hidden_unless_pinned(tools: Tools, clock: TurnedClock) -> None:
    await added(tools, "The milk is open", expires_at="2026-05-10")
    await added(tools, "The milk is pinned", expires_at="2026-05-10", pinned=True)
    assert len(await found(tools, "milk")) == 2
    clock.forward(days=3)
    assert await found(tools, "milk") == ["The milk is pinned"]
    assert (await tools("list_memories", include_deleted=True))["total"] == 2


async def test_filters_narrow_a_search(tools: Tools) -> None:
    await added(tools, "Anna ran in Berlin", type="event", tags=["sport", "berlin"], occurred_at="2024-03-01")
    await added(tools, "Anna ran in Graz", type="event", tags=["sport"], occurred_at="2025-03-01")
    await added(tools, "Anna likes to run", type="preference")
    assert await found(tools, "ran", types=["event"], until="2024-03-01") == ["Anna ran in Berlin"]
    assert await found(tools, "ran", tags=["sport", "berlin"]) == ["Anna ran in Berlin"]
    assert await found(tools, "ran", since="2025-01-01", until="2025-12-31") == ["Anna ran in Graz"]
    assert await found(tools, "run", since="7d") == ["Anna likes to run"]
    assert await found(tools, "", types=["preference"]) == ["Anna likes to run"]


async def test_a_search_as_of_a_date_sees_what_was_current_then(tools: Tools, clock: TurnedClock) -> None:
    memory_id = await added(tools, "Anna lives in Berlin")
    clock.forward(days=10)
    await tools("update_memory", memory_id=memory_id, content="Anna lives in Munich")
    assert await found(tools, "Anna lives", as_of="2026-05-10") == ["Anna lives in Berlin"]
    assert await found(tools, "Anna lives", as_of="2026-05-30") == ["Anna lives in Munich"]
    assert await found(tools, "Anna lives", as_of="2026-05-01") == []


async def test_projects_and_agents_see_what_is_shared_and_their_own(tools: Tools) -> None:
    await added(tools, "Tests run with pytest")
    await added(tools, "Tests run with cargo", project="atlas")
    await added(tools, "Tests run with jest", agent_id="coder")
    assert set(await found(tools, "tests")) == {"Tests run with pytest"}
    assert set(await found(tools, "tests", project="atlas")) == {"Tests run with pytest", "Tests run with cargo"}
    assert set(await found(tools, "tests", agent_id="coder")) == {"Tests run with pytest", "Tests run with jest"}
    assert len(await found(tools, "tests", project="*", agent_id="*")) == 3
    assert (await tools("search_memory", query="tests", project="atlas", run_id="r"))["scope"] == {
        "user_id": "alice",
        "project": "atlas",
        "run_id": "r",
    }


async def test_a_memory_named_by_its_id_needs_no_project(tools: Tools) -> None:
    memory_id = await added(tools, "Tests run with cargo", project="atlas")
    await tools("update_memory", memory_id=memory_id, content="Tests run with nextest")
    assert await tools.error("update_memory", memory_id=memory_id, content="x", project="borealis")
    assert (await tools("delete_memory", memory_ids=[memory_id]))["deleted"] == 1


async def test_another_users_memory_is_neither_found_nor_listed_nor_changed(tools: Tools) -> None:
    memory_id = await added(tools, "Bob keeps bees", user_id="bob")
    assert await found(tools, "bees") == []
    assert (await tools("list_memories"))["total"] == 0
    unknown = "There is no memory '{}'. Take a memory_id from search_memory or list_memories."
    for arguments in ({"content": "x"}, {"restore_version": 1}):
        assert await tools.error("update_memory", memory_id=memory_id, **arguments) == unknown.format(memory_id)
    assert await tools.error("delete_memory", memory_ids=[memory_id]) == unknown.format(memory_id)
    assert await tools.error("list_memories", memory_id=memory_id) == unknown.format(memory_id)
    assert await found(tools, "bees", user_id="bob") == ["Bob keeps bees"]


async def test_a_list_pages_through_everything_once(tools: Tools) -> None:
    await tools("add_memory", contents=[f"Fact number {number}" for number in range(25)])
    for sort in ("newest", "oldest", "updated", "importance"):
        seen: list[str] = []
        cursor = ""
        while True:
            page = await tools("list_memories", limit=7, sort=sort, cursor=cursor)
            assert page["total"] == 25
            seen += [one["memory_id"] for one in page["results"]]
            cursor = page.get("next_cursor", "")
            if not cursor:
                break
        assert len(seen) == len(set(seen)) == 25, sort


async def test_a_list_is_in_the_order_asked_for(tools: Tools, clock: TurnedClock) -> None:
    first = await added(tools, "first", importance=0.3)
    clock.forward(days=1)
    second = await added(tools, "second", importance=0.9)
    await tools("update_memory", memory_id=first, content="first, updated")

    async def order(sort: str) -> list[str]:
        return [one["memory_id"] for one in (await tools("list_memories", sort=sort))["results"]]

    assert await order("newest") == [second, first]
    assert await order("oldest") == [first, second]
    assert await order("updated") == [first, second]
    assert await order("importance") == [second, first]


async def test_long_memories_are_shortened_and_one_alone_is_whole(tools: Tools) -> None:
    texts = [f"{'filler ' * 700}needle {number} {'filler ' * 700}".strip() for number in range(5)]
    await tools("add_memory", contents=texts)
    result = await tools.client.call_tool("search_memory", {"query": "needle", "min_score": 0})
    assert len(text_of(result)) < 2_000 * 4 * 1.1
    assert result.structured_content
    for hit in result.structured_content["results"]:
        assert hit["shortened"]
        assert "needle" in hit["content"]
    [note] = result.structured_content["notes"]
    assert "list_memories with the memory_id" in note
    memory_id = result.structured_content["results"][0]["memory_id"]
    [whole] = (await tools("list_memories", memory_id=memory_id))["results"]
    assert whole["content"] in texts


async def test_arguments_that_arrive_as_json_in_strings_are_understood(tools: Tools) -> None:
    await tools("add_memory", contents='["one fact", "another fact"]', tags='["a"]', metadata='{"b": 1}')
    assert (await tools("list_memories", tags='["a"]'))["total"] == 2


async def test_results_stay_small_however_large_tags_metadata_and_histories_are(tools: Tools) -> None:
    memory_id = ""
    for number in range(20):
        memory_id = await added(
            tools,
            f"fact number {number}",
            tags=[f"{position:064}" for position in range(32)],
            metadata={"large": "x" * 15_000},
        )
    for number in range(25):
        await tools("update_memory", memory_id=memory_id, content=f"update {number}")
    for name, arguments in (
        ("search_memory", {"query": "fact", "min_score": 0, "detail": "full"}),
        ("list_memories", {}),
        ("list_memories", {"memory_id": memory_id}),
    ):
        assert len(text_of(await tools.client.call_tool(name, arguments))) < 40_000
    [whole, *_] = (await tools("list_memories", memory_id=memory_id))["results"]
    assert (len(whole["tags"]), len(whole["metadata"]["large"])) == (32, 15_000)


async def test_a_repeated_statement_with_other_fields_says_that_they_were_not_stored(tools: Tools) -> None:
    memory_id = await added(tools, "Anna likes tea")
    again = await tools("add_memory", content="Anna likes tea", pinned=True, tags=["drinks"])
    assert again["notes"] == [
        f"Known already, left as they are: {memory_id}. To change tags or other fields, use update_memory."
    ]


async def test_what_was_learned_on_a_day_is_part_of_that_day(tools: Tools) -> None:
    await added(tools, "Anna likes tea")
    assert await found(tools, "tea", as_of="2026-05-08") == ["Anna likes tea"]
    assert await found(tools, "tea", as_of="2026-05-07") == []
