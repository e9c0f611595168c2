"""What the sandbox says about a token, field by field as Graph was recorded."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from monitor.sandbox.behaviour import Answer, Look, inspect
from monitor.sandbox.scenario import AppPlan, TokenPlan
from monitor.sandbox.states import STATES, State

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
APP = AppPlan("1234567890", "Acme Publisher")
USER = TokenPlan(
    "u",
    APP.id,
    expires_in=timedelta(days=20),
    scopes=("public_profile", "ads_read", "pages_manage_posts"),
    targets={"pages_manage_posts": ("1", "2")},
)
PAGE = replace(USER, id="p", kind="page", expires_in=None)
SYSTEM = replace(USER, id="s", kind="system_user", expires_in=None)
SHORT = replace(USER, issued_ago=None)


def look(
    plan: TokenPlan, state: str = "valid", now: datetime = NOW, **more: Any
) -> Look:
    facts: dict[str, Any] = {
        "born_at": NOW,
        "since_at": NOW - timedelta(hours=1),
        "number": 1,
    }
    parsed = State.parse(state)
    return Look(plan, APP, plan.text, state=parsed, now=now, **(facts | more))


def answer_to(*what: Any, **more: Any) -> Answer:
    answer = inspect(look(*what, **more))
    assert answer is not None
    return answer


def data(
    plan: TokenPlan, state: str = "valid", now: datetime = NOW, **more: Any
) -> Any:
    answer = answer_to(plan, state, now, **more)
    assert answer.status == 200
    return msgspec.json.decode(answer.body)["data"]


BASE = {
    "app_id",
    "type",
    "application",
    "data_access_expires_at",
    "expires_at",
    "is_valid",
    "issued_at",
    "scopes",
    "granular_scopes",
    "user_id",
}


@pytest.mark.parametrize(
    ("plan", "state", "keys"),
    [
        pytest.param(USER, "valid", BASE, id="a user token"),
        pytest.param(SHORT, "valid", BASE - {"issued_at"}, id="not stated when issued"),
        pytest.param(USER, "short_lived", BASE - {"issued_at"}, id="short-lived"),
        pytest.param(PAGE, "valid", BASE | {"profile_id"}, id="a page token"),
        pytest.param(SYSTEM, "valid", BASE, id="a system user's token"),
        pytest.param(USER, "invalid", BASE, id="bad without a reason"),
        pytest.param(USER, "password_changed", BASE | {"error"}, id="460"),
        pytest.param(
            USER,
            "invalidated",
            BASE - {"issued_at", "granular_scopes"} | {"error"},
            id="466",
        ),
        pytest.param(USER, "malformed", {"error", "is_valid", "scopes"}, id="damaged"),
        pytest.param(
            USER, "malformed(parse)", {"error", "is_valid", "scopes"}, id="no token"
        ),
    ],
)
def test_the_fields_are_those_graph_was_recorded_with(
    plan: TokenPlan, state: str, keys: set[str]
) -> None:
    assert set(data(plan, state)) == keys


def test_a_page_token_names_the_page_and_the_person() -> None:
    answer = data(replace(PAGE, profile_id="610000000000001", user_id="42"))
    assert (answer["type"], answer["profile_id"], answer["user_id"]) == (
        "PAGE",
        "610000000000001",
        "42",
    )
    assert answer["expires_at"] == 0


def test_a_system_users_data_access_never_lapses() -> None:
    assert data(SYSTEM)["data_access_expires_at"] == 0
    assert data(SYSTEM)["type"] == "SYSTEM_USER"


def test_only_asset_scopes_are_granular_and_targets_are_strings() -> None:
    assert data(USER)["granular_scopes"] == [
        {"scope": "ads_read"},
        {"scope": "pages_manage_posts", "target_ids": ["1", "2"]},
    ]


@pytest.mark.parametrize(
    ("state", "subcode"),
    [
        ("password_changed", 460),
        ("revoked", 458),
        ("invalidated", 466),
        ("checkpointed", 459),
        ("checkpointed(490)", 490),
        ("logged_out", 467),
        ("unconfirmed_user", 464),
        ("page_role_lost", 492),
        ("expired", 463),
        ("unknown_subcode", 2999),
        ("invalid_no_subcode", None),
        ("password_changed(no_subcode)", None),
    ],
)
def test_an_ended_token_says_why_inside_data(state: str, subcode: int | None) -> None:
    answer = data(USER, state)
    assert answer["is_valid"] is False
    assert answer["error"]["code"] == 190
    assert answer["error"].get("subcode") == subcode
    assert "error_subcode" not in answer["error"]


def test_a_changed_password_keeps_scopes_and_an_api_call_takes_them() -> None:
    assert data(USER, "password_changed")["scopes"] == list(USER.scopes)
    assert data(USER, "invalidated")["scopes"] == []


@pytest.mark.parametrize(
    ("days", "alive"), [(19.99, True), (20, False), (20.01, False)]
)
def test_a_token_ends_at_its_own_date(days: float, *, alive: bool) -> None:
    assert data(USER, now=NOW + timedelta(days=days))["is_valid"] is alive


def test_an_expired_token_tells_both_times_in_pacific_time() -> None:
    ended = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
    answer = data(USER, "expired")
    assert answer["expires_at"] == int(ended.timestamp())
    assert answer["error"]["message"] == (
        "Error validating access token: Session has expired on "
        "Tuesday, 24-Nov-26 00:30:00 PST. "
        "The current time is Tuesday, 24-Nov-26 01:30:00 PST."
    )


def test_in_summer_the_text_says_pdt() -> None:
    plan = replace(USER, expires_in=-timedelta(days=150))
    assert "PDT. The current time" in data(plan)["error"]["message"]


def test_lapsed_data_access_leaves_the_token_valid() -> None:
    answer = data(PAGE, "data_access_expired")
    assert answer["is_valid"] is True
    assert 0 < answer["data_access_expires_at"] <= NOW.timestamp()


def test_a_short_lived_token_ends_on_the_hour() -> None:
    answer = data(USER, "short_lived")
    assert answer["expires_at"] % 3600 == 0
    assert NOW.timestamp() < answer["expires_at"] <= NOW.timestamp() + 7200


def test_a_token_can_lose_a_scope_or_a_target() -> None:
    assert data(USER, "scope_lost")["scopes"] == ["public_profile", "ads_read"]
    assert "ads_read" not in data(USER, "scope_lost(ads_read)")["scopes"]
    (granular,) = data(replace(USER, scopes=("pages_manage_posts",)), "target_lost")[
        "granular_scopes"
    ]
    assert granular["target_ids"] == ["100000000000001"]


def test_a_flapping_token_is_bad_at_every_odd_look() -> None:
    lives = [data(USER, "flapping", number=n)["is_valid"] for n in (1, 2, 3, 4)]
    assert lives == [False, True, False, True]


def test_what_is_no_statement_about_the_token_comes_without_data() -> None:
    wrong_app = answer_to(USER, "wrong_app")
    transient = answer_to(USER, "transient")
    assert inspect(look(USER, "null_item")) is None
    assert (wrong_app.status, transient.status) == (400, 503)
    assert b"did not match the Viewing App" in wrong_app.body


def test_a_hostile_answer_echoes_the_token_and_tries_to_break_out() -> None:
    message = data(USER, "hostile")["error"]["message"]
    assert USER.text in message
    assert "\r\nBcc:" in message


@pytest.mark.parametrize("name", STATES)
def test_every_state_has_an_answer(name: str) -> None:
    answer = inspect(Look(USER, APP, USER.text, NOW, State(name), NOW, NOW))
    assert answer is None or msgspec.json.decode(answer.body)


def test_an_answer_says_how_long_it_stays_the_same() -> None:
    assert answer_to(USER).expires_at == NOW + timedelta(days=20)
    assert answer_to(PAGE).expires_at is None
    assert answer_to(USER, "expired").expires_at == NOW + timedelta(seconds=1)
