"""The metronome: APScheduler ticks, whatever somebody does to the wall clock."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

_OUT_OF_STEP: Final = 2.0
"""Seconds by which the wall clock may run apart from the steady one between ticks."""


class Metronome:
    """Sets events at every tick; long-lived tasks do the work.

    APScheduler reckons by the wall clock. One that is set back would stop its ticks for
    as long, and one set ahead by years would have it count every tick between. So its
    trigger counts from now, and whenever the clock was set its jobs are set anew.

    Args:
        every: The time between ticks.
        wakers: The events, by the name of the job each wakes.
        clock: The wall clock.
    """

    def __init__(
        self,
        every: timedelta,
        wakers: Iterable[tuple[str, asyncio.Event]],
        clock: Callable[[], datetime],
    ) -> None:
        self._every, self._clock = every, clock
        self._scheduler = _scheduler()
        for name, waker in wakers:
            # A first run is one interval late unless it is told otherwise.
            self._scheduler.add_job(
                _wake, _trigger(every), [waker], id=name, next_run_time=clock()
            )
        self._scheduler.start()
        self._keeping = asyncio.create_task(self._keep_time())

    def stop(self) -> None:
        """Tick no more."""
        self._keeping.cancel()
        self._scheduler.shutdown(wait=False)

    async def _keep_time(self) -> None:
        """Notice by the loop's own clock that the wall clock was set."""
        loop, clock = asyncio.get_running_loop(), self._clock
        wall, steady = clock(), loop.time()
        while True:
            await asyncio.sleep(self._every.total_seconds())
            moved = (clock() - wall).total_seconds() - (loop.time() - steady)
            wall, steady = clock(), loop.time()
            if abs(moved) > _OUT_OF_STEP:
                for job in self._scheduler.get_jobs():
                    job.modify(next_run_time=wall)


def _scheduler() -> Any:  # noqa: ANN401 - apscheduler has no types
    from apscheduler.schedulers.asyncio import AsyncIOScheduler  # noqa: PLC0415 - slow

    return AsyncIOScheduler(
        timezone="UTC",
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )


def _trigger(every: timedelta) -> Any:  # noqa: ANN401 - apscheduler has no types
    """A tick every so often from now on, not from a past that may be years away."""
    from apscheduler.triggers.base import BaseTrigger  # noqa: PLC0415 - slow

    class FromNow(BaseTrigger):  # type: ignore[misc] # apscheduler has no types
        def get_next_fire_time(
            self,
            previous_fire_time: datetime | None,  # noqa: ARG002 - its signature
            now: datetime,
        ) -> datetime:
            return now + every

    return FromNow()


async def _wake(waker: asyncio.Event) -> None:
    waker.set()
