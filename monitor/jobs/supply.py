"""Supply: which tokens are claimed for a sweep, as the quota of each app allows."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from monitor.jobs.desks import Desks
from monitor.store.claims import Claim, Claims, Taken

_STEP: Final = timedelta(seconds=1)
CHUNK: Final = 3000
"""How many tokens are claimed at a time."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A check by hand has used what its apps may ask for now."""

    app_id: str
    until: datetime
    left: int
    """How many of its tokens are still to be looked at."""
    hourly: int | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Tokens of one app, to be asked about in one call."""

    claims: Sequence[Claim]
    paid_at: datetime
    fresh_until: datetime


class Supply(Protocol):
    """Where the claims of a sweep come from."""

    def claims(self, desks: Desks) -> AsyncIterator[list[Claim]]:
        """Chunks of claims of one app each, until there is nothing more to look at."""


@dataclass(frozen=True, slots=True)
class Due:
    """What is due of every open app in turn, so that none waits for another.

    An app whose quota is spent leaves the rest for a later sweep.
    """

    store: Claims
    clock: Callable[[], datetime]
    lease: timedelta

    async def claims(self, desks: Desks) -> AsyncIterator[list[Claim]]:
        """Chunks of claims, until nothing is due or allowed."""
        left = desks.open_ids()
        while left:
            more = []
            for app_id in left:
                desk = desks.of(app_id)
                if not desk.open:
                    continue
                taken = await self.store.due(
                    desk.budget, self.clock(), self.lease, CHUNK
                )
                if taken.claims:
                    yield taken.claims
                if len(taken.claims) == CHUNK:
                    more.append(app_id)
            left = more


@dataclass(frozen=True, slots=True)
class Every:
    """Every token of every open app, due or not, waiting for the quota if need be."""

    store: Claims
    clock: Callable[[], datetime]
    lease: timedelta
    stopping: asyncio.Event
    pausing: Callable[[Pause], None] | None = None

    async def claims(self, desks: Desks) -> AsyncIterator[list[Claim]]:
        """Chunks of claims, until every token was claimed once."""
        after = dict.fromkeys(desks.open_ids(), -1)

        async def take(app_id: str) -> tuple[Taken, bool]:
            taken = await self.store.after(
                after[app_id],
                desks.of(app_id).budget,
                self.clock(),
                self.lease,
                CHUNK,
            )
            if taken.last is not None:
                after[app_id] = taken.last
            return taken, taken.ended

        async def count(app_id: str) -> int:
            return await self.store.count_after(app_id, after[app_id])

        async for claims in _in_turn(self, desks, list(after), take, count):
            yield claims


@dataclass(frozen=True, slots=True)
class Named:
    """These tokens by app, due or not, waiting for the quota if need be."""

    store: Claims
    clock: Callable[[], datetime]
    lease: timedelta
    stopping: asyncio.Event
    rows: Mapping[str, Sequence[int]]
    pausing: Callable[[Pause], None] | None = None

    async def claims(self, desks: Desks) -> AsyncIterator[list[Claim]]:
        """Chunks of claims, until each of them was claimed once."""
        # Nobody can ask for an app that is configured no more.
        rest = {app_id: rows for app_id, rows in self.rows.items() if app_id in desks}

        async def take(app_id: str) -> tuple[Taken, bool]:
            wanted = rest[app_id][:CHUNK]
            taken = await self.store.named(
                wanted, desks.of(app_id).budget, self.clock(), self.lease
            )
            rest[app_id] = rest[app_id][taken.last or 0 :]
            return taken, not rest[app_id]

        async def count(app_id: str) -> int:
            return len(rest[app_id])

        async for claims in _in_turn(self, desks, list(rest), take, count):
            yield claims


async def _in_turn(
    supply: "Every | Named",
    desks: Desks,
    left: list[str],
    take: Callable[[str], Awaitable[tuple[Taken, bool]]],
    count: Callable[[str], Awaitable[int]],
) -> AsyncIterator[list[Claim]]:
    """A chunk of each app in turn; when no quota has room, wait until one has."""
    while left:
        waits: dict[str, datetime] = {}
        for app_id in list(left):
            if not desks.of(app_id).open:
                left.remove(app_id)
                continue
            taken, done = await take(app_id)
            if taken.claims:
                yield taken.claims
            if done:
                left.remove(app_id)
            elif taken.next_at is not None:
                waits[app_id] = taken.next_at
        if left and len(waits) == len(left):
            app_id = min(waits, key=waits.__getitem__)
            until = waits[app_id]
            if supply.pausing is not None:
                hourly = desks.of(app_id).budget.hourly
                supply.pausing(Pause(app_id, until, await count(app_id), hourly))
            await _wait_until(until, supply.clock, supply.stopping)
            if supply.stopping.is_set():
                return


async def _wait_until(
    until: datetime, clock: Callable[[], datetime], stopping: asyncio.Event
) -> None:
    """Wait by the clock, in steps: it may be moved, and machines sleep."""
    while not stopping.is_set() and (left := until - clock()) > timedelta():
        with suppress(TimeoutError):
            async with asyncio.timeout(min(left, _STEP).total_seconds()):
                await stopping.wait()
