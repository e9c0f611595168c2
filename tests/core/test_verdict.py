"""What is wrong with a token: the policy, row by row."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from monitor.core.observation import Observation, classify
from monitor.core.policy import Rule
from monitor.core.tokens import PAGE, SYSTEM_USER, USER, Code, Expected, Introspection
from monitor.core.verdict import (
    MEANINGS,
    Audience,
    Finding,
    Meaning,
    Severity,
    Verdict,
    crossed,
    excess_scopes,
    missing_scopes,
    severity_of,
)
from tests.builders import (
    DAY,
    HOUR,
    INSTANT,
    NOW,
    SECOND,
    a_dead_introspection,
    a_finding,
    a_live_introspection,
    a_rule,
    an_expected,
    an_observation,
)

OWNER, OPERATOR, REPORT = Audience.OWNER, Audience.OPERATOR, Audience.REPORT
WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL


@dataclass(frozen=True)
class Row:
    """One sentence of the policy: what is known and wished, and what follows."""

    sentence: str
    codes: tuple[Code, ...]
    known: Introspection = field(default_factory=a_live_introspection)
    rule: Rule = field(default_factory=a_rule)
    expected: Expected = field(default_factory=an_expected)
    verified_at: datetime = NOW
    life_seen_at: datetime | None = NOW - DAY

    def verdict(self) -> Verdict:
        seen = Observation(self.known, self.verified_at, self.life_seen_at)
        return classify(seen, self.expected, self.rule, NOW)


def _ends_in(left: timedelta) -> Introspection:
    return a_live_introspection(expires_at=NOW + left)


def _data_ends_in(left: timedelta) -> Introspection:
    return a_live_introspection(data_access_expires_at=NOW + left)


def _lives_for(life: timedelta, **said: object) -> Introspection:
    """A token without a birthday, first seen a minute ago."""
    end = NOW - 60 * SECOND + life
    return a_live_introspection(issued_at=None, expires_at=end, **said)


def _scoped(*scopes: str) -> Introspection:
    return a_live_introspection(scopes=scopes)


def _reaching(**targets: tuple[str, ...]) -> Introspection:
    return a_live_introspection(scopes=("ads_read",), targets=targets)


ONE_LEAD = a_rule(warn_before=(7 * DAY,))
NO_LEADS = a_rule(warn_before=(), data_access_warn_before=())
NEEDS_ADS = a_rule(required_scopes=("ads_read", "ads_management"))
NEEDS_ACCOUNT = a_rule(required_targets={"ads_read": ("act_1", "act_2")})
ALLOWS_ADS = a_rule(allowed_scopes=("ads_read",))

LIFE = [
    Row("sixty days to go is well", ()),
    Row("an instant before the widest lead is well", (), _ends_in(14 * DAY + INSTANT)),
    Row("exactly the widest lead warns", (Code.EXPIRING,), _ends_in(14 * DAY)),
    Row("an instant past it warns", (Code.EXPIRING,), _ends_in(14 * DAY - INSTANT)),
    Row("an instant to go warns", (Code.EXPIRING,), _ends_in(INSTANT)),
    Row("a single lead, before it", (), _ends_in(7 * DAY + INSTANT), ONE_LEAD),
    Row("a single lead, on it", (Code.EXPIRING,), _ends_in(7 * DAY), ONE_LEAD),
    Row("without lead times nobody is warned", (), _ends_in(INSTANT), NO_LEADS),
    Row(
        "no date of expiry means never",
        (),
        a_live_introspection(expires_at=None),
    ),
    Row(
        "the date passed since the last look: expired, without any look",
        (Code.EXPIRED,),
        _ends_in(-INSTANT),
        verified_at=NOW - HOUR,
    ),
    Row(
        "the date is now: expired",
        (Code.EXPIRED,),
        _ends_in(timedelta()),
        verified_at=NOW - HOUR,
    ),
    Row(
        "a token past its date is dead and nothing else",
        (Code.EXPIRED,),
        a_live_introspection(
            issued_at=None,
            expires_at=NOW,
            data_access_expires_at=NOW,
            scopes=(),
            app_id="42",
        ),
        NEEDS_ADS,
        verified_at=NOW - HOUR,
        life_seen_at=NOW - HOUR,
    ),
    Row(
        "a live answer after the token's own date is never expired",
        (Code.EXPIRING,),
        _ends_in(-HOUR),
    ),
    Row(
        "a live answer at the very date is not expired either",
        (Code.EXPIRING,),
        _ends_in(-HOUR),
        verified_at=NOW - HOUR,
    ),
]

DATA_ACCESS = [
    Row("data access before its lead is well", (), _data_ends_in(14 * DAY + INSTANT)),
    Row(
        "data access on its lead warns",
        (Code.DATA_ACCESS_EXPIRING,),
        _data_ends_in(14 * DAY),
    ),
    Row(
        "data access past its lead warns",
        (Code.DATA_ACCESS_EXPIRING,),
        _data_ends_in(14 * DAY - INSTANT),
    ),
    Row(
        "data access an instant before its date warns",
        (Code.DATA_ACCESS_EXPIRING,),
        _data_ends_in(INSTANT),
    ),
    Row(
        "data access on its date has lapsed, though the token answers as valid",
        (Code.DATA_ACCESS_EXPIRED,),
        _data_ends_in(timedelta()),
    ),
    Row(
        "data access past its date has lapsed",
        (Code.DATA_ACCESS_EXPIRED,),
        _data_ends_in(-DAY),
    ),
    Row(
        "data access lapses without lead times too",
        (Code.DATA_ACCESS_EXPIRED,),
        _data_ends_in(timedelta()),
        NO_LEADS,
    ),
    Row(
        "data access without a date never lapses",
        (),
        a_live_introspection(data_access_expires_at=None),
    ),
    Row(
        "data access has a clock of its own: the token itself never expires",
        (Code.DATA_ACCESS_EXPIRING,),
        a_live_introspection(expires_at=None, data_access_expires_at=NOW + DAY),
    ),
    Row(
        "both clocks may run down together",
        (Code.EXPIRING, Code.DATA_ACCESS_EXPIRING),
        a_live_introspection(
            expires_at=NOW + DAY, data_access_expires_at=NOW + 2 * DAY
        ),
    ),
    Row(
        "data access follows its own lead times",
        (),
        _data_ends_in(10 * DAY),
        a_rule(data_access_warn_before=(7 * DAY,)),
    ),
    Row(
        "the token follows its own lead times",
        (),
        _ends_in(10 * DAY),
        a_rule(warn_before=(7 * DAY,)),
    ),
]

DEATH = [
    Row("the password was changed", (Code.PASSWORD_CHANGED,), a_dead_introspection()),
    *(
        Row(f"Meta says {code}", (code,), a_dead_introspection(code))
        for code in (
            Code.REVOKED,
            Code.CHECKPOINTED,
            Code.LOGGED_OUT,
            Code.UNCONFIRMED_USER,
            Code.PAGE_ROLE_LOST,
            Code.MALFORMED,
            Code.INVALID,
            Code.SCOPES_MISSING,
            Code.WRONG_APP,
        )
    ),
    Row(
        "463 before its date: expired all the same",
        (Code.EXPIRED,),
        a_dead_introspection(Code.EXPIRED, expires_at=NOW + INSTANT),
    ),
    Row(
        "463 on its date",
        (Code.EXPIRED,),
        a_dead_introspection(Code.EXPIRED, expires_at=NOW),
    ),
    Row(
        "463 after its date",
        (Code.EXPIRED,),
        a_dead_introspection(Code.EXPIRED, expires_at=NOW - DAY),
    ),
    Row(
        "463 without any date",
        (Code.EXPIRED,),
        a_dead_introspection(Code.EXPIRED, expires_at=None),
    ),
    Row(
        "493: data access has expired",
        (Code.DATA_ACCESS_EXPIRED,),
        a_dead_introspection(
            Code.DATA_ACCESS_EXPIRED, data_access_expires_at=NOW - DAY
        ),
    ),
    Row(
        "bad without a reason, an instant before its date: invalid",
        (Code.INVALID,),
        a_dead_introspection(Code.INVALID, expires_at=NOW + INSTANT),
    ),
    Row(
        "bad without a reason, on its date: expired",
        (Code.EXPIRED,),
        a_dead_introspection(Code.INVALID, expires_at=NOW),
    ),
    Row(
        "bad without a reason, past its date: expired",
        (Code.EXPIRED,),
        a_dead_introspection(Code.INVALID, expires_at=NOW - DAY),
    ),
    Row(
        "bad without a reason or a date: invalid",
        (Code.INVALID,),
        a_dead_introspection(Code.INVALID, expires_at=None),
    ),
    Row(
        "a reason given outweighs the date past",
        (Code.REVOKED,),
        a_dead_introspection(Code.REVOKED, expires_at=NOW - DAY),
    ),
    Row(
        "a dead token is dead and nothing else",
        (Code.REVOKED,),
        a_dead_introspection(
            Code.REVOKED,
            app_id="42",
            kind=PAGE,
            user_id="9",
            issued_at=None,
            expires_at=NOW + HOUR,
            data_access_expires_at=NOW - DAY,
            scopes=("email",),
        ),
        a_rule(required_scopes=("ads_read",), allowed_scopes=()),
        an_expected(kind=USER, user_id="1"),
        life_seen_at=NOW,
    ),
]

SCOPES = [
    Row(
        "every required scope is there",
        (),
        _scoped("ads_management", "ads_read"),
        NEEDS_ADS,
    ),
    Row(
        "a required scope is missing",
        (Code.SCOPES_MISSING,),
        _scoped("ads_read"),
        NEEDS_ADS,
    ),
    Row(
        "an empty list lacks all of them", (Code.SCOPES_MISSING,), _scoped(), NEEDS_ADS
    ),
    Row(
        "no list at all says nothing", (), a_live_introspection(scopes=None), NEEDS_ADS
    ),
    Row("nothing is required of an empty list", (), _scoped()),
    Row(
        "a required target implies its scope",
        (Code.SCOPES_MISSING,),
        _scoped("email"),
        NEEDS_ACCOUNT,
    ),
    Row(
        "every required target is reached",
        (),
        _reaching(ads_read=("act_3", "act_2", "act_1")),
        NEEDS_ACCOUNT,
    ),
    Row(
        "a required target is out of reach",
        (Code.TARGETS_MISSING,),
        _reaching(ads_read=("act_1",)),
        NEEDS_ACCOUNT,
    ),
    Row("target ids absent mean all of them", (), _reaching(), NEEDS_ACCOUNT),
    Row(
        "target ids empty mean unknown, perhaps all",
        (),
        _reaching(ads_read=()),
        NEEDS_ACCOUNT,
    ),
    Row(
        "targets of another scope are nobody's matter",
        (),
        _reaching(email=("act_9",)),
        NEEDS_ACCOUNT,
    ),
    Row("an allowed scope is not excess", (), _scoped("ads_read"), ALLOWS_ADS),
    Row(
        "a scope beyond the allowed",
        (Code.SCOPES_EXCESS,),
        _scoped("ads_read", "email"),
        ALLOWS_ADS,
    ),
    Row("no list of allowed scopes allows all", (), _scoped("ads_read", "email")),
    Row(
        "an empty list allows none",
        (Code.SCOPES_EXCESS,),
        _scoped("email"),
        a_rule(allowed_scopes=()),
    ),
    Row(
        "a required scope is allowed",
        (),
        _scoped("ads_read", "ads_management"),
        a_rule(allowed_scopes=(), required_scopes=("ads_read", "ads_management")),
    ),
    Row(
        "the scope of a required target is allowed",
        (),
        _scoped("ads_read"),
        a_rule(allowed_scopes=(), required_targets={"ads_read": ("act_1",)}),
    ),
    Row(
        "no list at all exceeds nothing",
        (),
        a_live_introspection(scopes=None),
        ALLOWS_ADS,
    ),
]

IDENTITY = [
    Row("another app's token", (Code.WRONG_APP,), a_live_introspection(app_id="42")),
    Row("the answer names no app", (), a_live_introspection(app_id=None)),
    Row(
        "another kind than expected",
        (Code.WRONG_KIND,),
        a_live_introspection(kind=PAGE),
        expected=an_expected(kind=USER),
    ),
    Row(
        "the kind expected",
        (),
        a_live_introspection(kind=PAGE),
        expected=an_expected(kind=PAGE),
    ),
    Row(
        "the answer names no kind",
        (),
        a_live_introspection(kind=None),
        expected=an_expected(kind=USER),
    ),
    Row("no kind is expected", (), a_live_introspection(kind="threads")),
    Row(
        "another person's token",
        (Code.WRONG_USER,),
        expected=an_expected(user_id="7"),
    ),
    Row("the person expected", (), expected=an_expected(user_id="1001")),
    Row(
        "the answer names nobody",
        (),
        a_live_introspection(user_id=None),
        expected=an_expected(user_id="7"),
    ),
    Row(
        "another page's token",
        (Code.WRONG_USER,),
        a_live_introspection(profile_id="8"),
        expected=an_expected(user_id="1001", profile_id="9"),
    ),
    Row(
        "the page expected",
        (),
        a_live_introspection(profile_id="9"),
        expected=an_expected(profile_id="9"),
    ),
    Row(
        "the answer names no page",
        (),
        expected=an_expected(profile_id="9"),
    ),
]

BORN = NOW - 60 * SECOND
SHORT = [
    Row(
        "three hours of life since its birth are short",
        (Code.EXPIRING, Code.SHORT_LIVED),
        a_live_introspection(issued_at=NOW - HOUR, expires_at=NOW + 2 * HOUR),
        life_seen_at=None,
    ),
    Row(
        "an instant more is long",
        (Code.EXPIRING,),
        a_live_introspection(issued_at=NOW - HOUR, expires_at=NOW + 2 * HOUR + INSTANT),
    ),
    Row(
        "an instant less is short",
        (Code.EXPIRING, Code.SHORT_LIVED),
        a_live_introspection(issued_at=NOW - HOUR, expires_at=NOW + 2 * HOUR - INSTANT),
    ),
    Row(
        "a long-lived token in its last hour stays a long-lived one",
        (Code.EXPIRING,),
        a_live_introspection(issued_at=NOW - 60 * DAY, expires_at=NOW + HOUR),
        life_seen_at=NOW,
    ),
    Row(
        "without a birthday, three hours since it was first seen are short",
        (Code.EXPIRING, Code.SHORT_LIVED),
        _lives_for(3 * HOUR),
        life_seen_at=BORN,
    ),
    Row(
        "without a birthday, an instant more is long",
        (Code.EXPIRING,),
        _lives_for(3 * HOUR + INSTANT),
        life_seen_at=BORN,
    ),
    Row(
        "without a birthday, first seen long ago",
        (Code.EXPIRING,),
        _lives_for(HOUR),
        life_seen_at=NOW - 50 * DAY,
    ),
    Row(
        "without a birthday or a first sight, the last look counts",
        (Code.EXPIRING, Code.SHORT_LIVED),
        _lives_for(HOUR),
        life_seen_at=None,
    ),
    Row(
        "a short-lived page token",
        (Code.EXPIRING, Code.SHORT_LIVED),
        _lives_for(HOUR, kind=PAGE),
        life_seen_at=BORN,
    ),
    Row(
        "a short-lived token of unknown kind",
        (Code.EXPIRING, Code.SHORT_LIVED),
        _lives_for(HOUR, kind=None),
        life_seen_at=BORN,
    ),
    Row(
        "a system user may live as briefly as it likes",
        (Code.EXPIRING,),
        _lives_for(HOUR, kind=SYSTEM_USER),
        life_seen_at=BORN,
    ),
    Row(
        "short lives are as wished",
        (Code.EXPIRING,),
        _lives_for(HOUR),
        a_rule(expect_long_lived=False),
        life_seen_at=BORN,
    ),
]

TABLE = [*LIFE, *DATA_ACCESS, *DEATH, *SCOPES, *IDENTITY, *SHORT]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.sentence)
def test_the_policy_says(row: Row):
    assert row.verdict().codes == row.codes


MEANT = {
    Code.EXPIRING: (WARNING, OWNER, "dated"),
    Code.DATA_ACCESS_EXPIRING: (WARNING, OWNER, "dated"),
    Code.EXPIRED: (CRITICAL, OWNER, "sudden"),
    Code.DATA_ACCESS_EXPIRED: (CRITICAL, OWNER, "sudden"),
    Code.PASSWORD_CHANGED: (CRITICAL, OWNER, "sudden"),
    Code.REVOKED: (CRITICAL, OWNER, "sudden"),
    Code.CHECKPOINTED: (CRITICAL, OWNER, "sudden"),
    Code.LOGGED_OUT: (CRITICAL, OWNER, "sudden"),
    Code.UNCONFIRMED_USER: (CRITICAL, OWNER, "sudden"),
    Code.PAGE_ROLE_LOST: (CRITICAL, OWNER, "sudden"),
    Code.INVALID: (CRITICAL, OWNER, "sudden"),
    Code.SCOPES_MISSING: (CRITICAL, OWNER, "sudden"),
    Code.TARGETS_MISSING: (CRITICAL, OWNER, "sudden"),
    Code.MALFORMED: (CRITICAL, OPERATOR, "sudden"),
    Code.WRONG_APP: (CRITICAL, OPERATOR, "sudden"),
    Code.WRONG_KIND: (CRITICAL, OPERATOR, "sudden"),
    Code.WRONG_USER: (CRITICAL, OPERATOR, "sudden"),
    Code.SHORT_LIVED: (WARNING, OPERATOR, "dated"),
    Code.SCOPES_EXCESS: (WARNING, REPORT, "dated"),
    Code.CALLER_REJECTED: (CRITICAL, OPERATOR, "dated"),
    Code.APP_MISMATCH: (CRITICAL, OPERATOR, "dated"),
    Code.UNDELIVERABLE: (CRITICAL, OPERATOR, "dated"),
    Code.CLOCK_DOUBTED: (CRITICAL, OPERATOR, "dated"),
    Code.HELD: (CRITICAL, OPERATOR, "dated"),
    Code.PACED: (WARNING, OPERATOR, "dated"),
    Code.BLIND: (CRITICAL, OPERATOR, "dated"),
    Code.ROWS_UNUSABLE: (CRITICAL, OPERATOR, "dated"),
}
NO_TOKENS_FAULT = {
    Code.CALLER_REJECTED,
    Code.APP_MISMATCH,
    Code.UNDELIVERABLE,
    Code.CLOCK_DOUBTED,
    Code.HELD,
    Code.PACED,
    Code.BLIND,
    Code.ROWS_UNUSABLE,
}


@pytest.mark.parametrize("code", Code)
def test_every_code_means_what_the_design_says(code: Code):
    severity, audience, kind = MEANT[code]
    assert MEANINGS[code] == Meaning(severity, audience, sudden=kind == "sudden")


def test_every_code_has_a_meaning_and_every_fault_of_a_token_a_row():
    assert set(MEANINGS) == set(Code)
    cases = {code for row in TABLE for code in row.codes}
    assert cases == set(Code) - NO_TOKENS_FAULT


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.sentence)
def test_codes_come_in_the_order_of_the_vocabulary(row: Row):
    codes = row.verdict().codes
    assert list(codes) == [code for code in MEANINGS if code in codes]


def _only(known: Introspection, **wishes: object) -> Finding:
    row = Row("", (), known, a_rule(**wishes), verified_at=NOW - HOUR)
    (finding,) = row.verdict().findings
    return finding


@pytest.mark.parametrize(
    ("known", "deadline", "sudden"),
    [
        pytest.param(_ends_in(DAY), NOW + DAY, False, id="expiring has its date"),
        pytest.param(_ends_in(-SECOND), NOW - SECOND, False, id="the date passed"),
        pytest.param(_data_ends_in(DAY), NOW + DAY, False, id="data access ends"),
        pytest.param(_data_ends_in(-DAY), NOW - DAY, False, id="data access ended"),
        pytest.param(
            a_dead_introspection(Code.EXPIRED, expires_at=NOW + INSTANT),
            None,
            True,
            id="463 before its date was not foretold",
        ),
        pytest.param(
            a_dead_introspection(Code.EXPIRED, expires_at=NOW),
            NOW,
            False,
            id="463 on its date was foretold",
        ),
        pytest.param(
            a_dead_introspection(Code.EXPIRED, expires_at=None),
            None,
            True,
            id="463 without a date was not foretold",
        ),
        pytest.param(
            a_dead_introspection(Code.INVALID, expires_at=NOW - DAY),
            NOW - DAY,
            False,
            id="bad without reason past its date was foretold",
        ),
        pytest.param(
            a_dead_introspection(Code.DATA_ACCESS_EXPIRED, data_access_expires_at=NOW),
            NOW,
            False,
            id="493 on the date of data access was foretold",
        ),
        pytest.param(
            a_dead_introspection(
                Code.DATA_ACCESS_EXPIRED, data_access_expires_at=NOW + INSTANT
            ),
            None,
            True,
            id="493 before that date was not foretold",
        ),
        pytest.param(
            a_dead_introspection(
                Code.DATA_ACCESS_EXPIRED,
                data_access_expires_at=None,
                expires_at=NOW - DAY,
            ),
            None,
            True,
            id="493 is not foretold by the token's own date",
        ),
        pytest.param(
            a_dead_introspection(Code.REVOKED, expires_at=NOW - DAY),
            None,
            True,
            id="a revocation has no date",
        ),
        pytest.param(
            a_live_introspection(app_id="42"), None, True, id="a wrong app is sudden"
        ),
    ],
)
def test_only_a_date_foretells(
    known: Introspection, deadline: datetime | None, *, sudden: bool
):
    finding = _only(known)
    assert (finding.deadline, finding.sudden) == (deadline, sudden)


def test_missing_scopes_are_named_in_the_order_of_the_policy():
    rule = a_rule(
        required_scopes=("ads_management", "ads_read", "business_management"),
        required_targets={"leads": ("1",), "ads_read": ("2",)},
    )
    known = _scoped("ads_read")
    missing = ("ads_management", "business_management", "leads")
    assert missing_scopes(known, rule) == missing
    finding = Row("", (), known, rule).verdict().findings[0]
    assert finding == Finding(Code.SCOPES_MISSING, None, missing, sudden=True)


def test_missing_targets_are_named_with_their_scope():
    finding = _only(
        _reaching(ads_read=("act_2",)),
        required_targets={"ads_read": ("act_1", "act_2", "act_3")},
    )
    assert finding.details == ("ads_read:act_1", "ads_read:act_3")
    assert finding.sudden


def test_excess_scopes_are_named_in_the_order_of_the_answer():
    known = _scoped("pages_show_list", "ads_read", "email")
    assert excess_scopes(known, ALLOWS_ADS) == ("pages_show_list", "email")
    assert _only(known, allowed_scopes=("ads_read",)) == Finding(
        Code.SCOPES_EXCESS, None, ("pages_show_list", "email")
    )


def test_a_wrong_kind_names_the_one_said_and_the_one_expected():
    row = Row("", (), expected=an_expected(kind=PAGE))
    (finding,) = row.verdict().findings
    assert finding == Finding(Code.WRONG_KIND, None, (USER, PAGE), sudden=True)


def test_a_wrong_user_is_sudden():
    row = Row("", (), expected=an_expected(user_id="7"))
    assert row.verdict().findings == (Finding(Code.WRONG_USER, sudden=True),)


def test_a_short_lived_token_names_its_end():
    row = SHORT[0]
    assert row.verdict().findings[1] == Finding(Code.SHORT_LIVED, NOW + 2 * HOUR)


LEADS = (14 * DAY, 7 * DAY, 3 * DAY, DAY)


@pytest.mark.parametrize(
    ("left", "lead"),
    [
        pytest.param(14 * DAY + INSTANT, None, id="before the widest"),
        pytest.param(14 * DAY, 14 * DAY, id="on the widest"),
        pytest.param(7 * DAY + INSTANT, 14 * DAY, id="before the second"),
        pytest.param(7 * DAY, 7 * DAY, id="on the second"),
        pytest.param(2 * DAY, 3 * DAY, id="three crossed at once: the tightest"),
        pytest.param(DAY, DAY, id="on the tightest"),
        pytest.param(timedelta(), DAY, id="on the deadline"),
        pytest.param(-DAY, DAY, id="past the deadline"),
    ],
)
def test_the_tightest_lead_crossed_is_spoken_of(
    left: timedelta, lead: timedelta | None
):
    assert crossed(LEADS, NOW + left, NOW) == lead


def test_without_leads_nothing_is_ever_crossed():
    assert crossed((), NOW, NOW) is None


def _well(verified_ago: timedelta, **wishes: object) -> Verdict:
    seen = an_observation(verified_at=NOW - verified_ago)
    return classify(seen, an_expected(), a_rule(**wishes), NOW)


def test_a_token_never_heard_of_is_unknown():
    verdict = classify(Observation(), an_expected(), a_rule(), NOW)
    assert verdict == Verdict(Severity.UNKNOWN, (), None)


def test_good_news_is_trusted_up_to_and_including_trust_for():
    assert _well(timedelta()).severity is Severity.OK
    assert _well(24 * HOUR).severity is Severity.OK
    assert _well(24 * HOUR + INSTANT).severity is Severity.UNKNOWN
    assert _well(24 * HOUR + INSTANT, trust_for=2 * DAY).severity is Severity.OK


def test_a_stale_answer_keeps_the_instant_of_its_proof():
    assert _well(30 * HOUR).verified_at == NOW - 30 * HOUR


def test_dated_findings_outlive_trust():
    seen = an_observation(_ends_in(2 * DAY), verified_at=NOW - 20 * DAY)
    verdict = classify(seen, an_expected(), a_rule(), NOW)
    assert (verdict.severity, verdict.codes) == (WARNING, (Code.EXPIRING,))


def test_a_confirmed_death_outlives_trust():
    seen = an_observation(a_dead_introspection(), verified_at=NOW - 20 * DAY)
    verdict = classify(seen, an_expected(), a_rule(), NOW)
    assert (verdict.severity, verdict.codes) == (CRITICAL, (Code.PASSWORD_CHANGED,))


@pytest.mark.parametrize(
    ("codes", "severity"),
    [
        pytest.param((), Severity.OK, id="nothing is ok"),
        pytest.param((Code.EXPIRING,), WARNING, id="a warning"),
        pytest.param((Code.SHORT_LIVED, Code.EXPIRING), WARNING, id="two warnings"),
        pytest.param((Code.REVOKED,), CRITICAL, id="a critical finding"),
        pytest.param((Code.EXPIRING, Code.REVOKED), CRITICAL, id="the worst counts"),
    ],
)
def test_severity_is_the_worst_of_the_codes(
    codes: tuple[Code, ...], severity: Severity
):
    assert severity_of(codes) is severity


def test_nobody_is_written_to_about_excess_scopes():
    excess, expiring = a_finding(Code.SCOPES_EXCESS), a_finding()
    verdict = Verdict(WARNING, (expiring, excess), NOW)
    assert verdict.codes == (Code.EXPIRING, Code.SCOPES_EXCESS)
    assert verdict.matters == (expiring,)
