"""Wiring: from settings to a house with its rooms, and the daemon that lives in it."""

import asyncio
import gc
import os
import signal
import socket
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final
from urllib.parse import unquote, urlsplit

import structlog

from monitor.config import Settings
from monitor.core.delivery import Hours
from monitor.errors import ConfigurationError, OperatorError, UnavailableError
from monitor.jobs import App, Charter, Checker, Courier
from monitor.log import configure
from monitor.notify.compose import Composer
from monitor.notify.email import Mailer
from monitor.notify.server import Server, Tls
from monitor.probe.meta import MetaProbe
from monitor.store import Store, connect
from monitor.store.database import check_url, only_daemon
from monitor.store.seal import Key, Keyring

_LONGEST_ATTEMPT: Final = timedelta(seconds=120)
_TIDY_EVERY: Final = timedelta(hours=1)
_PULSE_KEPT: Final = timedelta(days=1)
_DRAIN: Final = timedelta(seconds=25)
"""What a stop leaves to work in hand; the contract says 30 seconds for everything."""

log = structlog.stdlib.get_logger("monitor")


def clock() -> datetime:
    """The one clock of the process, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the clock's owner


@dataclass(frozen=True, slots=True)
class House:
    """Everything a command needs, wired to one configuration."""

    settings: Settings
    charter: Charter
    store: Store
    checker: Checker
    courier: Courier
    composer: Composer


def configure_log(settings: Settings, level: str | None = None) -> None:
    """Log as the settings say, hiding every secret they hold."""
    configure(
        level or settings.log.level, settings.log.format, secrets=secrets_of(settings)
    )


def secrets_of(settings: Settings) -> list[str]:
    """Every secret of a configuration, to be hidden wherever it might appear."""
    hidden = [app.secret.get_secret_value() for app in settings.apps]
    hidden += [
        urlsafe_b64encode(key.secret.get_secret_value()).decode()
        for key in settings.keys
    ]
    if settings.mail.password is not None:
        hidden.append(settings.mail.password.get_secret_value())
    password = urlsplit(settings.database.get_secret_value()).password
    if password is not None:
        hidden += [password, unquote(password)]
    if settings.operator.heartbeat_url is not None:
        hidden.append(settings.operator.heartbeat_url.get_secret_value())
    return hidden


def keyring_of(settings: Settings) -> Keyring:
    """The keys that seal and open stored secrets."""
    return Keyring([Key(k.id, k.secret.get_secret_value()) for k in settings.keys])


def charter_of(settings: Settings) -> Charter:
    """The operator's wishes as the jobs read them."""
    hours = settings.mail.hours
    apps = {
        app.id: App(
            app.id,
            app.name,
            app.secret.get_secret_value(),
            app.reauthorize_url,
            app.hourly_calls,
        )
        for app in settings.apps
    }
    return Charter(
        rules=settings.rules,
        apps=apps,
        operators=settings.operator.email,
        mail_domain=settings.mail.sender.address.rpartition("@")[2],
        group_wait=settings.mail.group_wait,
        hours=None if hours is None else Hours(hours.days, hours.start, hours.end),
        lease=settings.schedule.lease,
        batch_size=settings.graph.batch_size,
        workers=settings.graph.workers,
    )


def composer_of(settings: Settings) -> Composer:
    """The writer of letters, with the operator's own templates checked.

    Raises:
        ConfigurationError: A template of the operator's is broken.
    """
    composer = Composer(
        str(settings.mail.sender),
        settings.mail.reply_to,
        templates=settings.mail.templates,
        contact=settings.mail.reply_to,
    )
    faults = composer.check() if settings.mail.templates is not None else []
    if faults:
        raise ConfigurationError(*faults)
    return composer


def server_of(settings: Settings) -> Server:
    """The mail server letters are handed to."""
    mail = settings.mail
    lease = settings.schedule.lease
    return Server(
        host=mail.host,
        port=mail.port,
        tls=Tls(mail.tls),
        ca_file=mail.ca_file,
        username=mail.username,
        password=None if mail.password is None else mail.password.get_secret_value(),
        # An attempt ends before its lease does, or two couriers might hold a letter.
        longest_attempt=min(_LONGEST_ATTEMPT, lease * 0.8),
    )


def check_settings(settings: Settings) -> None:
    """Refuse what `run` could not work with, beyond the configuration's own faults.

    Raises:
        ConfigurationError: A template, a certificate file or the database's kind.
    """
    try:
        check_url(settings.database.get_secret_value())
    except ConfigurationError as error:
        raise ConfigurationError(f"{settings.source}: {error}") from None
    composer_of(settings)
    server_of(settings).context()


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """The store alone, for commands that only read or write it."""
    url = settings.database.get_secret_value()
    async with connect(url, keyring_of(settings)) as store:
        yield store


@asynccontextmanager
async def open_house(
    settings: Settings, now: Callable[[], datetime] = clock
) -> AsyncIterator[House]:
    """The whole house, for commands that ask or tell."""
    _spare_the_collector()
    check_settings(settings)
    composer = composer_of(settings)
    server = server_of(settings)
    charter = charter_of(settings)
    random = Random()
    graph = settings.graph
    probe = MetaProbe(graph.base_url, graph.version, graph.timeout)
    async with open_store(settings) as store:
        checker = Checker(store, probe, charter, now)
        try:
            yield House(
                settings,
                charter,
                store,
                checker,
                Courier(store, composer, lambda: Mailer(server), charter, now, random),
                composer,
            )
        finally:
            await checker.close()


