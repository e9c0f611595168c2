"""Report: when the operator hears how it stands, and what he is told then."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

MOST_LINES: Final = 20
"""A list of the report names so many, and counts the rest."""
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rota:
    """When the report is due: at a time of day, every day or on one day of the week."""

    at: time
    weekday: int | None = None
    """As `date.weekday()` counts; `None`: every day."""
    timezone: str = "UTC"


class Appointment(NamedTuple):
    """One instant at which a report was due, and the period it closes."""

    at: datetime
    period: str
    """`2026-W48`, or for a daily report `2026-11-24`."""


def last_appointment(rota: Rota, now: datetime) -> Appointment:
    """The latest appointment that has come.

    Each local day has exactly one instant for a time of day, also on the days when
    clocks change: one that is skipped counts an hour later, of two the first counts.
    """
    zone = ZoneInfo(rota.timezone)
    day = now.astimezone(zone).date()
    while True:
        at = datetime.combine(day, rota.at, zone).astimezone(UTC)
        if at <= now and rota.weekday in {None, day.weekday()}:
            return Appointment(at, _period(rota, day))
        day -= _DAY


def _period(rota: Rota, day: date) -> str:
    if rota.weekday is None:
        return day.isoformat()
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def is_due(
    appointment: Appointment, last_at: datetime, last_period: str, now: datetime
) -> bool:
    """Whether its report is still to be written, given the one written last.

    One of a future that never came, by a clock that was wrong, does not count.
    """
    if last_at > now:
        return True
    return appointment.at > last_at and appointment.period != last_period


# --- what it tells


@dataclass(frozen=True, slots=True)
class Line:
    """One thing of a list."""

    label: str
    detail: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """The first lines of a list, and how many there are in all."""

    total: int = 0
    lines: tuple[Line, ...] = ()

    @property
    def more(self) -> int:
        """How many are not named."""
        return self.total - len(self.lines)


@dataclass(frozen=True, slots=True)
class Digest:
    """How it stands with everything, at one instant."""

    total: int
    checked: int
    """Tokens with a conclusive answer at any time."""
    unknown: int
    never: int
    """Tokens nobody looked at yet."""
    overdue: int
    warning: int
    critical: int
    oldest_verified_at: datetime | None = None
    ailing: Listed = Listed()
    told_in_vain: Listed = Listed()
    """Critical tokens whose owners had all their reminders."""
    silences: Listed = Listed()
    excess: Listed = Listed()
    short_lived: Listed = Listed()
    waiting: Listed = Listed()
    """Letters that wait, by the reason; the detail is their number."""
    refused: Listed = Listed()
    matters: Listed = Listed()
    """The operator's own open incidents."""
