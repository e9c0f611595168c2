"""Transactions: how every part of the store reads and writes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeAlias

from sqlalchemy import Row
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.errors import UnavailableError

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
"""A row of whatever columns were selected."""

_TROUBLES: Final = (DatabaseError, OperationalError)


class Database:
    """One writing connection, which queues its callers, and a few reading ones."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self._writer = writer
        self._reader = reader

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits when the block ends, or leaves no trace."""
        with _told_apart():
            async with self._writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A snapshot; nothing can be written through it."""
        with _told_apart():
            async with self._reader.connect() as connection:
                yield connection

    async def close(self) -> None:
        """Let go of every connection."""
        await self._writer.dispose()
        await self._reader.dispose()


@contextmanager
def _told_apart() -> Iterator[None]:
    """Tell a database in trouble, which passes, from a statement of ours that is bad.

    Raises:
        UnavailableError: The database is locked, full, damaged or gone.
    """
    try:
        yield
    except (DatabaseError, InterfaceError, PoolTimeoutError) as error:
        # A damaged file has no class of its own; other subclasses are bugs of ours.
        if isinstance(error, DatabaseError) and type(error) not in _TROUBLES:
            raise
        reason = getattr(error, "orig", None) or "no connection became free"
        raise UnavailableError(f"the database cannot be used now: {reason}") from None
