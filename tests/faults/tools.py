"""Daemons that are born quickly, and the sums after they were killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from monitor.app import clock, open_house
from monitor.config import load
from monitor.sandbox.letters import Received
from monitor.sandbox.mailbox import Mailbox
from tests.whole.fleet import query
from tests.whole.tools import (
    Graph,
    Place,
    environment,
    graph,
    plan,
    until,
)

SOAK = bool(os.environ.get("SOAK"))
LINES = 4
"""Letters under way at once: so many may be in the ack window at a kill."""
ALL_CLOCKS = timedelta(minutes=10)
"""After so long a dead daemon's claims have lapsed and one failed try is due again.

Less than the 15 minutes after which news of a date owes another look.
"""


class Child:
    """A command in a process of its own, born of a nursery."""

    def __init__(self, nursery: "Nursery", pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log
        self.born_at = clock()
        self._nursery = nursery
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, a signal's negative; `None` while it lives."""
        if self._code is None:
            self._code = self._nursery.order(ended=self.pid)
        return self._code

    def wait(self, seconds: float = 30) -> int:
        until(lambda: self.poll() is not None, "the process has ended", seconds)
        assert self._code is not None
        return self._code

    def send(self, number: signal.Signals) -> None:
        """Send a signal; who has ended by himself does not get it."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> int:
        """SIGKILL, and wait until it is really gone."""
        self.send(signal.SIGKILL)
        return self.wait()

    def said(self) -> str:
        """The end of what it said."""
        return self.log.read_text(encoding="utf-8")[-2_000:]

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """What it said so far; a line that was cut short by its death is left out."""
        found = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                event = json.loads(line) if line.startswith("{") else {}
                if event and name in {None, event["event"]}:
                    found.append(event)
        return found


class Nursery:
    """Forks commands from one process that has imported everything already.

    A cold start costs a second, which is the length of many a life here.
    """

    def __init__(self, folder: Path, planted: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._births = 0
        bug = []
        if planted is not None:
            bug = [folder / "planted.py"]
            bug[0].write_text(planted, encoding="utf-8")
        # Measuring coverage takes half of a daemon's speed, and ends with a kill.
        env = {k: v for k, v in environment().items() if not k.startswith("COVERAGE")}
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("nursery.py"), *bug],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def order(self, **what: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, place: Place, *arguments: str, held: bool = False) -> Child:
        """Start a command in a place; a held one waits, stopped, for SIGCONT."""
        self._births += 1
        log = self._folder / f"{self._births}.log"
        log.touch()
        order = {"folder": str(place.folder), "log": str(log), "held": held}
        return Child(self, self.order(arguments=arguments, **order), log)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


@contextmanager
def nursery(folder: Path, planted: str | None = None) -> Iterator[Nursery]:
    """A nursery; `planted` is a bug, run in it before any child is born."""
    home = Nursery(folder, planted)
    try:
        yield home
    finally:
        home.close()


class Ledger:
    """What the database holds, on either database."""

    def __init__(self, place: Place, url: str) -> None:
        self._place = place
        self._url = url

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        if self._url.startswith("sqlite"):
            return self._place.query(statement)
        return query(self._url, statement)

    def told(self) -> set[str]:
        """The Message-IDs that are known to have left."""
        rows = self.query("SELECT message_id FROM letters WHERE state = 'sent'")
        return {row[0] for row in rows}

    def letters(self) -> set[str]:
        return {row[0] for row in self.query("SELECT message_id FROM letters")}

    def untold(self) -> int:
        """Entries that are not known to have left."""
        (row,) = self.query(
            "SELECT count(*) FROM outbox WHERE state <> 'sent' AND role <> 'operator'"
        )
        return int(row[0])


@dataclass(frozen=True, slots=True)
class Death:
    """One kill, and what the ledger said when the process was gone."""

    at: datetime
    told: set[str] = field(repr=False)


def message_id(letter: Received) -> str:
    """Read from the bytes: parsing thousands of letters takes longer than they did."""
    head = letter.data.partition(b"\r\n\r\n")[0]
    _, _, rest = head.partition(b"Message-ID: ")
    return rest.split(b"\r\n", 1)[0].strip().decode("ascii")


OPERATOR: Final = "ops@acme.example"


@dataclass(slots=True)
class Sums:
    """What came of an owed letter, over every life of the daemon."""

    kills: int
    letters: int
    lost: int = 0
    """Readers who got nothing, and entries not known to have left."""
    twice: int = 0
    """Readers with two different letters about one matter."""
    duplicates: int = 0
    in_window: int = 0
    """Copies that came after a kill between an earlier copy's dot and its settling."""
    unexplained: int = 0
    strangers: int = 0
    """Letters that no ledger knows."""
    worst: int = 0
    """The most copies that one kill is to blame for."""
    window: timedelta = timedelta()
    """The longest time from a dot to the kill that came before its settling."""

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.letters} letters: {self.lost} lost, "
            f"{self.duplicates} duplicates, {self.in_window} in the ack window "
            f"(at most {self.worst} a kill, {self.window.total_seconds() * 1e3:.0f} ms "
            f"after the dot), {self.unexplained} unexplained, {self.twice} told twice"
        )

    def hold(self) -> None:
        """Nothing lost, nothing doubled that a crash does not explain."""
        assert self.lost == 0, self
        assert self.twice == 0, self
        assert self.strangers == 0, self
        assert self.unexplained == 0, self
        assert self.worst <= LINES, self
        assert self.duplicates <= self.kills * LINES, self


