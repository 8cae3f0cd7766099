"""Who is calling: tokens and an issuer's signatures on a real port, with what each lets in and keeps out."""

import http.client
import json
import subprocess
from collections.abc import Generator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.client.sse import sse_client

from tests.conftest import Era
from tests.e2e.web import SOUVENIR, Served, called, refused, serving, token_of
from tests.issuer import LocalIssuer, issuing

PUBLIC = "https://memory.example.com"
NUMBERS = count(1)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the server that many tests share, each with users of its own."""
    return tmp_path_factory.mktemp("common")


@pytest.fixture(scope="module")
def served(common: Path) -> Generator[Served]:
    token_of(common, "nobody in particular")
    with serving(common, public_url=PUBLIC) as server:
        yield server


@pytest.fixture
def alice() -> str:
    return f"alice {next(NUMBERS)}"


@pytest.fixture
def bob() -> str:
    return f"bob {next(NUMBERS)}"


def initialize(served: Served, **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return status, body and headers of an answer to a first request."""
    information = {"name": "tests", "version": "1"}
    parameters = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": information}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters}
    usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    status, text, answered = served.ask("/mcp", usual | headers, json.dumps(body).encode())
    return status, json.loads(text) if text.startswith("{") else {"text": text}, answered


async def test_a_token_says_who_the_user_is_and_no_argument_another(
    served: Served, common: Path, alice: str, bob: str, era: Era
) -> None:

    async with served.client(token_of(common, alice), mode=era) as client:
        added = await called(client, "add_memory", content="Anna likes green tea")
        assert added["scope"]["user_id"] == alice
        await called(client, "add_memory", content="Anna has a cat", user_id=alice)
        for tool, arguments in {
            "add_memory": {"content": "x"},
            "search_memory": {"query": "x"},
            "list_memories": {},
            "update_memory": {"memory_id": added["results"][0]["memory_id"], "content": "x"},
            "delete_memory": {"memory_ids": [added["results"][0]["memory_id"]]},
        }.items():
            assert "user_id comes from your credential" in await refused(client, tool, user_id=bob, **arguments)
    async with served.client(token_of(common, bob), mode=era) as client:
        assert (await called(client, "list_memories"))["total"] == 0


async def test_without_a_credential_or_with_a_wrong_one_nobody_comes_in(served: Served, common: Path) -> None:
    status, body, headers = initialize(served)
    assert (status, headers["www-authenticate"]) == (401, 'Bearer scope="memory:read memory:write"')
    assert "Authorization: Bearer" in body["error_description"]
    for wrong in ("Bearer x", "Bearer", "Basic eDp5", "Bearer souvenir_1_2", token_of(common, "alice")):
        status, body, headers = initialize(served, Authorization=wrong)
        assert (status, body["error"]) == (401, "invalid_token")
        assert 'error="invalid_token"' in headers["www-authenticate"]
    for path in ("/sse", "/metrics", "/messages/?session_id=00000000000000000000000000000000"):
        assert served.get(path)[0] == 401
    assert served.get("/health")[0] == 200


async def test_a_revoked_token_ends_at_the_next_request(served: Served, common: Path) -> None:
    token = token_of(common, "alice")
    async with served.client(token) as client:
        await called(client, "add_memory", content="Anna likes green tea")
        number = token.split("_")[1]
        subprocess.run([*SOUVENIR, "--store", str(common), "token", "revoke", number], check=True, timeout=60)
        with pytest.raises(MCPError):
            await client.call_tool("list_memories", {})


async def test_a_read_only_token_sees_two_tools_and_can_call_no_other(
    served: Served, common: Path, alice: str, era: Era
) -> None:
    async with served.client(token_of(common, alice), mode=era) as client:
        [added] = (await called(client, "add_memory", content="Anna likes green tea"))["results"]
    async with served.client(token_of(common, alice, read_only=True), mode=era) as client:
        assert sorted(tool.name for tool in (await client.list_tools()).tools) == ["list_memories", "search_memory"]
        found = await called(client, "search_memory", query="tea")
        assert [hit["memory_id"] for hit in found["results"]] == [added["memory_id"]]
        for tool, arguments in {
            "add_memory": {"content": "x"},
            "update_memory": {"memory_id": added["memory_id"], "content": "x"},
            "delete_memory": {"memory_ids": [added["memory_id"]]},
        }.items():
            assert "read-only" in await refused(client, tool, **arguments)
        assert (await called(client, "list_memories"))["total"] == 1


