"""The operator's report: once a period, whatever restarts, sleeps or runs twice."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Final

import pytest

from monitor.core.report import Rota
from monitor.jobs import reporting
from monitor.jobs.caretaker import Caretaker
from monitor.jobs.charter import Charter
from monitor.jobs.reporting import Reporter
from monitor.store import digest
from tests.jobs.house import DAY, HOUR, MINUTE, OPS, Builder, House, a_token

MONDAYS: Final = Rota(time(9), 0, "Europe/Berlin")
DAILY: Final = Rota(time(9), None, "Europe/Berlin")
OTHER: Final = "second@acme.example"


async def with_report(house: Builder, rota: Rota | None = MONDAYS) -> House:
    """A house from Tuesday, 24 November 2026, 09:00 UTC on."""
    home = await house(a_token(), report=rota)
    await home.check()
    return home


async def pass_days(home: House, days: float, step: timedelta = 8 * HOUR) -> None:
    """Ticks of a caretaker who is restarted each time, and of a courier."""
    until = home.clock() + days * DAY
    while home.clock() < until:
        home.clock.advance(min(step, until - home.clock()))
        care = Caretaker(home.store, home.charter, home.clock, instance="here:1")
        await care.tick()
        await care.settle()
        await home.deliver()


def reports(home: House, to: str = OPS) -> list[str]:
    return [each for each in home.subjects(to) if "2026-" in each]


async def test_it_comes_at_the_next_appointment_and_then_once_a_week(
    house: Builder,
) -> None:
    home = await with_report(house)
    await pass_days(home, 5)
    assert reports(home) == [], "a first start sends none at once"
    await pass_days(home, 9)
    assert reports(home) == [
        "[token-monitor] Report 2026-W49: 1 token, 0 critical, 0 unknown",
        "[token-monitor] Report 2026-W50: 1 token, 0 critical, 0 unknown",
    ]
    first = home.letters(OPS)[0]
    assert "Overdue for a look: 1" in first.text
    assert first.message["X-Token-Monitor-Reason"] == "report"
    assert first.envelope_to == (OPS,)


async def test_when_all_is_well_it_says_so(house: Builder) -> None:
    home = await with_report(house, DAILY)
    await pass_days(home, 0.9)
    await home.check()
    await pass_days(home, 0.1)
    assert reports(home) == [
        "[token-monitor] Every token is looked after (1 in all, 2026-11-25)"
    ]


async def test_replicas_write_one(house: Builder) -> None:
    home = await with_report(house)
    await pass_days(home, 5)
    home.clock.now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    await asyncio.gather(
        *(Reporter(home.store, home.charter).report([], home.clock()) for _ in range(5))
    )
    await home.deliver()
    assert len(reports(home)) == 1


async def test_weeks_asleep_bring_one_late(house: Builder) -> None:
    home = await with_report(house)
    await pass_days(home, 0.5)
    home.clock.advance(20 * DAY)
    await pass_days(home, 0.5)
    assert len(reports(home)) == 1


async def test_of_two_that_wait_for_the_mail_server_the_newer_leaves(
    house: Builder,
) -> None:
    home = await with_report(house, DAILY)
    await pass_days(home, 0.9)
    care = Caretaker(home.store, home.charter, home.clock)
    for _ in range(2):
        home.clock.advance(DAY)
        await care.tick()
    await care.settle()
    written = [row for row in await home.entries() if row[1] == "report"]
    assert sorted(state for *_, state in written) == ["dropped", "waiting"]
    await home.deliver()
    assert len(reports(home)) == 1
    assert "2026-11-26" in reports(home)[0]


async def test_every_operator_gets_it(house: Builder) -> None:
    home = await with_report(house, DAILY)
    both = replace(home.charter, operators=(OPS, OTHER))
    home = house.wire(home.graph, home.mailbox, both)
    await pass_days(home, 1.1)
    assert len(reports(home)) == len(reports(home, OTHER)) == 1


async def test_without_an_appointment_none_is_written(house: Builder) -> None:
    home = await with_report(house, None)
    await pass_days(home, 15, DAY)
    assert home.letters() == []
    assert await home.store.digests.last() is None


async def test_it_is_never_part_of_another_letter(house: Builder) -> None:
    home = await with_report(house, DAILY)
    await pass_days(home, 0.5)
    home.graph.set_app_secret("1", "rotated")
    home.clock.now = datetime(2026, 11, 25, 7, 59, tzinfo=UTC)
    await home.check()
    home.clock.advance(2 * MINUTE)
    care = Caretaker(home.store, home.charter, home.clock)
    await care.tick()
    await care.settle()
    home.clock.advance(MINUTE)
    await home.deliver()
    alarm, report = sorted(home.subjects(OPS))
    assert "rejects the credentials" in alarm
    assert "2026-11-25" in report
    assert "app:1, since" in next(
        each.text for each in home.letters(OPS) if each.subject == report
    )


async def test_an_operator_who_is_one_no_more_is_not_written_to(
    house: Builder,
) -> None:
    home = await with_report(house, DAILY)
    await pass_days(home, 0.9)
    home.clock.advance(DAY)
    care = Caretaker(home.store, home.charter, home.clock)
    await care.tick()
    await care.settle()
    wishes: Charter = replace(home.charter, operators=(OTHER,))
    moved = house.wire(home.graph, home.mailbox, wishes)
    await moved.deliver()
    assert moved.letters() == []


async def test_a_reporter_that_forgets_is_found_out(
    house: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: who does not look at what was written repeats it."""

    def always(*_: object) -> bool:
        return True

    monkeypatch.setattr(digest, "is_due", always)
    monkeypatch.setattr(reporting, "is_due", always)
    home = await with_report(house, DAILY)
    await pass_days(home, 1.5)
    assert len(reports(home)) > 2
