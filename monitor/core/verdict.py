"""Classify: from what is known about a token to what is wrong with it, if anything."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from monitor.core.policy import Rule
from monitor.core.tokens import PAGE, USER, Code, Expected, Introspection


class Severity(StrEnum):
    """How bad it is."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    CRITICAL = "critical"


class Audience(StrEnum):
    """Who can mend it, and so who hears of it."""

    OWNER = "owner"
    OPERATOR = "operator"
    REPORT = "report"
    """Nobody is written to; the operator's report lists it."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code stands for."""

    severity: Severity
    audience: Audience
    sudden: bool
    """No date foretells it, so it is believed at the second look only."""


_WARN, _CRIT = Severity.WARNING, Severity.CRITICAL
_OWNER, _OPERATOR = Audience.OWNER, Audience.OPERATOR

MEANINGS: Final[dict[Code, Meaning]] = {
    Code.EXPIRING: Meaning(_WARN, _OWNER, sudden=False),
    Code.DATA_ACCESS_EXPIRING: Meaning(_WARN, _OWNER, sudden=False),
    Code.EXPIRED: Meaning(_CRIT, _OWNER, sudden=True),  # unless its date has passed
    Code.DATA_ACCESS_EXPIRED: Meaning(_CRIT, _OWNER, sudden=True),  # likewise
    Code.PASSWORD_CHANGED: Meaning(_CRIT, _OWNER, sudden=True),
    Code.REVOKED: Meaning(_CRIT, _OWNER, sudden=True),
    Code.CHECKPOINTED: Meaning(_CRIT, _OWNER, sudden=True),
    Code.LOGGED_OUT: Meaning(_CRIT, _OWNER, sudden=True),
    Code.UNCONFIRMED_USER: Meaning(_CRIT, _OWNER, sudden=True),
    Code.PAGE_ROLE_LOST: Meaning(_CRIT, _OWNER, sudden=True),
    Code.INVALID: Meaning(_CRIT, _OWNER, sudden=True),
    Code.SCOPES_MISSING: Meaning(_CRIT, _OWNER, sudden=True),
    Code.TARGETS_MISSING: Meaning(_CRIT, _OWNER, sudden=True),
    Code.MALFORMED: Meaning(_CRIT, _OPERATOR, sudden=True),
    Code.WRONG_APP: Meaning(_CRIT, _OPERATOR, sudden=True),
    Code.WRONG_KIND: Meaning(_CRIT, _OPERATOR, sudden=True),
    Code.WRONG_USER: Meaning(_CRIT, _OPERATOR, sudden=True),
    Code.SHORT_LIVED: Meaning(_WARN, _OPERATOR, sudden=False),
    Code.SCOPES_EXCESS: Meaning(_WARN, Audience.REPORT, sudden=False),
    Code.CALLER_REJECTED: Meaning(_CRIT, _OPERATOR, sudden=False),
    Code.APP_MISMATCH: Meaning(_CRIT, _OPERATOR, sudden=False),
    Code.UNDELIVERABLE: Meaning(_CRIT, _OPERATOR, sudden=False),
    Code.HELD: Meaning(_CRIT, _OPERATOR, sudden=False),
    Code.PACED: Meaning(_WARN, _OPERATOR, sudden=False),
    Code.CLOCK_DOUBTED: Meaning(_CRIT, _OPERATOR, sudden=False),
    Code.BLIND: Meaning(_CRIT, _OPERATOR, sudden=False),
    Code.ROWS_UNUSABLE: Meaning(_CRIT, _OPERATOR, sudden=False),
}
"""Every code; the order is the order in which a letter names them, worst kin last."""

SHORT_LIFE: Final = timedelta(hours=3)
"""A token that lives no longer was meant for a browser session, one or two hours.

Source: Facebook Login, "Access Token Guide", read 2026-11-23.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a token."""

    code: Code
    deadline: datetime | None = None
    """When it takes, or took, effect; for dated codes."""
    details: tuple[str, ...] = ()
    """The missing or excess scopes, `scope:asset` for missing targets, or for a wrong
    kind the one Meta says and the one expected."""
    sudden: bool = False
    """Not foretold by a date: it needed, and its letter needs, a second look."""

    @property
    def meaning(self) -> Meaning:
        """What the code stands for."""
        return MEANINGS[self.code]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What we think of a token now."""

    severity: Severity
    findings: tuple[Finding, ...] = ()
    verified_at: datetime | None = None
    """When the issuer last said something conclusive that we believe."""

    @property
    def codes(self) -> tuple[Code, ...]:
        """The codes found, in the order of the vocabulary."""
        return tuple(finding.code for finding in self.findings)

    @property
    def matters(self) -> tuple[Finding, ...]:
        """The findings somebody is written to about."""
        return tuple(
            finding
            for finding in self.findings
            if finding.meaning.audience is not Audience.REPORT
        )


def severity_of(codes: Iterable[Code]) -> Severity:
    """The worst severity among the codes; `ok` when there is none."""
    found = {MEANINGS[code].severity for code in codes}
    if Severity.CRITICAL in found:
        return Severity.CRITICAL
    return Severity.WARNING if found else Severity.OK


@dataclass(frozen=True, slots=True)
class Facts:
    """What one introspection is judged by."""

    known: Introspection
    verified_at: datetime
    """When the issuer said so."""
    life_seen_at: datetime
    """Since when we have known of this token's present date of expiry."""
    expected: Expected
    rule: Rule
    now: datetime