async def test_a_token_for_one_project_reaches_that_and_what_is_shared(
    served: Served, common: Path, alice: str
) -> None:
    async with served.client(token_of(common, alice)) as client:
        ids = [
            (await called(client, "add_memory", content=f"fact {n}", project=project))["results"][0]["memory_id"]
            for n, project in enumerate(("", "atlas", "other"))
        ]
    async with served.client(token_of(common, alice, project="atlas")) as client:
        listed = await called(client, "list_memories")
        assert {one["memory_id"] for one in listed["results"]} == set(ids[:2])
        added = await called(client, "add_memory", content="another fact")
        assert added["scope"]["project"] == "atlas"
        for project in ("other", "*"):
            assert "is for the project 'atlas' alone" in await refused(client, "list_memories", project=project)
        for foreign in (ids[0], ids[2]):  # what all projects share can be read, and no more
            assert "There is no memory" in await refused(client, "delete_memory", memory_ids=[foreign])
            assert "There is no memory" in await refused(client, "update_memory", memory_id=foreign, content="changed")
            assert "There is no memory" in await refused(client, "update_memory", memory_id=foreign, restore_version=1)
        assert await refused(client, "list_memories", memory_id=ids[2])
        assert (await called(client, "update_memory", memory_id=ids[1], content="changed"))["results"]


async def test_a_session_belongs_to_the_credential_that_began_it(served: Served, common: Path) -> None:
    alice, bob = token_of(common, "alice"), token_of(common, "bob")
    _, _, headers = initialize(served, Authorization=f"Bearer {alice}")
    session = {"mcp-session-id": headers["mcp-session-id"]}
    assert initialize(served, Authorization=f"Bearer {bob}", **session)[0] == 404
    assert initialize(served, Authorization=f"Bearer {bob}", **{"mcp-session-id": "0" * 32})[0] == 404


async def test_without_sessions_any_server_answers_the_next_call(store: Path) -> None:
    with serving(store, stateless="true") as one, serving(store, stateless="true") as two:
        status, _, headers = initialize(one)
        assert (status, "mcp-session-id" in headers) == (200, False)
        call: dict[str, Any] = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
        accepted = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
        sent = {"Content-Type": "application/json"} | accepted
        status, body, _ = two.ask("/mcp", sent, json.dumps(call).encode())
        assert (status, body.count('"inputSchema"')) == (200, 5)
        async with two.client(mode="legacy") as client:
            await called(client, "add_memory", content="Anna likes tea")


async def test_older_clients_pass_their_token_too(served: Served, common: Path, alice: str) -> None:
    headers = {"Authorization": f"Bearer {token_of(common, alice)}"}
    async with Client(sse_client(f"{served.url}/sse", headers=headers), mode="legacy") as client:
        assert (await called(client, "add_memory", content="Anna likes tea"))["scope"]["user_id"] == alice


async def test_on_loopback_a_token_is_optional_but_a_wrong_one_is_wrong(store: Path) -> None:
    token = token_of(store, "alice")
    with serving(store) as served:
        async with served.client() as client:
            assert (await called(client, "list_memories"))["scope"]["user_id"] == "default"
        async with served.client(token) as client:
            assert (await called(client, "list_memories"))["scope"]["user_id"] == "alice"
        assert initialize(served, Authorization="Bearer souvenir_1_2")[0] == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "memory.example.com"}, 200),
        ({"Host": "memory.example.com:443"}, 200),
        ({"Host": "memory.example.com", "Origin": PUBLIC}, 200),
        ({"Host": "memory.example.com.evil.example"}, 421),
        ({"Host": "evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://memory.example.com"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_host_and_origin_are_checked_with_a_credential_too(
    served: Served, common: Path, headers: dict[str, str], status: int
) -> None:
    token = token_of(common, "alice")
    assert initialize(served, Authorization=f"Bearer {token}", **headers)[0] == status


async def test_an_open_door_is_refused_in_words(store: Path) -> None:
    for settings in ({"public_url": PUBLIC}, {"trusted_proxies": "10.0.0.1"}):
        with pytest.raises(AssertionError, match=r"souvenir\s+token\s+create"), serving(store, **settings):
            pass
    with pytest.raises(AssertionError, match=r"SOUVENIR_PUBLIC_URL is\s+not"):  # noqa: SIM117
        with serving(store, oauth_issuer="https://issuer.example.com"):
            pass
    token_of(store, "alice", lifetime=timedelta(hours=1))
    with serving(store, "--host", "0.0.0.0") as served:  # noqa: S104
        assert initialize(served)[0] == 401


@pytest.mark.parametrize(("proxies", "scheme"), [("10.9.9.9", "http"), ("10.9.9.9, 127.0.0.0/8", "https")])
async def test_what_a_proxy_says_counts_only_from_a_trusted_one(store: Path, proxies: str, scheme: str) -> None:
    token_of(store, "alice")
    with serving(store, trusted_proxies=proxies) as served:
        said = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}
        assert initialize(served, **said)[0] == 401
        connection = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=10)
        connection.request("GET", "/messages", headers=said)  # is sent on to /messages/, by the scheme that is believed
        answer = connection.getresponse()
        location = str(answer.getheader("location"))
        connection.close()
        assert location.startswith(f"{scheme}://")


