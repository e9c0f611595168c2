"""What holds whatever happens, in whatever rhythm."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.delivery import Hours, Passage, Pending, Role, Wait, gate
from monitor.core.incident import Healing, Incident, Reason, Rung, Step, advance
from monitor.core.observation import Look, Observation, Suspicion, classify, observe
from monitor.core.policy import Rule
from monitor.core.schedule import judge_at, next_check_at
from monitor.core.tokens import (
    KINDS,
    Answer,
    Cause,
    Code,
    Expected,
    Inconclusive,
    Introspection,
)
from monitor.core.verdict import CHECKS, MEANINGS, Severity, Verdict, crossed
from tests.builders import (
    APP,
    DAY,
    HOUR,
    INSTANT,
    MINUTE,
    NOW,
    a_finding,
    a_live_introspection,
    a_rule,
    an_item,
    no_answer,
)
from tests.core.lives import Life, alive_until, day, dead
from tests.core.searching import searched

_durations = st.timedeltas(timedelta(), 90 * DAY)
_instants = st.timedeltas(-110 * DAY, 100 * DAY).map(lambda ahead: NOW + ahead)
_ids = st.sampled_from([APP, "42", "1001"])
_scopes = st.lists(st.sampled_from(["ads_read", "email", "leads"]), max_size=3).map(
    tuple
)
_targets = st.dictionaries(st.sampled_from(["ads_read", "email"]), _scopes, max_size=2)
_faults = st.sampled_from([code for code in Code if MEANINGS[code].sudden])
_introspections = st.builds(
    Introspection,
    fault=st.none() | _faults,
    app_id=st.none() | _ids,
    kind=st.none() | st.sampled_from([*KINDS, "threads"]),
    user_id=st.none() | _ids,
    profile_id=st.none() | _ids,
    issued_at=st.none() | _instants,
    expires_at=st.none() | _instants,
    data_access_expires_at=st.none() | _instants,
    scopes=st.none() | _scopes,
    targets=_targets,
)
_answers = _introspections | st.builds(Inconclusive, st.sampled_from(Cause))
_looks = st.builds(
    Look, _answers, _instants, st.none() | _instants, app_known=st.booleans()
)
_observations = st.builds(
    Observation,
    st.none() | _introspections,
    st.none() | _instants,
    st.none() | _instants,
    st.none() | st.builds(Suspicion, _faults, _instants),
)
_expectations = st.builds(
    Expected,
    _ids,
    st.none() | st.sampled_from(KINDS),
    st.none() | _ids,
    st.none() | _ids,
)
_ladders = st.lists(_durations, max_size=4).map(
    lambda leads: tuple(sorted(leads, reverse=True))
)
_waits = st.timedeltas(MINUTE, 30 * DAY)
_rules = st.builds(
    Rule,
    check_every=_waits,
    retry_every=_waits,
    confirm_after=_durations,
    warn_before=_ladders,
    data_access_warn_before=_ladders,
    required_scopes=_scopes,
    allowed_scopes=st.none() | _scopes,
    required_targets=_targets,
    expect_long_lived=st.booleans(),
    remind_every=_waits,
    escalate_after=_waits,
    escalate_to=st.just(()) | st.just(("boss@acme.example",)),
    trust_for=_waits,
)
_incidents = st.builds(
    Incident,
    opened_at=_instants,
    told=st.frozensets(st.sampled_from(Code)),
    rungs=st.dictionaries(
        st.sampled_from([Code.EXPIRING, Code.DATA_ACCESS_EXPIRING]),
        st.builds(Rung, _instants, _durations),
    ),
    notices=st.integers(1, 9),
    settled_at=st.none() | _instants,
    first_told_at=st.none() | _instants,
    critical_since=st.none() | _instants,
    reminders=st.integers(0, 3),
    escalated=st.booleans(),
    healing=st.none() | st.builds(Healing, _instants, by_answer=st.booleans()),
)


@searched
@given(
    st.lists(st.floats(0.001, 10), min_size=1, max_size=60),
    st.floats(0, 70),
    _ladders,
)
def test_one_deadline_is_one_notice_a_rung_at_any_rhythm(
    gaps: list[float], first: float, leads: tuple[timedelta, ...]
):
    """Whatever the rhythm of looks, no rung is told twice, and none out of turn."""
    life = Life(a_rule(warn_before=leads))
    told: list[timedelta | None] = []
    on = first
    for gap in gaps:
        if on >= 70:
            break
        if life.look(on, alive_until(70)).notice is not None:
            told.append(crossed(leads, day(70), day(on)))
        on += gap
    assert None not in told
    assert all(late < early for early, late in pairwise(told) if early and late)
    assert len(told) <= len(set(leads))


@searched
@given(
    st.lists(
        st.tuples(st.floats(0.01, 4), st.sampled_from(["alive", "dead", "nothing"])),
        max_size=60,
    )
)
def test_one_deadline_is_one_notice_a_rung_through_deaths_and_outages(
    looks: list[tuple[float, str]],
):
    """Coming back to life repeats no rung within one incident."""
    answers: dict[str, Answer] = {
        "alive": alive_until(60, scopes=()),
        "dead": dead(),
        "nothing": no_answer(),
    }
    rule = a_rule(required_scopes=("ads_read",), remind_every=999 * DAY)
    life, on, rungs = Life(rule), 40.0, []
    for gap, kind in looks:
        on += gap
        if on >= 60:
            break
        step = life.look(on, answers[kind])
        if step.notice is not None and step.notice.reason is Reason.CLOSER:
            rungs.append(crossed(rule.warn_before, day(60), day(on)))
    assert len(rungs) == len(set(rungs))


@searched
@given(_incidents | st.none(), _observations, _expectations, _rules, _instants)
def test_a_second_step_at_the_same_instant_says_nothing(
    incident: Incident | None,
    seen: Observation,
    expected: Expected,
    rule: Rule,
    now: datetime,
):
    verdict = classify(seen, expected, rule, now)
    first = advance(incident, verdict, rule, now)
    if first.incident is None or first.incident.closed_at is not None:
        again = advance(None, verdict, rule, now)
    else:
        again = advance(first.incident, verdict, rule, now)
    assert again.notice is None
    if first.notice is not None and incident is not None:
        assert first.notice.number == incident.notices + 1


@searched
@given(_incidents, _instants, _rules)
def test_unknown_leaves_every_incident_as_it_was(
    incident: Incident, now: datetime, rule: Rule
):
    unknown = Verdict(Severity.UNKNOWN)
    assert advance(incident, unknown, rule, now) == Step(incident)


@searched
@given(
    seen=_observations,
    incident=_incidents | st.none(),
    rule=_rules,
    asked_at=_instants,
    conclusive=st.booleans(),
    spread=st.floats(0.9, 1),
)
def test_the_next_look_is_always_ahead_and_never_later_than_check_every(
    *,
    seen: Observation,
    incident: Incident | None,
    rule: Rule,
    asked_at: datetime,
    conclusive: bool,
    spread: float,
):
    due_at = next_check_at(
        seen, incident, rule, asked_at, conclusive=conclusive, spread=spread
    )
    assert asked_at < due_at <= asked_at + rule.check_every
    turn = judge_at(seen, incident, rule, asked_at)
    assert turn is None or turn > asked_at


@searched
@given(st.lists(st.booleans(), max_size=30), st.floats(0.1, 0.99), _faults)
def test_single_false_alarms_between_good_looks_never_open_an_incident(
    alarms: list[bool], share: float, fault: Code
):
    """Each is followed by a good look before `confirm_after`."""
    life, at = Life(), NOW
    for alarm in alarms:
        life.look_at(at, a_live_introspection())
        at += HOUR
        if alarm:
            life.look_at(at, dead(fault))
            at += life.rule.confirm_after * share
    assert life.said == []
    assert life.incident is None


@searched
@given(_observations, st.lists(_looks, max_size=6), _expectations, _rules, _instants)
def test_no_combination_of_fields_is_an_exception(
    seen: Observation,
    looks: Sequence[Look],
    expected: Expected,
    rule: Rule,
    now: datetime,
):
    incident = None
    for look in looks:
        before, seen = seen, observe(seen, look, expected, rule)
        verdict = classify(seen, expected, rule, now)
        incident = advance(incident, verdict, rule, now).incident
        assert isinstance(look.answer, Introspection) or seen == before
        assert len(verdict.codes) == len(set(verdict.codes)) <= len(CHECKS)
        assert (verdict.severity in {Severity.OK, Severity.UNKNOWN}) is (
            not verdict.findings
        )


@searched
@given(_looks, _expectations, _rules, _instants)
def test_a_first_look_confirms_no_sudden_death(
    look: Look, expected: Expected, rule: Rule, now: datetime
):
    seen = observe(Observation(), look, expected, rule)
    if seen.known is not None and not seen.known.alive:
        (finding,) = classify(seen, expected, rule, look.asked_at).findings
        assert not finding.sudden
    else:
        assert seen.known is None or seen.suspicion is None


_pendings = st.builds(
    Pending,
    st.builds(
        an_item,
        st.builds(
            a_finding,
            st.sampled_from(Code),
            deadline=st.none() | _instants,
            sudden=st.booleans(),
        ),
        reason=st.sampled_from(Reason),
        token_id=st.none() | st.just("bakery"),
    ),
    st.sampled_from(Role),
    _instants,
    st.none() | _instants,
    st.none() | _instants,
    newer_notice=st.booleans(),
    closed=st.booleans(),
    gone=st.booleans(),
    recipient=st.booleans(),
    recovering=st.booleans(),
    true_now=st.booleans(),
    verified_at=st.none() | _instants,
    last_checked_at=st.none() | _instants,
    next_check_at=st.none() | _instants,
    app_paused=st.booleans(),
    trust_for=_waits,
    silenced_until=st.none() | _instants,
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Kiritimati"]),
)
_hours = st.none() | st.builds(
    Hours,
    st.frozensets(st.integers(0, 6)),
    st.times(max_value=time(11)),
    st.times(min_value=time(12)),
)


@searched
@given(_pendings, _hours, _instants)
def test_whatever_waits_is_asked_again_ahead(
    entry: Pending, hours: Hours | None, now: datetime
):
    passage: Passage = gate(entry, hours, now)
    if isinstance(passage, Wait):
        assert passage.until >= now + INSTANT
