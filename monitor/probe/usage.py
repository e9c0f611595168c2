"""Usage: what the headers tell of the quota, the version served and Meta's clock."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, TypeAlias

from monitor.probe.reading import UnreadableError, read_json

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Names in any case, and values."""

LONGEST_WAIT: Final = timedelta(days=1)
"""No header makes us wait longer; after that we ask."""

_USAGE: Final = frozenset(
    {
        "x-app-usage",
        "x-business-use-case-usage",
        "x-ad-account-usage",
        "x-page-usage",
        "x-fb-ads-insights-throttle",
    }
)
_WAIT: Final = "retry-after"
_SERVED: Final = "facebook-api-version"
TELLING: Final = _USAGE | {_WAIT, _SERVED}
"""The names, in lower case, of the headers of an item that tell us anything."""
_DATE: Final = "date"
_TELLING_OUTSIDE: Final = TELLING | {_DATE}
_PERCENTS: Final = frozenset(
    {
        "call_count",
        "total_time",
        "total_cputime",
        "call_volume",
        "cpu_time",
        "acc_id_util_pct",
        "app_id_util_pct",
    }
)
"""All are percentages of a limit, and any of them reaching 100 throttles.

Source: Graph API, "Rate Limits", read 2026-11-23; the old names from clients.
"""
_FULL: Final = 100
_LONGEST_KEPT: Final = 4_000
_LONGEST_DATE: Final = 64
_Share: TypeAlias = tuple[float | None, timedelta | None]
_VERSION: Final = re.compile(r"v[0-9]{1,3}\.[0-9]{1,3}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call's headers said; nothing said means little used."""

    percent: float | None = None
    """The highest share of any limit that is spent, in percent."""
    regain: timedelta | None = None
    """In how long Meta expects to let us call again."""
    retry_after: timedelta | None = None
    """What HTTP's own header asks for."""
    throttled: bool = False
    """Whether the call or one of its items was refused for its quota."""
    version_seen: str | None = None
    """The version that served us: another than asked for, once that one has ended.

    Source: Graph API, "Versioning", read 2026-11-23.
    """
    server_at: datetime | None = None
    """What time it is at Meta."""


def read_usage(outer: Headers, inner: Headers = (), *, throttled: bool) -> Usage:
    """What the headers of a call and of its items say; what cannot be read is left.

    Usage headers stand inside the items, and the outer reply may lack them. The
    highest percentage and the longest wait of all are what counts.

    Source: Graph API, "Batch Requests" and "Rate Limits", read 2026-11-23.
    """
    told = tuple(pair for pair in outer if pair[0].lower() in _TELLING_OUTSIDE)
    size = sum(len(name) + len(value) for name, value in told + inner)
    short = size + len(told) + len(inner) <= _LONGEST_KEPT
    read = _kept_usage if short else _read_usage
    return read(told, inner, throttled)


def _read_usage(outer: Headers, inner: Headers, throttled: bool) -> Usage:  # noqa: FBT001 - kept by place
    first: dict[str, str] = {}
    shares: list[_Share] = []
    for name, value in outer + inner:
        known = name.lower()
        if known in _USAGE:
            shares.append(_share(value))
        first.setdefault(known, value)
    date = next((value for name, value in outer if name.lower() == _DATE), "")
    server_at = _date(date[:_LONGEST_DATE])
    return Usage(
        max((percent for percent, _ in shares if percent is not None), default=None),
        max((wait for _, wait in shares if wait is not None), default=None),
        _retry_after(first.get(_WAIT, ""), server_at),
        throttled,
        _version(first.get(_SERVED, "")),
        server_at,
    )


def _share(value: str) -> _Share:
    """What one usage header says: the highest percentage and the longest wait."""
    percents: list[float] = []
    waits: list[timedelta] = []
    for entry in _entries(value):
        percents += _percents(entry)
        waits += _waits(entry)
    return max(percents, default=None), max(waits, default=None)


_kept_usage: Final = lru_cache(maxsize=64)(_read_usage)
"""Call after call says the same; what is kept is bounded in number and length."""


def _entries(value: str) -> Iterator[dict[str, object]]:
    """The objects of a usage header: itself, or lists of them by business or account.

    Source: Graph API, "Rate Limits", read 2026-11-23.
    """
    try:
        whole = read_json(value)
    except UnreadableError:
        return
    if type(whole) is not dict:
        return
    yield whole
    for part in whole.values():
        if type(part) is list:
            yield from (entry for entry in part if type(entry) is dict)


def _percents(entry: dict[str, object]) -> list[float]:
    return [
        number
        for name in _PERCENTS & entry.keys()
        if (number := _number(entry[name])) is not None
    ]


def _waits(entry: dict[str, object]) -> list[timedelta]:
    """How long this entry makes us wait, if at all.

    `estimated_time_to_regain_access` is in minutes; `reset_time_duration` is in
    seconds, and stands there before the limit is reached, too.

    Source: Graph API, "Rate Limits", read 2026-11-23.
    """
    found = []
    minutes = _number(entry.get("estimated_time_to_regain_access"))
    if minutes:
        found.append(_bounded(minutes * 60))
    seconds = _number(entry.get("reset_time_duration"))
    if seconds and max(_percents(entry), default=0) >= _FULL:
        found.append(_bounded(seconds))
    return found


def _number(value: object) -> float | None:
    if type(value) is int and 0 <= value < 10**9:
        return float(value)
    if type(value) is float and math.isfinite(value) and value >= 0:
        return value
    return None


def _bounded(seconds: float) -> timedelta:
    return timedelta(seconds=min(seconds, LONGEST_WAIT.total_seconds()))


def _retry_after(value: str, server_at: datetime | None) -> timedelta | None:
    """A number of seconds, or a date that is measured by the server's own clock.

    Source: RFC 9110, section 10.2.3.
    """
    if _SECONDS.fullmatch(value.strip()):
        return _bounded(int(value))
    at = _date(value[:_LONGEST_DATE])
    if at is None or server_at is None:
        return None
    return _bounded(max((at - server_at).total_seconds(), 0))


@lru_cache(maxsize=4)
def _date(value: str) -> datetime | None:
    if not value:
        return None
    try:
        at = parsedate_to_datetime(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _version(value: str) -> str | None:
    return value if _VERSION.fullmatch(value) else None
