"""How one sentence of the table of meanings is written."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from monitor.core.tokens import Cause, Code

Meaning: TypeAlias = Code | Cause
"""A fault of the token, or why the look could not tell."""


class Position(StrEnum):
    """Where an error stands; position, not text, tells whom it is about.

    The same texts come about the token and about the caller (payloads 003 and 053).
    """

    TOKEN = "token"  # noqa: S105 - a position, not a secret
    """Inside `data.error`: about the token asked about."""
    ITEM = "item"
    """The error of one batch item, or of a call that asks about one token."""
    CALL = "call"
    """The error of a whole batch."""


@dataclass(frozen=True, slots=True)
class Said:
    """One error, as the issuer put it; `None` means that it did not say."""

    position: Position
    status: int
    code: int | None = None
    """At `token`, `None` means `is_valid: false` without any error object."""
    subcode: int | None = None
    transient: bool | None = None
    text: str = ""
    """The message, case-folded, with single spaces."""


Numbers: TypeAlias = frozenset[int | None] | range


@dataclass(frozen=True, slots=True)
class Row:
    """One sentence of the table; `None` and `()` mean whatever is said."""

    meaning: Meaning
    positions: tuple[Position, ...]
    note: str
    source: str
    codes: Numbers | None = None
    subcodes: Numbers | None = None
    transient: bool | None = None
    texts: tuple[str, ...] = ()
    """Any one of them, anywhere in the text."""
    statuses: Numbers | None = None

    def covers(self, said: Said) -> bool:
        """Whether this row is about what was said."""
        return (
            said.position in self.positions
            and (self.codes is None or said.code in self.codes)
            and (self.subcodes is None or said.subcode in self.subcodes)
            and (self.transient is None or said.transient is self.transient)
            and (self.statuses is None or said.status in self.statuses)
            and (not self.texts or any(text in said.text for text in self.texts))
        )


DEBUG: Final = 'Graph API, "Debug Token", read 2026-11-23'
DEBUGGING: Final = 'Facebook Login, "Debugging Access Tokens", read 2026-11-23'
ERRORS: Final = 'Graph API, "Error Handling", read 2026-11-23'
RATES: Final = 'Graph API, "Rate Limits", read 2026-11-23'
BATCH: Final = 'Graph API, "Batch Requests", read 2026-11-23'
SECURE: Final = 'Graph API, "Secure Graph API Calls", read 2026-11-23'
CLOUD: Final = 'WhatsApp Cloud API, "Error Codes", read 2026-11-23'
LIST: Final = "facebook-csharp-sdk issue 186 (a list of 2012), read 2026-11-23"
THREADS: Final = "issue threads, no recording; read 2026-11-23"
GUESS: Final = "a guess, and the safe one"


def payload(number: str) -> str:
    """The source that a payload beside the tests is."""
    return f"payload {number}"


SESSION: Final = frozenset({0, 102, 190})
"""The codes that speak of a session, and so of a token.

Source: Graph API, "Error Handling", and WhatsApp Cloud API, "Error Codes" (code 0),
read 2026-11-23.
"""
