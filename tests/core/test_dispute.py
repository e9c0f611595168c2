"""Disputes: whose refusal by policy it is, told by what other readers meet."""

from datetime import UTC, datetime, timedelta

import pytest

from monitor.core.attempt import Outcome
from monitor.core.dispute import MOST_TRIES, Others, is_disputed, settle_dispute

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
EARLIER, LATER = NOW - timedelta(minutes=5), NOW + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("code", "reply", "disputed"),
    [
        (550, "5.7.1 delivery not authorized", True),
        (554, "5.7.0 policy", True),
        (550, "5.7.26 unauthenticated", True),
        (530, "5.7.0 authentication required", True),
        (530, "authentication required", True),
        (535, "go away", True),
        (538, "encryption required", True),
        (550, "5.1.1 unknown", False),
        (550, "no such user", False),
        (550, "relay not permitted", True),
        (554, "(address): Relay access denied", True),
        (553, "sorry, not in my list of allowed rcpthosts (#5.7.1)", True),
        (550, "5.1.1 no relay of that name", False),
        (554, "5.7.2 list expansion prohibited", False),
        (550, "5.7.17 mailbox owner has changed", False),
        (550, "5.7.18 domain owner has changed", False),
        (550, "5.7.1234 nonsense", False),
        (450, "4.7.1 greylisted", False),
        (None, "5.7.1 no reply code", False),
    ],
)
def test_what_speaks_of_policy(code: int | None, reply: str, *, disputed: bool) -> None:
    assert is_disputed(code, reply) is disputed


@pytest.mark.parametrize(
    ("before", "tries", "others", "outcome"),
    [
        (None, 1, Others(), Outcome.DEFERRED),
        (EARLIER, MOST_TRIES - 1, Others(), Outcome.DEFERRED),
        (EARLIER, MOST_TRIES, Others(), Outcome.REFUSED),
        # Another was refused likewise, and nobody accepted since.
        (None, 1, Others(disputed_at=NOW), Outcome.CHANNEL),
        (EARLIER, MOST_TRIES, Others(disputed_at=NOW), Outcome.CHANNEL),
        (None, 1, Others(NOW, EARLIER), Outcome.CHANNEL),
        # Another was refused likewise, but somebody was accepted since.
        (None, 1, Others(NOW, NOW), Outcome.DEFERRED),
        (None, 1, Others(EARLIER, NOW), Outcome.DEFERRED),
        # Somebody was accepted between two tries.
        (EARLIER, 2, Others(accepted_at=NOW), Outcome.REFUSED),
        (EARLIER, 2, Others(accepted_at=EARLIER), Outcome.REFUSED),
        (NOW, 2, Others(accepted_at=EARLIER), Outcome.DEFERRED),
        (None, 1, Others(accepted_at=LATER), Outcome.DEFERRED),
    ],
)
def test_whose_refusal_it_is(
    before: datetime | None, tries: int, others: Others, outcome: Outcome
) -> None:
    assert settle_dispute(before, tries, others) is outcome