def add_up(
    owed: set[str],
    received: Sequence[Received],
    ledger: Ledger,
    deaths: Sequence[Death],
) -> Sums:
    """Compare the server's times with the ledger after each death.

    A copy is explained if a kill came after the dot before it, and the ledger did
    not know then that the letter had left. The operator hears of the faults, as often
    as there are some: his letters are not counted.
    """
    received = [each for each in received if each.envelope_to[0] != OPERATOR]
    sums = Sums(len(deaths), len(owed))
    copies: dict[str, list[Received]] = {}
    for letter in received:
        copies.setdefault(message_id(letter), []).append(letter)
    readers = Counter(each[0].envelope_to[0] for each in copies.values())
    sums.lost = len(owed - readers.keys()) + ledger.untold()
    sums.twice = sum(count > 1 for count in readers.values())
    sums.strangers = len(copies.keys() - ledger.letters())
    sums.strangers += len(readers.keys() - owed)
    blamed: Counter[datetime] = Counter()
    for name, each in copies.items():
        for before, again in pairwise(each):
            sums.duplicates += 1
            cause = next((d for d in deaths if before.at <= d.at <= again.at), None)
            if cause is None or name in cause.told:
                sums.unexplained += 1
                continue
            sums.in_window += 1
            sums.window = max(sums.window, cause.at - before.at)
            blamed[cause.at] += 1
    sums.worst = max(blamed.values(), default=0)
    return sums


def strike(child: Child, ledger: Ledger, post: Mailbox) -> Death:
    """Kill, and read the ledger before anybody else writes in it."""
    child.kill()
    return obituary(ledger, post)


def obituary(ledger: Ledger, post: Mailbox) -> Death:
    """Write down a death, once the mailbox has read all that the dead one wrote."""
    until(lambda: post.sessions == 0, "the sessions of the dead are closed")
    return Death(clock(), ledger.told())


async def finish(place: Place) -> None:
    """What is still owed leaves, when every lease and every wait is over."""
    settings = load(place.config, os.environ)
    async with open_house(settings, lambda: clock() + ALL_CLOCKS) as house:
        await house.courier.deliver_now(house.checker.check_named)


@contextmanager
def owing(
    folder: Path,
    url: str,
    post: Mailbox,
    home: Nursery,
    plot: str,
    changed: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[Place, Ledger, Graph]]:
    """A place with an inventory, on either database."""
    with graph(folder / "graph", plot) as served:
        place = Place.make(folder / "place", graph=served.url, mail=post.port)
        place.change("sqlite:///monitor.db", url)
        place.change("lease: 30s", "lease: 10s")
        place.change("group_wait: 1s", "group_wait: 0s")
        for old, new in changed.items():
            place.change(old, new)
        child = home.start(place, "tokens", "import", str(served.inventory))
        assert child.wait() == 0, child.said()
        yield place, Ledger(place, url), served


def ending(count: int, expires_in: str = "3d", name: str = "ending") -> str:
    """So many tokens, each with an owner of his own, who is owed a letter."""
    return plan(
        f"{name}-{{n}}",
        f"{name}-{{n}}@acme.example",
        f"count: {count}, expires_in: {expires_in}",
    )


def readers(count: int, name: str = "ending") -> set[str]:
    return {f"{name}-{n}@acme.example" for n in range(count)}


def pause(seconds: float) -> None:
    """Let the world's time go by: of a process, nothing else can be waited for."""
    time.sleep(seconds)
