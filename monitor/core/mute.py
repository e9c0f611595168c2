"""Mute: a reader stops the reminders of a matter; what he must know still comes.

What stops is what repeats: reminders, and notices that only say that less time is left.
What stays is news, the final notice before a date, and the end of the matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from monitor.core.incident import leads_of
from monitor.core.policy import Rule
from monitor.core.signature import letter_of, signed
from monitor.core.verdict import Finding

_PURPOSE: Final = b"mute-v1"


def mute_url(base: str, letter_id: str, key: bytes) -> str:
    """Where the reader of a letter stops its reminders.

    It names the letter and nothing else: no address, no token, no page.
    """
    return f"{base}/mute/{signed(letter_id, key, _PURPOSE)}"


def letter_behind(link: str, key: bytes) -> str | None:
    """The letter whose link this is, by its last part; `None`: it is none of ours."""
    return letter_of(link, key, _PURPOSE)


def is_final(findings: Sequence[Finding], rule: Rule, now: datetime) -> bool:
    """Whether a date has come so near that no closer notice of it will follow."""
    return any(
        finding.deadline - now <= min(leads)
        for finding in findings
        if finding.deadline is not None and (leads := leads_of(finding.code, rule))
    )


class Wish(StrEnum):
    """What a visitor wants."""

    LOOK = "look"
    STOP = "stop"
    RESUME = "resume"


class Sheet(StrEnum):
    """What a visitor is shown; the name of its words in `pages/mute.txt`."""

    ON = "on"
    OFF = "off"
    AGAIN = "again"
    OVER = "over"
    UNKNOWN = "unknown"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Scope:
    """What one link covers: the matters of a letter, for its reader."""

    letter_id: str
    reader: str
    product: str
    locale: str | None
    """`None`: the inventory names none."""
    incidents: tuple[str, ...]
    open: frozenset[str] = frozenset()
    """Those that are not over."""
    muted: frozenset[str] = frozenset()
    """Those whose reminders he has stopped."""


def sheet(scope: Scope | None, wish: Wish) -> Sheet:
    """What is shown of a scope as it stands after the wish."""
    if scope is None:
        return Sheet.UNKNOWN
    if not scope.open:
        return Sheet.OVER
    if scope.open <= scope.muted:
        return Sheet.OFF
    return Sheet.AGAIN if wish is Wish.RESUME else Sheet.ON


def hinted(address: str) -> str:
    """An address its owner recognises and nobody else learns.

    >>> hinted("ann@bakery.example")
    'a…@b….example'
    """
    local, _, domain = address.rpartition("@")
    last = domain.rpartition(".")[2]
    return f"{local[:1]}…@{domain[:1]}….{last}"
