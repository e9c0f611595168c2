"""Attempts: how far an SMTP conversation came, and what its end means."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

GIVE_UP_AFTER: Final = timedelta(days=4)
"""RFC 5321, section 4.5.4.1: the give-up time needs to be at least 4-5 days."""
CHANNEL_PAUSE: Final = timedelta(minutes=5)
_FIRST_RETRY: Final = timedelta(minutes=5)
_LONGEST_RETRY: Final = timedelta(hours=4)


class Phase(StrEnum):
    """How far an SMTP conversation had come."""

    CONNECT = "connect"
    HELLO = "hello"
    """EHLO, STARTTLS and AUTH."""
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    """Up to and including the message, without its final dot."""
    DOT = "dot"
    """The final dot was written; its reply is awaited."""


class Outcome(StrEnum):
    """What became of one attempt."""

    SENT = "sent"
    DEFERRED = "deferred"
    """Not accepted now; the letter is tried again, ever later."""
    UNKNOWN = "unknown"
    """The dot was written and no reply came: perhaps sent, so the very same letter
    is tried again."""
    REFUSED = "refused"
    """Never to be accepted; nobody is tried again."""
    DISPUTED = "disputed"
    """Refused by policy, the reader's or the server's: see dispute.py."""
    CHANNEL = "channel"
    """The way to the server is in trouble, no letter's fault and no letter's clock."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at handing a letter over."""

    outcome: Outcome
    phase: Phase
    code: int | None = None
    """The reply code; `None`: no reply came."""
    reply: str = ""
    """The first line of the reply, without addresses, for the operator."""


_SMTP_PERMANENT: Final = 500


def outcome_of(phase: Phase, code: int | None) -> Outcome:
    """What a failed attempt means, by how far it came.

    Up to the reply to `MAIL FROM` trouble is the channel's; from `RCPT` on it is the
    letter's: 5xx is final, everything else is tried again.
    """
    if phase in {Phase.CONNECT, Phase.HELLO, Phase.MAIL}:
        return Outcome.CHANNEL
    if code is None:
        return Outcome.UNKNOWN if phase is Phase.DOT else Outcome.DEFERRED
    return Outcome.REFUSED if code >= _SMTP_PERMANENT else Outcome.DEFERRED


def retry_at(attempts: int, now: datetime, jitter: float) -> datetime:
    """When a deferred letter is tried again: doubling waits, at most four hours.

    Args:
        attempts: How often it was tried so far, at least 1.
        now: The present instant.
        jitter: From 0 to 1; stretches the wait by up to a quarter.
    """
    wait: timedelta = min(_FIRST_RETRY * 2 ** min(attempts - 1, 12), _LONGEST_RETRY)
    return now + wait * (1 + jitter / 4)
