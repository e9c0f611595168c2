"""Disputes: a refusal by policy may be the reader's or ours; what others meet tells.

`550 5.7.1` is said by a reader who blocks us, and by a relay that lost its trust in us.
The one is that letter's end; the other must not cost a single letter.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from monitor.core.attempt import Outcome

WINDOW: Final = timedelta(hours=1)
"""What others met longer ago says nothing about now."""
MOST_TRIES: Final = 4
"""Without a word from others: tries within 40 minutes, then it is the reader's."""
_PERMANENT: Final = 500
_POLICY: Final = 7
_OF_POLICY: Final = frozenset({530, 535, 538})
"""RFC 4954, sections 4 and 6: authentication is required, failed, or too weak."""
_ENHANCED: Final = re.compile(r"\s*5\.(\d{1,3})\.(\d{1,3})(?!\S)")
_NO_RELAY: Final = re.compile(r"#5\.7\.\d|\brelay|\brcpthosts\b", re.IGNORECASE)
"""Servers without enhanced codes, when they do not send on for us any more: Exim says
`550 relay not permitted`, qmail `553 ... my list of allowed rcpthosts (#5.7.1)`."""
_THE_READERS: Final = frozenset({2, 17, 18})
"""RFC 3463, section 3.8: a list that may not be written to. RFC 7293, section 11: the
mailbox, or its domain, has another owner."""


def is_disputed(code: int | None, reply: str) -> bool:
    """Whether a refusal speaks of security or policy: RFC 3463, section 3.8.

    >>> is_disputed(550, "5.7.1 message refused"), is_disputed(550, "5.1.1 unknown")
    (True, False)
    >>> is_disputed(550, "relay not permitted"), is_disputed(550, "no such user")
    (True, False)
    """
    if code is None or code < _PERMANENT:
        return False
    found = _ENHANCED.match(reply)
    if found is None:
        return code in _OF_POLICY or _NO_RELAY.search(reply) is not None
    return int(found[1]) == _POLICY and int(found[2]) not in _THE_READERS


@dataclass(frozen=True, slots=True)
class Others:
    """What became of other letters of late."""

    disputed_at: datetime | None = None
    """When another reader's letter was last refused by policy."""
    accepted_at: datetime | None = None
    """When another reader's letter was last accepted."""


def settle_dispute(before: datetime | None, tries: int, others: Others) -> Outcome:
    """What a refusal by policy means.

    Two readers in a row are refused: it is the way, all letters wait, no clock runs.
    Others are accepted between two tries of this letter: it is the reader, for good.
    As long as neither is known the letter is put off, a few times.

    Args:
        before: When this letter was refused by policy before.
        tries: How often it was tried, this time included.
        others: What others met.
    """
    accepted_at, disputed_at = others.accepted_at, others.disputed_at
    if disputed_at is not None and (accepted_at is None or accepted_at < disputed_at):
        return Outcome.CHANNEL
    if before is not None and accepted_at is not None and accepted_at >= before:
        return Outcome.REFUSED
    return Outcome.REFUSED if tries >= MOST_TRIES else Outcome.DEFERRED
