"""Hours, days of the week and time zones, as people write them."""

import re
from datetime import time
from typing import Annotated, Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from monitor.config.scalars import shown, text_of, wrong
from monitor.errors import did_you_mean

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Days of the week in the order of `date.weekday()`."""
_CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"


class Appointment(NamedTuple):
    """A time of day, on one day of the week or on all of them."""

    weekday: int | None
    """As `date.weekday()` counts; `None`: every day."""
    time: time

    def __str__(self) -> str:
        day = "" if self.weekday is None else f"{DAYS[self.weekday]} "
        return f"{day}{self.time:%H:%M}"


def spelled_days(days: frozenset[int]) -> str:
    """Days of the week as the configuration writes them.

    >>> spelled_days(frozenset({0, 1, 2, 3, 4, 6}))
    'mon-fri,sun'
    """
    runs: list[list[int]] = []
    for day in sorted(days):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(
        DAYS[run[0]] if len(run) == 1 else f"{DAYS[run[0]]}-{DAYS[run[-1]]}"
        for run in runs
    )


def _time(value: object) -> time:
    if isinstance(value, time):
        return value
    expected = 'a time of day such as "09:00"'
    text = text_of(value, expected)
    if not re.fullmatch(_CLOCK, text):
        tidy = f"0{text}"
        near = f' — did you mean "{tidy}"?' if re.fullmatch(_CLOCK, tidy) else ""
        raise wrong(f"{shown(value)} is not {expected}{near}")
    return time.fromisoformat(text)


def _end(value: object, info: ValidationInfo) -> time:
    end, start = _time(value), info.data.get("start")
    if start is not None and end <= start:
        raise wrong(f"{shown(value)} is not later than 'from' on the same day")
    return end


def _day(text: str, value: object, expected: str) -> int:
    if text not in DAYS:
        near = did_you_mean(text, DAYS)
        raise wrong(f"{shown(value)} is not {expected}{near}")
    return DAYS.index(text)


def _days(value: object) -> frozenset[int]:
    if isinstance(value, frozenset):
        return value
    expected = "days such as mon-fri or mon,wed,sat"
    parts = value if isinstance(value, list) else [value]
    found: set[int] = set()
    for part in parts:
        for run in text_of(part, expected).replace(" ", "").lower().split(","):
            first, dash, last = run.partition("-")
            start = _day(first, part, expected)
            length = (_day(last, part, expected) - start) % 7 if dash else 0
            found.update((start + step) % 7 for step in range(length + 1))
    if not found:
        raise wrong(f"expected {expected}, found nothing")
    return frozenset(found)


def _appointment(value: object, info: ValidationInfo) -> Appointment:
    if isinstance(value, Appointment):
        return value
    daily = info.data.get("every") == "day"
    expected = 'a time such as "09:00"' if daily else 'a day and a time, "mon 09:00"'
    day, space, clock = text_of(value, expected).rpartition(" ")
    if not re.fullmatch(_CLOCK, clock) or (
        "every" in info.data and daily == bool(space)
    ):
        every = "every: day" if daily else "every: week"
        hint = f" with '{every}'" if "every" in info.data else ""
        raise wrong(f"{shown(value)} is not {expected}{hint}")
    weekday = _day(day.lower(), value, expected) if space else None
    return Appointment(weekday, time.fromisoformat(clock))


def _zone(value: object) -> ZoneInfo:
    if isinstance(value, ZoneInfo):
        return value
    expected = "a time zone such as UTC or Europe/Berlin"
    text = text_of(value, expected)
    try:
        return ZoneInfo(text)
    except (LookupError, OSError, ValueError):
        near = did_you_mean_zone(text)
        raise wrong(f"{shown(value)} is not {expected}{near}") from None


def did_you_mean_zone(text: str) -> str:
    """The nearest time zone, whatever the case of its letters."""
    zones = {zone.lower(): zone for zone in available_timezones()}
    near = did_you_mean(text, zones)
    found = re.search(r"'(.*)'", near)
    return near.replace(found[1], zones[found[1]]) if found else ""


_CLOCK_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": rf"^{_CLOCK}$|\$\{{", "examples": ["09:00"]}
)
TimeOfDay = Annotated[time, PlainValidator(_time), _CLOCK_SCHEMA]
EndOfDay = Annotated[time, PlainValidator(_end), _CLOCK_SCHEMA]
Days = Annotated[
    frozenset[int],
    PlainValidator(_days),
    WithJsonSchema({"type": ["string", "array"], "examples": ["mon-fri"]}),
]
AtTime = Annotated[
    Appointment,
    PlainValidator(_appointment),
    WithJsonSchema({"type": "string", "examples": ["mon 09:00", "09:00"]}),
]
Zone = Annotated[ZoneInfo, PlainValidator(_zone), WithJsonSchema({"type": "string"})]
