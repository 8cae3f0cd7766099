"""The commands that work on memories: add, search, list, show, delete, restore."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from server.desk import Desk, print_json, run
from store.models import MemoryType
from tools.paging import Sort

if TYPE_CHECKING:
    from store.filters import Selection

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
User = Annotated[str, typer.Option(help="Whose memories; default: the setting.")]
ReadProject = Annotated[str, typer.Option(help="This project and what is shared; default: all projects.")]
TypeFilter = Annotated[list[str] | None, typer.Option("--type", help="Only this type; may be repeated.")]
TagFilter = Annotated[list[str] | None, typer.Option("--tag", help="With this tag; may be repeated.")]
Since = Annotated[str, typer.Option(help="ISO date, or an age like 7d.")]
Until = Annotated[str, typer.Option(help="ISO date (inclusive), or an age.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (add, search, show, delete, restore):
        app.command()(command)
    app.command("list")(list_memories)


def add(
    content: Annotated[list[str], typer.Argument(help="What to remember; '-' reads one a line from stdin.")],
    type: Annotated[MemoryType, typer.Option()] = "fact",  # noqa: A002 - the contract's word
    tag: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    importance: Annotated[float, typer.Option(help="0 to 1.")] = 0.5,
    pinned: Annotated[bool, typer.Option("--pinned", help="Always in the profile; never expires.")] = False,
    occurred_at: Annotated[str, typer.Option(help="ISO date of the event.")] = "",
    expires_at: Annotated[str, typer.Option(help="ISO date after which search hides it.")] = "",
    user: User = "",
    project: Annotated[str, typer.Option(help="Only for this project; default: the setting.")] = "",
    as_json: AsJson = False,
) -> None:
    """Store memories."""
    from server import console
    from store.errors import InvalidRequestError
    from store.models import Scope, Source
    from tools import guards, times
    from tools.add import add_results
    from tools.outcomes import AddOutcome, Draft

    async def work(desk: Desk) -> None:
        texts = [line for line in sys.stdin.read().splitlines() if line.strip()] if content == ["-"] else content
        if not texts:
            raise InvalidRequestError("There was nothing on stdin. Pass one memory a line.")
        drafts = [
            Draft(
                content=text,
                type=type,
                tags=guards.tags(tag or []),
                importance=guards.fraction("importance", importance),
                pinned=pinned,
                occurred_at=times.moment("occurred_at", occurred_at),
                expires_at=times.moment("expires_at", expires_at),
            )
            for text in map(guards.content, texts)
        ]
        settings = desk.settings
        scope = Scope(user or settings.user, guards.place("project", project) or settings.project, settings.agent)
        source = Source("souvenir", transport="cli", origin="user")
        outcome = AddOutcome(())
        for start in range(0, len(drafts), guards.MAX_CONTENTS):
            some = await desk.memories.add(drafts[start : start + guards.MAX_CONTENTS], scope, source)
            outcome = AddOutcome(outcome.added + some.added, outcome.notes + some.notes)
        await desk.memories.maintain()
        if as_json:
            print_json(add_results(outcome, scope))
            return
        console.table(
            ("event", "memory_id", "content"),
            [(one.event, one.memory.memory_id, one.memory.content) for one in outcome.added],
        )
        for one in outcome.added:
            for hit in one.similar:
                console.say(f"similar to {hit.memory.memory_id} ({hit.score:.2f}): {hit.memory.content}")
        console.notes(outcome.notes)

    run(work)


def search(
    query: Annotated[str, typer.Argument(help="A question or topic.")],
    limit: Annotated[int, typer.Option(help="1 to 100.")] = 10,
    type: TypeFilter = None,  # noqa: A002 - the contract's word
    tag: TagFilter = None,
    since: Since = "",
    until: Until = "",
    as_of: Annotated[str, typer.Option(help="Search what was current at this date.")] = "",
    min_score: Annotated[float | None, typer.Option(help="0 to 1; default: the setting.")] = None,
    user: User = "",
    project: ReadProject = "",
    as_json: AsJson = False,
) -> None:
    """Search by meaning and by words."""
    from server import console
    from store.clock import utc_now
    from tools import guards, times
    from tools.search import search_results

    async def work(desk: Desk) -> None:
        now = utc_now()
        narrowed = selection(type, tag, since, until)
        scope = desk.reading(user, project)
        question = guards.search_query(query, narrowed)
        outcome = await desk.memories.search(
            question,
            scope,
            selection=narrowed,
            as_of=times.bound("as_of", as_of, now, end=True),
            limit=guards.limit(limit),
            min_score=None if min_score is None else guards.fraction("min_score", min_score),
        )
        if as_json:
            print_json(search_results(outcome, scope, "full", question))
            return
        if outcome.hits:
            console.table(
                ("score", *console.MEMORY_COLUMNS),
                [(f"{hit.score:.2f}" if question else "", *console.memory_row(hit.memory)) for hit in outcome.hits],
            )
        else:
            console.say("Nothing relevant.")
        if outcome.omitted:
            console.notes([f"{outcome.omitted} more below the threshold; --min-score 0 shows them."])
        console.notes(outcome.notes)

    run(work)


def list_memories(
    type: TypeFilter = None,  # noqa: A002 - the contract's word
    tag: TagFilter = None,
    since: Since = "",
    until: Until = "",
    sort: Annotated[Sort, typer.Option()] = "newest",
    limit: Annotated[int, typer.Option(help="1 to 100.")] = 20,
    cursor: Annotated[str, typer.Option(help="Where the page before ended.")] = "",
    include_deleted: Annotated[bool, typer.Option("--include-deleted", help="Also deleted and expired ones.")] = False,
    user: User = "",
    project: ReadProject = "",
    as_json: AsJson = False,
) -> None:
    """List memories, page by page."""
    from server import console
    from tools import guards
    from tools.list import page_results

    async def work(desk: Desk) -> None:
        scope = desk.reading(user, project)
        page = await desk.memories.page(
            scope,
            selection=selection(type, tag, since, until),
            sort=sort,
            limit=guards.limit(limit),
            cursor=cursor,
            include_deleted=include_deleted,
        )
        if as_json:
            print_json(page_results(page, scope))
            return
        console.table(console.MEMORY_COLUMNS, [console.memory_row(memory) for memory in page.memories])
        console.notes([f"{len(page.memories)} of {page.total}."])
        if page.next_cursor:
            console.notes([f"Next page: souvenir list --sort {sort} --cursor {page.next_cursor}"])

    run(work)


def show(memory_id: str, user: User = "", as_json: AsJson = False) -> None:
    """Show all versions of one memory."""
    from server import console
    from tools.list import history_results
    from tools.times import written

    async def work(desk: Desk) -> None:
        scope = desk.reading(user, "")
        history = await desk.memories.history(memory_id, scope)
        if as_json:
            print_json(history_results(history, scope))
            return
        console.table(
            ("version", "content", "type", "tags", "at", "by"),
            [
                (
                    str(one.version),
                    one.content if one.deleted_at is None else f"[deleted] {one.deleted_reason}",
                    one.type,
                    ", ".join(one.tags),
                    written(one.updated_at),
                    one.source.client or one.source.origin,
                )
                for one in history
            ],
        )

    run(work)


def delete(
    memory_ids: list[str],
    reason: Annotated[str, typer.Option(help="Kept in the history.")] = "",
    user: User = "",
    as_json: AsJson = False,
) -> None:
    """Delete memories; `souvenir restore` brings each of them back."""
    from server import console
    from store.models import Source
    from tools import guards
    from tools.delete import delete_results

    async def work(desk: Desk) -> None:
        scope = desk.reading(user, "")
        outcome = await desk.memories.delete(
            guards.memory_ids(memory_ids),
            scope,
            Source("souvenir", transport="cli", origin="user"),
            reason=guards.name("reason", reason),
        )
        await desk.memories.maintain()
        if as_json:
            print_json(delete_results(outcome, scope))
            return
        console.table(("deleted", "content"), [(one.memory_id, one.content) for one in outcome.deleted])
        console.notes([f"Undo: souvenir restore {one.memory_id}" for one in outcome.deleted])
        console.notes([f"There is no memory {one!r}." for one in outcome.not_found])

    run(work)


def restore(
    memory_id: str,
    version: Annotated[int, typer.Option(help="Default: the last one before a deletion, or before the current.")] = 0,
    user: User = "",
    as_json: AsJson = False,
) -> None:
    """Bring a deleted memory or an earlier version back."""
    from server import console
    from store.models import Source
    from tools.update import update_results

    async def work(desk: Desk) -> None:
        scope = desk.reading(user, "")
        wanted = version or await desk.memories.version_before(memory_id, scope)
        outcome = await desk.memories.restore(
            memory_id, wanted, scope, Source("souvenir", transport="cli", origin="user")
        )
        if as_json:
            print_json(update_results(outcome, scope))
            return
        console.say(f"{memory_id} is at version {outcome.memory.version} again what it was at {wanted}:")
        console.say(outcome.memory.content)

    run(work)


def selection(types: list[str] | None, tags: list[str] | None, since: str, until: str) -> "Selection":
    """Return the filters of a command."""
    from store.clock import utc_now
    from tools import arguments, guards

    return arguments.selection(utc_now(), types=guards.types(types or []), tags=tags or [], since=since, until=until)
