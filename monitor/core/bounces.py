"""Bounces: an envelope sender of its own for each letter, and what a report proves.

Everybody can mail that address, so a report counts only if it proves that it saw the
letter: by our signature in its recipient, or by the random Message-ID.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from monitor.core.signature import SIGNED, SIGNED_LENGTH, letter_of, signed

LONGEST_LOCAL: Final = 64
"""RFC 5321, section 4.5.3.1.1: the octets of a local part."""
LONGEST_BASE: Final = LONGEST_LOCAL - SIGNED_LENGTH - 1
"""How long the local part of `mail.bounce_address` may be."""
_PURPOSE: Final = b"bounce-v1"


def envelope_sender(bounce_address: str, letter_id: str, key: bytes) -> str:
    """Where the bounces of a letter go: `bounces+ID.SIGNATURE@acme.example`."""
    local, _, domain = bounce_address.rpartition("@")
    return f"{local}+{signed(letter_id, key, _PURPOSE)}@{domain}"


def letters_named(texts: Iterable[str], key: bytes) -> tuple[str, ...]:
    """The letters whose ids stand in these texts under a signature of ours."""
    found: dict[str, None] = {}
    for text in texts:
        # Local parts come back in any case.
        for match in SIGNED.finditer(text.lower()):
            letter = letter_of(match[0], key, _PURPOSE)
            if letter is not None:
                found[letter] = None
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Fate:
    """What a report says of one recipient: RFC 3464, section 2.3."""

    recipients: tuple[str, ...]
    """The original and the final recipient, without their address types."""
    action: str
    """In lower case: `failed`, `delayed`, `delivered`, `relayed`, `expanded`."""
    status: str
    """Such as `5.1.1`; empty: it is no status."""

    @property
    def lost(self) -> bool:
        """Whether the letter will not be delivered, and nobody tries any more.

        A 4.x.x that has failed was tried for days: RFC 3463, section 3.1, calls it
        abandoned.
        """
        return self.action == "failed" and self.status[:1] in {"4", "5"}


@dataclass(frozen=True, slots=True)
class Report:
    """A message that came to the bounce address, as far as we need it."""

    addressed: tuple[str, ...] = ()
    """Whom it came to, and the envelope it is about."""
    message_ids: tuple[str, ...] = ()
    """Of the letters it returns."""
    fates: tuple[Fate, ...] = ()
    """Empty: it is no delivery report."""
    automatic: bool = False
    """Whether it calls itself an automatic reply: RFC 3834, section 5."""


class Finding(StrEnum):
    """What a message to the bounce address came to."""

    UNREACHABLE = "unreachable"
    """The letter is lost, its reader unreachable."""
    KNOWN = "known"
    """So it was before: the same report again, or another of the same letter."""
    PASSING = "passing"
    """A delay, a relay, a delivery: nothing changes."""
    AUTOMATIC = "automatic"
    """An automatic reply, which says nothing about delivery."""
    FORGED = "forged"
    """A report that does not prove it is about a letter of ours to this reader."""
    OTHER = "other"
    """No delivery report at all."""
    UNREADABLE = "unreadable"
    """Not a message anybody could read."""


def judge(report: Report, recipient: str | None) -> Finding:
    """What a report says of the letter that it proves to be about.

    Args:
        report: The report.
        recipient: The letter's reader; `None`: it proves to be about no letter.
    """
    if not report.fates:
        return Finding.AUTOMATIC if report.automatic else Finding.OTHER
    ours = [] if recipient is None else _fates_of(recipient, report)
    if not ours:
        return Finding.FORGED
    lost = any(fate.lost for fate in ours)
    return Finding.UNREACHABLE if lost else Finding.PASSING


def status_of(report: Report, recipient: str) -> str:
    """The status with which a letter was lost to this reader."""
    return next(fate.status for fate in _fates_of(recipient, report) if fate.lost)


def _fates_of(recipient: str, report: Report) -> list[Fate]:
    reader = _plain(recipient)
    return [fate for fate in report.fates if reader in map(_plain, fate.recipients)]


def _plain(address: str) -> str:
    """An address as it compares: its case forgotten, its domain as servers write it."""
    local, _, domain = address.lower().rpartition("@")
    try:
        return f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        return f"{local}@{domain}"
