"""Which rule a token lives under."""

from collections.abc import Mapping

import pytest

from monitor.core.policy import Match, Rule, rule_for
from monitor.core.tokens import PAGE, SYSTEM_USER, USER
from tests.builders import APP, a_rule

OTHER_APP = "42"
EVERYTHING = Match()
OUR_APP = Match(app=frozenset({APP, "77"}))
PEOPLE = Match(kind=frozenset({USER, PAGE}))
ADS_TEAM = Match(label={"team": frozenset({"ads", "growth"})})
ADS_NORTH = Match(label={"team": frozenset({"ads"}), "region": frozenset({"north"})})
OUR_PEOPLE_IN_ADS = Match(
    app=frozenset({APP}),
    kind=frozenset({USER}),
    label={"team": frozenset({"ads"})},
)
ADS = {"team": "ads"}


@pytest.mark.parametrize(
    ("match", "app", "kind", "labels", "accepted"),
    [
        pytest.param(EVERYTHING, APP, USER, {}, True, id="no key takes every token"),
        pytest.param(EVERYTHING, APP, None, {}, True, id="even one of unknown kind"),
        pytest.param(OUR_APP, APP, USER, {}, True, id="the app is listed first"),
        pytest.param(OUR_APP, "77", USER, {}, True, id="the app is listed second"),
        pytest.param(OUR_APP, OTHER_APP, USER, {}, False, id="the app is not listed"),
        pytest.param(PEOPLE, APP, PAGE, {}, True, id="the kind is listed"),
        pytest.param(PEOPLE, APP, SYSTEM_USER, {}, False, id="the kind is not listed"),
        pytest.param(PEOPLE, APP, None, {}, False, id="an unknown kind is no kind"),
        pytest.param(ADS_TEAM, APP, USER, ADS, True, id="the label has one value"),
        pytest.param(
            ADS_TEAM, APP, USER, {"team": "growth"}, True, id="the label has the other"
        ),
        pytest.param(
            ADS_TEAM, APP, USER, {"team": "sales"}, False, id="the label has neither"
        ),
        pytest.param(ADS_TEAM, APP, USER, {}, False, id="the label is absent"),
        pytest.param(
            ADS_NORTH, APP, USER, {**ADS, "region": "north"}, True, id="both labels fit"
        ),
        pytest.param(ADS_NORTH, APP, USER, ADS, False, id="one label of two is absent"),
        pytest.param(OUR_PEOPLE_IN_ADS, APP, USER, ADS, True, id="all three keys fit"),
        pytest.param(
            OUR_PEOPLE_IN_ADS, OTHER_APP, USER, ADS, False, id="all but the app fit"
        ),
        pytest.param(
            OUR_PEOPLE_IN_ADS, APP, PAGE, ADS, False, id="all but the kind fit"
        ),
        pytest.param(
            OUR_PEOPLE_IN_ADS, APP, USER, {}, False, id="all but the label fit"
        ),
    ],
)
def test_keys_are_anded_and_their_values_ored(
    match: Match,
    app: str,
    kind: str | None,
    labels: Mapping[str, str],
    *,
    accepted: bool,
):
    assert match.accepts(app, kind, labels) is accepted


def _won(rules: list[Rule], kind: str | None) -> str:
    return rule_for(rules, APP, kind, {}).name


def test_the_first_rule_that_fits_wins():
    rules = [
        a_rule(name="pages", match=Match(kind=frozenset({PAGE}))),
        a_rule(name="people", match=PEOPLE),
        a_rule(name="default"),
    ]
    assert _won(rules, PAGE) == "pages"
    assert _won(rules, USER) == "people"
    assert _won(rules, SYSTEM_USER) == "default"
    assert _won(rules, None) == "default"


def test_the_last_rule_takes_what_no_rule_fits():
    rules = [a_rule(name="pages", match=Match(kind=frozenset({PAGE})))]
    assert _won(rules, USER) == "pages"
