"""The daemon: it lives in the house until it is told to stop."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from monitor.app import (
    House,
    check_settings,
    clock,
    configure_log,
    heartbeat_of,
    open_house,
    open_store,
)
from monitor.config import Settings
from monitor.errors import ConfigurationError, OperatorError, UnavailableError
from monitor.jobs import Tally
from monitor.jobs.caretaker import Caretaker
from monitor.metronome import Metronome
from monitor.presence import Presence
from monitor.store.database import only_daemon
from monitor.systemd import manager

_DRAIN: Final = timedelta(seconds=25)
"""What a stop leaves to work in hand; the contract says 30 seconds for everything."""

_JOBS: Final = ("check", "deliver", "care")

log = structlog.stdlib.get_logger("monitor")


class Daemon:
    """Checks and delivers until it is told to stop; reloads without forgetting."""

    def __init__(
        self, load: Callable[[], Settings], settings: Settings, level: str | None
    ) -> None:
        self._load = load
        self._settings = settings
        self._level = level
        self._next: Settings | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._instance = instance_name()
        self._presence = Presence(manager())
        self._trusted = False
        """Whether the clock was believed last: a reload is no reason to doubt it."""
        self._to_apply = False
        """Whether new policies wait for the first look."""
        self._stop = asyncio.Event()
        self._turn = asyncio.Event()
        """Set when the house at hand is to be left: to stop, or for a new one."""

    async def run(self) -> None:
        """Live until SIGTERM or SIGINT.

        Raises:
            AlreadyRunningError: Another daemon has this SQLite file.
            UnavailableError: The database, or the place of the web, cannot be had.
        """
        structlog.contextvars.bind_contextvars(instance=self._instance)
        url = self._settings.database.get_secret_value()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        with only_daemon(url):
            async with self._presence.shown():
                await self._live_on()
        log.info("daemon.stopped")

    async def _live_on(self) -> None:
        """House after house, until we are told to stop."""
        await self._presence.listen(self._settings.web.listen)
        reloaded = False
        while not self._stop.is_set():
            self._turn.clear()
            async with (
                open_house(self._settings, checked=reloaded) as house,
                self._presence.of(house, *_JOBS),
            ):
                await self._live(house, reloaded=reloaded)
            if self._next is not None:
                self._settings, self._next = self._next, None
                configure_log(self._settings, self._level)
                reloaded = True

    def stop(self) -> None:
        """Finish what is in hand, and end."""
        log.info("daemon.stopping")
        self._presence.stopping()
        self._stop.set()
        self._turn.set()

    def reload(self) -> None:
        """Take up a changed configuration; one we cannot work with changes nothing."""
        if self._reloading is None or self._reloading.done():
            self._presence.reloading()
            self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        try:
            settings = self._load()
            _same_database(self._settings, settings)
            # Beside the loop: templates in many languages take a second.
            await asyncio.to_thread(check_settings, settings)
            async with open_store(settings):
                pass  # its keys open the database
            await self._presence.listen(settings.web.listen)
        except OperatorError as error:
            log.error("reload.refused", faults=str(error).splitlines())
            self._presence.reload_refused()
            return
        log.info("reload.accepted")
        self._next = settings
        self._turn.set()

    async def _live(self, house: House, *, reloaded: bool) -> None:
        wakers = {name: asyncio.Event() for name in _JOBS}
        metronome = Metronome(self._settings.schedule.tick, wakers.items(), clock)
        log.info(
            "daemon.started",
            apps=len(house.charter.apps),
            database=self._settings.database.get_secret_value().partition(":")[0],
        )
        if not (reloaded and self._trusted):
            house.guard.require()
        self._to_apply = reloaded
        caretaker = Caretaker(
            house.store,
            house.charter,
            clock,
            instance=self._instance,
            heartbeat=heartbeat_of(self._settings),
            doubted_since=lambda: house.guard.suspected_since,
        )
        self._presence.heed(caretaker.ailments)
        jobs: dict[str, Callable[[], Awaitable[object]]] = {
            "check": partial(
                self._check, house, self._noting(caretaker, "check"), wakers["deliver"]
            ),
            "deliver": partial(
                house.courier.deliver_due, self._noting(caretaker, "deliver")
            ),
            "care": caretaker.tick,
        }
        tasks = [
            asyncio.create_task(self._repeat(name, job, wakers[name], caretaker))
            for name, job in jobs.items()
        ]
        try:
            await self._turn.wait()
        finally:
            metronome.stop()
            house.checker.stop()
            house.courier.stop()
            for waker in wakers.values():
                waker.set()
            done, late = await asyncio.wait(tasks, timeout=_DRAIN.total_seconds())
            for task in late:
                task.cancel()
            if late:
                log.warning("daemon.hurried", tasks=len(late))
                await asyncio.wait(late)
            await caretaker.close()
            for task in done:
                task.result()

    async def _check(
        self, house: House, progress: Callable[[int], None], deliver: asyncio.Event
    ) -> Tally:
        """Look at what is due, if the clock that says so may be gone by."""
        doubted = house.guard.doubted_since is not None
        self._trusted = await house.guard.tick()
        if not self._trusted:
            return Tally()
        if self._to_apply:
            self._to_apply = False
            await _apply(house)
        if doubted:
            deliver.set()  # letters waited for this word
        return await house.checker.check_due(progress)

    def _noting(self, caretaker: Caretaker, job: str) -> Callable[[int], None]:
        """A long pass shows that it gets something done."""
        progress = self._presence.progress(job)

        def note(done: int) -> None:
            progress(done)
            caretaker.note(job)

        return note

    async def _repeat(
        self,
        name: str,
        job: Callable[[], Awaitable[object]],
        waker: asyncio.Event,
        caretaker: Caretaker,
    ) -> None:
        """Do a job at every tick; its failure costs a tick, never the daemon."""
        while not self._turn.is_set():
            await waker.wait()
            waker.clear()
            if self._turn.is_set():
                return
            self._presence.began(name)
            try:
                self._presence.done(name, await job())
                caretaker.note(name)
            except UnavailableError as error:
                self._presence.failed(name)
                log.error("job.failed", job=name, reason=str(error))
            except Exception:  # a bug must not silence the daemon for good
                self._presence.failed(name)
                log.exception("job.failed", job=name)


async def _apply(house: House) -> None:
    """Judge by the new policies; without the database, each look will do it."""
    try:
        judged = await house.checker.judge_again()
    except UnavailableError as error:
        log.error("job.failed", job="policy", reason=str(error))
    else:
        log.info("policy.applied", notices=judged)


def instance_name() -> str:
    """What tells this daemon from its replicas: the host, and the process on it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _same_database(old: Settings, new: Settings) -> None:
    if old.database.get_secret_value() != new.database.get_secret_value():
        raise ConfigurationError(
            f"{new.source}: database: changed; a running daemon keeps its own, "
            "restart it to move"
        )


async def run(load: Callable[[], Settings], level: str | None = None) -> None:
    """Be the daemon until told to stop."""
    settings = load()
    configure_log(settings, level)
    await Daemon(load, settings, level).run()
