"""What is confirmed about a token, and what is only suspected."""

from datetime import datetime, timedelta

import pytest

from monitor.core.observation import Look, Observation, Suspicion, classify, observe
from monitor.core.policy import Rule
from monitor.core.tokens import PAGE, USER, Cause, Code, Introspection
from monitor.core.verdict import MEANINGS, Severity
from tests.builders import (
    DAY,
    HOUR,
    INSTANT,
    MINUTE,
    NOW,
    a_dead_introspection,
    a_live_introspection,
    a_look,
    a_rule,
    an_expected,
    an_observation,
    no_answer,
)

CONFIRM = a_rule().confirm_after
NOTHING = Observation()
NEEDS_ADS = a_rule(required_scopes=("ads_read",))
NEEDS_ACCOUNT = a_rule(required_targets={"ads_read": ("act_1",)})


def _after(
    before: Observation,
    answer: Introspection,
    at: timedelta = timedelta(),
    rule: Rule | None = None,
    **said: object,
) -> Observation:
    """What is known after a look some time after noon."""
    look = a_look(answer, asked_at=NOW + at, **said)
    return observe(before, look, an_expected(), rule or a_rule())


def _codes(seen: Observation, rule: Rule | None = None, at: datetime = NOW):
    return classify(seen, an_expected(), rule or a_rule(), at).codes


def _suspected(
    code: Code = Code.PASSWORD_CHANGED, since: datetime = NOW
) -> Observation:
    return an_observation(verified_at=NOW - HOUR, suspicion=Suspicion(code, since))


# --- the first look


def test_a_first_look_at_a_living_token_is_believed():
    seen = _after(NOTHING, a_live_introspection())
    assert seen == Observation(a_live_introspection(), NOW, NOW)
    assert _codes(seen) == ()


FATAL = sorted(
    code
    for code, meaning in MEANINGS.items()
    if meaning.sudden
    and code not in {Code.TARGETS_MISSING, Code.WRONG_KIND, Code.WRONG_USER}
)


@pytest.mark.parametrize("code", FATAL)
def test_a_first_look_that_finds_death_is_a_suspicion(code: Code):
    seen = _after(NOTHING, a_dead_introspection(code))
    assert seen == Observation(suspicion=Suspicion(code, NOW))
    assert classify(seen, an_expected(), a_rule(), NOW).severity is Severity.UNKNOWN


def test_a_first_look_that_finds_death_is_believed_at_the_second():
    first = _after(NOTHING, a_dead_introspection())
    second = _after(first, a_dead_introspection(), CONFIRM)
    assert second.suspicion is None
    assert _codes(second) == (Code.PASSWORD_CHANGED,)
    assert second.verified_at == NOW + CONFIRM


def test_a_first_look_that_finds_another_app_is_a_suspicion():
    seen = _after(NOTHING, a_live_introspection(app_id="42"))
    assert seen.suspicion == Suspicion(Code.WRONG_APP, NOW)
    assert seen.known is None


def test_a_first_look_past_the_date_is_believed():
    answer = a_dead_introspection(Code.EXPIRED, expires_at=NOW - DAY)
    assert _codes(_after(NOTHING, answer)) == (Code.EXPIRED,)


@pytest.mark.parametrize(
    ("answer", "rule", "code"),
    [
        pytest.param(
            a_live_introspection(scopes=()),
            NEEDS_ADS,
            Code.SCOPES_MISSING,
            id="a scope it never had",
        ),
        pytest.param(
            a_live_introspection(targets={"ads_read": ("act_2",)}),
            NEEDS_ACCOUNT,
            Code.TARGETS_MISSING,
            id="a target it never had",
        ),
    ],
)
def test_what_a_living_token_never_had_is_believed_at_the_first_look(
    answer: Introspection, rule: Rule, code: Code
):
    seen = _after(NOTHING, answer, rule=rule)
    assert seen.suspicion is None
    assert _codes(seen, rule) == (code,)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        pytest.param({"kind": PAGE}, Code.WRONG_KIND, id="the kind"),
        pytest.param({"user_id": "7"}, Code.WRONG_USER, id="the person"),
        pytest.param({"profile_id": "7"}, Code.WRONG_USER, id="the page"),
    ],
)
def test_whom_a_token_never_belonged_to_is_believed_at_the_first_look(
    said: dict[str, str], code: Code
):
    expected = an_expected(**said)
    answer = a_live_introspection(profile_id="8")
    seen = observe(NOTHING, a_look(answer), expected, a_rule())
    assert seen.suspicion is None
    assert classify(seen, expected, a_rule(), NOW).codes == (code,)


