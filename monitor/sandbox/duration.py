"""Durations as people write them in a scenario: `90s`, `15m`, `6h`, `14d`, `2w`."""

import re
from datetime import timedelta

_TEXT = re.compile(r"(-?)(\d+(?:\.\d+)?)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """Read a duration; a leading minus lies in the past.

    >>> duration("90s"), duration("-2d")
    (datetime.timedelta(seconds=90), datetime.timedelta(days=-2))

    Raises:
        ValueError: the text is no duration.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 14d, 6h or 90s")
    span = timedelta(**{_UNITS[match[3]]: float(match[2])})
    return -span if match[1] else span
