"""The doors to the database, whichever it is, and the owner of its schema."""

from collections.abc import AsyncIterator
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from monitor.errors import ConfigurationError, UnavailableError
from monitor.store import sqlite
from monitor.store.apps import Apps
from monitor.store.bounces import Bounces
from monitor.store.claims import Claims
from monitor.store.digest import Digests
from monitor.store.hand import Hand
from monitor.store.holds import Holds
from monitor.store.inventory import Inventory
from monitor.store.ledger import Ledger
from monitor.store.mutes import Mutes
from monitor.store.outbox import Outbox
from monitor.store.postgres import open_postgres
from monitor.store.records import Records
from monitor.store.reports import Reports
from monitor.store.seal import Keyring
from monitor.store.signs import Vitals
from monitor.store.transactions import POSTGRESQL, Database, take_turns
from monitor.store.unreachable import Unreachable

HEAD: Final = "0005"
"""The revision of the schema this code speaks; the newest file in migrations/."""


@dataclass(frozen=True, slots=True)
class Store:
    """Everything remembered, by what one wants to do with it."""

    database: Database
    inventory: Inventory
    claims: Claims
    records: Records
    outbox: Outbox
    apps: Apps
    ledger: Ledger
    reports: Reports
    hand: Hand
    holds: Holds
    vitals: Vitals
    digests: Digests
    unreachable: Unreachable
    bounces: Bounces
    mutes: Mutes

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
            Ledger(database),
            Reports(database),
            Hand(database),
            Holds(database),
            Vitals(database),
            Digests(database),
            Unreachable(database),
            Bounces(database, keyring),
            Mutes(database, keyring),
        )
    finally:
        await database.close()


def _open(url: str) -> Database:
    parsed = _parsed(url)
    if parsed.get_backend_name() == POSTGRESQL:
        return open_postgres(parsed)
    return sqlite.open_sqlite(parsed)


def _parsed(url: str) -> URL:
    scheme, colon, rest = url.partition("://")
    if scheme == "postgres":  # as many hosts write it, and SQLAlchemy does not
        url = f"postgresql{colon}{rest}"
    with suppress(ArgumentError):
        parsed = make_url(url)
        kind = parsed.get_backend_name()
        if kind == "sqlite":
            sqlite.path_of(parsed)
        if kind in {"sqlite", POSTGRESQL}:
            return parsed
    raise ConfigurationError(
        "database: not a database URL, such as sqlite:///monitor.db "
        "or postgresql://user@host/name"
    )


def check_url(url: str) -> None:
    """Refuse a URL that names no database of a kind we speak with.

    Raises:
        ConfigurationError: Why not; the text does not repeat the URL.
    """
    if _parsed(url).get_backend_name() == POSTGRESQL:
        open_postgres(_parsed(url))


def only_daemon(url: str) -> AbstractContextManager[None]:
    """Own a SQLite file as its one daemon; PostgreSQL takes any number.

    Raises:
        AlreadyRunningError: Another `run` owns the file.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == POSTGRESQL:
        return nullcontext()
    return sqlite.only_daemon(sqlite.path_of(parsed))


async def _with_schema(database: Database) -> None:
    try:
        async with database.read() as connection:
            revision = await connection.run_sync(_revision)
        if revision is None:
            async with database.write() as connection:
                # Replicas may start together: one creates, the others find it done.
                await take_turns(connection, "schema")
                await connection.run_sync(_create)
            return
    except UnavailableError as error:
        if database.shared:
            raise
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
            "the database holds tables of something else; name another database"
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
            await take_turns(connection, "schema")
            before = await connection.run_sync(_revision)
            _refuse_later(before)
            if before != HEAD:
                await connection.run_sync(upgrade)
    finally:
        await database.close()
    return before, HEAD
