"""The PostgreSQL of the tests keeps what it promises to the tests that use it."""

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.postgres import Server, installed, none_found, own_server

KILLED = """
import os, signal
from tests.postgres import own_server
with own_server() as server:
    print(server.url(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


NAME = f"launcher_{secrets.token_hex(6)}"
"""Whoever else uses the server: nobody has this one."""


def do(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def ask(url: str, question: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row is not None
    return row[0]


def folder_of(url: str) -> Path:
    host = psycopg.conninfo.conninfo_to_dict(url)["host"]
    return Path(str(host))


def test_two_databases_know_nothing_of_each_other(
    postgres_server: Server, postgres_url: str
) -> None:
    other = postgres_server.create(NAME)
    try:
        do(postgres_url, "CREATE TABLE here (n int)")
        assert ask(other, "SELECT to_regclass('here')") is None
    finally:
        postgres_server.drop(NAME)


def test_a_database_can_begin_as_a_copy(postgres_server: Server) -> None:
    names = (f"{NAME}_model", f"{NAME}_copy")
    try:
        do(postgres_server.create(names[0]), "CREATE TABLE here AS SELECT 7 AS n")
        copy = postgres_server.create(names[1], template=names[0])
        assert ask(copy, "SELECT n FROM here") == 7
    finally:
        for name in names:
            postgres_server.drop(name)


def test_a_database_goes_although_somebody_is_connected(
    postgres_server: Server,
) -> None:
    with psycopg.connect(postgres_server.create(NAME)) as held:
        postgres_server.drop(NAME)
        with pytest.raises(psycopg.OperationalError):
            held.execute("SELECT 1")


def test_backends_are_those_of_clients(
    postgres_server: Server, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url) as connection:
        ours = connection.info.backend_pid
        assert postgres_server.backends(connection.info.dbname) == [ours]
        assert ours in postgres_server.backends()
        assert postgres_server.backends("template0") == []


@pytest.mark.parametrize("binaries", installed(), ids=str)
def test_what_was_committed_survives_a_crash(binaries: Path) -> None:
    """With every kind of binaries found here, and with settings of our own."""
    with own_server("fsync=on", "work_mem=5MB", binaries=binaries) as server:
        assert server is not None
        url = server.create("kept")
        do(url, "CREATE TABLE kept AS SELECT 7 AS n")
        server.stop_immediately()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        server.start()
        assert ask(url, "SELECT n FROM kept") == 7
        assert ask(url, "SHOW fsync") == "on"
        assert ask(url, "SHOW work_mem") == "5MB"
        server.stop(signal.SIGINT)
        server.start()
        assert ask(url, "SELECT n FROM kept") == 7
    assert not folder_of(url).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="we are not root")
@pytest.mark.parametrize("binaries", installed(), ids=str)
def test_the_server_is_not_run_by_root(binaries: Path) -> None:
    with own_server(binaries=binaries) as server:
        assert server is not None
        with psycopg.connect(server.url()) as connection:
            status = Path(f"/proc/{connection.info.backend_pid}/status").read_text()
        facts = dict(line.split(":", 1) for line in status.splitlines())
        assert "0" not in {*facts["Uid"].split(), *facts["Gid"].split()}
        assert facts["Groups"].split() == []
        assert folder_of(server.url()).stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not installed(), reason="no binaries")
def test_a_killed_test_leaves_no_server_behind() -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    url = killed.stdout.strip()
    deadline = time.monotonic() + 20
    while folder_of(url).exists():
        assert time.monotonic() < deadline, "the folder is still there"
        time.sleep(0.05)  # the world's time, not ours
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_no_postgresql_is_skipped_at_home_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("REQUIRE_POSTGRES", raising=False)
    with pytest.raises(pytest.skip.Exception):
        none_found()
    monkeypatch.setenv("REQUIRE_POSTGRES", "1")
    with pytest.raises(pytest.fail.Exception):
        none_found()
