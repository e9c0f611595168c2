"""Replicas on one PostgreSQL: killed, frozen, cut off; nothing lost, nothing doubled.

In CI a minute's worth; `SOAK=1` plays the whole length.
"""

import os
import signal
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from monitor.app import clock
from monitor.sandbox.mailbox import Mailbox
from tests.postgres import OwnServer, Server, own_server
from tests.whole.fleet import (
    LEASE,
    double_checks,
    everything_looked_at,
    fleet,
    place_on,
    query,
    settled,
    wake,
)
from tests.whole.tools import Graph, Place, graph, plan, scenario, until

SOAK = bool(os.environ.get("SOAK"))
TOKENS = 10_000 if SOAK else 1_000
OWNERS = 200 if SOAK else 60
LINES = 4
"""Letters under way at once in one replica."""
NEAR = LEASE * 2 / 3
"""Nobody else asks about a token within this time of the last call about it."""


def plot() -> str:
    fine = TOKENS - 2 * OWNERS
    return scenario(
        groups=(
            plan("fine-{n}", "fine-{n}@acme.example", f"count: {fine}, expires_in: 50d"),
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


def told(post: Mailbox) -> tuple[Counter[str], dict[str, str]]:
    """How often each letter came, and to whom."""
    letters = Counter(str(e.message["Message-ID"]) for e in post.received)
    readers = {
        str(e.message["Message-ID"]): e.envelope_to[0] for e in post.received
    }
    return letters, readers


def nothing_lost_or_doubled(url: str, post: Mailbox, crashes: int) -> None:
    letters, readers = told(post)
    stored = {row[0] for row in query(url, "SELECT message_id FROM letters")}
    assert set(letters) <= stored, "no letter nobody remembers"
    people = Counter(readers.values())
    owners = {f"{kind}-{n}@acme.example" for kind in ("gone", "ending") for n in range(OWNERS)}
    assert owners <= set(people), f"lost: {sorted(owners - set(people))[:5]}"
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
            frozen = [None, None]
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
            until(lambda: settled(postgres_url), "everything is told", 60)
            doubles = double_checks(served, NEAR)
            assert doubles == [], (len(doubles), doubles[:5])
        nothing_lost_or_doubled(postgres_url, post, len(replicas.kills))
