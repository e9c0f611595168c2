"""Proof of life: the heartbeat stops for each organ broken, and a letter names it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from monitor.core.vitals import (
    BLIND_AFTER,
    DATABASE_GONE_AFTER,
    LATE_AFTER,
    SHUT_AFTER,
    STALLED_AFTER,
    Organ,
)
from monitor.errors import UnavailableError
from monitor.jobs.caretaker import SURVEY_EVERY, Caretaker
from monitor.notify.heartbeat import Heartbeat
from monitor.store.settlement import channel_pause
from tests.faults.watchman import Watchman, watching
from tests.jobs.house import ANN, HOUR, MINUTE, OPS, Builder, House, a_token

TICK: Final = 3 * MINUTE


@dataclass
class Daemon:
    """The jobs at every tick of virtual time, as the daemon runs them."""

    home: House
    care: Caretaker
    watchman: Watchman
    stopped: set[str] = field(default_factory=set)
    """Jobs that fail at every tick."""
    doubted_since: datetime | None = None

    async def live(self, span: timedelta) -> None:
        """Let time pass, tick by tick."""
        until = self.home.clock() + span
        while self.home.clock() < until:
            self.home.clock.advance(TICK)
            await self.job("check", self.home.check)
            await self.job("deliver", self.home.deliver)
            try:
                await self.care.tick()
            except UnavailableError:
                continue
            finally:
                await self.care.settle()

    async def job(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        if name in self.stopped:
            return
        try:
            await work()
        except UnavailableError:
            return
        self.care.note(name)

    async def change(self, statement: str) -> None:
        """Move a date behind the back of the monitor, instead of waiting for it."""
        async with self.home.store.database.write() as connection:
            await connection.exec_driver_sql(statement)

    def last_ping(self) -> datetime:
        return self.watchman.pings[-1]

    def bells(self) -> list[str]:
        """The subjects of the operator's letters."""
        return self.home.subjects(OPS)

    async def known(self) -> list[str]:
        return [each.organ.value for each in self.care.ailments()]


Make = Callable[..., Awaitable[Daemon]]


@pytest.fixture
async def daemon(house: Builder) -> AsyncIterator[Make]:
    async with watching(house.clock) as watchman:

        async def make(kind: type[Caretaker] = Caretaker) -> Daemon:
            home = await house(a_token(), a_token("south"))
            made: list[Daemon] = []
            care = kind(
                home.store,
                home.charter,
                home.clock,
                instance="here:1",
                heartbeat=Heartbeat(watchman.url),
                doubted_since=lambda: made[0].doubted_since if made else None,
            )
            made.append(Daemon(home, care, watchman))
            return made[0]

        yield make


# --- each organ broken in turn


class Fault:
    """Breaks one organ of a daemon that is well, and mends it."""

    told_by_caretaker = True
    organ: Organ
    bound: timedelta
    recovery = 30 * MINUTE

    async def strike(self, daemon: Daemon) -> None:
        raise NotImplementedError

    async def mend(self, daemon: Daemon) -> None:
        raise NotImplementedError


class Scheduler(Fault):
    organ, bound = Organ.SCHEDULER, STALLED_AFTER

    async def strike(self, daemon: Daemon) -> None:
        daemon.stopped.add("check")

    async def mend(self, daemon: Daemon) -> None:
        daemon.stopped.clear()


class Database(Fault):
    """Another process holds the file and lets nobody write."""

    organ, bound = Organ.DATABASE, DATABASE_GONE_AFTER

    async def strike(self, daemon: Daemon) -> None:
        await daemon.change("PRAGMA busy_timeout=1")
        self.lock = sqlite3.connect(daemon.home.database, isolation_level=None)
        self.lock.execute("BEGIN IMMEDIATE")

    async def mend(self, daemon: Daemon) -> None:  # noqa: ARG002 - as the others
        with closing(self.lock):
            self.lock.execute("ROLLBACK")


class Graph(Fault):
    """Every call fails, though the tokens are due again and again."""

    organ, bound = Organ.GRAPH, BLIND_AFTER
    recovery = HOUR + 15 * MINUTE
    """A resting app is asked again within an hour."""

    async def strike(self, daemon: Daemon) -> None:
        daemon.home.graph.fail_with("code_2")
        await daemon.change("UPDATE health SET next_check_at = 0")

    async def mend(self, daemon: Daemon) -> None:
        daemon.home.graph.fail_with(None)


class Smtp(Fault):
    """The mail server is shut; somebody has news, so it is noticed."""

    organ, bound = Organ.SMTP, SHUT_AFTER

    async def strike(self, daemon: Daemon) -> None:
        daemon.home.mailbox.fail_at("CONNECT", "421 4.3.0 closed for today")
        daemon.home.graph.set_state("north", "revoked")
        await daemon.change("UPDATE health SET next_check_at = 0")
        while (await channel_pause(daemon.home.store.database))[0] is None:
            await daemon.live(TICK)

    async def mend(self, daemon: Daemon) -> None:
        daemon.home.mailbox.mend()


