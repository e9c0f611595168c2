"""Values with a default for every field: a test says only what matters to it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from monitor.core.delivery import Item, Pending, Role
from monitor.core.incident import Incident, Reason
from monitor.core.observation import Look, Observation
from monitor.core.policy import Rule
from monitor.core.tokens import (
    USER,
    Answer,
    Cause,
    Code,
    Expected,
    Inconclusive,
    Introspection,
)
from monitor.core.verdict import MEANINGS, Finding, Verdict, severity_of

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""A Monday at noon."""
SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
INSTANT: Final = timedelta.resolution
APP: Final = "1234567890"


def a_live_introspection(**said: Any) -> Introspection:
    """A user token with 60 days to go, and 90 of data access."""
    usual = Introspection(
        app_id=APP,
        kind=USER,
        user_id="1001",
        profile_id=None,
        issued_at=NOW - DAY,
        expires_at=NOW + 60 * DAY,
        data_access_expires_at=NOW + 90 * DAY,
        scopes=("ads_read", "pages_show_list"),
    )
    return replace(usual, **said)


def a_dead_introspection(
    fault: Code = Code.PASSWORD_CHANGED, **said: Any
) -> Introspection:
    """The same token, of which Meta says that it is dead, and why."""
    return a_live_introspection(fault=fault, **said)


def no_answer(cause: Cause = Cause.TRANSIENT) -> Inconclusive:
    """A look that could not tell."""
    return Inconclusive(cause)


def an_expected(**said: Any) -> Expected:
    """The inventory names the app and leaves the rest to the answer."""
    return replace(Expected(APP), **said)


def a_rule(**wishes: Any) -> Rule:
    """The built-in policy."""
    return replace(Rule(), **wishes)


def a_look(answer: Answer | None = None, **said: Any) -> Look:
    """A look at noon by a caller proved that very moment."""
    answer = a_live_introspection() if answer is None else answer
    asked_at = said.pop("asked_at", NOW)
    proved_at = said.pop("proved_at", asked_at)
    return replace(Look(answer, asked_at, proved_at), **said)


def an_observation(known: Introspection | None = None, **said: Any) -> Observation:
    """A living token, confirmed at noon."""
    known = a_live_introspection() if known is None else known
    return replace(Observation(known, NOW, NOW), **said)


def a_finding(code: Code = Code.EXPIRING, **said: Any) -> Finding:
    """The token ends in three days; other codes are as sudden as they can be."""
    deadline = NOW + 3 * DAY if code is Code.EXPIRING else None
    return replace(Finding(code, deadline, sudden=MEANINGS[code].sudden), **said)


def a_verdict(*findings: Finding, **said: Any) -> Verdict:
    """What the findings amount to, verified at noon; all is well without any."""
    severity = severity_of(finding.code for finding in findings)
    return replace(Verdict(severity, findings, NOW), **said)


def an_incident(**said: Any) -> Incident:
    """A password was changed a day ago; its owner was told at once."""
    usual = Incident(
        opened_at=NOW - DAY,
        told=frozenset({Code.PASSWORD_CHANGED}),
        notices=1,
        last_reason=Reason.OPENED,
        last_notice_at=NOW - DAY,
        settled_at=NOW - DAY,
        first_told_at=NOW - DAY,
        critical_since=NOW - DAY,
    )
    return replace(usual, **said)


def an_item(*findings: Finding, **said: Any) -> Item:
    """The first notice about a token that ends in three days."""
    usual = Item(
        subject="token:bakery",
        incident="i-1",
        number=1,
        reason=Reason.OPENED,
        findings=findings or (a_finding(),),
        app_id=APP,
        app_name="Acme Publisher",
        opened_at=NOW,
        verified_at=NOW,
        token_id="bakery",
        kind=USER,
        name="Bakery North",
    )
    return replace(usual, **said)


def a_pending(item: Item | None = None, **said: Any) -> Pending:
    """An owner's entry planned ten minutes ago, looked at again just now."""
    usual = Pending(
        item=an_item() if item is None else item,
        role=Role.OWNER,
        planned_at=NOW - 10 * MINUTE,
        looked_at=NOW - 10 * MINUTE,
        asked_look_at=None,
        verified_at=NOW,
        last_checked_at=NOW,
        next_check_at=NOW + 6 * HOUR,
    )
    return replace(usual, **said)
