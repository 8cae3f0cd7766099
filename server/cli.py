"""The command `souvenir`. Libraries are imported where they are used: `--help` must not wait for them."""

import json
import os
import sys
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from server import commands, token_commands, whole_store
from server.commands import AsJson
from server.desk import Desk, fail, loaded_settings, run

app = typer.Typer(
    name="souvenir",
    help="Souvenir: a long-term memory for AI agents, on your own disk.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    store: Annotated[Path | None, typer.Option(help="Folder of the memories, instead of SOUVENIR_STORE.")] = None,
) -> None:
    """Souvenir: a long-term memory for AI agents, on your own disk."""
    if store is not None:
        os.environ["SOUVENIR_STORE"] = str(store)


@app.command()
def serve(
    legacy: Annotated[bool, typer.Option(help="Serve only the handshake protocol, over stdio.")] = False,
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP: /mcp, and /sse for older clients.")] = False,
    host: Annotated[
        str, typer.Option(help="Where to listen; others than this machine need a credential.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535)] = 8765,
) -> None:
    """Serve MCP over stdin and stdout, as souvenir-mcp does, or over HTTP."""
    if http:
        from server.http.serving import run as serve_http
        from store.errors import SouvenirError

        settings = loaded_settings().settings
        try:
            serve_http(settings, host, port)
        except SouvenirError as error:
            fail(error)
        return
    from server.stdio import main as serve_stdio

    serve_stdio(["--legacy"] if legacy else [])


@app.command()
def demo() -> None:
    """Walk through everything once, with the real server on a temporary store."""
    from server.demo import run_demo

    raise typer.Exit(run_demo())


commands.register(app)
whole_store.register(app)
token_commands.register(app)


@app.command()
def stats(as_json: AsJson = False) -> None:
    """Show the state of the store."""
    from server import console

    async def work(desk: Desk) -> None:
        state = await desk.memories.stats()
        if as_json:
            print(json.dumps(asdict(state), indent=2))  # noqa: T201 - the command line
            return
        shown = asdict(state.table) | {"embedder": state.embedder, "folder": state.folder}
        shown["fingerprint"] = state.table.fingerprint or "no vectors yet"
        shown["by_type"] = ", ".join(f"{count} {name}" for name, count in state.table.by_type.items())
        shown["missing_indexes"] = ", ".join(state.table.missing_indexes) or "none"
        console.table(("", ""), [(name.replace("_", " "), str(value)) for name, value in shown.items()])

    run(work)


@app.command()
def doctor(
    as_json: AsJson = False,
    repair: Annotated[bool, typer.Option("--repair", help="First make all indexes anew, and compact.")] = False,
) -> None:
    """Check everything that can go wrong, with a hint for each."""
    import anyio

    from server import console
    from server.doctor import examine

    if repair:
        run(lambda desk: desk.memories.keeping.repair())
    checks = anyio.run(examine, loaded_settings())
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))  # noqa: T201 - the command line
    else:
        console.table(
            ("", "check", "found", "hint"),
            [("ok" if one.ok else "!!", one.name, one.found, "" if one.ok else one.hint) for one in checks],
        )
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command()
def config(as_json: AsJson = False) -> None:
    """Show the settings in force, and where each comes from."""
    from server import console
    from server.config import variable

    loaded = loaded_settings()
    rows = [(variable(name), str(value), loaded.origins[name]) for name, value in loaded.settings]
    if as_json:
        shown = [{"variable": name, "value": value, "origin": origin} for name, value, origin in rows]
        print(json.dumps({"file": str(loaded.file), "settings": shown}, indent=2))  # noqa: T201 - the command line
        return
    console.table(("setting", "value", "from"), rows)
    console.notes([f"Configuration file: {loaded.file}{'' if loaded.file.is_file() else ' (not there)'}"])


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # a memory may hold any character, a Windows console's default not
    app()