class Clock(Fault):
    """The guard of the clock does not believe it."""

    organ, bound = Organ.CLOCK, timedelta()
    told_by_caretaker = False  # the guard writes about it, once there is evidence

    async def strike(self, daemon: Daemon) -> None:
        daemon.doubted_since = daemon.home.clock()

    async def mend(self, daemon: Daemon) -> None:
        daemon.doubted_since = None


async def watched(daemon: Daemon, fault: Fault) -> None:
    """The whole course of a fault; raises where the monitor would mislead."""
    await daemon.live(2 * TICK)
    assert daemon.last_ping() == daemon.home.clock(), "pinged while all is well"
    await fault.strike(daemon)
    struck = daemon.home.clock()
    await daemon.live(fault.bound + 12 * TICK)
    late = daemon.last_ping() - struck
    assert late <= fault.bound + 2 * TICK, f"pinged {late} after {fault.organ} broke"
    assert await daemon.known() == [fault.organ]
    await fault.mend(daemon)
    mended = daemon.home.clock()
    await daemon.live(fault.recovery)
    assert daemon.last_ping() == daemon.home.clock(), "pinged again when all is well"
    assert daemon.last_ping() > mended
    if fault.organ is Organ.CLOCK:  # of that its guard tells
        assert daemon.bells() == []
        return
    named = [each for each in daemon.bells() if f"({fault.organ})" in each]
    if fault.told_by_caretaker:
        told, healed = named
        assert "does its work again" not in told
        assert "does its work again" in healed
    assert daemon.bells() == named, "nothing else is told, and nothing twice"


FAULTS: Final = [Scheduler, Database, Graph, Smtp, Clock]


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.organ)
async def test_the_heartbeat_stops_and_the_letter_names_the_organ(
    daemon: Make, kind: type[Fault]
) -> None:
    await watched(await daemon(), kind())


class Blind(Caretaker):
    """A planted bug: whatever happens, all seems well."""

    def ailments(self) -> list:  # type: ignore[type-arg]
        return []


class Hasty(Blind):
    """Another one: it pings before it has looked."""

    async def tick(self) -> None:
        self._ping(self._clock())
        await super().tick()


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.organ)
async def test_a_caretaker_that_sees_nothing_is_found_out(
    daemon: Make, kind: type[Fault]
) -> None:
    with pytest.raises(AssertionError, match=f"after {kind.organ} broke"):
        await watched(await daemon(Hasty), kind())


@pytest.mark.parametrize("state", ["transient", "null_item"])
async def test_one_token_meta_tells_nothing_about_is_no_silence(
    daemon: Make, state: str
) -> None:
    """Only it was asked for hours: the others were not due."""
    here = await daemon()
    await here.live(2 * TICK)
    here.home.graph.set_state("north", state)
    await here.change("UPDATE health SET next_check_at = 0")
    await here.live(5 * HOUR)
    assert here.bells() == []
    here.home.graph.set_state("south", state)
    await here.live(3 * HOUR)
    (told,) = here.bells()
    assert "(graph)" in told


async def test_by_a_doubted_clock_nothing_is_forgotten(daemon: Make) -> None:
    here = await daemon()
    await here.live(2 * TICK)
    here.home.graph.set_state("north", "revoked")
    await here.change("UPDATE health SET next_check_at = 0")
    await here.live(HOUR)
    assert here.home.owner_letters
    here.doubted_since = here.home.clock()
    here.home.clock.advance(timedelta(days=3650))
    await here.live(2 * TICK)
    assert len(await here.home.store.reports.entries(state="sent")) == 1
    assert here.bells() == []


# --- what must not stop it, and what must


async def test_a_spent_quota_is_no_silence_of_meta(daemon: Make) -> None:
    here = await daemon()
    await here.live(2 * TICK)
    here.home.graph.fail_with("throttle")
    await here.change("UPDATE health SET next_check_at = 0")
    await here.live(2 * HOUR)
    assert here.last_ping() == here.home.clock()
    assert here.bells() == []


async def test_refused_credentials_stop_it_at_once_and_are_told_once(
    daemon: Make,
) -> None:
    here = await daemon()
    await here.live(2 * TICK)
    here.home.graph.set_app_secret("1", "rotated")
    await here.change("UPDATE health SET next_check_at = 0")
    struck = here.home.clock()
    await here.live(2 * HOUR)
    assert here.last_ping() <= struck
    (bell,) = here.bells()
    assert "rejects the credentials" in bell


