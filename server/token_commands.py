"""The commands on bearer tokens, for whoever serves memories over HTTP."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from server.commands import AsJson
from server.desk import fail, loaded_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from server.http.tokens import Token, Tokens

token_app = typer.Typer(help="Who may use this store over HTTP.")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(token_app, name="token", no_args_is_help=True)


@token_app.command()
def create(
    user: Annotated[str, typer.Option(help="Whose memories its bearer reaches.")],
    read_only: Annotated[bool, typer.Option("--read-only", help="Only to search and list.")] = False,
    project: Annotated[str, typer.Option(help="Only for this project.")] = "",
    expires: Annotated[str, typer.Option(help="After which time, such as 90d; default: never.")] = "",
) -> None:
    """Make a token and show it: this once, because only a hash of it is kept."""
    from server import console
    from store.errors import InvalidRequestError
    from tools import guards, times

    async def work(tokens: "Tokens") -> None:
        name = guards.name("user", user)
        if not name:
            raise InvalidRequestError("--user is empty. Name whose memories the token is for.")
        text, token = await tokens.create(
            name,
            project=guards.place("project", project),
            read_only=read_only,
            lifetime=times.lifetime("--expires", expires),
        )
        print(text)  # noqa: T201 - not to be broken into lines
        until = f"until {token.expires_at}" if token.expires_at else "until it is revoked"
        rights = "search and list" if read_only else "use"
        where = f" in the project {token.project}" if token.project else ""
        console.notes(
            [
                f"With it, a client can {rights} the memories of {token.user}{where} {until}. It is not shown again.",
                f"Clients send it as the header  Authorization: Bearer …   Undo: souvenir token revoke {token.number}",
            ]
        )

    _run(work)


@token_app.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List the tokens, without what makes them work."""
    from server import console
    from store.clock import utc_now

    async def work(tokens: "Tokens") -> None:
        now = utc_now()
        rows = [
            {
                "number": one.number,
                "user": one.user,
                "project": one.project,
                "rights": _rights(one),
                "created_at": one.created_at,
                "expires_at": one.expires_at,
                "valid": one.is_valid_at(now),
            }
            for one in tokens.all()
        ]
        if as_json:
            print(json.dumps({"results": rows}, indent=2))  # noqa: T201 - the command line
        elif not rows:
            console.say("There is no token.")
        else:
            header = ("number", "user", "project", "rights", "created at", "expires at")
            shown = [
                [
                    one.number,
                    one.user,
                    one.project or "all",
                    _rights(one),
                    one.created_at,
                    (one.expires_at or "never") + ("" if one.is_valid_at(now) else " (over)"),
                ]
                for one in tokens.all()
            ]
            console.table(header, shown)

    _run(work)


@token_app.command()
def revoke(number: Annotated[str, typer.Argument(help="As `souvenir token list` shows it.")]) -> None:
    """Make a token useless, from the next request on."""
    from server import console

    async def work(tokens: "Tokens") -> None:
        token = await tokens.revoke(number)
        console.say(f"The token {token.number} of {token.user} lets nobody in any more.")

    _run(work)


def _rights(token: "Token") -> str:
    return "read" if token.read_only else "read and write"


def _run(work: "Callable[[Tokens], Awaitable[None]]") -> None:
    import anyio

    from server.http.tokens import Tokens
    from store.clock import utc_now
    from store.errors import SouvenirError

    try:
        anyio.run(work, Tokens(loaded_settings().settings.tokens_file, utc_now))
    except SouvenirError as error:
        fail(error)
