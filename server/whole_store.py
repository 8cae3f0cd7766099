"""The commands that work on the whole store: backup, export, import, purge, reembed, migrate."""

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from server.commands import Since, TagFilter, TypeFilter, Until, selection
from server.desk import Desk, run

if TYPE_CHECKING:
    from store.models import Scope

User = Annotated[str, typer.Option(help="Whose memories; default: the setting.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

backup_app = typer.Typer(help="Copies of the whole store, and earlier states that are kept beside it.")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(backup_app, name="backup", no_args_is_help=True)
    for command in (export, purge, reembed, migrate):
        app.command()(command)
    app.command("import")(import_file)


@backup_app.command()
def create(file: Annotated[Path, typer.Argument(help="A new file.")]) -> None:
    """Write the whole store to a file; servers may go on writing."""
    from server import console

    async def work(desk: Desk) -> None:
        about = await desk.memories.keeping.backup(file)
        console.say(f"{about.rows} versions of memories are in {file}, {file.stat().st_size / 1e6:.1f} MB.")

    run(work)


@backup_app.command()
def restore(
    source: Annotated[str, typer.Argument(help="A backup file, or the name of a kept state.")], yes: Yes = False
) -> None:
    """Make a backup, or a kept state, the current state. The present one is kept."""
    from server import console

    async def work(desk: Desk) -> None:
        state = (await desk.memories.stats()).table
        if state.versions:
            _confirm(f"This replaces the present {state.memories} memories, which are kept beside it.", yes=yes)
        rows = await desk.memories.keeping.restore(source)
        console.say(f"{rows} versions of memories are there now.")
        kept = (await desk.memories.stats()).table.kept
        if state.versions and kept:
            console.notes([f"Undo: souvenir backup restore {kept[-1].partition(' ')[0]}"])

    run(work)


@backup_app.command("list")
def list_kept() -> None:
    """List the earlier states that are kept beside the table."""
    from server import console

    async def work(desk: Desk) -> None:
        kept = desk.memories.keeping.kept()
        if not kept:
            console.say("No earlier state is kept.")
            return
        console.table(("name", "kept before", "at"), [(one.table, one.before, one.at) for one in kept])

    run(work)


@backup_app.command()
def drop(name: Annotated[str, typer.Argument(help="As `souvenir backup list` shows it.")]) -> None:
    """Remove an earlier state that is kept."""
    from server import console

    async def work(desk: Desk) -> None:
        await desk.memories.keeping.drop(name)
        console.say(f"{name} is gone.")

    run(work)


def export(
    file: Annotated[str, typer.Argument(help="Where to; '-' is stdout.")] = "-",
    vectors: Annotated[bool, typer.Option("--vectors", help="With the vectors, which can be made again.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="What is current, for reading.")] = False,
    user: Annotated[str, typer.Option(help="Only this user's; default: everything.")] = "",
) -> None:
    """Write all memories with their whole history as JSON Lines."""
    from server import console

    async def work(desk: Desk) -> None:
        keeping = desk.memories.keeping
        lines = keeping.markdown(desk.reading(user, "")) if markdown else keeping.export(user, vectors=vectors)
        if file == "-":
            async for line in lines:
                sys.stdout.write(line)
            return
        count = 0
        with _new_file(file) as stream:
            async for line in lines:
                stream.write(line)
                count += 1
        console.notes([f"{count} lines are in {file}."])

    run(work)


@contextmanager
def _new_file(name: str) -> Generator[TextIO]:
    """Yield a file that gets its name when it is complete."""
    from store.errors import InvalidRequestError

    partial = Path(f"{name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
        partial.replace(name)
    except OSError as error:
        raise InvalidRequestError(f"{name} can't be written: {error.strerror or error}.") from None
    finally:
        partial.unlink(missing_ok=True)


def import_file(
    file: Annotated[str, typer.Argument(help="What `souvenir export` wrote; '-' is stdin.")],
) -> None:
    """Store what an export holds. What is there already stays as it is."""
    from server import console

    async def work(desk: Desk) -> None:
        outcome = await desk.memories.keeping.import_lines(_lines(file))
        await desk.memories.maintain()
        console.say(f"{outcome.imported} versions were imported, {outcome.known} were there already.")
        console.notes([*outcome.notes, *(f"line {number}: {reason}" for number, reason in outcome.refused)])
        if outcome.refused:
            console.notes([f"{len(outcome.refused)} lines were refused."])
            raise typer.Exit(1)

    run(work)


def _lines(file: str) -> Iterator[str]:
    from store.errors import InvalidRequestError

    if file == "-":
        yield from sys.stdin
        return
    try:
        with Path(file).open(encoding="utf-8", newline="\n") as stream:
            yield from stream
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{file} can't be read: {error}.") from None


def purge(
    memory_ids: Annotated[list[str] | None, typer.Argument(help="These memories.")] = None,
    type: TypeFilter = None,  # noqa: A002 - the contract's word
    tag: TagFilter = None,
    since: Since = "",
    until: Until = "",
    everything: Annotated[bool, typer.Option("--everything", help="All memories of the user.")] = False,
    user: User = "",
    project: Annotated[str, typer.Option(help="Only of this project; default: all projects.")] = "",
    yes: Yes = False,
) -> None:
    """Erase memories for good, from the table, its history, and every kept state. This can't be undone."""
    from server import console
    from store.filters import Selection

    async def work(desk: Desk) -> None:
        scope = desk.reading(user, project)
        narrowed = selection(type, tag, since, until)
        decided = await desk.memories.keeping.to_purge(
            scope,
            memory_ids=memory_ids or (),
            selection=narrowed if project or narrowed != Selection() else None,
            everything=everything,
        )
        _confirm(f"This erases {_counted(decided.memories, decided.versions, scope)} for good.", yes=yes)
        outcome = await desk.memories.keeping.purge(decided)
        console.say(f"{_counted(outcome.memories, outcome.versions, scope)} were erased.")
        console.notes([f"Still in a backup: {one}" for one in outcome.backups])
        console.notes(["Copies that were made otherwise (exports, snapshots of the disk) are yours to erase."])

    run(work)


def _counted(memories: int, versions: int, scope: "Scope") -> str:
    return f"{memories} memories of {scope.user_id} with {versions} versions"


def reembed(
    embedder: Annotated[str, typer.Option(help="As in SOUVENIR_EMBEDDER.")],
) -> None:
    """Move to another embedding model. Servers may go on; when interrupted, run it again to continue."""
    from rich.progress import Progress

    from server import console
    from server.opening import chosen_embedder
    from store.errors import ConfigError

    async def work(desk: Desk) -> None:
        chosen = chosen_embedder(desk.settings.model_copy(update={"embedder": embedder}))
        if chosen is None:
            raise ConfigError("'none' has no vectors; to search by words alone set SOUVENIR_EMBEDDER=none.")
        with Progress(console=console.err) as bar:
            task = bar.add_task("embedding", total=None)
            rows = await desk.memories.keeping.reembed(
                chosen, lambda done, total: bar.update(task, completed=done, total=total)
            )
        console.say(f"{rows} versions of memories have vectors of {await chosen.fingerprint()}.")
        kept = desk.memories.keeping.kept()[-1].table
        console.notes(
            [
                f"Now set SOUVENIR_EMBEDDER={embedder} wherever this store is used.",
                f"The former table is kept; to go back: souvenir backup restore {kept}",
                f"To remove it: souvenir backup drop {kept}",
            ]
        )

    run(work)


def migrate() -> None:
    """Bring a store of an older Souvenir up to date, however long it takes. The older state is kept."""
    from server import console

    async def work(desk: Desk) -> None:
        state = (await desk.memories.stats()).table
        console.say(f"The store has schema version {state.schema_version}, {state.versions} versions of memories.")

    run(work, patient=True)


def _confirm(what: str, *, yes: bool) -> None:
    from server import console
    from store.errors import InvalidRequestError

    console.notes([what])
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidRequestError("Nothing was changed: nobody is there to be asked. Say --yes.")
    typer.confirm("Go on?", abort=True)