async def test_a_refused_letter_to_the_operator_stops_it_until_one_arrives(
    daemon: Make,
) -> None:
    here = await daemon()
    here.home.mailbox.refuse(OPS)
    await here.live(2 * TICK)
    here.stopped.add("check")
    await here.live(STALLED_AFTER + 2 * TICK)
    here.stopped.clear()
    await here.live(30 * MINUTE)
    assert [each.organ for each in here.care.ailments()] == [Organ.SMTP]
    assert here.last_ping() < here.home.clock() - 30 * MINUTE
    here.home.mailbox.accept(OPS)
    (row,) = await here.home.store.reports.entries(state="refused")
    await here.home.store.hand.retry(row["id"], "ops", here.home.clock())
    await here.live(2 * TICK)
    assert here.last_ping() == here.home.clock()


async def test_several_readers_put_off_and_nobody_served_is_a_failure(
    daemon: Make, house: Builder
) -> None:
    here = await daemon()
    await here.live(2 * TICK)
    here.home.mailbox.fail_at("RCPT", "451 4.7.1 later")
    bob = house.row(here.home, "south", owner_email="bob@brewery.example")
    await here.home.store.inventory.import_rows([bob], here.home.clock())
    for name in ("north", "south"):
        here.home.graph.set_state(name, "revoked")
    await here.change("UPDATE health SET next_check_at = 0")
    await here.live(HOUR + 30 * MINUTE)
    assert await here.known() == [Organ.SMTP]
    here.home.mailbox.mend()
    await here.change("UPDATE letters SET due_at = 0 WHERE state = 'open'")
    await here.live(2 * TICK)
    assert len(here.home.letters(ANN)) == 1
    assert await here.known() == []


async def test_claims_that_are_never_recorded_do_not_hide_a_token(
    daemon: Make,
) -> None:
    """Their due time moves ahead for ever: only the ledger of looks tells."""
    here = await daemon()
    await here.live(2 * TICK)
    six_hours = 6 * HOUR // timedelta.resolution
    await here.change(
        f"UPDATE health SET next_check_at = next_check_at + {six_hours}, "  # noqa: S608 - ours
        f"last_checked_at = last_checked_at - {six_hours}"
    )
    await here.live(LATE_AFTER - 2 * TICK)
    assert await here.known() == []
    await here.live(SURVEY_EVERY + 3 * TICK)
    (ailment,) = here.care.ailments()
    assert ailment.organ is Organ.SCHEDULER
    assert "2 tokens of Acme go without the looks they are due" in ailment.what


async def test_tokens_of_an_app_that_is_configured_no_more_are_missed(
    daemon: Make, house: Builder
) -> None:
    here = await daemon()
    lost = house.row(here.home, "south", app_id="99")
    await here.home.store.inventory.import_rows([lost], here.home.clock())
    await here.change("UPDATE tokens SET created_at = 0 WHERE app_id = '99'")
    await here.live(LATE_AFTER + SURVEY_EVERY)
    (ailment,) = here.care.ailments()
    assert "app 99, which is not configured" in ailment.what


async def test_a_machine_that_slept_is_given_time_to_catch_up(daemon: Make) -> None:
    here = await daemon()
    await here.live(2 * TICK)
    here.home.clock.advance(timedelta(days=3))
    asleep = here.home.clock()
    here.stopped.add("check")
    await here.live(TICK)
    assert await here.known() == []
    assert here.last_ping() < asleep, "nothing has come through since"
    here.stopped.clear()
    await here.live(30 * MINUTE)
    assert here.last_ping() == here.home.clock()
    assert here.bells() == []


# --- the ping itself


async def test_a_ping_comes_once_a_minute_at_most(daemon: Make) -> None:
    here = await daemon()
    for _ in range(30):
        here.home.clock.advance(timedelta(seconds=10))
        for name in ("check", "deliver"):
            here.care.note(name)
        await here.care.tick()
        await here.care.settle()
    assert len(here.watchman.pings) == 5
    assert {each.split()[0] for each in here.watchman.asked} == {"GET"}


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"404 Not Found", "status 404"),
        (b"302 Found", "status 302"),
        (b"5", "RemoteProtocolError"),
        (None, "no reply within 0.2 seconds"),
    ],
)
async def test_a_ping_that_fails_says_so_without_the_url(
    house: Builder, reply: bytes | None, said: str
) -> None:
    async with watching(house.clock) as watchman:
        watchman.reply = reply
        heartbeat = Heartbeat(watchman.url, timedelta(seconds=0.2))
        async with asyncio.timeout(5):
            assert await heartbeat.ping() == said
        assert "canary" not in repr(heartbeat)
    assert await heartbeat.ping() == "ConnectError"


async def test_a_ping_that_hangs_delays_no_tick(daemon: Make, tmp_path: Path) -> None:
    here = await daemon()
    here.watchman.reply = None
    async with asyncio.timeout(5):
        for _ in range(3):
            here.home.clock.advance(MINUTE)
            for name in ("check", "deliver"):
                here.care.note(name)
            await here.care.tick()
        await here.care.close()
