"""Lengths of time, as people write them: `90s`, `6h`, `14d`, `1d12h`."""

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from monitor.config.scalars import Read, pattern_schema, shown, text_of, wrong

_UNITS: Final = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_LONGEST: Final = timedelta(days=3_660)
_DURATION = re.compile(
    r"(?=\d)(?:(\d{1,6})w)?(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?",
    re.ASCII,
)


def duration(value: object) -> timedelta:
    """A duration such as `90s`, `6h` or `1d12h`; zero is one too.

    >>> duration("1d12h")
    datetime.timedelta(days=1, seconds=43200)
    """
    if isinstance(value, timedelta):
        return value
    expected = "a duration such as 90s, 15m, 6h, 14d, 2w or 1d12h"
    text = text_of(value, expected)
    if text and (found := _DURATION.fullmatch(text)):
        parts = zip(_UNITS.values(), found.groups(), strict=True)
        length = timedelta(seconds=sum(unit * int(n or 0) for unit, n in parts))
        if length > _LONGEST:
            raise wrong(f"{shown(value)} is longer than ten years")
        return length
    if re.fullmatch(r"[0-9]{1,9}", text):
        units = " or ".join(f"{text}{unit}" for unit in "smhd")
        raise wrong(f"{shown(value)} lacks a unit, expected {units}")
    if text.startswith("-"):
        raise wrong(f"{shown(value)} is negative, expected {expected}")
    tidy = text.lower().replace(" ", "")
    near = f" — did you mean '{tidy}'?" if _DURATION.fullmatch(tidy) else ""
    raise wrong(f"{shown(value)} is not {expected}{near}")


def _positive(value: object) -> timedelta:
    length = duration(value)
    if not length:
        raise wrong(f"{shown(value)} is no time at all, expected more than zero")
    return length


def spelled(length: timedelta) -> str:
    """A duration as the configuration writes it, in the largest units that fit.

    >>> spelled(timedelta(hours=36)), spelled(timedelta(days=14)), spelled(timedelta(0))
    ('1d12h', '14d', '0s')
    """
    left, told = int(length.total_seconds()), ""
    for unit, seconds in _UNITS.items():
        if unit != "w" and left >= seconds:
            told += f"{left // seconds}{unit}"
            left %= seconds
    return told or "0s"


def _widest_first(ladder: tuple[timedelta, ...]) -> tuple[timedelta, ...]:
    return tuple(sorted(set(ladder), reverse=True))


_LENGTH: Final = {
    **pattern_schema("(?:[0-9]+[wdhms])+"),
    "examples": ["15m", "6h", "14d", "1d12h"],
}
Duration = Annotated[timedelta, Read(duration, _LENGTH)]
Positive = Annotated[timedelta, Read(_positive, _LENGTH)]
Ladder = Annotated[
    tuple[Positive, ...], Field(min_length=1), AfterValidator(_widest_first)
]
