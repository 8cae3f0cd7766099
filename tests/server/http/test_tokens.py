"""Bearer tokens: shown once, kept as hashes, revoked at once, whatever other processes do to the file."""

import json
import os
import stat
import sys
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from server.http.tokens import PREFIX, Tokens
from store.errors import ConfigError, NotFoundError
from tests.conftest import TurnedClock


@pytest.fixture
def tokens(tmp_path: Path, clock: TurnedClock) -> Tokens:
    return Tokens(tmp_path / "tokens.json", clock)


async def test_a_token_is_known_by_its_text_alone_and_only_its_hash_is_kept(tokens: Tokens, tmp_path: Path) -> None:
    text, token = await tokens.create("alice", project="atlas", read_only=True)
    assert tokens.verify(text) == token
    assert (token.user, token.project, token.read_only, token.expires_at) == ("alice", "atlas", True, "")
    kept = (tmp_path / "tokens.json").read_text()
    assert text not in kept
    assert text.rpartition("_")[2] not in kept
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "tokens.json").stat().st_mode) == 0o600


async def test_nothing_but_the_whole_token_lets_in(tokens: Tokens) -> None:
    text, token = await tokens.create("alice")
    wrong = ["", PREFIX, text[:-1], text + "x", text.upper(), text.removeprefix(PREFIX), token.hash, token.number]
    wrong += [f"{PREFIX}{token.number}_", f"{PREFIX}{'0' * 12}_{text[-43:]}", "\ud800", text.replace("_", " ")]
    assert [one for one in wrong if tokens.verify(one)] == []


async def test_a_token_expires(tokens: Tokens, clock: TurnedClock) -> None:
    text, _ = await tokens.create("alice", lifetime=timedelta(days=90))
    clock.forward(days=89)
    assert tokens.verify(text)
    clock.forward(days=1)
    assert tokens.verify(text) is None
    assert len(tokens.all()) == 1  # it is still listed


async def test_another_process_revokes_it_from_the_next_request_on(tokens: Tokens, tmp_path: Path) -> None:
    text, token = await tokens.create("alice")
    other, _ = await tokens.create("bob")
    assert tokens.verify(text)
    await Tokens(tmp_path / "tokens.json", TurnedClock()).revoke(token.number)
    assert tokens.verify(text) is None
    assert tokens.verify(other)
    with pytest.raises(NotFoundError, match="souvenir token list shows them"):
        await tokens.revoke(token.number)


async def test_tokens_that_are_made_at_the_same_time_are_all_kept(tmp_path: Path, clock: TurnedClock) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(Tokens(tmp_path / "tokens.json", clock).create, f"user {number}")
    assert len({token.user for token in Tokens(tmp_path / "tokens.json", clock).all()}) == 10


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"tokens": [{"number": 1}]}', json.dumps({"tokens": 3})])
def test_a_file_that_cannot_be_read_lets_nobody_in_and_is_told(tokens: Tokens, tmp_path: Path, text: str) -> None:
    (tmp_path / "tokens.json").write_text(text)
    with pytest.raises(ConfigError, match=r"tokens\.json can't be read"):
        tokens.verify(PREFIX + "1_2")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away")
async def test_what_root_makes_belongs_to_the_folders_owner(tokens: Tokens, tmp_path: Path) -> None:
    os.chown(tmp_path, 65_534, 65_534)
    _, token = await tokens.create("alice")
    await tokens.revoke(token.number)
    for name in ("tokens.json", "tokens.json.lock"):
        assert (tmp_path / name).stat().st_uid == 65_534


def test_without_a_file_there_are_none(tokens: Tokens) -> None:
    assert tokens.all() == []
    assert tokens.verify(PREFIX + "1_2") is None
