"""Together: tasks of one piece of work, which live and fail as one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from monitor.errors import OperatorError


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks whose failure reads like that of one.

    Raises:
        OperatorError: What stopped the group, if that is the operator's to mend; not
            wrapped in a group, so that whoever asked can name it.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as failed:
        plain = failed.subgroup(OperatorError)
        if plain is None:
            raise
        raise _first(plain) from None


def _first(failed: ExceptionGroup[Exception]) -> Exception:
    inner = failed.exceptions[0]
    return _first(inner) if isinstance(inner, ExceptionGroup) else inner
