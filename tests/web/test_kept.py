"""One answer for all who ask."""

import asyncio
from datetime import timedelta

from monitor.errors import UnavailableError
from monitor.web.kept import Kept

SOON = timedelta(seconds=0.05)
LONG = timedelta(seconds=30)


class Source:
    def __init__(self) -> None:
        self.asked = 0
        self.open = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.asked += 1
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return self.asked


async def test_many_who_ask_at_once_and_soon_after_are_one_question() -> None:
    source = Source()
    source.open.set()
    kept = Kept(source, keep=LONG, patience=LONG)
    assert await asyncio.gather(*(kept.ask() for _ in range(50))) == [1] * 50
    assert await kept.ask() == 1


async def test_who_waits_too_long_gets_nothing_and_asks_nothing_again() -> None:
    source = Source()
    kept = Kept(source, keep=timedelta(), patience=SOON)
    assert await kept.ask() is None
    assert await kept.ask() is None
    assert source.asked == 1
    source.open.set()
    await asyncio.sleep(0)
    assert await kept.ask() is not None, "it came late, and all is well again"


async def test_a_failure_is_nothing_and_is_not_kept_for_long() -> None:
    source = Source()
    source.open.set()
    kept = Kept(source, keep=timedelta(), patience=LONG, costly=True)
    source.error = UnavailableError("gone")
    assert await kept.ask() is None
    source.error = RuntimeError("a bug")
    assert await kept.ask() is None
    source.error = None
    assert await kept.ask() == 3


async def test_what_was_costly_is_kept_longer() -> None:
    source = Source()
    kept = Kept(source, keep=timedelta(), patience=LONG, costly=True)
    asking = asyncio.create_task(kept.ask())
    await asyncio.sleep(0.1)
    source.open.set()
    assert await asking == 1
    assert await kept.ask() == 1, "for ten times as long"


async def test_closing_leaves_nobody_behind() -> None:
    source = Source()
    kept = Kept(source, keep=LONG, patience=SOON)
    assert await kept.ask() is None
    await kept.close()
    await kept.close()
