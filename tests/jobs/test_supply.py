"""What a sweep claims: by hand it uses the hour's quota, and waits for the next."""

import asyncio
from datetime import datetime, timedelta

from monitor.jobs import Pause
from monitor.jobs.supply import Named
from monitor.sandbox.scenario import AppPlan
from tests.jobs.house import ACME, ADS, Builder, House, a_token

LIMITED = AppPlan(ACME.id, "Acme", ACME.secret, hourly_calls=100)


class Waiting:
    """Lets an hour pass whenever a check stands still and all it asked is answered."""

    def __init__(self, home: House) -> None:
        self._home = home
        self.pauses: list[Pause] = []
        self._looked = 0
        self._stands: list[int] = []

    def progress(self, looked: int) -> None:
        self._looked = looked
        self._go_on()

    def pausing(self, pause: Pause) -> None:
        self.pauses.append(pause)
        self._stands.append(len(self._home.plans) - pause.left)
        self._go_on()

    def _go_on(self) -> None:
        others = sum(plan.app != LIMITED.id for plan in self._home.plans.values())
        if self._stands and self._looked >= max(self._stands[-1], others):
            self._home.clock.now = self.pauses[-1].until


async def test_a_check_by_hand_uses_the_hour_and_waits_for_the_next(
    house: Builder,
) -> None:
    acme = [a_token(f"acme-{n}") for n in range(250)]
    ads = [a_token(f"ads-{n}", app=ADS.id) for n in range(120)]
    home = await house(*acme, *ads, apps=(LIMITED, ADS), hourly={ACME.id: 100})
    waiting = Waiting(home)
    tally = await home.checker.check_all(waiting.progress, waiting.pausing)
    assert tally.conclusive == 370
    assert "throttled" not in {call.outcome for call in home.graph.calls}
    assert [pause.app_id for pause in waiting.pauses] == [ACME.id] * 2
    assert waiting.pauses[0].left == 151, "99 of them at once"
    assert waiting.pauses[1].until - waiting.pauses[0].until >= timedelta(minutes=59)


async def test_named_tokens_wait_for_the_quota_too(house: Builder) -> None:
    plans = [a_token(f"acme-{n}") for n in range(130)]
    home = await house(*plans, apps=(LIMITED,), hourly={ACME.id: 100})
    waiting = Waiting(home)
    rows = await home.store.claims.rows_of([plan.id for plan in plans])
    tally = await home.checker.check_named(
        list(rows.values()), waiting.progress, waiting.pausing
    )
    assert tally.conclusive == 130
    assert [pause.left for pause in waiting.pauses] == [31]


async def test_a_token_that_was_moved_meanwhile_is_asked_about_by_its_own_app(
    house: Builder,
) -> None:
    """A named check waits for its quota for hours; an import may come between."""
    plans = [a_token("moved", app=ADS.id), *(a_token(f"acme-{n}") for n in range(3))]
    home = await house(*plans, apps=(ACME, ADS))
    rows = await home.store.claims.rows_of([plan.id for plan in plans])
    stale = Named(
        home.store.claims,
        home.clock,
        timedelta(minutes=5),
        asyncio.Event(),
        {ACME.id: list(rows.values())},
    )
    tally = await home.checker._sweep(stale, [ACME.id, ADS.id], None, forced=True)
    assert (tally.conclusive, tally.suspected) == (4, 0)


async def test_usage_that_stays_the_same_is_noted_once_a_minute(house: Builder) -> None:
    roomy = AppPlan(ACME.id, "Acme", ACME.secret, hourly_calls=100_000)
    home = await house(a_token("acme"), apps=(roomy,))

    async def noted_at() -> datetime | None:
        await home.checker.check_all()
        return (await home.store.apps.states([ACME.id]))[ACME.id].usage_at

    first = await noted_at()
    assert first is not None
    home.clock.advance(timedelta(seconds=59))
    assert await noted_at() == first
    home.clock.advance(timedelta(seconds=1))
    assert await noted_at() == first + timedelta(minutes=1)
