"""Presence: how a running daemon shows itself, on the web and to systemd."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

import structlog

from monitor import __version__
from monitor.app import House, clock
from monitor.config.addresses import Listen
from monitor.core.mute import Sheet, Wish
from monitor.core.vitals import Ailment, Organ
from monitor.jobs import Delivered, Tally
from monitor.jobs.muting import Desk, later
from monitor.jobs.signs import Signs
from monitor.notify.leaflets import Leaflets
from monitor.store.gauges import Gauges, Snapshot
from monitor.systemd import Manager
from monitor.web.kept import Kept
from monitor.web.metrics import Counts, View, exposition
from monitor.web.pages import pages
from monitor.web.serve import Door

_PROBE: Final = timedelta(seconds=2)
"""Within so long the database takes a small write, or readiness is gone."""
_SCRAPE: Final = timedelta(seconds=5)
_READY: Final = (Organ.SCHEDULER, Organ.DATABASE, Organ.CLOCK)
"""The organs without which this daemon is not ready."""

log = structlog.stdlib.get_logger("monitor")


def _nothing() -> Sequence[Ailment]:
    return ()


class Presence:
    """The daemon from outside: it outlives a reload, the house behind it does not."""

    def __init__(
        self, manager: Manager, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._manager = manager
        self._signs = Signs(monotonic)
        self._counts = Counts()
        self._leaflets = Leaflets()
        self._door: Door | None = None
        self._place: Listen | None = None
        self._face: _Face | None = None
        self._ailing: Callable[[], Sequence[Ailment]] = _nothing

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """While the block lasts systemd hears that we live, if we do."""
        pinging = asyncio.create_task(self._ping())
        try:
            yield
        finally:
            pinging.cancel()
            with suppress(asyncio.CancelledError):
                await pinging
            if self._door is not None:
                await self._door.close()

    async def listen(self, place: Listen | None) -> None:
        """Serve the web at this place from now on, and no longer at another.

        Raises:
            UnavailableError: It cannot be had; the place before it stays.
        """
        if place == self._place:
            return
        before, self._door = self._door, await self._opened(place)
        self._place = place
        if before is not None:
            await before.close()

    async def _opened(self, place: Listen | None) -> Door | None:
        if place is None:
            return None
        app = pages(self.sick, self._metrics, self._mute)
        door = await Door.open(place.host, place.port, app)
        log.info("web.listening", host=place.host, port=door.port)
        return door

    # --- the house behind it

    @asynccontextmanager
    async def of(self, house: House, *jobs: str) -> AsyncIterator[None]:
        """Show this house while the block lasts.

        Args:
            house: Whose database is looked at.
            jobs: What works in it: each tells when it begins and how it ended.
        """
        self._signs.expect(*jobs)
        self._face = face = _Face(house, self._signs)
        self._manager.ready(f"watches the tokens of {len(house.charter.apps)} apps")
        try:
            yield
        finally:
            self._face = None
            self._ailing = _nothing
            self._signs.expect()
            await face.close()

    def reloading(self) -> None:
        """The configuration is read again."""
        self._manager.reloading()

    def reload_refused(self) -> None:
        """The configuration at hand stays."""
        self._manager.ready("keeps its configuration: the new one was refused")

    def stopping(self) -> None:
        """What is in hand is finished."""
        self._manager.stopping()

    # --- what the jobs tell

    def began(self, job: str) -> None:
        """A job begins its work of a tick."""
        self._signs.stirred(job)

    def progress(self, job: str) -> Callable[[int], None]:
        """What a long job calls whenever it got on."""
        return lambda _: self._signs.worked(job)

    def failed(self, job: str) -> None:
        """A job failed at this tick."""
        self._signs.stirred(job)
        self._counts.failures[job] += 1

    def done(self, job: str, result: object) -> None:
        """A job did its work of a tick."""
        self._signs.worked(job)
        if isinstance(result, Tally):
            self._counts.swept_at = clock()
            self._counts.looks["conclusive"] += result.conclusive
            self._counts.looks.update(result.causes)
        elif isinstance(result, Delivered):
            self._counts.letters["sent"] += result.sent
            self._counts.letters["deferred"] += result.deferred
            self._counts.letters["refused"] += result.refused
            self._counts.dropped += result.dropped

    # --- what others ask

    def heed(self, ailing: Callable[[], Sequence[Ailment]]) -> None:
        """Ask the caretaker of this house what ails it."""
        self._ailing = ailing

    async def sick(self) -> Sequence[Ailment]:
        """What keeps the daemon from working: database, fresh sweeps, the clock.

        Meta or the mail server in trouble is for metrics and letters: nobody would do
        better by sending this replica away.
        """
        if self._face is None:
            return [Ailment(Organ.SCHEDULER, "takes up its configuration")]
        return self._with(await self._face.sick(), _READY)

    def _with(
        self, found: Sequence[Ailment], organs: Collection[Organ]
    ) -> list[Ailment]:
        known = {ailment.organ for ailment in found}
        more = (each for each in self._ailing() if each.organ in organs)
        return [*found, *(each for each in more if each.organ not in known)]

    async def _metrics(self) -> bytes:
        face = self._face
        ailments = self._with(await self.sick(), tuple(Organ))
        view = View(
            now=clock(),
            version=__version__,
            organs=tuple(Organ),
            sick={ailment.organ for ailment in ailments},
            hourly={} if face is None else face.hourly,
            ages=self._signs.ages,
            counts=self._counts,
            snapshot=None if face is None else await face.snapshot.ask(),
        )
        return exposition(view)

    async def _mute(
        self, link: str, wish: Wish, language: str, nonce: str
    ) -> tuple[Sheet, str]:
        """Serve a reader who wants no reminders; between two houses, nobody does."""
        if self._face is None:
            return later(self._leaflets, language, nonce)
        return await self._face.desk.serve(link, wish, language, nonce)

    async def _ping(self) -> None:
        """Tell systemd that we live, as often as it wants, unless a job hangs.

        It runs in the loop of the jobs: if that stands still, so does this.
        """
        watchdog = self._manager.watchdog
        if watchdog is None:
            return
        quiet = False
        while True:
            hung = {} if self._face is None else self._face.hung()
            if not hung:
                self._manager.alive()
            elif not quiet:
                names = ", ".join(sorted(hung))
                self._manager.status(f"hangs: {names}; the watchdog is not told")
                log.error("job.hung", jobs=sorted(hung))
            if quiet and not hung:
                self._manager.status("nothing hangs any more")
            quiet = bool(hung)
            await asyncio.sleep(watchdog.total_seconds() / 2)


class _Face:
    """What is asked of one house."""

    def __init__(self, house: House, signs: Signs) -> None:
        gauges = Gauges(house.store.database)

        async def touch() -> bool:
            await gauges.touch(clock())
            return True

        async def count() -> Snapshot:
            return await gauges.snapshot(clock())

        self.hourly = {
            app_id: app.hourly_calls for app_id, app in house.charter.apps.items()
        }
        self.desk = Desk(house.store, house.leaflets, clock, house.charter.locale)
        self._tick = house.settings.schedule.tick
        self._signs = signs
        self._touch = Kept(touch, keep=_PROBE, patience=_PROBE)
        self.snapshot = Kept(count, keep=_SCRAPE, patience=_SCRAPE, costly=True)

    def hung(self) -> dict[str, timedelta]:
        return self._signs.hung(self._tick)

    async def sick(self) -> Sequence[Ailment]:
        """Our own look at the database, which needs no tick, and what the jobs say."""
        found: list[Ailment] = []
        if not await self._touch.ask():
            seconds = _PROBE.total_seconds()
            found.append(
                Ailment(Organ.DATABASE, f"took no write within {seconds:.0f} seconds")
            )
        found += [
            Ailment(
                Organ.SCHEDULER,
                f"the job {job} got nothing done",
                clock() - age,
            )
            for job, age in self._signs.fruitless(self._tick).items()
        ]
        return found

    async def close(self) -> None:
        await self._touch.close()
        await self.snapshot.close()
