"""What people see of the command line: tables, and the one line of an error."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from store.models import Memory
from tools.times import written

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headings. A memory's text is never taken for markup."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    out.print(shown)


def say(text: str) -> None:
    """Print one line, which only a terminal breaks: a command or a cursor in it can be copied."""
    out.print(Text(text), soft_wrap=True)


def notes(lines: Iterable[str]) -> None:
    """Print what the user should know besides the answer, on stderr, one line each."""
    for line in lines:
        err.print(Text(line, style="yellow"), soft_wrap=True)


def memory_row(memory: Memory) -> list[str]:
    """Return the cells that every list of memories shows."""
    text = memory.content if memory.deleted_at is None else f"{memory.content} [deleted]"
    return [memory.memory_id, text, memory.type, ", ".join(memory.tags), written(memory.updated_at)[:10]]


MEMORY_COLUMNS = ("memory_id", "content", "type", "tags", "updated")
