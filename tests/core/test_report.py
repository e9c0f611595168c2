"""Report: one appointment a period, whatever the clocks of the world do."""

from datetime import UTC, datetime, time, timedelta
from typing import Final

import pytest

from monitor.core.report import Line, Listed, Rota, is_due, last_appointment

MONDAY: Final = Rota(time(9), 0)
DAILY: Final = Rota(time(2, 30), None, "Europe/Berlin")
DAY: Final = timedelta(days=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


@pytest.mark.parametrize(
    ("rota", "now", "expected", "period"),
    [
        (MONDAY, "2026-11-23 09:00", "2026-11-23 09:00", "2026-W48"),
        (MONDAY, "2026-11-23 08:59:59", "2026-11-16 09:00", "2026-W47"),
        (MONDAY, "2026-11-29 23:59", "2026-11-23 09:00", "2026-W48"),
        (MONDAY, "2027-01-03 12:00", "2026-12-28 09:00", "2026-W53"),
        # The clock goes from 02:00 to 03:00: half past two is half past three.
        (DAILY, "2027-03-28 01:29", "2027-03-27 01:30", "2027-03-27"),
        (DAILY, "2027-03-28 01:30", "2027-03-28 01:30", "2027-03-28"),
        # Half past two comes twice: the first counts.
        (DAILY, "2026-10-25 00:29", "2026-10-24 00:30", "2026-10-24"),
        (DAILY, "2026-10-25 00:30", "2026-10-25 00:30", "2026-10-25"),
        (DAILY, "2026-10-25 01:30", "2026-10-25 00:30", "2026-10-25"),
    ],
)
def test_the_last_appointment(rota: Rota, now: str, expected: str, period: str) -> None:
    found = last_appointment(rota, at(now))
    assert (found.at, found.period) == (at(expected), period)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Apia"])
@pytest.mark.parametrize("weekday", [None, 3])
def test_a_year_of_hours_has_one_report_a_period(
    zone: str, weekday: int | None
) -> None:
    rota = Rota(time(2, 30), weekday, zone)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    last = last_appointment(rota, now)
    periods = []
    for _ in range(366 * 24):
        now += timedelta(hours=1)
        found = last_appointment(rota, now)
        if is_due(found, last.at, last.period, now):
            assert now - found.at < timedelta(hours=1)
            periods.append(found.period)
            last = found
    assert len(set(periods)) == len(periods)
    assert len(periods) in ({366} if weekday is None else {52, 53})


def test_weeks_without_a_daemon_bring_one_report() -> None:
    found = last_appointment(MONDAY, at("2026-11-24 12:00"))
    assert is_due(found, at("2026-10-26 09:00"), "2026-W44", at("2026-11-24 12:00"))


def test_an_appointment_that_was_moved_brings_no_second_report() -> None:
    now = at("2026-11-25 12:00")
    friday = last_appointment(Rota(time(9), 4), now)
    assert not is_due(friday, at("2026-11-23 09:00"), "2026-W48", now)
    later = at("2026-11-27 12:00")
    friday = last_appointment(Rota(time(9), 4), later)
    assert not is_due(friday, at("2026-11-23 09:00"), "2026-W48", later)


def test_a_report_of_a_future_that_never_came_does_not_count() -> None:
    now = at("2026-11-25 12:00")
    found = last_appointment(MONDAY, now)
    assert is_due(found, at("2036-01-07 09:00"), "2036-W02", now)


def test_a_list_counts_what_it_does_not_name() -> None:
    assert Listed(5, (Line("a"), Line("b"))).more == 3
