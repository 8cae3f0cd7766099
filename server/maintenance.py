"""Maintenance in the background of a server: late embeddings and upkeep of the table, never on the path of a call."""

import logging

import anyio

from server.opening import LateMemories

PERIOD_SECONDS = 30.0
"""Between two maintenances, unless many commits ask for one sooner."""

logger = logging.getLogger(__name__)


async def maintain_always(late: LateMemories) -> None:
    """Do the maintenance of the memories until cancelled, once they have been opened."""
    await late.opened.wait()
    memories = await late()
    while True:
        try:
            outcome = await memories.maintain()
        except Exception:
            logger.exception("Maintenance failed and will be tried again")
        else:
            if outcome.problem:
                logger.warning("Maintenance failed and will be tried again: %s", outcome.problem)
        with anyio.move_on_after(PERIOD_SECONDS):
            await memories.maintenance_due.wait()
