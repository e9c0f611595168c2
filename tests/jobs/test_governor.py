"""A day under a quota: used well, never overdrawn, nobody starved, nobody slowed."""

import os
from collections import Counter, defaultdict, deque
from datetime import datetime, timedelta
from itertools import pairwise, takewhile

import pytest

from monitor.core.policy import Rule
from monitor.sandbox.scenario import AppPlan, TokenPlan
from monitor.sandbox.world import Call
from tests.jobs.house import ACME, ADS, Builder, House, a_token

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
TICK = timedelta(minutes=1 if os.environ.get("SOAK") else 2)
QUOTA = 2_000
TOKENS = 3_000
"""Of the first app: an hourly look at each needs more than the quota carries."""
OTHERS = 300
LIMITED = AppPlan(ACME.id, "Acme", ACME.secret, hourly_calls=QUOTA)
FREE = ADS
HOURLY = Rule(check_every=HOUR, retry_every=5 * MINUTE)


class Watch:
    """What the simulated Graph saw, taken before it forgets."""

    def __init__(self, home: House) -> None:
        self._graph = home.graph
        self._last: Call | None = None
        self.outcomes: Counter[str] = Counter()
        self.calls: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
        self.looks: dict[str, list[datetime]] = defaultdict(list)

    def take(self) -> None:
        calls = self._graph.calls
        new = takewhile(lambda call: call is not self._last, reversed(calls))
        for call in reversed(list(new)):
            self.outcomes[call.outcome] += 1
            self.calls[call.app_id].append((call.at, max(1, len(call.items))))
            for token in call.items:
                if not token.startswith("app:"):  # a look of the caller at itself
                    self.looks[token].append(call.at)
        self._last = calls[-1] if calls else None

    def busiest_hour(self, app_id: str) -> int:
        """The most calls of any rolling hour, counted by brute force."""
        window: deque[tuple[datetime, int]] = deque()
        total = most = 0
        for at, count in self.calls[app_id]:
            window.append((at, count))
            total += count
            while window[0][0] <= at - HOUR:
                total -= window.popleft()[1]
            most = max(most, total)
        return most

    def total(self, app_id: str) -> int:
        return sum(count for _, count in self.calls[app_id])

    def longest_gap(self, prefix: str) -> timedelta:
        """The longest time any of these tokens went without a look."""
        return max(
            later - earlier
            for token, times in self.looks.items()
            if token.startswith(prefix)
            for earlier, later in pairwise(times)
        )


def fleet() -> list[TokenPlan]:
    limited = [a_token(f"acme-{n}") for n in range(TOKENS)]
    return limited + [a_token(f"ads-{n}", app=ADS.id) for n in range(OTHERS)]


async def a_day(home: House, watch: Watch, span: timedelta) -> None:
    until = home.clock() + span
    while home.clock() < until:
        await home.check()
        watch.take()
        home.clock.advance(TICK)


@pytest.mark.parametrize("known", [True, False], ids=["hourly_calls", "headers only"])
async def test_a_day_under_a_quota(house: Builder, known: bool) -> None:  # noqa: FBT001 - a case
    hourly = {LIMITED.id: QUOTA} if known else {}
    home = await house(*fleet(), rule=HOURLY, apps=(LIMITED, FREE), hourly=hourly)
    watch = Watch(home)
    await a_day(home, watch, 24 * HOUR)
    assert watch.outcomes["throttled"] == 0
    assert watch.busiest_hour(LIMITED.id) <= QUOTA
    used = watch.total(LIMITED.id) / (24 * QUOTA)
    assert used >= (0.95 if known else 0.7), used
    assert len(watch.looks) == TOKENS + OTHERS, "everybody had a look"
    fair = TOKENS / (QUOTA * used) * HOUR
    assert watch.longest_gap("acme-") <= 1.5 * fair, "nobody starves"
    assert watch.longest_gap("ads-") <= HOUR + 2 * TICK, "the other at full speed"
