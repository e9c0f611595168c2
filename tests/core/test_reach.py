"""Reach: whom nobody can tell, and when the operator hears that somebody was added."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor.core.incident import Incident, Reason, Step, settled
from monitor.core.policy import Rule
from monitor.core.reach import Ward, hear, stranded
from monitor.core.tokens import Code
from monitor.core.verdict import Finding, Severity, Verdict

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ANN, BOSS, LEAD = "ann@b.example", "boss@b.example", "lead@b.example"
BAD = Verdict(Severity.CRITICAL, (Finding(Code.UNDELIVERABLE),), NOW)
RULE = Rule(remind_every=3 * DAY)


@pytest.mark.parametrize(
    ("escalate_to", "unreachable", "alone"),
    [
        ((), (), False),
        ((), (ANN,), True),
        ((), (BOSS,), False),
        ((BOSS,), (ANN,), False),
        ((BOSS,), (ANN, BOSS), True),
        ((BOSS, LEAD), (ANN, BOSS), False),
    ],
)
def test_a_token_is_stranded_when_everybody_it_names_is_unreachable(
    escalate_to: tuple[str, ...], unreachable: tuple[str, ...], *, alone: bool
) -> None:
    ward = Ward("north", ANN, escalate_to)
    assert stranded([ward], unreachable) == ((ward,) if alone else ())


def told(now: datetime = NOW, *, news: bool = True) -> Step:
    return hear(None, BAD, RULE, now, news=news)


def heard(step: Step, now: datetime) -> Incident:
    assert step.incident is not None
    return settled(step.incident, step.incident.notices, now)


def test_the_first_one_opens_the_matter() -> None:
    step = told()
    assert step.notice is not None
    assert step.notice.reason is Reason.OPENED


def test_one_more_is_told_again_once_the_operator_has_heard() -> None:
    step = hear(heard(told(), NOW), BAD, RULE, NOW + DAY, news=True)
    assert step.notice is not None
    assert (step.notice.number, step.notice.reason) == (2, Reason.WORSENED)


def test_nothing_is_added_to_a_notice_under_way() -> None:
    step = hear(told().incident, BAD, RULE, NOW + DAY, news=True)
    assert step.notice is None


def test_without_news_it_is_only_repeated_as_every_matter_is() -> None:
    incident = heard(told(), NOW)
    assert hear(incident, BAD, RULE, NOW + DAY, news=False).notice is None
    step = hear(incident, BAD, RULE, NOW + 3 * DAY, news=False)
    assert step.notice is not None
    assert step.notice.reason is Reason.REMINDER


def test_it_closes_when_everybody_can_be_reached_for_a_while() -> None:
    incident = heard(told(), NOW)
    good = Verdict(Severity.OK, (), NOW + DAY)
    step = hear(incident, good, RULE, NOW + DAY, news=False)
    later = replace(good, verified_at=NOW + DAY + RULE.confirm_after)
    step = hear(step.incident, later, RULE, NOW + 2 * DAY, news=False)
    assert step.notice is not None
    assert step.notice.reason is Reason.RESOLVED
