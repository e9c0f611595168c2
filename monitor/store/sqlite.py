"""SQLite: one file, one writer, a few readers, one daemon."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from monitor.errors import AlreadyRunningError, ConfigurationError, UnavailableError
from monitor.store.transactions import Database

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


def open_sqlite(parsed: URL) -> Database:
    """Open the file, and make it first if there is none."""
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
    writer = _engine(target, path, "BEGIN IMMEDIATE", pool_size=1)
    reader = _engine(
        target,
        path,
        "BEGIN",
        pool_size=4,
        extra=("PRAGMA query_only=ON", "PRAGMA cache_size=-500"),
    )
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


def path_of(parsed: URL) -> Path:
    """The file behind a SQLite URL.

    Raises:
        ConfigurationError: It names none.
    """
    if parsed.database in {None, "", ":memory:"}:
        raise ConfigurationError(
            "database: a file is needed, such as sqlite:///monitor.db; "
            "a database in memory would forget what it owes"
        )
    return Path(str(parsed.database))


def _engine(
    url: URL, path: Path, begin: str, *, pool_size: int, extra: tuple[str, ...] = ()
) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=60,
        # SQLAlchemy prints bound parameters in its errors otherwise.
        hide_parameters=True,
    )
    _listen(engine.sync_engine, path, begin, (*_PRAGMAS, *extra))
    return engine


def _listen(engine: Engine, path: Path, begin: str, pragmas: tuple[str, ...]) -> None:
    def before_connect(*_: object) -> None:
        # SQLite would make an empty file, and we would have forgotten what we owe.
        if _identity(path) is None:
            raise _gone(path)

    def on_connect(connection: Any, entry: ConnectionPoolEntry) -> None:  # noqa: ANN401 - the driver's
        entry.info["file"] = _identity(path)
        # The driver's own transactions lose updates: we begin them ourselves.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    def on_begin(connection: Connection) -> None:
        # In a file that was moved or removed SQLite goes on reading and writing as if
        # nothing were amiss, and all that is written there is lost.
        found = _identity(path)
        if found != connection.info["file"]:
            if found is not None:
                connection.invalidate()  # another one lies there: restored, perhaps
            raise _gone(path)
        connection.exec_driver_sql(begin)

    event.listen(engine, "do_connect", before_connect)
    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file lies there; `None`: none does, or its folder cannot be reached.

    The one passes like the other: a share that is gone for a moment must not look like
    a bug of ours, or a letter that left would not be settled.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _gone(path: Path) -> UnavailableError:
    return UnavailableError(
        f"the database cannot be used now: {path} was moved or removed; put it back, "
        "or stop and restore it from a copy"
    )


@contextmanager
def only_daemon(path: Path) -> Iterator[None]:
    """Own the SQLite file as its one daemon; the lock dies with the process.

    Raises:
        AlreadyRunningError: Another `run` owns it.
    """
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
