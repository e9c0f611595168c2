"""Transactions: how every part of the store reads and writes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeAlias

from sqlalchemy import Row, text
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.errors import UnavailableError
from monitor.store.trouble import advice

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
"""A row of whatever columns were selected."""

POSTGRESQL: Final = "postgresql"

_TROUBLES: Final = (DatabaseError, OperationalError)
_PASSING_STATES: Final = frozenset({"25006", "25P03", "25P04"})
"""A standby that takes over and reads only yet; transactions ended for their age.

Source: PostgreSQL, "Error Codes": read_only_sql_transaction,
idle_in_transaction_session_timeout, transaction_timeout.
"""
_BOUNDS: Final = text(
    "SELECT set_config('lock_timeout', '5s', true), "
    "set_config('idle_in_transaction_session_timeout', '10s', true)"
)
"""For this transaction: who is frozen within one must not stop the others for ever."""
_TAKE_TURNS: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


class Database:
    """Connections that write, which on SQLite is one, and connections that read."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self._writer = writer
        self._reader = reader

    @property
    def shared(self) -> bool:
        """Whether several daemons may work on it at once."""
        return self._writer.dialect.name == POSTGRESQL

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits when the block ends, or leaves no trace.

        On SQLite no other writes meanwhile. On PostgreSQL others do: whoever decides
        on what he read locks it first, or takes turns: the row of an app, then `health`
        rows before all others, all of them at once and in the order of their numbers.
        """
        with _told_apart():
            async with self._writer.begin() as connection:
                if self.shared:
                    await connection.execute(_BOUNDS)
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


async def take_turns(connection: AsyncConnection, name: str) -> None:
    """Let nobody else be here under this name until our transaction is over.

    A lock of the transaction, not of the session: poolers hand sessions around.
    """
    if connection.dialect.name == POSTGRESQL:
        await connection.execute(_TAKE_TURNS, {"name": f"token-monitor {name}"})


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
        if (
            isinstance(error, DatabaseError)
            and type(error) not in _TROUBLES
            and not _passes(error)
        ):
            raise
        cause = getattr(error, "orig", None)
        # PostgreSQL's reasons have several lines; the first one says it.
        first = str(cause or "no connection became free").strip().partition("\n")[0]
        words = f"the database cannot be used now: {first}"
        if mend := advice(cause):
            words = f"{words}; {mend}"
        raise UnavailableError(words) from None


def _passes(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _PASSING_STATES
