"""The doors to the database: one writer, a few readers, one owner of the schema."""

import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from monitor.errors import AlreadyRunningError, ConfigurationError, UnavailableError
from monitor.store.apps import Apps
from monitor.store.claims import Claims
from monitor.store.hand import Hand
from monitor.store.inventory import Inventory
from monitor.store.outbox import Outbox
from monitor.store.records import Records
from monitor.store.reports import Reports
from monitor.store.seal import Keyring
from monitor.store.transactions import Database

HEAD: Final = "0001"
"""The revision of the schema this code speaks; the newest file in migrations/."""

_PRAGMAS: Final = (
    "PRAGMA busy_timeout=30000",
    "PRAGMA journal_mode=WAL",
    # What was acknowledged survives a power cut; measured at 0.9 of NORMAL's speed.
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA journal_size_limit=67108864",
    # The system caches the file too: memory must not grow with the number of tokens.
    "PRAGMA cache_size=-2000",
)


@dataclass(frozen=True, slots=True)
class Store:
    """Everything remembered, by what one wants to do with it."""

    database: Database
    inventory: Inventory
    claims: Claims
    records: Records
    outbox: Outbox
    apps: Apps
    reports: Reports
    hand: Hand

    async def close(self) -> None:
        """Let go of every connection."""
        await self.database.close()


@asynccontextmanager
async def connect(url: str, keyring: Keyring) -> AsyncIterator[Store]:
    """Open the store; an empty database gets its schema, an older one is refused.

    Raises:
        UnavailableError: The database cannot be opened.
        ConfigurationError: The URL, or the schema's revision, is not ours.
    """
    database = _open(url)
    try:
        await _with_schema(database)
        inventory = Inventory(database, keyring)
        await inventory.check_keys()
        yield Store(
            database,
            inventory,
            Claims(database),
            Records(database),
            Outbox(database),
            Apps(database),
            Reports(database),
            Hand(database),
        )
    finally:
        await database.close()


def _open(url: str) -> Database:
    parsed = _parsed(url)
    path = Path(parsed.database or "")
    if path.is_dir():
        raise UnavailableError(f"{path}: is a folder; the database is a file")
    try:
        _make_file(path)
    except OSError as error:
        raise UnavailableError(
            f"{path}: the database cannot be opened: {error.strerror}"
        ) from None
    except sqlite3.Error as error:
        raise UnavailableError(
            f"{path}: the database cannot be made: {error}"
        ) from None
    target = parsed.set(drivername="sqlite+aiosqlite")
    writer = _engine(target, "BEGIN IMMEDIATE", pool_size=1)
    reader = _engine(target, "BEGIN", pool_size=4, extra=("PRAGMA query_only=ON",))
    return Database(writer, reader)


def _make_file(path: Path) -> None:
    """Make an empty database with a write-ahead log, unless there is one.

    Of two that switch the journal at once SQLite refuses one without waiting, so they
    take turns.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if path.exists() and path.stat().st_size:
            # Never open it ourselves: closing it would drop the locks SQLite holds.
            return
        with suppress(FileExistsError):
            # The file holds addresses: only its owner may read it.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    finally:
        os.close(folder)


def sqlite_path(url: str) -> Path:
    """The file behind a SQLite URL."""
    return Path(_parsed(url).database or "")


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            "database: not a database URL, such as sqlite:///monitor.db"
        ) from None
    if parsed.get_backend_name() != "sqlite":
        raise ConfigurationError(
            "database: this release stores in SQLite only; use sqlite:///monitor.db"
        )
    if parsed.database in {None, "", ":memory:"}:
        raise ConfigurationError(
            "database: a file is needed, such as sqlite:///monitor.db; "
            "a database in memory would forget what it owes"
        )
    return parsed


def _engine(
    url: URL, begin: str, *, pool_size: int, extra: tuple[str, ...] = ()
) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=60,
        # SQLAlchemy prints bound parameters in its errors otherwise.
        hide_parameters=True,
    )
    _listen(engine.sync_engine, begin, (*_PRAGMAS, *extra))
    return engine


def _listen(engine: Engine, begin: str, pragmas: tuple[str, ...]) -> None:
    def on_connect(connection: Any, entry: ConnectionPoolEntry) -> None:  # noqa: ANN401 - the driver's
        # The driver's own transactions lose updates: we begin them ourselves.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)


async def _with_schema(database: Database) -> None:
    try:
        async with database.read() as connection:
            revision = await connection.run_sync(_revision)
        if revision is None:
            async with database.write() as connection:
                await connection.run_sync(_create)
            return
    except UnavailableError as error:
        raise UnavailableError(
            f"{error}; is it a SQLite file of ours, on a disk with room?"
        ) from None
    _refuse_later(revision)
    if revision != HEAD:
        raise ConfigurationError(
            f"the database has schema {revision}, this release needs {HEAD}: "
            "run `token-monitor db upgrade`"
        )


def _refuse_later(revision: str | None) -> None:
    """Revisions are numbered upwards: a higher one is a later release's work."""
    if revision is not None and revision.isdecimal() and revision > HEAD:
        raise ConfigurationError(
            f"the database has schema {revision}, made by a later release; this one "
            f"knows {HEAD}: run the later release, or restore a copy made before it"
        )


def _revision(connection: Connection) -> str | None:
    """The schema's revision; `None` for an empty database."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise ConfigurationError(
            "the database holds tables of something else; name another file"
        )
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return str(row[0]) if row else "(none)"


def _create(connection: Connection) -> None:
    # Another process may have been quicker; the transaction is exclusive by now.
    if _revision(connection) is None:
        upgrade(connection)


def upgrade(connection: Connection) -> None:
    """Bring the schema to the newest revision, inside the caller's transaction."""
    from alembic import command  # noqa: PLC0415 - slow, and rarely needed
    from alembic.config import Config  # noqa: PLC0415 - likewise

    config = Config()
    config.set_main_option("script_location", "monitor.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def upgrade_database(url: str) -> tuple[str | None, str]:
    """What `db upgrade` does: the revision found and the one left behind."""
    database = _open(url)
    try:
        async with database.write() as connection:
            before = await connection.run_sync(_revision)
            _refuse_later(before)
            if before != HEAD:
                await connection.run_sync(upgrade)
    finally:
        await database.close()
    return before, HEAD


@contextmanager
def only_daemon(url: str) -> Iterator[None]:
    """Own the SQLite file as its one daemon; the lock dies with the process.

    Raises:
        AlreadyRunningError: Another `run` owns it.
    """
    path = sqlite_path(url)
    lock = path.with_name(path.name + ".lock")
    try:
        handle = lock.open("a+", encoding="ascii")
    except OSError as error:
        raise UnavailableError(f"{lock}: cannot be opened: {error.strerror}") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            owner = handle.read(20).strip() or "unknown"
            raise AlreadyRunningError(
                f"{path}: another `token-monitor run` (process {owner}) has this "
                "file; stop it first, or give this one a database of its own"
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
