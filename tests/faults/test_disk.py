"""The disk is full or fails, the file is gone, the server is down: nothing is lost.

What was acknowledged stays, the daemon lives and says what it lacks, and goes on by
itself when that is back.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from monitor.app import clock
from monitor.sandbox.mailbox import Mailbox
from tests.faults.strace import watched
from tests.faults.test_syscalls import LETTERS, STEP, moments, rehearsal
from tests.faults.tools import (
    LINES,
    SOAK,
    Child,
    Death,
    Ledger,
    Nursery,
    add_up,
    ending,
    finish,
    nursery,
    obituary,
    owing,
    pause,
    readers,
)
from tests.postgres import none_found, own_server
from tests.whole.tools import Place, scenario, until

SQLITE = "sqlite:///monitor.db"
OFTEN = {"name: default\n": "name: default\n    check_every: 1s\n"}
"""So that a disk in trouble is noticed at once."""
ALOUD = ("--log-level", "info")
SETTLED_OR_NOT = """
import monitor.jobs.courier as courier
from monitor.core.attempt import (Outcome)
from monitor.errors import UnavailableError
async def once(write, *rest):
    try:
        return await write()
    except UnavailableError:
        return Outcome.SENT
courier.patiently = once
"""
BLIND_TO_LOSS = """
import monitor.store.sqlite as sqlite
sqlite._identity = lambda path: (0, 0)
"""


FEW = 43
"""Hundreds of writes make no commit; of these CI takes eight."""


def acknowledged(child: Child) -> set[str]:
    """The letters of which the daemon said that they have left."""
    said = child.events("delivery.attempted")
    return {event["letter"] for event in said if event["outcome"] == "sent"}


def kept(ledger: Ledger) -> set[str]:
    rows = ledger.query("SELECT id FROM letters WHERE state = 'sent'")
    return {row[0] for row in rows}


def sound(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def fails(child: Child, words: str, seconds: float = 20) -> None:
    """Wait until the daemon says that it cannot use the database, and lives on."""
    until(
        lambda: any(words in each["reason"] for each in child.events("job.failed")),
        f"job.failed: {words}",
        seconds,
    )
    assert child.poll() is None, child.said()


def goes_on(child: Child) -> None:
    """Wait until it checks again, by itself."""
    before = len(child.events("check.done"))
    until(lambda: len(child.events("check.done")) > before + 1, "it goes on")


def all_told(post: Mailbox, everybody: set[str], seconds: float = 30) -> None:
    until(
        lambda: {each.envelope_to[0] for each in post.received} >= everybody,
        "everybody is told",
        seconds,
    )


def stop(child: Child) -> None:
    child.send(signal.SIGTERM)
    assert child.wait() == 0, child.said()
    assert "Traceback" not in child.log.read_text(encoding="utf-8")


# --- one call fails


async def failed_at(
    folder: Path, post: Mailbox, call: str, error: str, planted: str | None = None
) -> str:
    """Deliver again and again, while each time another call fails; the figures."""
    began = time.monotonic()
    with rehearsal(folder, post, None, planted) as work:
        total = work.count(call)
        at = moments(total, STEP if call == "fdatasync" else FEW)
        failed = duplicates = settled = 0
        for number in at:
            place, ledger = work.again()
            before = len(post.received)
            child = work.home.start(place, *ALOUD, "deliver", held=True)
            inject = f"error={error}:when={number}"
            with watched(child, call, inject) as trace:
                code = child.wait(60)
            failed += "(INJECTED)" in trace.read_text(encoding="utf-8")
            assert code in {0, 3, 69}, child.said()
            assert "Traceback" not in child.said()
            deaths = [obituary(ledger, post)]
            assert acknowledged(child) <= kept(ledger), f"{call} {number}"
            settled += len(acknowledged(child))
            assert sound(place.database), f"{call} {number}"
            await finish(place)
            owed = readers(LETTERS)
            sums = add_up(owed, post.received[before:], ledger, deaths)
            sums.hold()
            duplicates += sums.duplicates
            assert sound(place.database)
    assert settled > LETTERS
    assert failed >= len(at) * 0.8, "the calls differ a little from run to run"
    return (
        f"sqlite: {error} at {call} {at.start}, +{at.step}, of {total}: "
        f"{failed} times, {settled} letters acknowledged and kept, 0 lost, "
        f"{duplicates} duplicates, "
        f"{time.monotonic() - began:.0f} s"
    )


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(
    ("call", "error"), [("pwrite64", "ENOSPC"), ("fdatasync", "EIO")]
)
async def test_a_disk_that_fails_once_loses_nothing(
    tmp_path: Path,
    post: Mailbox,
    figure: Callable[[str], None],
    call: str,
    error: str,
) -> None:
    figure(await failed_at(tmp_path, post, call, error))


@pytest.mark.usefixtures("strace")
async def test_an_acknowledgement_that_was_not_kept_would_be_noticed(
    tmp_path: Path, post: Mailbox
) -> None:
    """The positive control: whoever settles only perhaps is found out."""
    with pytest.raises(AssertionError, match=r"fdatasync [0-9]"):
        await failed_at(tmp_path, post, "fdatasync", "EIO", SETTLED_OR_NOT)


# --- the disk is full for a while


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own, or a skip."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_a_full_disk_costs_lateness_only(
    tmp_path: Path, post: Mailbox, figure: Callable[[str], None]
) -> None:
    letters = 300
    plot = scenario(groups=(ending(letters),))
    with (
        small_disk(tmp_path / "disk", "8m") as disk,
        nursery(tmp_path / "logs") as home,
        owing(tmp_path, f"sqlite:///{disk}/monitor.db", post, home, plot, OFTEN) as (
            place,
            _,
            _,
        ),
    ):
        place.database = disk / "monitor.db"
        ledger = Ledger(place, SQLITE)
        child = home.start(place, "run")
        until(lambda: len(post.received) >= letters // 4, "letters leave")
        with (disk / "ballast").open("wb", buffering=0) as ballast:
            with suppress(OSError):
                while True:
                    ballast.write(bytes(4096))
            fails(child, "is full; free space on its disk")
            full_at = clock()
            pause(2)
            sent = len(post.received)
            assert acknowledged(child) <= kept(ledger)
            assert child.poll() is None
            ballast.truncate(0)
        all_told(post, readers(letters))
        goes_on(child)
        assert acknowledged(child) <= kept(ledger)
        stop(child)
        assert sound(place.database)
        assert home.start(place, "deliver").wait() == 0
        deaths = [Death(full_at, set())]
        sums = add_up(readers(letters), post.received, ledger, deaths)
        figure(f"sqlite: a full disk, {sent} of {letters} had left: {sums}")
        sums.hold()


# --- the file or the server is gone, or somebody else has it


@contextmanager
def at_work(
    folder: Path, post: Mailbox, url: str, planted: str | None = None
) -> Iterator[tuple[Nursery, Place, Ledger, Child]]:
    """A daemon that checks every second and has told what it owed."""
    plot = scenario(groups=(ending(5),))
    with (
        nursery(folder / "logs", planted) as home,
        owing(folder, url, post, home, plot, OFTEN) as (place, ledger, _),
    ):
        child = home.start(place, "run")
        all_told(post, readers(5))
        goes_on(child)
        yield home, place, ledger, child


def move(place: Place, there: Path, back: Path) -> None:
    for end in ("", "-wal", "-shm"):
        (there / f"monitor.db{end}").rename(back / f"monitor.db{end}")


def while_it_is_away(
    folder: Path, post: Mailbox, planted: str | None = None, seconds: float = 20
) -> None:
    away = folder / "away"
    away.mkdir()
    with at_work(folder, post, SQLITE, planted) as (home, place, ledger, child):
        until(lambda: len(kept(ledger)) == 5, "all is settled")
        move(place, place.folder, away)
        fails(child, "was moved or removed; put it back", seconds)
        assert not place.database.exists(), "nothing is begun anew"
        assert home.start(place, "run").wait() == 73, "it is still somebody's"
        move(place, away, place.folder)
        goes_on(child)
        # A copy is as good; what is written then is written into it.
        copied = place.folder / "copied"
        with (
            closing(sqlite3.connect(copied)) as copy,
            closing(sqlite3.connect(place.database)) as original,
        ):
            original.backup(copy)
        pid, failures = child.pid, len(child.events("job.failed"))
        os.kill(pid, signal.SIGSTOP)
        for end in ("-wal", "-shm", ""):
            place.database.with_name(f"monitor.db{end}").unlink()
        shutil.move(copied, place.database)
        os.kill(pid, signal.SIGCONT)
        until(lambda: len(child.events("job.failed")) > failures, "it is noticed")
        goes_on(child)
        stop(child)
        assert acknowledged(child) <= kept(ledger)
        assert sound(place.database)
    assert len(post.received) == 5


def test_a_file_that_is_gone_is_not_begun_anew(tmp_path: Path, post: Mailbox) -> None:
    while_it_is_away(tmp_path, post)


def test_writing_into_a_file_that_is_gone_would_be_noticed(
    tmp_path: Path, post: Mailbox
) -> None:
    """The positive control: SQLite itself goes on as if the file were there."""
    with pytest.raises(AssertionError, match=r"job\.failed"):
        while_it_is_away(tmp_path, post, BLIND_TO_LOSS, 3)


def test_a_file_that_somebody_else_holds_costs_lateness_only(
    tmp_path: Path, post: Mailbox
) -> None:
    """For less than the half minute SQLite waits, nothing; in the soak more than it."""
    with at_work(tmp_path, post, SQLITE) as (_, place, _, child):
        with closing(sqlite3.connect(place.database, isolation_level=None)) as other:
            other.execute("PRAGMA busy_timeout = 30000")
            other.execute("BEGIN IMMEDIATE")
            if SOAK:
                fails(child, "is locked; end whatever else has the file open", 60)
            else:
                pause(1.5)
                assert child.events("job.failed") == []
            other.execute("COMMIT")
        goes_on(child)
        stop(child)
        assert sound(place.database)


async def test_a_server_that_is_down_costs_lateness_only(
    tmp_path: Path, post: Mailbox, figure: Callable[[str], None]
) -> None:
    letters = 200
    plot = scenario(groups=(ending(letters),))
    with own_server("fsync=on") as server, nursery(tmp_path / "logs") as home:
        if server is None:
            none_found()
        url = server.create("monitor")
        with owing(tmp_path, url, post, home, plot, OFTEN) as (place, ledger, _):
            child = home.start(place, "run")
            until(lambda: len(post.received) >= letters // 4, "letters leave")
            down_at = clock()
            server.stop()
            fails(child, "; is the server up")
            server.start()
            until(lambda: ledger.untold() == 0, "everybody is told", 60)
            goes_on(child)
            assert acknowledged(child) <= kept(ledger)
            stop(child)
            deaths = [Death(down_at, set())]
            sums = add_up(readers(letters), post.received, ledger, deaths)
            figure(f"postgresql: its server stopped: {sums}")
            sums.hold()
            assert sums.duplicates <= LINES
