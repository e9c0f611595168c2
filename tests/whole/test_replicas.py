"""Replicas on one PostgreSQL: killed, frozen, cut off; nothing lost, nothing doubled.

In CI a minute's worth; `SOAK=1` plays the whole length.
"""

import os
import signal
import time
from collections import Counter
from pathlib import Path
from random import Random

import psycopg
import pytest

from monitor.app import clock
from monitor.sandbox.mailbox import Mailbox
from tests.postgres import OwnServer, Server, none_found, own_server
from tests.whole.fleet import (
    LEASE,
    double_checks,
    everything_looked_at,
    execute,
    fleet,
    place_on,
    query,
    settled,
    wake,
)
from tests.whole.tools import Graph, Process, graph, plan, scenario, until

SOAK = bool(os.environ.get("SOAK"))
TOKENS = 10_000 if SOAK else 1_000
OWNERS = 200 if SOAK else 60
LINES = 4
"""Letters under way at once in one replica."""
NEAR = LEASE * 2 / 3
"""Nobody else asks about a token within this time of the last call about it."""


OWED = {
    f"{kind}-{n}@acme.example" for kind in ("gone", "ending") for n in range(OWNERS)
}
"""Everybody who must hear of his token."""


def plot() -> str:
    fine = TOKENS - 2 * OWNERS
    return (
        scenario(
            groups=(
                plan(
                    "fine-{n}",
                    "fine-{n}@acme.example",
                    f"count: {fine}, expires_in: 50d",
                ),
                plan(
                    "gone-{n}",
                    "gone-{n}@acme.example",
                    f"count: {OWNERS}, events: [{{after: 15s, state: revoked}}]",
                ),
                plan(
                    "ending-{n}",
                    "ending-{n}@acme.example",
                    f"count: {OWNERS}, expires_in: 3d",
                ),
            )
        )
        + "faults: [{after: 0s, for: 90d, app: all, fault: slow(0.3s)}]\n"
    )


def told(post: Mailbox) -> tuple[Counter[str], dict[str, str]]:
    """How often each letter came, and to whom."""
    letters = Counter(str(e.message["Message-ID"]) for e in post.received)
    readers = {str(e.message["Message-ID"]): e.envelope_to[0] for e in post.received}
    return letters, readers


def everybody_is_told(url: str, post: Mailbox) -> None:
    """Wait until everybody has a letter and nothing more is to be said."""
    until(
        lambda: set(told(post)[1].values()) >= OWED and settled(url),
        "everybody is told",
        90,
    )


def nothing_lost_or_doubled(url: str, post: Mailbox, crashes: int) -> None:
    letters, readers = told(post)
    stored = {row[0] for row in query(url, "SELECT message_id FROM letters")}
    assert set(letters) <= stored, "no letter nobody remembers"
    people = Counter(readers.values())
    assert people.keys() == OWED, "lost, or told for nothing"
    twice = {reader: count for reader, count in people.items() if count > 1}
    assert not twice, f"told twice by two letters: {twice}"
    again = letters.total() - len(letters)
    assert again <= crashes * LINES, f"{again} repeated beyond the ack window"


def test_replicas_that_are_killed_and_frozen_lose_and_double_nothing(
    tmp_path: Path, post: Mailbox, postgres_url: str
) -> None:
    random = Random(7)
    rounds = 30 if SOAK else 6
    with graph(tmp_path / "graph", plot()) as served:
        place = place_on(tmp_path, postgres_url, served, post.port)
        place.run("tokens", "import", served.inventory)
        with fleet(place) as replicas:
            frozen: list[Process | None] = []
            for turn in range(rounds):
                replicas.kill_one(random)
                if turn % 3 == 0:
                    for each in frozen:
                        wake(each)
                    frozen = [replicas.freeze(random), replicas.freeze(random)]
                time.sleep(2)  # the world's time, not ours
            for each in frozen:
                wake(each)
            assert replicas.died() == []
            everything_looked_at(postgres_url, clock())
            everybody_is_told(postgres_url, post)
            doubles = double_checks(served, NEAR)
            assert doubles == [], (len(doubles), doubles[:5])
        nothing_lost_or_doubled(postgres_url, post, replicas.kills)


