"""Lay out the report: its facts as the plain data that the template fills in."""

from typing import Final

from msgspec import json

from monitor.core.delivery import Item
from monitor.core.report import Digest, Line, Listed
from monitor.notify.facts import Data
from monitor.notify.safe import clean
from monitor.notify.words import Calendar

LISTS: Final = (
    "ailing",
    "told_in_vain",
    "silences",
    "excess",
    "short_lived",
    "waiting",
    "refused",
    "matters",
)
_COUNTS: Final = (
    "total",
    "checked",
    "unknown",
    "never",
    "overdue",
    "warning",
    "critical",
)
_digest: Final = json.Decoder(Digest)


def digest_facts(item: Item, calendar: Calendar) -> Data:
    """What the report says, its lists cleaned line by line."""
    digest = _digest.decode(item.facts["digest"])
    oldest = digest.oldest_verified_at
    data: Data = {name: getattr(digest, name) for name in _COUNTS}
    data |= {name: _list(getattr(digest, name), calendar) for name in LISTS}
    return data | {
        "period": clean(item.facts["period"], 20),
        "oldest": None if oldest is None else calendar.moment(oldest),
        "well": not (digest.critical or digest.unknown or digest.overdue)
        and not any(getattr(digest, name).total for name in LISTS),
    }


def _list(listed: Listed, calendar: Calendar) -> Data:
    return {
        "lines": [_line(line, calendar) for line in listed.lines],
        "more": listed.more,
    }


def _line(line: Line, calendar: Calendar) -> Data:
    return {
        "label": clean(line.label, 80),
        "detail": clean(line.detail),
        "at": None if line.at is None else calendar.moment(line.at),
    }
