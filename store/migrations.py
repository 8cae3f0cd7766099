"""From tables of earlier schemas to the newest one.

Each migration changes what the rows of one schema say into what those of the next one say; the columns that are derived
from the others are made anew in any case. A migrated table is a new one, the older one is kept beside it.
"""
# LanceDB and Arrow are only partly typed: what they return is unknown to the checker here, and only here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa

from store import schema, tables
from store.errors import MigrationError
from store.rewriting import rewritten

Row = dict[str, Any]

ROWS_AT_START = 20_000
"""Up to so many rows a server migrates when it starts, which takes some seconds; clients give it ten at least."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step.

    Attributes:
        to_version: The schema version that it leads to, from the one before.
        what: What changes, in words.
        change: Makes a row of the new schema from one of the old, without the derived columns.
    """

    to_version: int
    what: str
    change: Callable[[Row], Row]


MIGRATIONS: Sequence[Migration] = (
    # The derived columns live_scope, card and metadata_pairs, and rows that keep their identity.
    Migration(2, "columns for searching, stable row ids", lambda row: row),
)


async def refuse_if_long(table: lancedb.AsyncTable, folder: Path) -> None:
    """Raise an error that names the command, if it would take long to migrate a table.

    Raises:
        MigrationError: It has more than `ROWS_AT_START` rows.
    """
    rows = await table.count_rows()
    if rows > ROWS_AT_START:
        raise MigrationError(
            f"The store in {folder} has schema version {schema.schema_version(await table.schema())} and {rows:,} "
            f"rows, which takes a while to bring to version {schema.SCHEMA_VERSION}. Run `souvenir migrate` once; "
            "nothing was changed."
        )


async def migrated(database: lancedb.AsyncConnection, table: lancedb.AsyncTable) -> str:
    """Make a table of the newest schema from an older one, and return its name. Call it under both locks.

    Args:
        database: Where the table is.
        table: The older table, which stays as it is.
    """
    old = await table.schema()
    version = schema.schema_version(old) or 0
    steps = [step for step in MIGRATIONS if step.to_version > version]
    ledger = [*schema.migrations(old), *(_entry(step) for step in steps)]
    new = schema.table_schema(schema.dimension(old), schema.fingerprint(old), ledger)

    def change(rows: pa.Table) -> pa.Table:
        return schema.rows_to_arrow([_through(steps, row) for row in rows.to_pylist()], new)

    name = f"{tables.BUILDING}migration"
    await rewritten(database, table, name, new, change=change)
    return name


def _entry(step: Migration) -> Mapping[str, object]:
    return {"to": step.to_version, "what": step.what, "at": datetime.now(UTC).isoformat(timespec="seconds")}


def _through(steps: Sequence[Migration], row: Row) -> Row:
    for step in steps:
        row = step.change(row)
    return row