def _dead(facts: Facts) -> Finding | None:
    fault, date = facts.known.fault, facts.known.expires_at
    if fault is None:
        # Alive after its own date is trouble with a clock, never `expired`.
        outlived = date is not None and facts.verified_at < date <= facts.now
        return Finding(Code.EXPIRED, date) if outlived else None
    if fault is Code.INVALID and date is not None and date <= facts.now:
        fault = Code.EXPIRED
    if fault is Code.DATA_ACCESS_EXPIRED:
        date = facts.known.data_access_expires_at
    elif fault is not Code.EXPIRED:
        return Finding(fault, sudden=True)
    foretold = date is not None and date <= facts.now
    if fault is Code.EXPIRED and date is not None and facts.life_seen_at > date:
        foretold = False  # a date first heard of when it was over foretells nothing
    return Finding(fault, date if foretold else None, sudden=not foretold)


def _wrong_app(facts: Facts) -> Finding | None:
    said = facts.known.app_id
    if said is None or said == facts.expected.app_id:
        return None
    return Finding(Code.WRONG_APP, sudden=True)


def _wrong_kind(facts: Facts) -> Finding | None:
    said, wanted = facts.known.kind, facts.expected.kind
    if said is None or wanted is None or said == wanted:
        return None
    return Finding(Code.WRONG_KIND, details=(said, wanted), sudden=True)


def _wrong_user(facts: Facts) -> Finding | None:
    known, expected = facts.known, facts.expected
    for said, wanted in (
        (known.user_id, expected.user_id),
        (known.profile_id, expected.profile_id),
    ):
        if said is not None and wanted is not None and said != wanted:
            return Finding(Code.WRONG_USER, sudden=True)
    return None


def missing_scopes(known: Introspection, rule: Rule) -> tuple[str, ...]:
    """Scopes the rule requires and the token lacks; none where Meta named no scopes."""
    if known.scopes is None:
        return ()
    wanted = dict.fromkeys([*rule.required_scopes, *rule.required_targets])
    return tuple(scope for scope in wanted if scope not in known.scopes)


def excess_scopes(known: Introspection, rule: Rule) -> tuple[str, ...]:
    """Scopes the token has beyond the allowed ones; none without a list of these."""
    if known.scopes is None or rule.allowed_scopes is None:
        return ()
    allowed = {*rule.allowed_scopes, *rule.required_scopes, *rule.required_targets}
    return tuple(scope for scope in known.scopes if scope not in allowed)


def _scopes_missing(facts: Facts) -> Finding | None:
    missing = missing_scopes(facts.known, facts.rule)
    return Finding(Code.SCOPES_MISSING, None, missing, sudden=True) if missing else None


def _targets_missing(facts: Facts) -> Finding | None:
    missing = tuple(
        f"{scope}:{asset}"
        for scope, assets in facts.rule.required_targets.items()
        if (reached := facts.known.targets.get(scope))
        for asset in assets
        if asset not in reached
    )
    if not missing:
        return None
    return Finding(Code.TARGETS_MISSING, None, missing, sudden=True)


def _life(facts: Facts) -> Finding | None:
    end = facts.known.expires_at
    if end is None:
        return None
    return _ahead(Code.EXPIRING, end, facts.rule.warn_before, facts.now)


def _data_access(facts: Facts) -> Finding | None:
    end = facts.known.data_access_expires_at
    if end is None:
        return None
    # The token goes on answering `is_valid: true`; only the date tells.
    # Source: Facebook Login, "Auth vs. Data Access", read 2026-11-23.
    if end <= facts.now:
        return Finding(Code.DATA_ACCESS_EXPIRED, end)
    leads = facts.rule.data_access_warn_before
    return _ahead(Code.DATA_ACCESS_EXPIRING, end, leads, facts.now)


def _ahead(
    code: Code, end: datetime, leads: tuple[timedelta, ...], now: datetime
) -> Finding | None:
    return Finding(code, end) if crossed(leads, end, now) is not None else None


def crossed(
    leads: tuple[timedelta, ...], deadline: datetime, now: datetime
) -> timedelta | None:
    """The tightest lead time already crossed; `None` while all lie ahead.

    Lead times come widest first, as `Rule` keeps them.
    """
    left = deadline - now
    if not leads or left > leads[0]:
        return None
    return min(lead for lead in leads if left <= lead)


def _short_lived(facts: Facts) -> Finding | None:
    known = facts.known
    if not facts.rule.expect_long_lived or known.kind not in {None, USER, PAGE}:
        return None
    if known.expires_at is None:
        return None
    born = known.issued_at or facts.life_seen_at
    if known.expires_at - born > SHORT_LIFE:
        return None
    return Finding(Code.SHORT_LIVED, known.expires_at)


def _scopes_excess(facts: Facts) -> Finding | None:
    excess = excess_scopes(facts.known, facts.rule)
    return Finding(Code.SCOPES_EXCESS, None, excess) if excess else None


CHECKS: Final[tuple[Callable[[Facts], Finding | None], ...]] = (
    _life,
    _data_access,
    _scopes_missing,
    _targets_missing,
    _wrong_app,
    _wrong_kind,
    _wrong_user,
    _short_lived,
    _scopes_excess,
)
"""What is asked of a living token; each says at most one thing."""


def examine(facts: Facts) -> tuple[Finding, ...]:
    """Everything wrong with the token; a dead one is dead and nothing else."""
    dead = _dead(facts)
    if dead is not None:
        return (dead,)
    return tuple([finding for check in CHECKS if (finding := check(facts)) is not None])
