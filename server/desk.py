"""What every command works with: settings, opened memories, and errors as one line."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from store.errors import ConfigError, SouvenirError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from server.config import Loaded, Settings
    from store.models import Scope
    from tools.memories import Memories


@dataclass(frozen=True, slots=True)
class Desk:
    """What a command works with."""

    memories: "Memories"
    settings: "Settings"

    def reading(self, user: str, project: str) -> "Scope":
        """Return the scope of a command that reads: everything of the user, unless a project is named."""
        from store.models import EVERYWHERE, Scope
        from tools import guards

        return Scope(
            guards.name("user", user) or self.settings.user,
            guards.name("project", project) or EVERYWHERE,
            EVERYWHERE,
        )


def loaded_settings() -> "Loaded":
    """Return the settings, or end the process with one line that names the wrong one."""
    from server.config import load

    try:
        return load()
    except ConfigError as error:
        fail(error)


def run(work: Callable[[Desk], Awaitable[None]], *, patient: bool = False) -> None:
    """Open the memories, do the work, and turn our errors into one line on stderr.

    Args:
        work: What to do.
        patient: Migrate an older store however long it takes.
    """
    import anyio

    from server.opening import open_memories, prepare_store

    settings = loaded_settings().settings

    async def opened() -> None:
        prepare_store(settings.store)
        memories = await open_memories(settings, patient=patient)
        try:
            await work(Desk(memories, settings))
        finally:
            memories.close()

    try:
        anyio.run(opened)
    except SouvenirError as error:
        fail(error)


def fail(error: SouvenirError) -> NoReturn:
    """End the process with one line on stderr: status 2 for a wrong setting, else 1."""
    from server import console

    console.notes([f"souvenir: {error}"])
    raise SystemExit(2 if isinstance(error, ConfigError) else 1)


def print_json(result: "BaseModel") -> None:
    """Print a result for programs; fields at their default are left out, as over MCP."""
    print(result.model_dump_json(indent=2, exclude_defaults=True))  # noqa: T201 - the command line
