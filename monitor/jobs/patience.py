"""Patience: what is known already is written down, though the database be gone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from monitor.errors import UnavailableError

_Result = TypeVar("_Result")

log = structlog.stdlib.get_logger("monitor.patience")


async def patiently(
    write: Callable[[], Awaitable[_Result]],
    what: str,
    waits: Sequence[float],
    hurried: Callable[[], bool] = lambda: False,
) -> _Result:
    """Write, and while the database cannot be used try again for a while.

    A fence refuses whatever comes too late, so trying again is safe.

    Args:
        write: One transaction, written whole or not at all.
        what: Its name in the log.
        waits: Seconds between the tries.
        hurried: Whether there is no time for another try.

    Raises:
        UnavailableError: It is still gone.
    """
    for wait in waits:
        try:
            return await write()
        except UnavailableError as error:
            if hurried():
                raise
            log.warning("write.waits", what=what, seconds=wait, reason=str(error))
            await asyncio.sleep(wait)
    return await write()
