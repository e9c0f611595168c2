"""Wiring: from settings to a house with its rooms."""

import gc
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final
from urllib.parse import unquote, urlsplit

import structlog

from monitor.config import Settings
from monitor.core.delivery import Hours
from monitor.core.hold import Brake
from monitor.core.report import Rota
from monitor.errors import ConfigurationError
from monitor.jobs import App, Charter, Checker, ClockGuard, Courier, Watch
from monitor.log import configure
from monitor.notify.compose import Composer
from monitor.notify.email import Mailer
from monitor.notify.heartbeat import Heartbeat
from monitor.notify.leaflets import Leaflets
from monitor.notify.server import Server, Tls
from monitor.probe.meta import MetaProbe
from monitor.store import Store, connect
from monitor.store.database import check_url
from monitor.store.seal import Key, Keyring
from monitor.store.times import mend

_LONGEST_ATTEMPT: Final = timedelta(seconds=120)

log = structlog.stdlib.get_logger("monitor")


def clock() -> datetime:
    """The one clock of the process, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the clock's owner


_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux stops CLOCK_MONOTONIC while the machine sleeps, and CLOCK_BOOTTIME does not.

Source: clock_gettime(2), Linux man-pages.
"""


def steady() -> timedelta:
    """A clock that nobody can set: time since the machine started."""
    return timedelta(microseconds=time.clock_gettime_ns(_STEADY) // 1000)


@dataclass(frozen=True, slots=True)
class House:
    """Everything a command needs, wired to one configuration."""

    settings: Settings
    charter: Charter
    store: Store
    checker: Checker
    courier: Courier
    composer: Composer
    leaflets: Leaflets
    guard: ClockGuard


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
    hours, report = settings.mail.hours, settings.operator.report
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
    sudden = settings.hold.sudden
    brake = Brake(
        sudden.share,
        sudden.at_least,
        sudden.within,
        sudden.release_after,
        settings.hold.owner_letters_per_hour,
        settings.mail.letters_per_day,
    )
    return Charter(
        rules=settings.rules,
        apps=apps,
        operators=settings.operator.email,
        mail_domain=settings.mail.sender.address.rpartition("@")[2],
        bounce_address=settings.mail.bounce_address,
        public_url=settings.web.public_url if settings.web.listen else None,
        group_wait=settings.mail.group_wait,
        hours=None if hours is None else Hours(hours.days, hours.start, hours.end),
        locale=settings.mail.locale,
        timezone=settings.mail.timezone.key,
        brake=brake,
        lease=settings.schedule.lease,
        tick=settings.schedule.tick,
        report=None
        if report is None
        else Rota(report.at.time, report.at.weekday, report.timezone.key),
        keep_checks=settings.retention.checks,
        keep_outbox=settings.retention.outbox,
        batch_size=settings.graph.batch_size,
        workers=settings.graph.workers,
    )


def composer_of(settings: Settings, *, checked: bool = False) -> Composer:
    """The writer of letters, with the operator's own templates checked.

    Args:
        settings: The configuration.
        checked: Whether they were checked just before. If so, a file broken since
            costs its letters their words, and not the daemon its life.

    Raises:
        ConfigurationError: A template of the operator's is broken.
    """
    composer = Composer(
        str(settings.mail.sender),
        settings.mail.reply_to,
        templates=settings.mail.templates,
        contact=settings.mail.reply_to,
    )
    faults: list[str] = []
    if settings.mail.templates is not None and not checked:
        faults = [*composer.check(), *Leaflets(settings.mail.templates).check()]
    if faults:
        raise ConfigurationError(*dict.fromkeys(faults))
    return composer


def heartbeat_of(settings: Settings) -> Heartbeat | None:
    """The watchman outside, if there is one."""
    url = settings.operator.heartbeat_url
    return None if url is None else Heartbeat(url.get_secret_value())


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
    _check_places(settings)
    composer_of(settings)


def _check_places(settings: Settings) -> None:
    try:
        check_url(settings.database.get_secret_value())
    except ConfigurationError as error:
        raise ConfigurationError(f"{settings.source}: {error}") from None
    server_of(settings).context()


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """The store alone, for commands that only read or write it."""
    url = settings.database.get_secret_value()
    async with connect(url, keyring_of(settings)) as store:
        yield store


@asynccontextmanager
async def open_house(
    settings: Settings,
    now: Callable[[], datetime] = clock,
    *,
    checked: bool = False,
) -> AsyncIterator[House]:
    """The whole house, for commands that ask or tell.

    Args:
        settings: The configuration.
        now: The clock; virtual time has its own.
        checked: Whether `check_settings` was content just before.
    """
    _spare_the_collector()
    _check_places(settings)
    composer = composer_of(settings, checked=checked)
    server = server_of(settings)
    charter = charter_of(settings)
    random = Random()
    graph = settings.graph
    probe = MetaProbe(graph.base_url, graph.version, graph.timeout)
    async with open_store(settings) as store:
        # Virtual time is right by definition, and has no steady clock beside it.
        watch = Watch(now, steady if now is clock else None)
        checker = Checker(store, probe, charter, now, watch)
        courier = Courier(
            store, composer, lambda: Mailer(server), charter, now, random, watch
        )

        async def set_right(at: datetime) -> None:
            """Nothing waits for a time that was only dreamt of."""
            if await mend(
                store.database,
                at,
                lease=charter.lease,
                group_wait=charter.group_wait,
                hold=charter.brake.release_after,
                sweep=charter.sweep,
            ):
                await checker.judge_again()

        guard = ClockGuard(store, probe, charter, watch, set_right)
        leaflets = Leaflets(settings.mail.templates)
        try:
            yield House(
                settings, charter, store, checker, courier, composer, leaflets, guard
            )
        finally:
            await guard.close()
            await checker.close()


def _spare_the_collector() -> None:
    """What was imported never becomes garbage, and a sweep makes no cycles.

    Looking for some among a hundred thousand tokens took a tenth of a sweep's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
