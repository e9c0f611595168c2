"""Kept: what is costly to ask for is asked once, whoever and how many want it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, Generic, TypeVar

import structlog

from monitor.errors import UnavailableError

T = TypeVar("T")

_SHARE: Final = 10
"""What took a second is kept for so many: asking costs a tenth of the time at most."""
_LONGEST: Final = 60.0
"""Seconds, beyond which nothing is kept, however long it took."""

log = structlog.stdlib.get_logger("monitor.web")


class Kept(Generic[T]):
    """One answer for all who ask within a while; nobody waits beyond his patience.

    An answer that is late is not asked for again: a database that hangs is not hung on
    by every visitor. It is never cancelled either, since it may hold a connection.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[T]],
        *,
        keep: timedelta,
        patience: timedelta,
        costly: bool = False,
    ) -> None:
        self._fetch = fetch
        self._share = _SHARE if costly else 0
        self._keep = keep.total_seconds()
        self._patience = patience.total_seconds()
        self._asking: asyncio.Task[None] | None = None
        self._value: T | None = None
        self._until = float("-inf")

    async def ask(self) -> T | None:
        """The answer; `None`: the database has none, or has none yet."""
        loop = asyncio.get_running_loop()
        if self._asking is None and loop.time() >= self._until:
            self._value = None
            self._asking = loop.create_task(self._ask())
        if self._asking is not None:
            done, _ = await asyncio.wait({self._asking}, timeout=self._patience)
            if not done:
                return None
        return self._value

    async def close(self) -> None:
        """Ask nothing more."""
        if self._asking is not None:
            self._asking.cancel()
            # SQLite's own thread may wait for a lock that others hold.
            await asyncio.wait({self._asking}, timeout=1)

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        began, keep = loop.time(), self._keep
        try:
            self._value = await self._fetch()
            keep = max(keep, min(_LONGEST, self._share * (loop.time() - began)))
        except UnavailableError:
            self._value = None  # the jobs meet it too, and log it
        except Exception:
            log.exception("web.failed")
        finally:
            self._until = loop.time() + keep
            self._asking = None