def _spare_the_collector() -> None:
    """What was imported never becomes garbage, and a sweep makes no cycles.

    Looking for some among a hundred thousand tokens took a tenth of a sweep's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


# --- the daemon -------------------------------------------------------------------


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
        self._stop = asyncio.Event()
        self._turn = asyncio.Event()
        """Set when the house at hand is to be left: to stop, or for a new one."""

    async def run(self) -> None:
        """Live until SIGTERM or SIGINT.

        Raises:
            AlreadyRunningError: Another daemon has this SQLite file.
        """
        structlog.contextvars.bind_contextvars(instance=self._instance)
        url = self._settings.database.get_secret_value()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        with only_daemon(url):
            reloaded = False
            while not self._stop.is_set():
                self._turn.clear()
                async with open_house(self._settings) as house:
                    await self._live(house, reloaded=reloaded)
                if self._next is not None:
                    self._settings, self._next = self._next, None
                    configure_log(self._settings, self._level)
                    reloaded = True
        log.info("daemon.stopped")

    def stop(self) -> None:
        """Finish what is in hand, and end."""
        log.info("daemon.stopping")
        self._stop.set()
        self._turn.set()

    def reload(self) -> None:
        """Take up a changed configuration; one we cannot work with changes nothing."""
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        try:
            settings = self._load()
            _same_database(self._settings, settings)
            check_settings(settings)
            async with open_store(settings):
                pass  # its keys open the database
        except OperatorError as error:
            log.error("reload.refused", faults=str(error).splitlines())
            return
        log.info("reload.accepted")
        self._next = settings
        self._turn.set()

    async def _live(self, house: House, *, reloaded: bool) -> None:
        wakers = {name: asyncio.Event() for name in ("check", "deliver", "care")}
        scheduler = _metronome(self._settings, wakers)
        log.info(
            "daemon.started",
            apps=len(house.charter.apps),
            database=self._settings.database.get_secret_value().partition(":")[0],
        )
        if reloaded:
            await _apply(house)
        jobs: dict[str, Callable[[], Awaitable[object]]] = {
            "check": house.checker.check_due,
            "deliver": house.courier.deliver_due,
            "care": _Care(house, self._instance).tick,
        }
        tasks = [
            asyncio.create_task(self._repeat(name, job, wakers[name]))
            for name, job in jobs.items()
        ]
        try:
            await self._turn.wait()
        finally:
            scheduler.shutdown(wait=False)
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
            for task in done:
                task.result()

    async def _repeat(
        self, name: str, job: Callable[[], Awaitable[object]], waker: asyncio.Event
    ) -> None:
        """Do a job at every tick; its failure costs a tick, never the daemon."""
        while not self._turn.is_set():
            await waker.wait()
            waker.clear()
            if self._turn.is_set():
                return
            try:
                await job()
            except UnavailableError as error:
                log.error("job.failed", job=name, reason=str(error))
            except Exception:  # a bug must not silence the daemon for good
                log.exception("job.failed", job=name)


def _metronome(settings: Settings, wakers: dict[str, asyncio.Event]):  # type: ignore[no-untyped-def]  # noqa: ANN202 - apscheduler has no types
    """The scheduler: it only sets events; long-lived tasks do the work."""
    from apscheduler.schedulers.asyncio import AsyncIOScheduler  # noqa: PLC0415 - slow

    scheduler = AsyncIOScheduler(
        timezone="UTC",
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    seconds = settings.schedule.tick.total_seconds()
    for name, waker in wakers.items():
        # An interval's first run is one interval late unless it is told otherwise.
        scheduler.add_job(
            _wake, "interval", [waker], seconds=seconds, id=name, next_run_time=clock()
        )
    scheduler.start()
    return scheduler


async def _wake(waker: asyncio.Event) -> None:
    waker.set()


async def _apply(house: House) -> None:
    """Judge by the new policies; without the database, each look will do it."""
    try:
        judged = await house.checker.judge_again()
    except UnavailableError as error:
        log.error("job.failed", job="policy", reason=str(error))
    else:
        log.info("policy.applied", notices=judged)


class _Care:
    """Looks after the house: a sign of life at every tick, tidying once an hour."""

    def __init__(self, house: House, instance: str) -> None:
        self._house = house
        self._instance = instance
        self._tidied_at: datetime | None = None

    async def tick(self) -> None:
        """Give a sign of life, and now and then forget what is old enough."""
        now = clock()
        store, retention = self._house.store, self._house.settings.retention
        await store.reports.beat(now, self._instance)
        if self._tidied_at is not None and now - self._tidied_at < _TIDY_EVERY:
            return
        self._tidied_at = now
        await store.ledger.prune(now)
        await store.reports.forget_pulses(now - _PULSE_KEPT)
        await store.reports.prune(now - retention.checks, now - retention.outbox)


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