# --- sudden news


def test_sudden_news_is_a_suspicion_and_changes_nothing_confirmed():
    before = an_observation(verified_at=NOW - HOUR)
    seen = _after(before, a_dead_introspection())
    assert seen == _suspected()
    assert _codes(seen) == ()


@pytest.mark.parametrize(
    ("again", "proved", "believed"),
    [
        pytest.param(CONFIRM - INSTANT, CONFIRM, False, id="too early"),
        pytest.param(CONFIRM, CONFIRM, True, id="exactly confirm_after later"),
        pytest.param(CONFIRM + INSTANT, CONFIRM, True, id="later than that"),
        pytest.param(CONFIRM, timedelta(), False, id="under the proof of the sighting"),
        pytest.param(CONFIRM, INSTANT, True, id="under a proof just newer"),
        pytest.param(CONFIRM, -HOUR, False, id="under an older proof"),
        pytest.param(CONFIRM, None, False, id="under no proof"),
    ],
)
def test_a_second_look_confirms(
    again: timedelta, proved: timedelta | None, *, believed: bool
):
    proved_at = None if proved is None else NOW + proved
    seen = _after(_suspected(), a_dead_introspection(), again, proved_at=proved_at)
    confirmed = (Code.PASSWORD_CHANGED,) if believed else ()
    assert _codes(seen) == confirmed
    assert (seen.suspicion is None) is believed


def test_the_first_sighting_counts_whatever_comes_between():
    seen = _after(_suspected(), a_dead_introspection(), CONFIRM / 2)
    assert seen.suspicion == Suspicion(Code.PASSWORD_CHANGED, NOW)
    seen = _after(seen, a_dead_introspection(), CONFIRM)
    assert _codes(seen) == (Code.PASSWORD_CHANGED,)


def test_the_later_code_is_suspected_and_confirmed():
    seen = _after(_suspected(), a_dead_introspection(Code.REVOKED), CONFIRM / 2)
    assert seen.suspicion == Suspicion(Code.REVOKED, NOW)
    seen = _after(_suspected(), a_dead_introspection(Code.REVOKED), CONFIRM)
    assert _codes(seen) == (Code.REVOKED,)


@pytest.mark.parametrize("at", [timedelta(), CONFIRM / 2, CONFIRM, DAY])
def test_a_good_look_clears_the_suspicion(at: timedelta):
    seen = _after(_suspected(), a_live_introspection(), at)
    assert seen.suspicion is None
    assert seen.verified_at == NOW + at
    assert _codes(seen) == ()


def test_after_a_good_look_a_suspicion_begins_anew():
    seen = _after(_suspected(), a_live_introspection(), CONFIRM / 2)
    seen = _after(seen, a_dead_introspection(), CONFIRM)
    assert seen.suspicion == Suspicion(Code.PASSWORD_CHANGED, NOW + CONFIRM)


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize(
    "before", [NOTHING, an_observation(), _suspected()], ids=["new", "known", "doubted"]
)
def test_a_look_that_could_not_tell_leaves_all_as_it_was(
    before: Observation, cause: Cause
):
    look = a_look(no_answer(cause), asked_at=NOW + DAY)
    assert observe(before, look, an_expected(), a_rule()) == before


def test_with_no_wait_wished_a_second_look_is_still_needed():
    rule = a_rule(confirm_after=timedelta())
    first = _after(an_observation(), a_dead_introspection(), rule=rule)
    assert first.suspicion is not None
    second = _after(first, a_dead_introspection(), INSTANT, rule=rule)
    assert _codes(second) == (Code.PASSWORD_CHANGED,)


@pytest.mark.parametrize(
    ("answer", "rule", "code"),
    [
        pytest.param(
            a_live_introspection(scopes=("email",)),
            NEEDS_ADS,
            Code.SCOPES_MISSING,
            id="a scope",
        ),
        pytest.param(
            a_live_introspection(targets={"ads_read": ("act_2",)}),
            NEEDS_ACCOUNT,
            Code.TARGETS_MISSING,
            id="a target",
        ),
        pytest.param(
            a_live_introspection(app_id="42"), a_rule(), Code.WRONG_APP, id="the app"
        ),
    ],
)
def test_what_is_taken_away_is_a_suspicion_first(
    answer: Introspection, rule: Rule, code: Code
):
    first = _after(an_observation(), answer, rule=rule)
    assert first.suspicion == Suspicion(code, NOW)
    assert _codes(first, rule) == ()
    second = _after(first, answer, CONFIRM, rule)
    assert _codes(second, rule) == (code,)


