"""Observe: what is confirmed about a token, and what is only suspected."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from monitor.core.policy import Rule
from monitor.core.tokens import Answer, Code, Expected, Inconclusive, Introspection
from monitor.core.verdict import (
    Facts,
    Finding,
    Severity,
    Verdict,
    examine,
    severity_of,
)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Sudden news heard once, and not believed yet."""

    code: Code
    since: datetime
    """The first sighting; later ones do not move it."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The last confirmed introspection, and what casts doubt on it."""

    known: Introspection | None = None
    verified_at: datetime | None = None
    life_seen_at: datetime | None = None
    """Since when `known.expires_at` has been what it is."""
    suspicion: Suspicion | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a token: who asked when, under which proof, and what came back."""

    answer: Answer
    asked_at: datetime
    proved_at: datetime | None = None
    """When Meta last vouched for the caller that asked."""
    app_known: bool = True
    """Whether another token of the app is known by a `data` answer, and most are
    not said to be of another app: only then can `wrong_app` be this token's fault."""


_NOT_DEATH: Final = frozenset(
    {Code.SCOPES_MISSING, Code.TARGETS_MISSING, Code.WRONG_KIND, Code.WRONG_USER}
)
"""Sudden codes that a first look at a living token states at once: nothing was taken
away, and the operator or the owner never had it otherwise."""


def observe(
    before: Observation, look: Look, expected: Expected, rule: Rule
) -> Observation:
    """What is known after a look.

    Bad news that no date foretold is a suspicion until the next conclusive look, at
    least `confirm_after` later and under a newer proof of the caller, still brings
    news worse than what is known. A look without such news clears the suspicion. An
    inconclusive look leaves everything as it was.
    """
    answer = look.answer
    if isinstance(answer, Inconclusive):
        return before
    after = _believe(before, answer, look.asked_at)
    news = _news(before, after, look.asked_at, expected, rule)
    if not news:
        return after
    if _settled(before.suspicion, look, news, rule):
        return after
    since = before.suspicion.since if before.suspicion else look.asked_at
    return replace(before, suspicion=Suspicion(news[0], since))


def _believe(before: Observation, answer: Introspection, at: datetime) -> Observation:
    known = before.known
    if known is None:
        return Observation(answer, at, _seen_dead_at(answer, at) or at)
    answer = _completed(answer, known)
    date = answer.expires_at
    if (
        known.fault not in {None, Code.WRONG_APP}
        and answer.fault in {Code.EXPIRED, Code.INVALID}
        and date is not None
        and date <= at
    ):
        # Life is not taken twice: a date that passes after a revocation is no news.
        return replace(before, verified_at=at, suspicion=None)
    seen_at = before.life_seen_at if known.expires_at == date else None
    over = known.expires_at is not None and known.expires_at <= at
    if over if known.alive else seen_at is None:
        seen_at = _seen_dead_at(answer, at) or seen_at
    return Observation(answer, at, seen_at or at)


def _seen_dead_at(answer: Introspection, at: datetime) -> datetime | None:
    """Since when the date of a death counts as known, where nothing speaks against it.

    That is so at a first look, and when the date that was known is over as well. A
    token that was to live on has another date in its death than was foretold: many of
    them are a storm, as any other sudden news.
    """
    date = answer.expires_at
    return date if not answer.alive and date is not None and date <= at else None


def _completed(answer: Introspection, known: Introspection) -> Introspection:
    """The answer with what it left out and cannot have changed.

    Some answers about dead tokens state nothing but the death (payload 126).
    """
    answer = replace(
        answer,
        kind=answer.kind or known.kind,
        user_id=answer.user_id or known.user_id,
        profile_id=answer.profile_id or known.profile_id,
    )
    if answer.alive:
        return answer
    return replace(
        answer,
        expires_at=answer.expires_at or known.expires_at,
        data_access_expires_at=(
            answer.data_access_expires_at or known.data_access_expires_at
        ),
    )


def _news(
    before: Observation,
    after: Observation,
    at: datetime,
    expected: Expected,
    rule: Rule,
) -> tuple[Code, ...]:
    sudden = _sudden(_as_foretold(before, after), at, expected, rule)
    if not sudden:
        return ()
    if before.known is None or (not before.known.alive and _alive(after)):
        taken = () if not _alive(after) else _NOT_DEATH
        return tuple(code for code in sudden if code not in taken)
    old = _sudden(before, at, expected, rule)
    return tuple(code for code in sudden if code not in old)


def _as_foretold(before: Observation, after: Observation) -> Observation:
    """A death with the dates named before it: its own dates foretold nothing."""
    old, new = before.known, after.known
    if old is None or not old.alive or new is None or new.alive:
        return after
    dated = replace(
        new,
        expires_at=old.expires_at,
        data_access_expires_at=old.data_access_expires_at,
    )
    seen_at = before.life_seen_at
    if seen_at is not None and old.expires_at is not None:
        seen_at = min(seen_at, old.expires_at)
    return replace(after, known=dated, life_seen_at=seen_at)


def _alive(observation: Observation) -> bool:
    return observation.known is not None and observation.known.alive


def _sudden(
    observation: Observation, at: datetime, expected: Expected, rule: Rule
) -> tuple[Code, ...]:
    found = findings(observation, expected, rule, at)
    return tuple(finding.code for finding in found if finding.sudden)


def _settled(
    suspicion: Suspicion | None, look: Look, news: tuple[Code, ...], rule: Rule
) -> bool:
    if suspicion is None or look.proved_at is None:
        return False
    if Code.WRONG_APP in news and not look.app_known:
        return False
    return (
        look.asked_at - suspicion.since >= rule.confirm_after
        and look.proved_at > suspicion.since
    )


def findings(
    observation: Observation, expected: Expected, rule: Rule, now: datetime
) -> tuple[Finding, ...]:
    """What confirmed knowledge says is wrong at this instant."""
    if observation.known is None or observation.verified_at is None:
        return ()
    seen_at = observation.life_seen_at or observation.verified_at
    return examine(
        Facts(observation.known, observation.verified_at, seen_at, expected, rule, now)
    )


def classify(
    observation: Observation, expected: Expected, rule: Rule, now: datetime
) -> Verdict:
    """What we think of a token now; suspicions and silence make nothing bad.

    `unknown` is for tokens about which nothing is found and nothing was confirmed
    for longer than the rule trusts an answer.
    """
    found = findings(observation, expected, rule, now)
    verified_at = observation.verified_at
    if found:
        severity = severity_of(finding.code for finding in found)
        return Verdict(severity, found, verified_at)
    if verified_at is None or now - verified_at > rule.trust_for:
        return Verdict(Severity.UNKNOWN, (), verified_at)
    return Verdict(Severity.OK, (), verified_at)