def test_without_the_fence_the_test_of_double_checks_goes_red(
    tmp_path: Path, post: Mailbox, postgres_url: str
) -> None:
    """The positive control: who does not notice that he was frozen asks again."""
    random = Random(7)
    with graph(tmp_path / "graph", plot()) as served:
        place = place_on(tmp_path, postgres_url, served, post.port)
        place.run("tokens", "import", served.inventory)
        with fleet(place, fenced=False) as replicas:
            everything_looked_at(postgres_url, clock())
            # A machine under load is slow enough to double without being frozen.
            before = len(double_checks(served, NEAR))
            for _ in range(5):
                # All at once, and slowly: whoever is frozen now has much in hand.
                execute(postgres_url, "UPDATE health SET next_check_at = 1")
                until(lambda: busy(served), "a sweep is on")
                frozen = [replicas.freeze(random), replicas.freeze(random)]
                time.sleep(LEASE.total_seconds() + 1)  # the world's time, not ours
                for each in frozen:
                    wake(each)
                everything_looked_at(postgres_url, clock())
                if len(double_checks(served, NEAR)) > before:
                    return
        pytest.fail("no double check was found: the test is blind")


def test_a_database_that_crashes_in_the_middle_costs_lateness_only(
    tmp_path: Path, post: Mailbox
) -> None:
    """Stopped at once and started again, its backends killed; back within 30 s."""
    random = Random(11)
    stops, shots = (10, 20) if SOAK else (1, 2)
    with own_server("fsync=on") as server, graph(tmp_path / "graph", plot()) as served:
        if server is None:
            none_found()
        url = server.create("monitor")
        place = place_on(tmp_path, url, served, post.port)
        place.run("tokens", "import", served.inventory)
        with fleet(place) as replicas:
            for _ in range(stops):
                until(lambda: busy(served), "a sweep is on")
                server.stop()
                time.sleep(1)  # the world's time, not ours
                server.start()
                everything_looked_at(url, clock(), 30)
            for _ in range(shots):
                until(lambda: busy(served), "a sweep is on")
                shoot(server, random)
            everything_looked_at(url, clock(), 30)
            assert replicas.died() == [], replicas.logs()
            everybody_is_told(url, post)
        assert "Traceback" not in replicas.logs()
        # A letter that was accepted while the database was gone may come again.
        nothing_lost_or_doubled(url, post, stops + shots)


def busy(served: Graph) -> bool:
    """Whether a call came in within the last half second."""
    before = len(served.calls())
    time.sleep(0.2)  # the world's time, not ours
    return len(served.calls()) > before


def shoot(server: OwnServer, random: Random) -> None:
    """Kill one backend as the kernel would: the whole cluster starts anew."""
    pids = server.backends("monitor")
    if pids:
        os.kill(random.choice(pids), signal.SIGKILL)
    until(lambda: alive(server), "the cluster is back")


def alive(server: Server) -> bool:
    try:
        server.backends("monitor")
    except psycopg.OperationalError:
        return False
    return True


def test_three_that_start_together_make_one_schema(
    tmp_path: Path, post: Mailbox, postgres_url: str
) -> None:
    with graph(tmp_path / "graph", plot()) as served:
        place = place_on(tmp_path, postgres_url, served, post.port)
        with fleet(place) as replicas:
            pulses = "SELECT count(*) FROM marks WHERE name LIKE 'daemon:%'"
            until(lambda: sees(postgres_url, pulses, 3), "three signs of life")
            assert replicas.died() == [], replicas.logs()
        assert query(postgres_url, "SELECT count(*) FROM alembic_version") == [(1,)]


def sees(url: str, statement: str, count: int) -> bool:
    try:
        return query(url, statement) == [(count,)]
    except psycopg.errors.UndefinedTable:
        return False