@pytest.mark.parametrize(
    ("expected", "answer", "code"),
    [
        pytest.param(
            {"kind": USER},
            a_live_introspection(kind=PAGE),
            Code.WRONG_KIND,
            id="the kind",
        ),
        pytest.param(
            {"user_id": "1001"},
            a_live_introspection(user_id="7"),
            Code.WRONG_USER,
            id="the person",
        ),
    ],
)
def test_another_identity_than_before_is_a_suspicion_first(
    expected: dict[str, str], answer: Introspection, code: Code
):
    look = a_look(answer)
    seen = observe(an_observation(), look, an_expected(**expected), a_rule())
    assert seen.suspicion == Suspicion(code, NOW)


def test_what_the_policy_newly_requires_was_never_taken_away():
    before = an_observation(a_live_introspection(scopes=()))
    seen = _after(before, a_live_introspection(scopes=()), rule=NEEDS_ADS)
    assert seen.suspicion is None
    assert _codes(seen, NEEDS_ADS) == (Code.SCOPES_MISSING,)


def test_a_scope_more_lost_is_no_other_news():
    rule = a_rule(required_scopes=("ads_read", "email"))
    before = an_observation(a_live_introspection(scopes=("ads_read",)))
    seen = _after(before, a_live_introspection(scopes=()), rule=rule)
    assert seen.suspicion is None
    (finding,) = classify(seen, an_expected(), rule, NOW).findings
    assert finding.details == ("ads_read", "email")


# --- news that a date foretold


def test_463_before_the_known_date_is_a_suspicion():
    answer = a_dead_introspection(Code.EXPIRED, expires_at=None)
    seen = _after(an_observation(), answer)
    assert seen.suspicion == Suspicion(Code.EXPIRED, NOW)
    assert _codes(_after(seen, answer, CONFIRM)) == (Code.EXPIRED,)


@pytest.mark.parametrize("fault", [Code.EXPIRED, Code.INVALID])
@pytest.mark.parametrize("known", [NOW + 60 * DAY, NOW + INSTANT, None])
def test_a_date_that_only_the_bad_news_names_has_foretold_nothing(
    fault: Code, known: datetime | None
):
    before = an_observation(a_live_introspection(expires_at=known))
    answer = a_dead_introspection(fault, expires_at=NOW - DAY)
    seen = _after(before, answer)
    assert seen.suspicion == Suspicion(fault, NOW)
    assert Code.EXPIRED not in _codes(seen)
    assert _codes(_after(seen, answer, CONFIRM)) == (Code.EXPIRED,)


def test_data_access_lapsed_before_its_known_date_is_a_suspicion():
    answer = a_dead_introspection(
        Code.DATA_ACCESS_EXPIRED, data_access_expires_at=NOW - DAY
    )
    seen = _after(an_observation(), answer)
    assert seen.suspicion == Suspicion(Code.DATA_ACCESS_EXPIRED, NOW)
    assert _codes(_after(seen, answer, CONFIRM)) == (Code.DATA_ACCESS_EXPIRED,)


@pytest.mark.parametrize("fault", [Code.EXPIRED, Code.INVALID])
@pytest.mark.parametrize("ago", [timedelta(), INSTANT, 40 * DAY])
def test_death_on_or_after_the_known_date_is_believed_at_once(
    fault: Code, ago: timedelta
):
    before = an_observation(a_live_introspection(expires_at=NOW - ago))
    seen = _after(before, a_dead_introspection(fault, expires_at=None))
    assert seen.suspicion is None
    assert _codes(seen) == (Code.EXPIRED,)


def test_data_access_lapsed_on_its_known_date_is_believed_at_once():
    known = a_live_introspection(data_access_expires_at=NOW)
    answer = a_dead_introspection(Code.DATA_ACCESS_EXPIRED, data_access_expires_at=None)
    seen = _after(an_observation(known), answer)
    assert seen.suspicion is None
    assert _codes(seen) == (Code.DATA_ACCESS_EXPIRED,)


