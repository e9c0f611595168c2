"""A delivery is killed at its Nth system call: at every commit, and at every word said.

The calls were looked up with `strace -c` in a delivery of twenty letters:

- `fdatasync` is SQLite's commit: once each, about 46 of them, all by the one thread
  that writes. A kill there leaves a commit that is in the log and not confirmed.
- `sendto` is every word to the mail server, and to PostgreSQL: six a letter, and some
  fifteen statements. The main thread makes them; other threads only wake it by theirs.

In CI every seventh, or ninth where there are many, from an offset that moves with the
day; `SOAK=1` takes each.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.app import clock
from monitor.sandbox.mailbox import Mailbox
from tests.faults.strace import calls, watched
from tests.faults.test_kills import SETTLED_BEFORE_SENT
from tests.faults.tools import (
    SOAK,
    Ledger,
    Nursery,
    Sums,
    add_up,
    ending,
    finish,
    nursery,
    obituary,
    owing,
    readers,
)
from tests.postgres import Server
from tests.whole.tools import Place, scenario

LETTERS = 20
STEP = 7
"""Commits take turns at two things, words at six: this shares no divisor with these,
so that it meets them all."""
MANY = 9
"""The same where a letter takes some fifty words, nearly all to PostgreSQL."""


@dataclass(slots=True)
class Rehearsal:
    """Twenty letters wait in a database, of which there can be any number."""

    home: Nursery
    post: Mailbox
    prepared: Place
    server: Server | None
    used: int = 0

    def again(self) -> tuple[Place, Ledger]:
        """A fresh copy of what was prepared."""
        self.used += 1
        folder = self.prepared.folder.with_name(f"copy-{self.used}")
        shutil.copytree(self.prepared.folder, folder)
        place = Place(folder)
        if self.server is None:
            return place, Ledger(place, "sqlite:///monitor.db")
        url = self.server.create(f"{self._name}_{self.used}", self._name)
        place.change(self.server.url(self._name), url)
        return place, Ledger(place, url)

    @property
    def _name(self) -> str:
        return "prepared"

    async def killed_at(self, call: str, number: int) -> Sums:
        """Deliver, die at a call, deliver what is left; then count."""
        place, ledger = self.again()
        before = len(self.post.received)
        child = self.home.start(place, "deliver", held=True)
        with watched(child, call, f"signal=KILL:when={number}"):
            code = child.wait()
        deaths = [obituary(ledger, self.post)] if code else []
        assert code in {0, -9}, child.said()
        await finish(place)
        received = self.post.received[before:]
        return add_up(readers(LETTERS), received, ledger, deaths)

    def count(self, call: str) -> int:
        """How many of these calls a delivery makes that nobody kills."""
        place, _ = self.again()
        child = self.home.start(place, "deliver", held=True)
        with watched(child, call) as trace:
            assert child.wait() == 0, child.said()
        return calls(trace)


@contextmanager
def rehearsal(
    folder: Path, post: Mailbox, server: Server | None, planted: str | None = None
) -> Iterator[Rehearsal]:
    url = "sqlite:///monitor.db"
    if server is not None:
        url = server.create("prepared")
    plot = scenario(groups=(ending(LETTERS),))
    with (
        nursery(folder / "logs", planted) as home,
        owing(folder, url, post, home, plot) as (place, _, _),
    ):
        assert home.start(place, "check").wait() == 1
        work = Rehearsal(home, post, place, server)
        try:
            yield work
        finally:
            if server is not None:
                for n in range(1, work.used + 1):
                    server.drop(f"prepared_{n}")
                server.drop("prepared")


def moments(total: int, step: int = STEP) -> range:
    """At which calls to strike."""
    assert total > LETTERS, "the calls were not seen"
    step = 1 if SOAK else step
    return range(1 + clock().timetuple().tm_yday % step, total + 1, step)


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(
    ("kind", "call"),
    [("sqlite", "fdatasync"), ("sqlite", "sendto"), ("postgres", "sendto")],
)
async def test_kill_9_at_the_nth_call_loses_nothing(
    tmp_path: Path,
    post: Mailbox,
    request: pytest.FixtureRequest,
    figure: Callable[[str], None],
    kind: str,
    call: str,
) -> None:
    began = time.monotonic()
    server = request.getfixturevalue("postgres_server") if kind == "postgres" else None
    with rehearsal(tmp_path, post, server) as work:
        total = work.count(call)
        at = moments(total, STEP if server is None else MANY)
        kills = duplicates = 0
        for number in at:
            sums = await work.killed_at(call, number)
            sums.hold()
            kills += sums.kills
            duplicates += sums.duplicates
    seconds = time.monotonic() - began
    figure(
        f"{kind}: killed at {call} {at.start}, +{at.step}, of {total}: {kills} kills, "
        f"0 lost, {duplicates} duplicates, 0 unexplained, {seconds:.0f} s"
    )
    assert kills >= len(at) * 0.8, "the calls differ a little from run to run"


@pytest.mark.usefixtures("strace")
async def test_a_letter_settled_before_it_is_sent_would_be_missed(
    tmp_path: Path, post: Mailbox, figure: Callable[[str], None]
) -> None:
    """The positive control: at some call the same harness is red over a planted bug."""
    with rehearsal(tmp_path, post, None, SETTLED_BEFORE_SENT) as work:
        for number in range(6, 40, 3):
            sums = await work.killed_at("fdatasync", number)
            if sums.lost:
                figure(f"planted, at fdatasync {number}: {sums}")
                return
    pytest.fail("no letter was lost: the test is blind")
