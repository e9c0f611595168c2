"""Replicas on one PostgreSQL, and what the world does to them."""

import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import psycopg

from tests.whole.tools import Graph, Place, Process, environment, kill, until

LEASE = timedelta(seconds=3)
CONFIG = """\
database: {url}
keys: [{{id: k1, secret_file: monitor.key}}]
graph: {{base_url: "{graph}", workers: 4}}
apps:
  - {{id: "1234567890", name: Acme Publisher, secret: rehearsed-app-secret}}
policies:
  - {{name: default, check_every: 12s, retry_every: 4s, confirm_after: 4s,
     remind_every: 30d}}
mail:
  host: 127.0.0.1
  port: {mail}
  tls: none
  group_wait: 1s
  letters_per_day: null
  from: Acme Publisher <tokens@acme.example>
operator: {{email: [ops@acme.example]}}
hold: {{sudden: {{at_least: 1000000}}, owner_letters_per_hour: null}}
schedule: {{tick: 1s, lease: 3s}}
"""
UNFENCED = """
import sys
from monitor.jobs.checker import Checker
from monitor.cli import main
# The planted bug: whoever was frozen believes that nothing has changed meanwhile.
Checker._fresh_until = lambda self: self._clock().replace(year=9999)
sys.argv[0] = "token-monitor"
main()
"""


class Fleet:
    """Some replicas of one configuration; each death is followed by a birth."""

    def __init__(self, place: Place, size: int, *, fenced: bool = True) -> None:
        self.place = place
        self.kills = 0
        self._fenced = fenced
        self._births = 0
        self.replicas = [self._born() for _ in range(size)]

    def _born(self) -> Process:
        self._births += 1
        program = ["-m", "monitor"] if self._fenced else ["-c", UNFENCED]
        log = self.place.folder / f"replica-{self._births}.log"
        with log.open("w", encoding="utf-8") as stream:
            return subprocess.Popen(
                [sys.executable, *program, "run"],
                cwd=self.place.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                text=True,
            )

    def kill_one(self, random: Random) -> None:
        """SIGKILL a random replica, and start another."""
        number = random.randrange(len(self.replicas))
        kill(self.replicas[number])
        self.kills += 1
        self.replicas[number] = self._born()

    def freeze(self, random: Random) -> Process | None:
        """SIGSTOP a random replica that runs; the caller wakes it."""
        running = [each for each in self.replicas if each.poll() is None]
        frozen = random.choice(running)
        frozen.send_signal(signal.SIGSTOP)
        return frozen

    def end(self) -> None:
        for replica in self.replicas:
            replica.send_signal(signal.SIGCONT)
            kill(replica)

    def died(self) -> list[int]:
        """Exit codes of replicas that ended by themselves."""
        codes = [replica.poll() for replica in self.replicas]
        return [code for code in codes if code is not None]

    def logs(self) -> str:
        """What the replicas said that is worth reading after a failure."""
        texts = [
            path.read_text(encoding="utf-8")
            for path in self.place.folder.glob("replica-*.log")
        ]
        return "\n".join(texts)


@contextmanager
def fleet(place: Place, size: int = 3, *, fenced: bool = True) -> Iterator[Fleet]:
    replicas = Fleet(place, size, fenced=fenced)
    try:
        yield replicas
    finally:
        replicas.end()


def wake(frozen: Process | None) -> None:
    if frozen is not None and frozen.poll() is None:
        frozen.send_signal(signal.SIGCONT)


def place_on(folder: Path, url: str, served: Graph, mail: int) -> Place:
    place = Place.make(folder, graph=served.url, mail=mail)
    place.configure(CONFIG.format(url=url, graph=served.url, mail=mail))
    return place


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).fetchall()


def execute(url: str, statement: str) -> None:
    """Until it is done: among daemons at work a whole table is a deadlock at times."""
    while True:
        with (
            suppress(psycopg.errors.DeadlockDetected),
            psycopg.connect(url) as connection,
        ):
            connection.execute(statement.encode())
            return


def double_checks(served: Graph, within: timedelta) -> list[tuple[str, float]]:
    """Tokens that were asked about twice within a span, and how far apart.

    Of healthy ones only: bad news is looked at again soon, on purpose.
    """
    asked: dict[str, list[datetime]] = defaultdict(list)
    for call in served.calls():
        if call["kind"] == "batch":
            for token in call["items"]:
                if token.startswith("gone"):
                    continue
                asked[token].append(datetime.fromisoformat(call["at"]))
    return [
        (token, (second - first).total_seconds())
        for token, times in asked.items()
        for first, second in pairwise(sorted(times))
        if second - first < within
    ]


def settled(url: str) -> bool:
    """Whether nothing waits to be told."""
    (row,) = query(
        url, "SELECT count(*) FROM outbox WHERE state IN ('waiting','sealed')"
    )
    return bool(row[0] == 0)


def everything_looked_at(url: str, since: datetime, seconds: float = 60) -> None:
    """Wait until every token was looked at after an instant."""
    micro = int(since.timestamp() * 1_000_000)
    old = f"SELECT count(*) FROM health WHERE coalesce(last_checked_at, 0) < {micro}"  # noqa: S608

    def looked_at() -> bool:
        with suppress(psycopg.OperationalError):  # the cluster may be starting anew
            return query(url, old) == [(0,)]
        return False

    until(looked_at, "every token is looked at", seconds)
