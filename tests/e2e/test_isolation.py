"""Many users in one table: whatever one of them sends, the others' memories are neither shown nor changed."""

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError

from tests.e2e.web import called, refused, serving, token_of

WORD = "zanzibarquokka"
ATTEMPTS = 400

LOOKS_ALIKE = (
    "Alice",
    "ALICE",
    "аlice",
    "ａｌｉｃｅ",
    "alice\u200b",
    "alic\u0065\u0301",
    "\u202ealice",
    "al\u00adice",
    "alice\0",
)
INJECTIONS = (
    "alice' OR '1'='1",
    "' OR user_id = 'alice' --",
    "x') OR (user_id = 'alice",
    "alice\\' OR 1=1",
    '","alice","',
    '["alice","",""]',
    "*",
    "%",
    "user_id IS NOT NULL",
    "'; DROP TABLE memories; --",
    "{memory_id}",
    "../../alice",
    "content:" + WORD,
)


def schema_slots(tools: list[Any]) -> Iterator[tuple[str, str, str]]:
    """Yield tool, argument and kind of each argument that takes a text somewhere."""
    for tool in tools:
        for name, schema in tool.input_schema["properties"].items():
            if schema["type"] == "string" and "enum" not in schema:
                yield tool.name, name, "text"
            elif schema["type"] == "array" and "enum" not in schema.get("items", {}):
                yield tool.name, name, "list"
            elif schema["type"] == "object":
                yield tool.name, name, "object"


def arguments_for(tool: str, name: str, kind: str, payload: str) -> dict[str, Any]:
    """Return arguments of a call that would be in order but for the payload."""
    usual: dict[str, dict[str, Any]] = {
        "search_memory": {"query": "what is the secret word"},
        "add_memory": {"content": "a statement of my own"},
        "update_memory": {"memory_id": payload, "content": "changed"},
        "delete_memory": {"memory_ids": [payload]},
        "list_memories": {},
    }
    value: Any = payload if kind == "text" else [payload]
    if kind == "object":
        value = {payload: payload, "user_id": "alice"}
    return usual[tool] | {name: value}


async def everything_of(client: Client) -> str:
    listed = await called(client, "list_memories", include_deleted=True, project="*", agent_id="*")
    histories = [await called(client, "list_memories", memory_id=one["memory_id"]) for one in listed["results"]]
    return json.dumps([listed, histories], sort_keys=True)


async def test_hundreds_of_attempts_show_and_change_nothing_of_another_user(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    alice_token, mallory_token = token_of(store, "alice"), token_of(store, "mallory")
    with serving(store) as served:
        async with served.client(alice_token) as alice:
            ids: list[str] = []
            for number, project in itertools.product(range(4), ("", "atlas")):
                added = await called(
                    alice,
                    "add_memory",
                    content=f"The secret word {number} is {WORD}",
                    tags=[WORD],
                    metadata={"key": WORD},
                    project=project,
                )
                ids.append(added["results"][0]["memory_id"])
            await called(alice, "delete_memory", memory_ids=ids[:1])
            await called(alice, "update_memory", memory_id=ids[1], content=f"It is still {WORD}")
            cursor = (await called(alice, "list_memories", limit=2))["next_cursor"]
            before = await everything_of(alice)

            payloads = [*ids, f"{ids[1]}.1", cursor, WORD, "alice", *LOOKS_ALIKE, *INJECTIONS]
            async with served.client(mallory_token) as mallory:
                slots = list(schema_slots((await mallory.list_tools()).tools))
                attempts = [(*slot, payload) for slot in slots for payload in payloads]
                chosen = random.Random(5).sample(attempts, ATTEMPTS)  # noqa: S311 - no secret
                assert {tool for tool, *_ in chosen} == {tool for tool, *_ in slots}
                for tool, name, kind, payload in chosen:
                    result = await mallory.call_tool(tool, arguments_for(tool, name, kind, payload))
                    assert_nothing_shown(result.model_dump_json(), payload, (tool, name))
                for payload in payloads:
                    for uri in (f"memory://{payload}", f"memory://{payload}/..", f"memory://profile?user_id={payload}"):
                        try:
                            shown = (await mallory.read_resource(uri)).model_dump_json()
                        except MCPError as error:
                            shown = str(error)
                        assert_nothing_shown(shown, payload, uri)
            assert await everything_of(alice) == before


def assert_nothing_shown(shown: str, payload: str, where: object) -> None:
    """Fail if an answer holds the secret, which nobody but its owner knows, beyond what was sent."""
    rest = shown.replace(json.dumps(payload)[1:-1], "").replace(repr(payload)[1:-1], "")
    assert WORD not in rest.replace(payload, ""), (where, payload, shown)


async def test_what_belongs_to_another_looks_like_what_is_not_there(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    alice_token, mallory_token = token_of(store, "alice"), token_of(store, "mallory")
    with serving(store) as served:
        async with served.client(alice_token) as alice, served.client(mallory_token) as mallory:
            texts = [f"The secret word {number} is {WORD}" for number in range(3)]
            added = await called(alice, "add_memory", contents=texts)
            theirs, nowhere = str(added["results"][0]["memory_id"]), "0123456789ab"
            cursor = (await called(alice, "list_memories", limit=1))["next_cursor"]
            await called(mallory, "add_memory", content="mine")
            for tool, arguments in (
                ("update_memory", {"memory_id": theirs, "content": "x"}),
                ("update_memory", {"memory_id": theirs, "restore_version": 1}),
                ("delete_memory", {"memory_ids": [theirs]}),
                ("list_memories", {"memory_id": theirs}),
            ):
                other = json.loads(json.dumps(arguments).replace(theirs, nowhere))
                said = await refused(mallory, tool, **arguments)
                assert said.replace(theirs, nowhere) == await refused(mallory, tool, **other)
            said = await refused(mallory, "list_memories", cursor=cursor)
            assert said == await refused(mallory, "list_memories", cursor=cursor[:-4] + "abcd")
            errors: list[str] = []
            for uri in (theirs, nowhere):
                with pytest.raises(MCPError) as raised:
                    await mallory.read_resource(f"memory://{uri}")
                errors.append(str(raised.value).replace(uri, ""))
            assert errors[0] == errors[1]
            stats = json.loads((await mallory.read_resource("memory://stats")).model_dump()["contents"][0]["text"])
            assert stats == {"memories": 1}


async def test_users_with_hostile_names_see_what_is_theirs(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    names = [name for name in (*LOOKS_ALIKE, *INJECTIONS, 'a"b', "a\\b", "a]b") if "\0" not in name]
    alice = token_of(store, "alice")
    with serving(store) as served:
        async with served.client(alice) as client:
            await called(client, "add_memory", content=f"The secret word is {WORD}")
        for number, name in enumerate(names[::3]):
            async with served.client(token_of(store, name)) as client:
                assert (await called(client, "list_memories", project="*", agent_id="*"))["total"] == 0
                await called(client, "add_memory", content=f"fact {number}")
                listed = await called(client, "list_memories", project="*")
                assert [one["content"] for one in listed["results"]] == [f"fact {number}"]
                assert WORD not in json.dumps(await called(client, "search_memory", query=WORD, min_score=0))
