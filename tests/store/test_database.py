"""The database: who makes its schema, what is refused, what it keeps of an instant."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import StatementError

from monitor.errors import ConfigurationError, UnavailableError
from monitor.store import Store, connect
from monitor.store.database import HEAD, upgrade_database
from monitor.store.seal import Keyring
from monitor.store.tables import marks, metadata

_OPEN = """
import asyncio, sys
from monitor.store import connect
from monitor.store.seal import Key, Keyring
async def main():
    async with connect(sys.argv[1], Keyring([Key("k1", b"\\x01" * 32)])) as store:
        print(await store.claims.count(["1"]))
asyncio.run(main())
"""


async def test_whoever_comes_first_makes_the_schema(
    database_url: str, keyring: Keyring
) -> None:
    async def opened() -> int:
        async with connect(database_url, keyring) as store:
            return await store.claims.count(["1"])

    async with asyncio.timeout(30):
        assert await asyncio.gather(*(opened() for _ in range(8))) == [0] * 8


def test_processes_that_start_together_make_one_schema(database_url: str) -> None:
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", _OPEN, database_url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for start in starts:
        out, err = start.communicate(timeout=60)
        assert (start.returncode, out, err) == (0, "0\n", "")


async def test_the_migrations_make_what_the_tables_say(store: Store) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection)
        return list(compare_metadata(context, metadata))

    async with store.database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_an_upgrade_of_the_newest_schema_changes_nothing(
    store: Store, database_url: str
) -> None:
    assert await upgrade_database(database_url) == (HEAD, HEAD)


async def test_an_upgrade_makes_a_schema_too(database_url: str) -> None:
    assert await upgrade_database(database_url) == (None, HEAD)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///:memory:",
        "sqlite://",
        "postgresql://host",
        "mysql://host/name",
        "no url at all",
    ],
)
async def test_a_url_we_cannot_keep_promises_on_is_refused(
    url: str, keyring: Keyring
) -> None:
    with pytest.raises(ConfigurationError, match="database"):
        async with connect(url, keyring):
            pass


# --- instants


async def test_an_instant_keeps_its_microseconds_and_comes_back_in_utc(
    store: Store,
) -> None:
    there = datetime(2026, 11, 24, 12, 0, 0, 123457, timezone(timedelta(hours=5)))
    async with store.database.write() as connection:
        await connection.execute(insert(marks).values(name="here", at=there))
    async with store.database.read() as connection:
        back = await connection.scalar(select(marks.c.at))
    assert back == there
    assert back == datetime(2026, 11, 24, 7, 0, 0, 123457, UTC)
    assert back is not None
    assert back.tzinfo is UTC


@pytest.mark.parametrize("year", [1, 1969, 1970, 2038, 9999])
async def test_every_instant_python_knows_fits(store: Store, year: int) -> None:
    then = datetime(year, 12, 31, 23, 59, 59, 999999, UTC)
    async with store.database.write() as connection:
        await connection.execute(insert(marks).values(name="here", at=then))
    async with store.database.read() as connection:
        assert await connection.scalar(select(marks.c.at)) == then


async def test_a_naive_instant_is_refused(store: Store) -> None:
    async with store.database.write() as connection:
        with pytest.raises(StatementError, match="naive"):
            await connection.execute(
                insert(marks).values(name="here", at=datetime(2026, 1, 1))  # noqa: DTZ001
            )


async def test_nothing_can_be_written_through_a_reader(store: Store) -> None:
    with pytest.raises(UnavailableError, match=r"read-?only"):
        async with store.database.read() as connection:
            await connection.execute(insert(marks).values(name="here"))


async def test_a_block_that_fails_leaves_no_trace(store: Store) -> None:
    async def fail_at_last() -> None:
        async with store.database.write() as connection:
            await connection.execute(insert(marks).values(name="here"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_at_last()
    async with store.database.read() as connection:
        assert (await connection.execute(select(marks))).all() == []


# --- the one daemon