@pytest.mark.parametrize(
    ("said", "rule", "code"),
    [
        pytest.param(
            {"expires_at": NOW + DAY}, a_rule(), Code.EXPIRING, id="it ends sooner"
        ),
        pytest.param(
            {"data_access_expires_at": NOW + DAY},
            a_rule(),
            Code.DATA_ACCESS_EXPIRING,
            id="data access ends sooner",
        ),
        pytest.param(
            {"data_access_expires_at": NOW - DAY},
            a_rule(),
            Code.DATA_ACCESS_EXPIRED,
            id="data access has ended",
        ),
        pytest.param(
            {"issued_at": NOW, "expires_at": NOW + HOUR},
            a_rule(warn_before=()),
            Code.SHORT_LIVED,
            id="it is short-lived",
        ),
        pytest.param(
            {},
            a_rule(allowed_scopes=("ads_read",)),
            Code.SCOPES_EXCESS,
            id="it may do more than allowed",
        ),
    ],
)
def test_dated_codes_and_excess_scopes_need_no_second_look(
    said: dict[str, datetime], rule: Rule, code: Code
):
    seen = _after(an_observation(), a_live_introspection(**said), rule=rule)
    assert seen.suspicion is None
    assert _codes(seen, rule) == (code,)


# --- another app's token


def _wrong_app() -> Introspection:
    return Introspection(fault=Code.WRONG_APP)


def test_a_wrong_app_waits_until_the_app_is_known():
    doubted = _suspected(Code.WRONG_APP)
    seen = _after(doubted, _wrong_app(), DAY, app_known=False)
    assert seen == doubted
    seen = _after(seen, _wrong_app(), DAY + MINUTE, app_known=True)
    assert _codes(seen) == (Code.WRONG_APP,)


def test_a_wrong_app_among_other_news_waits_until_the_app_is_known():
    answer = a_live_introspection(app_id="42", scopes=())
    doubted = _after(an_observation(), answer, rule=NEEDS_ADS)
    seen = _after(doubted, answer, CONFIRM, NEEDS_ADS, app_known=False)
    assert seen.known == a_live_introspection()
    seen = _after(seen, answer, CONFIRM, NEEDS_ADS, app_known=True)
    assert _codes(seen, NEEDS_ADS) == (Code.SCOPES_MISSING, Code.WRONG_APP)


def test_other_deaths_do_not_wait_for_the_app_to_be_known():
    seen = _after(_suspected(), a_dead_introspection(), CONFIRM, app_known=False)
    assert _codes(seen) == (Code.PASSWORD_CHANGED,)


def test_a_token_once_of_a_wrong_app_may_still_die():
    before = an_observation(_wrong_app())
    answer = a_dead_introspection(Code.EXPIRED, expires_at=NOW - DAY)
    assert _codes(_after(before, answer)) == (Code.EXPIRED,)


# --- after death


def _dead(fault: Code = Code.REVOKED, **said: object) -> Observation:
    return an_observation(a_dead_introspection(fault, **said), verified_at=NOW - HOUR)


def test_a_token_that_lives_again_is_believed_at_once():
    seen = _after(_dead(), a_live_introspection())
    assert seen == Observation(a_live_introspection(), NOW, NOW)


def test_what_a_revived_token_lacks_is_believed_at_once():
    answer = a_live_introspection(scopes=())
    seen = _after(_dead(), answer, rule=NEEDS_ADS)
    assert _codes(seen, NEEDS_ADS) == (Code.SCOPES_MISSING,)


def test_a_revived_token_of_another_app_is_a_suspicion():
    seen = _after(_dead(), a_live_introspection(app_id="42"))
    assert seen.suspicion == Suspicion(Code.WRONG_APP, NOW)
    assert _codes(seen) == (Code.REVOKED,)


@pytest.mark.parametrize("fault", [Code.EXPIRED, Code.INVALID])
def test_a_date_that_passes_after_death_is_no_news(fault: Code):
    before = _dead(expires_at=NOW - INSTANT)
    seen = _after(before, a_dead_introspection(fault, expires_at=None))
    assert _codes(seen) == (Code.REVOKED,)
    assert seen.verified_at == NOW
    assert seen.known == before.known


def test_a_date_that_passes_after_death_clears_a_suspicion_too():
    before = _dead(expires_at=NOW - DAY)
    doubted = _after(before, a_dead_introspection(Code.PAGE_ROLE_LOST), -INSTANT)
    assert doubted.suspicion is not None
    seen = _after(doubted, a_dead_introspection(Code.EXPIRED, expires_at=None))
    assert seen.suspicion is None
    assert _codes(seen) == (Code.REVOKED,)


def test_the_same_death_again_is_only_verified():
    seen = _after(_dead(), a_dead_introspection(Code.REVOKED))
    assert seen.suspicion is None
    assert seen.verified_at == NOW
    assert _codes(seen) == (Code.REVOKED,)


def test_another_sudden_cause_after_death_is_news():
    first = _after(_dead(), a_dead_introspection(Code.CHECKPOINTED))
    assert first.suspicion == Suspicion(Code.CHECKPOINTED, NOW)
    assert _codes(first) == (Code.REVOKED,)
    second = _after(first, a_dead_introspection(Code.CHECKPOINTED), CONFIRM)
    assert _codes(second) == (Code.CHECKPOINTED,)


