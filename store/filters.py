"""Every predicate that reaches LanceDB is built here, and every string is quoted here.

A predicate is SQL text of the dialect that LanceDB evaluates (DataFusion): strings stand between single quotes,
a quote inside is doubled, and nothing else is special: no backslash escapes, any Unicode, NUL included.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from store.models import EVERYWHERE, Memory, Scope

Predicate = str

NOTHING: Predicate = "false"


def quote(text: str) -> str:
    """Return `text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def instant(moment: datetime) -> str:
    """Return an aware datetime as an SQL literal, exact to the microsecond."""
    return f"timestamp '{moment.astimezone(UTC).isoformat(timespec='microseconds')}'"


def equals(column: str, value: str) -> Predicate:
    """`column` is exactly `value`."""
    return f"{column} = {quote(value)}"


def one_of(column: str, values: Iterable[str]) -> Predicate:
    """`column` is one of `values`; no values match nothing."""
    literals = ", ".join(quote(value) for value in values)
    return f"{column} IN ({literals})" if literals else NOTHING


def all_of(*predicates: Predicate) -> Predicate:
    """Every predicate that is not empty holds."""
    return " AND ".join(f"({predicate})" for predicate in predicates if predicate)


def any_of(*predicates: Predicate) -> Predicate:
    """At least one predicate holds."""
    return " OR ".join(f"({predicate})" for predicate in predicates)


def current() -> Predicate:
    """The newest version of each memory, deleted ones included."""
    return "superseded_at IS NULL"


def live(now: datetime) -> Predicate:
    """What a search may return: neither superseded nor deleted nor expired; pinned memories do not expire."""
    return all_of(current(), "deleted_at IS NULL", f"pinned OR expires_at IS NULL OR expires_at > {instant(now)}")


def live_at(moment: datetime) -> Predicate:
    """What `live` would have said at an earlier moment."""
    then = instant(moment)
    return all_of(
        f"updated_at <= {then}",
        f"superseded_at IS NULL OR superseded_at > {then}",
        "deleted_at IS NULL",
        f"pinned OR expires_at IS NULL OR expires_at > {then}",
    )


def live_scope(memory: Memory) -> str:
    """Return what the column `live_scope` holds: who may see this version now, empty if nobody.

    One column that says it all, because each further condition of a prefilter costs as much as the search itself in a
    table of a million rows (40 ms for the conditions of `live` and `readable`, under 1 ms for this;
    benchmarks/scale.py).
    """
    if memory.superseded_at or memory.deleted_at:
        return ""
    place = _place(memory.user_id, memory.project, memory.agent_id)
    return _EXPIRING + place if memory.expires_at and not memory.pinned else place


_EXPIRING = "until expires_at "


def _place(*names: str) -> str:
    return json.dumps(names, separators=(",", ":"), ensure_ascii=False)


def visible(scope: Scope, now: datetime) -> Predicate:
    """What a reader in this scope may see now: exactly `live` and `readable`, in the quickest way."""

    def names(value: str) -> tuple[str, ...]:
        return ("", value) if value else ("",)

    if EVERYWHERE in (scope.project, scope.agent_id):
        # Everything of the user: what begins with `["user","`, the text before the next one after a quote.
        user = _place(scope.user_id, "")[:-2]
        of_user = [
            f"live_scope >= {quote(start + user)} AND live_scope < {quote(start + user[:-1] + '#')}"
            for start in ("", _EXPIRING)
        ]
        stays, expires = of_user
        narrowed = [
            one_of(column, names(value))
            for column, value in (("project", scope.project), ("agent_id", scope.agent_id))
            if value != EVERYWHERE
        ]
    else:
        places = [
            _place(scope.user_id, project, agent) for project in names(scope.project) for agent in names(scope.agent_id)
        ]
        stays, expires = (one_of("live_scope", [start + place for place in places]) for start in ("", _EXPIRING))
        narrowed = []
    return all_of(
        any_of(stays, all_of(expires, f"expires_at > {instant(now)}")),
        *narrowed,
        equals("run_id", scope.run_id) if scope.run_id else "",
    )


def readable(scope: Scope) -> Predicate:
    """What a reader in this scope may see: see `Scope`. Never another user's."""
    return all_of(
        equals("user_id", scope.user_id),
        equals("project", scope.project) if scope.own_project_alone else _shared_or_named("project", scope.project),
        _shared_or_named("agent_id", scope.agent_id),
        equals("run_id", scope.run_id) if scope.run_id else "",
    )


def _shared_or_named(column: str, value: str) -> Predicate:
    if value == EVERYWHERE:
        return ""
    return one_of(column, ("", value)) if value else equals(column, "")


def live_in(scope: Scope, now: datetime) -> Predicate:
    """What is live exactly here, of any conversation: where a repeated fact counts as a duplicate."""
    place = _place(scope.user_id, scope.project, scope.agent_id)
    return any_of(
        equals("live_scope", place), all_of(equals("live_scope", _EXPIRING + place), f"expires_at > {instant(now)}")
    )


@dataclass(frozen=True, slots=True)
class Order:
    """One column that rows are sorted by."""

    column: str
    descending: bool = False


def after(row_id: str) -> Predicate:
    """What follows a row in the order of `row_id`; everything for an empty one."""
    return f"row_id > {quote(row_id)}" if row_id else ""


def beyond(order: Order, value: datetime | float, row_id: str) -> Predicate:
    """What follows a row in this order, where rows of equal value are sorted by `row_id`."""
    if isinstance(value, datetime):
        column, literal = order.column, instant(value)
    else:  # compared as doubles: a float32 column is never equal to the decimal that was written
        column, literal = f"cast({order.column} AS double)", repr(float(value))
    comparison = "<" if order.descending else ">"
    return any_of(f"{column} {comparison} {literal}", all_of(f"{column} = {literal}", f"row_id > {quote(row_id)}"))


def metadata_pairs(metadata: Mapping[str, object]) -> tuple[str, ...]:
    """Return the keys of a JSON object, each with its value in a form that is the same for equal values.

    The column `metadata_pairs` holds these: to ask for one is to ask for a key with exactly this value.
    """
    return tuple(
        json.dumps({key: _number(value)}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        for key, value in metadata.items()
    )


def _number(value: object) -> object:
    """Return 1 for 1.0, at any depth, as JSON does not tell them apart."""
    if isinstance(value, dict):
        return {key: _number(one) for key, one in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_number(one) for one in cast("list[object]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _has(column: str, value: str) -> Predicate:
    return f"array_has({column}, {quote(value)})"


@dataclass(frozen=True, slots=True)
class Selection:
    """What a caller narrows a search or a list by. Empty fields do not narrow.

    `since` and `until` bound the date of the event (`occurred_at`, else `created_at`): from `since`, and before
    `until`. `tags` must all be present, or with `any_tag` one of them. `metadata` are pairs, see `metadata_pairs`, that
    must all be present.
    """

    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    any_tag: bool = False
    metadata: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def predicate(self) -> Predicate:
        """Return the selection as a predicate, empty if it selects everything."""
        happened_at = "coalesce(occurred_at, created_at)"
        return all_of(
            one_of("type", self.types) if self.types else "",
            (any_of if self.any_tag else all_of)(*(_has("tags", tag) for tag in self.tags)),
            *(_has("metadata_pairs", pair) for pair in self.metadata),
            f"{happened_at} >= {instant(self.since)}" if self.since else "",
            f"{happened_at} < {instant(self.until)}" if self.until else "",
        )
