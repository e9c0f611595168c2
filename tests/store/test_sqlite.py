"""SQLite: whose file it is, and what becomes of a damaged one."""

import hashlib
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.errors import AlreadyRunningError, ConfigurationError, UnavailableError
from monitor.store import Store, connect
from monitor.store.database import only_daemon, upgrade_database
from monitor.store.seal import Key, Keyring
from tests.store.builders import NOW, a_row

_OWN = """
import sys, time
from monitor.store.database import only_daemon
with only_daemon(sys.argv[1]):
    print("mine", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/monitor.db"


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


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
    with sqlite3.connect(path_of(database_url)) as connection:
        connection.executescript(make)
    connection.close()
    with pytest.raises(ConfigurationError, match=words):
        async with connect(database_url, keyring):
            pass


async def test_a_file_that_is_no_database_is_unavailable(
    database_url: str, keyring: Keyring
) -> None:
    path_of(database_url).write_bytes(b"Dear diary, " * 1000)
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
    with sqlite3.connect(path_of(database_url)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    path = path_of(database_url)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(UnavailableError, match="cannot be used now"):
        await store.inventory.import_rows([a_row("new")], NOW)
    with pytest.raises(UnavailableError, match="cannot be used now"):
        await store.reports.counts(NOW)


async def test_a_file_that_somebody_else_writes_for_long_is_unavailable_and_comes_back(
    store: Store, database_url: str
) -> None:
    async with store.database.write() as connection:  # the one connection that writes
        await connection.execute(text("PRAGMA busy_timeout=1"))
    other = sqlite3.connect(path_of(database_url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnavailableError, match="database is locked"):
        await store.inventory.import_rows([a_row()], NOW)
    other.execute("ROLLBACK")
    other.close()
    assert (await store.inventory.import_rows([a_row()], NOW)).added == 1


async def test_wrong_keys_are_refused_without_a_write(
    store: Store, database_url: str
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await store.close()
    before = hashlib.sha256(path_of(database_url).read_bytes()).digest()
    for wrong in (Key("k1", b"\x02" * 32), Key("k2", b"\x01" * 32)):
        with pytest.raises(ConfigurationError, match="none of the configured keys"):
            async with connect(database_url, Keyring([wrong])):
                pass
    assert hashlib.sha256(path_of(database_url).read_bytes()).digest() == before


async def test_only_its_owner_may_read_the_file(
    store: Store, database_url: str
) -> None:
    assert stat.S_IMODE(path_of(database_url).stat().st_mode) == 0o600


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