def test_463_before_its_date_after_another_death_is_news():
    seen = _after(_dead(), a_dead_introspection(Code.EXPIRED))
    assert seen.suspicion == Suspicion(Code.EXPIRED, NOW)


def test_death_of_a_token_that_had_expired_by_its_date_is_news():
    before = an_observation(
        a_live_introspection(expires_at=NOW), verified_at=NOW - HOUR
    )
    assert _codes(before) == (Code.EXPIRED,)
    seen = _after(before, a_dead_introspection(Code.REVOKED))
    assert seen.suspicion == Suspicion(Code.REVOKED, NOW)
    assert _codes(seen) == (Code.EXPIRED,)


# --- what answers leave out


def test_a_bare_death_keeps_what_was_known_of_the_token():
    before = an_observation(
        a_live_introspection(kind=PAGE, profile_id="9", expires_at=NOW)
    )
    seen = _after(before, Introspection(fault=Code.EXPIRED))
    assert seen.known is not None
    assert seen.known == Introspection(
        fault=Code.EXPIRED,
        kind=PAGE,
        user_id="1001",
        profile_id="9",
        expires_at=NOW,
        data_access_expires_at=NOW + 90 * DAY,
    )


def test_a_full_answer_is_kept_as_said():
    said = a_live_introspection(kind=PAGE, user_id="7", profile_id="8", expires_at=NOW)
    assert _after(an_observation(), said).known == said


def test_a_live_answer_without_names_keeps_the_names_and_no_dates():
    seen = _after(an_observation(), Introspection(scopes=("ads_read",)))
    assert seen.known == Introspection(kind=USER, user_id="1001", scopes=("ads_read",))


def test_a_date_is_seen_since_the_look_that_first_named_it():
    same = _after(an_observation(), a_live_introspection(), DAY)
    assert same.life_seen_at == NOW
    other = _after(same, a_live_introspection(expires_at=NOW + 61 * DAY), 2 * DAY)
    assert other.life_seen_at == NOW + 2 * DAY


def test_an_old_record_without_first_sight_takes_the_look():
    seen = _after(an_observation(life_seen_at=None), a_live_introspection(), DAY)
    assert seen.life_seen_at == NOW + DAY


def test_a_suspicion_alone_makes_no_finding():
    seen = Observation(suspicion=Suspicion(Code.REVOKED, NOW))
    assert _codes(seen) == ()
    assert _codes(Observation(a_dead_introspection())) == ()


def test_a_look_is_by_default_at_a_known_app_and_unproved():
    look = Look(a_live_introspection(), NOW)
    assert (look.proved_at, look.app_known) == (None, True)


@pytest.mark.parametrize("fault", [Code.EXPIRED, Code.INVALID])
@pytest.mark.parametrize("known", [NOW + 40 * DAY, None])
def test_a_date_that_a_death_brings_with_it_makes_it_no_less_sudden(
    fault: Code, known: datetime | None
):
    before = an_observation(a_live_introspection(expires_at=known))
    death = a_dead_introspection(fault, expires_at=NOW - INSTANT)
    suspected = _after(before, death)
    dead = _after(suspected, death, 10 * MINUTE, proved_at=NOW + 10 * MINUTE)
    later = _after(dead, death, DAY, proved_at=NOW + DAY)
    assert _codes(suspected) == ()
    for seen, at in ((dead, NOW + 10 * MINUTE), (later, NOW + DAY)):
        (found,) = classify(seen, an_expected(), a_rule(), at).findings
        assert found.code is Code.EXPIRED
        assert found.sudden


def test_a_death_about_its_foretold_date_is_not_sudden():
    before = an_observation(
        a_live_introspection(expires_at=NOW - MINUTE),
        verified_at=NOW - DAY,
        life_seen_at=NOW - 9 * DAY,
    )
    death = a_dead_introspection(Code.EXPIRED, expires_at=NOW - 2 * MINUTE)
    (found,) = classify(_after(before, death), an_expected(), a_rule(), NOW).findings
    assert found.code is Code.EXPIRED
    assert not found.sudden


def test_a_first_look_at_a_token_past_its_date_is_not_sudden():
    death = a_dead_introspection(Code.EXPIRED, expires_at=NOW - DAY)
    seen = _after(Observation(), death)
    (found,) = classify(seen, an_expected(), a_rule(), NOW).findings
    assert not found.sudden
