"""The commands on tokens: what they print, and what they keep to themselves."""

from datetime import timedelta
from pathlib import Path

from server.http.tokens import Tokens
from store.clock import utc_now
from tests.server.test_cli import as_json, ok, souvenir


def test_a_token_is_shown_once_listed_without_itself_and_revoked(tmp_path: Path) -> None:
    made = souvenir("token", "create", "--user", "anna", "--expires", "90d", "--read-only", store=tmp_path)
    token = ok(made).strip()
    assert "search and list the memories of anna until 20" in " ".join(made.stderr.split())
    found = Tokens(tmp_path / "tokens.json", utc_now).verify(token)
    assert found is not None
    assert (found.user, found.read_only) == ("anna", True)
    listed = ok(souvenir("token", "list", store=tmp_path))
    assert "anna" in listed
    assert token.rpartition("_")[2] not in listed
    [row] = as_json("token", "list", store=tmp_path)["results"]
    assert (row["user"], row["project"], row["rights"], row["valid"]) == ("anna", "", "read", True)
    assert "lets nobody in any more" in ok(souvenir("token", "revoke", row["number"], store=tmp_path))
    assert "There is no token." in ok(souvenir("token", "list", store=tmp_path))


def test_an_expired_token_is_listed_as_such(tmp_path: Path) -> None:
    import anyio

    async def make() -> None:
        await Tokens(tmp_path / "tokens.json", lambda: utc_now() - timedelta(days=2)).create(
            "anna", lifetime=timedelta(days=1)
        )

    anyio.run(make)
    assert "(over)" in ok(souvenir("token", "list", store=tmp_path))


def test_what_is_wrong_is_told_in_one_line(tmp_path: Path) -> None:
    for arguments, said in (
        (["create", "--user", " "], "--user is empty"),
        (["create", "--user", "anna", "--expires", "soon"], "such as 24h, 90d or 1y"),
        (["create", "--user", "anna", "--expires", "999999y"], "such as 24h, 90d or 1y"),
        (["create", "--user", "anna", "--project", "*"], "name one"),
        (["revoke", "0"], "souvenir token list shows them"),
    ):
        refused = souvenir("token", *arguments, store=tmp_path)
        assert refused.exit_code == 1
        assert said in " ".join(refused.stderr.split())
    (tmp_path / "tokens.json").write_text("{")
    refused = souvenir("token", "list", store=tmp_path)
    assert (refused.exit_code, "can't be read" in " ".join(refused.stderr.split())) == (2, True)
