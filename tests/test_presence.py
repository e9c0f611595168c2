"""The daemon's presence: pings while it lives, words while it does not."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.app import House, open_house
from monitor.config import Settings, load
from monitor.core.mute import Sheet, Wish
from monitor.core.vitals import Ailment, Organ
from monitor.jobs import Delivered, Tally, signs
from monitor.presence import Presence
from monitor.systemd import Manager
from tests.whole.tools import Place

WATCHDOG = timedelta(seconds=0.1)
JOBS = ("check", "deliver", "care")


class Time:
    """The monotonic clock, as the test moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(Place.make(tmp_path).config, {})


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    async with open_house(settings) as opened:
        yield opened


class Systemd:
    """What a manager hears."""

    def __init__(self, door: socket.socket) -> None:
        self._door = door

    def heard(self) -> list[str]:
        """Everything said since the last time."""
        words: list[str] = []
        while True:
            try:
                words += self._door.recv(4096).decode().split("\n")
            except BlockingIOError:
                return words

    async def pings(self) -> int:
        """How many pings come within four times the watchdog's half."""
        self.heard()
        await asyncio.sleep(2 * WATCHDOG.total_seconds())
        return self.heard().count("WATCHDOG=1")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(str(tmp_path / "notify"))
        door.settimeout(0)
        yield Systemd(door)


@pytest.fixture
def clock() -> Time:
    return Time()


@asynccontextmanager
async def living(house: House, folder: Path, clock: Time) -> AsyncIterator[Presence]:
    presence = Presence(Manager(str(folder / "notify"), WATCHDOG), clock)
    async with presence.shown(), presence.of(house, *JOBS):
        yield presence


async def test_a_job_that_hangs_ends_the_pings_and_says_so(
    house: House, systemd: Systemd, clock: Time, tmp_path: Path
) -> None:
    async with living(house, tmp_path, clock) as presence:
        assert "READY=1" in systemd.heard()
        assert await systemd.pings() > 1
        presence.began("check")
        clock.now += signs.HUNG.total_seconds() + 1
        for job in ("deliver", "care"):
            presence.done(job, None)
        await asyncio.sleep(WATCHDOG.total_seconds())
        assert "STATUS=hangs: check; the watchdog is not told" in systemd.heard()
        assert await systemd.pings() == 0
        presence.progress("check")(1)
        assert await systemd.pings() > 1, "it got on after all"


async def test_without_the_bound_a_job_that_hangs_would_go_unseen(
    house: House,
    systemd: Systemd,
    clock: Time,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The positive control: what the test above sees is our bound."""
    monkeypatch.setattr(signs, "HUNG", timedelta(days=3650))
    async with living(house, tmp_path, clock):
        clock.now += timedelta(days=1).total_seconds()
        assert await systemd.pings() > 1


async def test_a_loop_that_stands_still_pings_nobody(
    house: House, systemd: Systemd, clock: Time, tmp_path: Path
) -> None:
    async with living(house, tmp_path, clock):
        await systemd.pings()
        time.sleep(4 * WATCHDOG.total_seconds())  # noqa: ASYNC251 - the planted stall
        assert systemd.heard().count("WATCHDOG=1") == 0


async def test_jobs_that_get_nothing_done_are_an_ailment(
    house: House, systemd: Systemd, clock: Time, tmp_path: Path
) -> None:
    presence = Presence(Manager(), clock)
    assert [each.organ for each in await presence.sick()] == [Organ.SCHEDULER]
    async with living(house, tmp_path, clock) as presence:
        assert await presence.sick() == []
        clock.now += signs.FRUITLESS.total_seconds() + 1
        presence.failed("check")
        presence.done("deliver", Delivered(sent=1))
        presence.done("care", None)
        (ailment,) = await presence.sick()
        assert ailment.organ is Organ.SCHEDULER
        assert ailment.what == "the job check got nothing done"
        assert ailment.since is not None
        presence.done("check", Tally())
        assert await presence.sick() == []


async def test_the_caretaker_says_what_else_ails_the_house(house: House) -> None:
    presence = Presence(Manager())
    found = [
        Ailment(Organ.SMTP, "the mail server fails"),
        Ailment(Organ.CLOCK, "nobody vouches for the clock"),
    ]
    async with presence.of(house, *JOBS):
        presence.heed(lambda: found)
        ready = [each.organ for each in await presence.sick()]
        assert ready == [Organ.CLOCK], "this replica can do nothing about a mail server"
        shown = (await presence._metrics()).decode()
        assert 'token_monitor_ready{organ="smtp"} 0.0' in shown
        assert 'token_monitor_ready{organ="graph"} 1.0' in shown
    assert [each.organ for each in await presence.sick()] == [Organ.SCHEDULER]


async def test_between_two_houses_readers_are_asked_to_come_again(
    house: House,
) -> None:
    presence = Presence(Manager())
    wish = ("0123456789ab.aaaaaaaaaaaaaaaa", Wish.STOP, "en", "nonce")
    shown, page = await presence._mute(*wish)
    assert (shown, "Please try again later" in page) == (Sheet.LATER, True)
    async with presence.of(house, *JOBS):
        assert (await presence._mute(*wish))[0] is Sheet.UNKNOWN
