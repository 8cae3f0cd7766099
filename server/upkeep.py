"""Upkeep in the background of a server: late embeddings and compaction, never on the path of a call."""

import logging

import anyio

from server.opening import LateMemories

PERIOD_SECONDS = 30.0
"""Between two upkeeps, unless many commits ask for one sooner."""

logger = logging.getLogger(__name__)


async def keep_up(late: LateMemories) -> None:
    """Do the upkeep of the memories until cancelled, once they have been opened."""
    await late.opened.wait()
    memories = await late()
    while True:
        try:
            outcome = await memories.upkeep()
        except Exception:
            logger.exception("Upkeep failed and will be tried again")
        else:
            if outcome.problem:
                logger.warning("Upkeep failed and will be tried again: %s", outcome.problem)
        with anyio.move_on_after(PERIOD_SECONDS):
            await memories.upkeep_due.wait()