async def test_one_user_can_not_take_all_sessions(served: Served, common: Path, alice: str, bob: str) -> None:
    token = token_of(common, alice)
    statuses = [initialize(served, Authorization=f"Bearer {token}")[0] for _ in range(110)]
    assert (statuses[:100], statuses[-1]) == ([200] * 100, 429)
    assert initialize(served, Authorization=f"Bearer {token_of(common, bob)}")[0] == 200
    async with served.client(token) as client:  # the newest revision has no sessions
        await called(client, "list_memories")


async def test_metrics_are_for_names_that_are_known(served: Served, common: Path) -> None:
    bearer = {"Authorization": f"Bearer {token_of(common, 'alice')}"}
    assert served.get("/metrics", **bearer)[0] == 200
    assert served.get("/metrics", Host="evil.example", **bearer)[0] == 421
    assert served.get("/metrics", Origin="http://evil.example", **bearer)[0] == 403


# OAuth


@pytest.fixture
def issuer() -> Generator[LocalIssuer]:
    with issuing() as local:
        yield local


@pytest.fixture
def resource(store: Path, issuer: LocalIssuer) -> Generator[Served]:
    with serving(store, public_url=PUBLIC, oauth_issuer=issuer.address) as server:
        yield server


async def test_an_issuers_token_lets_in_with_the_scopes_that_it_has(
    resource: Served, issuer: LocalIssuer, era: Era
) -> None:
    whole = issuer.token(aud=f"{PUBLIC}/mcp", scope="openid memory:read memory:write")
    async with resource.client(whole, mode=era) as client:
        added = await called(client, "add_memory", content="Anna likes green tea")
        assert added["scope"]["user_id"] == "alice"
    async with resource.client(issuer.token(aud=PUBLIC), mode=era) as client:
        assert len((await client.list_tools()).tools) == 2
        assert (await called(client, "list_memories"))["total"] == 1
    async with resource.client(issuer.token(aud=PUBLIC, sub="bob"), mode=era) as client:
        assert (await called(client, "list_memories"))["total"] == 0


async def test_who_has_no_token_learns_where_to_get_one(resource: Served, issuer: LocalIssuer) -> None:
    status, _, headers = initialize(resource)
    metadata = f"{PUBLIC}/.well-known/oauth-protected-resource/mcp"
    assert (status, f'resource_metadata="{metadata}"' in headers["www-authenticate"]) == (401, True)
    status, body = resource.get("/.well-known/oauth-protected-resource/mcp")
    told = json.loads(body)
    assert (status, told["resource"], told["authorization_servers"]) == (200, f"{PUBLIC}/mcp", [issuer.address])
    assert told["scopes_supported"] == ["memory:read", "memory:write"]
    assert json.loads(resource.get("/.well-known/oauth-protected-resource/sse")[1])["resource"] == f"{PUBLIC}/sse"


async def test_a_token_without_our_scopes_is_forbidden_and_a_wrong_one_unauthorized(
    resource: Served, issuer: LocalIssuer
) -> None:
    for scope in ("", "openid email", "memory:reader"):
        bearer = f"Bearer {issuer.token(aud=PUBLIC, scope=scope)}"
        status, body, headers = initialize(resource, Authorization=bearer)
        assert (status, body["error"]) == (403, "insufficient_scope")
        assert 'scope="memory:read memory:write"' in headers["www-authenticate"]
    for token in (issuer.token(aud="https://other.example.com"), issuer.token(aud=PUBLIC, exp=1)):
        assert initialize(resource, Authorization=f"Bearer {token}")[0] == 401


async def test_an_issuer_out_of_reach_is_no_crash_and_our_own_tokens_go_on(
    resource: Served, issuer: LocalIssuer, store: Path
) -> None:
    issuer.answers = False
    status, body, _ = initialize(resource, Authorization=f"Bearer {issuer.token(aud=PUBLIC)}")
    assert (status, body["error"]) == (503, "temporarily_unavailable")
    assert initialize(resource, Authorization=f"Bearer {token_of(store, 'alice')}")[0] == 200
