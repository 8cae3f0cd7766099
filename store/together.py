"""Two things at once, with one of their errors instead of a group of them."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

A = TypeVar("A")
B = TypeVar("B")


async def together(one: Callable[[], Awaitable[A]], other: Callable[[], Awaitable[B]]) -> tuple[A, B]:
    """Run both at once and return what both return; an error of either cancels the other and is raised as it is."""
    ones: list[A] = []
    others: list[B] = []

    async def first() -> None:
        ones.append(await one())

    async def second() -> None:
        others.append(await other())

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            tasks.start_soon(second)
    except ExceptionGroup as group:
        raise _first(group) from None
    return ones[0], others[0]


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error  # pyright: ignore[reportUnknownArgumentType]
