"""The file: who makes it, who is refused, and what it keeps of an instant."""

import asyncio
import hashlib
import signal
import sqlite3
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import StatementError

from monitor.errors import AlreadyRunningError, ConfigurationError, UnavailableError
from monitor.store import Store, connect
from monitor.store.database import HEAD, only_daemon, sqlite_path, upgrade_database
from monitor.store.seal import Key, Keyring
from monitor.store.tables import marks, metadata
from tests.store.builders import NOW, a_row

_OPEN = """
import asyncio, sys
from monitor.store import connect
from monitor.store.seal import Key, Keyring
async def main():
    async with connect(sys.argv[1], Keyring([Key("k1", b"\\x01" * 32)])) as store:
        print(await store.claims.count(["1"]))
asyncio.run(main())
"""
_OWN = """
import sys, time
from monitor.store.database import only_daemon
with only_daemon(sys.argv[1]):
    print("mine", flush=True)
    sys.stdin.read()
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
    ("make", "words"),
    [
        pytest.param(
            "CREATE TABLE alembic_version (version_num TEXT);"
            "INSERT INTO alembic_version VALUES ('0000')",
            "schema 0000.*token-monitor db upgrade",
            id="older",
        ),
        pytest.param(
            "CREATE TABLE alembic_version (version_num TEXT)",
            "schema \\(none\\)",
            id="unfinished",
        ),
        pytest.param("CREATE TABLE books (id)", "something else", id="foreign"),
    ],
)
async def test_another_schema_is_refused_with_words(
    database_url: str, keyring: Keyring, make: str, words: str
) -> None:
    with sqlite3.connect(sqlite_path(database_url)) as connection:
        connection.executescript(make)
    connection.close()
    with pytest.raises(ConfigurationError, match=words):
        async with connect(database_url, keyring):
            pass


@pytest.mark.parametrize(
    "url",
    ["sqlite:///:memory:", "sqlite://", "postgresql://host/name", "no url at all"],
)
async def test_a_url_we_cannot_keep_promises_on_is_refused(
    url: str, keyring: Keyring
) -> None:
    with pytest.raises(ConfigurationError, match="database"):
        async with connect(url, keyring):
            pass


async def test_a_file_that_is_no_database_is_unavailable(
    database_url: str, keyring: Keyring
) -> None:
    sqlite_path(database_url).write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(UnavailableError, match="SQLite file of ours"):
        async with connect(database_url, keyring):
            pass
    with pytest.raises(UnavailableError, match="cannot be used"):
        await upgrade_database(database_url)


async def test_a_file_in_no_folder_is_unavailable(
    tmp_path: Path, keyring: Keyring
) -> None:
    with pytest.raises(UnavailableError, match="cannot be opened"):
        async with connect(f"sqlite:///{tmp_path}/none/monitor.db", keyring):
            pass


async def test_a_file_damaged_under_our_hands_is_unavailable(
    store: Store, database_url: str
) -> None:
    await store.inventory.import_rows((a_row(f"t-{n}") for n in range(500)), NOW)
    with sqlite3.connect(sqlite_path(database_url)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    path = sqlite_path(database_url)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(UnavailableError, match="cannot be used now"):
        await store.inventory.import_rows([a_row("new")], NOW)
    with pytest.raises(UnavailableError, match="cannot be used now"):
        await store.reports.counts(NOW)


async def test_wrong_keys_are_refused_without_a_write(
    store: Store, database_url: str
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await store.close()
    before = hashlib.sha256(sqlite_path(database_url).read_bytes()).digest()
    for wrong in (Key("k1", b"\x02" * 32), Key("k2", b"\x01" * 32)):
        with pytest.raises(ConfigurationError, match="none of the configured keys"):
            async with connect(database_url, Keyring([wrong])):
                pass
    assert hashlib.sha256(sqlite_path(database_url).read_bytes()).digest() == before


async def test_only_its_owner_may_read_the_file(
    store: Store, database_url: str
) -> None:
    assert stat.S_IMODE(sqlite_path(database_url).stat().st_mode) == 0o600


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
    with pytest.raises(UnavailableError, match="readonly"):
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


def test_a_second_daemon_on_the_file_is_refused_until_the_first_is_dead(
    database_url: str,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OWN, database_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "mine\n"
        mine = f"process {first.pid}"
        with pytest.raises(AlreadyRunningError, match=mine), only_daemon(database_url):
            pass
        first.send_signal(signal.SIGKILL)
        first.wait(timeout=10)
    with only_daemon(database_url):
        pass


def test_daemons_on_two_files_do_not_mind_each_other(tmp_path: Path) -> None:
    with (
        only_daemon(f"sqlite:///{tmp_path}/a.db"),
        only_daemon(f"sqlite:///{tmp_path}/b.db"),
    ):
        locks = sorted(path.name for path in tmp_path.glob("*.lock"))
        assert locks == ["a.db.lock", "b.db.lock"]
