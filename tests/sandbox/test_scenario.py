"""Scenario files: what they may say and how they say what is wrong."""

import csv
import io
import tracemalloc
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest

from monitor.errors import ConfigurationError
from monitor.sandbox import reading
from monitor.sandbox.scenario import (
    AppPlan,
    Group,
    Owner,
    Scenario,
    TokenPlan,
    group_place,
    group_text,
)
from monitor.sandbox.states import State

FULL = """
apps:
  - {id: 1234567890, name: Acme Publisher, secret: demo, hourly_calls: 200,
     require_proof: true, usage: {call_count: 91}, regain: 19m}
owners:
  ann: {email: ann@bakery.example, name: Ann, timezone: Europe/Berlin}
tokens:
  - id: bakery-north
    app: 1234567890
    kind: page
    token: EAAgiven
    user_id: 77
    profile_id: 88
    expires_in: never
    data_access_expires_in: 60d
    issued_ago: null
    scopes: [pages_manage_posts]
    targets: {pages_manage_posts: [1, 2]}
    owner: ann
    name: Bakery North
    used_for: posts
    labels: {team: pages}
    inventory: {user_id: 99}
    events:
      - {after: 30m, state: valid}
      - {after: 10m, state: scope_lost(pages_manage_posts)}
groups:
  - id: load-{n}
    count: 4
    per_owner: 2
    app: 1234567890
    owner: {email: "owner-{owner}@bakery.example"}
faults:
  - {after: 5m, for: 2m, app: all, fault: slow(3s), share: 0.1}
"""


def test_a_whole_scenario_is_read() -> None:
    scenario = reading.parse(FULL)
    (app,), (token,), (fault,) = scenario.apps, scenario.tokens, scenario.faults
    assert (app.hourly_calls, app.require_proof, app.usage) == (
        200,
        True,
        {"call_count": 91},
    )
    assert app.regain == timedelta(minutes=19)
    assert token.owner == Owner("ann@bakery.example", "Ann", "", "Europe/Berlin")
    assert (token.expires_in, token.issued_ago) == (None, None)
    assert [event.state.name for event in token.events] == ["scope_lost", "valid"]
    assert (fault.kind, fault.span.seconds, fault.app) == ("slow", 3, None)


def test_an_inventory_row_says_what_the_scenario_wants_it_to_say() -> None:
    row = next(reading.parse(FULL).inventory())
    assert row == {
        "id": "bakery-north",
        "token": "EAAgiven",
        "app_id": "1234567890",
        "owner_email": "ann@bakery.example",
        "owner_name": "Ann",
        "kind": "page",
        "name": "Bakery North",
        "used_for": "posts",
        "user_id": "99",
        "profile_id": "88",
        "timezone": "Europe/Berlin",
        "label.team": "pages",
    }


def test_events_follow_each_other_on_the_event_clock() -> None:
    token = reading.parse(FULL).tokens[0]
    names = [
        token.state_at(timedelta(minutes=minutes))[0].name
        for minutes in (0, 9.9, 10, 29.9, 30, 900)
    ]
    assert names == ["valid", "valid", "scope_lost", "scope_lost", "valid", "valid"]


def test_the_members_of_a_group_share_owners_and_have_tokens_of_their_own() -> None:
    rows = list(reading.parse(FULL).inventory())[1:]
    assert [row["id"] for row in rows] == ["load-0", "load-1", "load-2", "load-3"]
    assert [row["owner_email"] for row in rows] == [
        "owner-0@bakery.example",
        "owner-0@bakery.example",
        "owner-1@bakery.example",
        "owner-1@bakery.example",
    ]
    assert len({row["token"] for row in rows}) == 4
    assert rows[0]["user_id"] == rows[1]["user_id"] != rows[2]["user_id"]


def test_a_groups_member_is_found_by_its_token_and_its_id() -> None:
    scenario = reading.parse(FULL)
    rows = list(scenario.inventory())
    found = scenario.find(rows[3]["token"])
    assert found is not None
    assert found.id == "load-2"
    assert scenario.named("load-2").text == rows[3]["token"]
    assert scenario.find(group_text(0, 4)) is None
    assert scenario.find(group_text(1, 0)) is None
    assert group_place(group_text(0, 1)[:-1] + "#") is None
    for unknown in ("load-4", "load-02", "load-x", "nobody"):
        with pytest.raises(KeyError):
            scenario.named(unknown)


def test_tokens_and_ids_are_the_same_every_time() -> None:
    one, two = (TokenPlan("bakery-north", "1") for _ in range(2))
    assert one.text == two.text
    assert one.text.startswith("EAAB")
    assert len(one.text) > 150
    assert one.person == two.person
    assert one.person.isdecimal()


def test_a_large_inventory_is_streamed() -> None:
    group = Group(TokenPlan("load-{n}", "1"), 200_000)
    rows = Scenario((AppPlan("1"),), groups=(group,)).inventory()
    tracemalloc.start()
    for _ in islice(rows, 5_000):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_no_secret_is_shown_in_a_repr() -> None:
    assert "hidden" not in repr(AppPlan("1", secret="hidden"))
    assert "EAAhidden" not in repr(TokenPlan("t", "1", token="EAAhidden"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("apps: [{id: 1, nme: x}]", "s.yaml:1:16: unknown key 'nme'"),
        ("apps: [{id: 1, nme: x}]", "did you mean 'name'?"),
        ("apps: [{name: x}]", "s.yaml:1:8: 'id' is missing"),
        ("tokens: []", "s.yaml:1:1: at least one app is expected under `apps`"),
        ("apps: [{id: 1, id: 2}]", "s.yaml:1:16: 'id' is here twice"),
        ("apps: [{id: 1", "s.yaml:1:14: not YAML:"),
        ("apps: \x00", "s.yaml:1:1: not YAML:"),
        ("apps: 7", "s.yaml:1:7: a list is expected"),
        ("apps: [7]", "s.yaml:1:8: `key: value` lines are expected"),
        ("apps: [{id: [1]}]", "s.yaml:1:13: a single value is expected"),
        (
            "apps: [{id: 1, hourly_calls: many}]",
            "s.yaml:1:30: 'many' is not a whole number",
        ),
        (
            "apps: [{id: 1, require_proof: perhaps}]",
            "s.yaml:1:31: no answer 'perhaps'; true, false",
        ),
        (
            "apps: [{id: 1}]\ntokens: [{id: a, app: 2}]",
            "s.yaml:2:23: no app '2'; 1",
        ),
        ("apps: [{id: 1}]\ntokens: [{app: 1}]", "s.yaml:2:10: 'id' is missing"),
        (
            "apps: [{id: 1}]\ntokens:\n- {id: a, app: 1}\n- {id: a, app: 1}",
            "s.yaml:4:3: token 'a' is already on line 3",
        ),
        (
            "apps: [{id: 1}]\ntokens: [{id: a, app: 1, kind: pages}]",
            "s.yaml:2:32: no kind 'pages'; did you mean 'page'?",
        ),
        (
            "apps: [{id: 1}]\ntokens: [{id: a, app: 1, expires_in: soon}]",
            "'soon' is not a duration such as 14d, 6h or 90s, or never",
        ),
        (
            "apps: [{id: 1}]\ntokens: [{id: a, app: 1, owner: bob}]",
            "s.yaml:2:33: no owner 'bob'",
        ),
        (
            "apps: [{id: 1}]\ntokens: [{id: a, app: 1, events: [{state: dead}]}]",
            "s.yaml:2:43: no state 'dead'",
        ),
        (
            "apps: [{id: 1}]\nfaults: [{fault: flood}]",
            "s.yaml:2:18: no fault 'flood'",
        ),
        (
            "apps: [{id: 1}]\nfaults: [{fault: empty(3s)}]",
            "empty takes no argument",
        ),
        (
            "apps: [{id: 1}]\nfaults: [{fault: empty, share: 2}]",
            "'2' is not a share between 0 and 1",
        ),
        (
            "apps: [{id: 1}]\nfaults: [{fault: empty, share: x}]",
            "'x' is not a share between 0 and 1",
        ),
        (
            "apps: [{id: 1}]\ngroups: [{id: load, app: 1, count: 3}]",
            "the id of a group needs `{n}`",
        ),
        (
            'apps: [{id: 1}]\ngroups: [{id: "l{n}", app: 1, count: 3, token: EAA}]',
            "the tokens of a group are made up",
        ),
    ],
)
def test_a_wrong_scenario_says_where_and_what(text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        reading.parse(text, "s.yaml")
    assert fault in str(caught.value)
    assert caught.value.exit_code == 78


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        reading.parse("apps: [{nme: 1}]\ntokens: [{id: a, app: 2, kind: x}]")
    assert len(caught.value.faults) == 4


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml: cannot read"):
        reading.load(tmp_path / "nowhere.yaml")


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(FULL)
    assert reading.load(path) == reading.parse(FULL)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8 text"):
        reading.load(path)


def test_the_demo_holds_every_kind_of_trouble() -> None:
    scenario = reading.demo()
    states = {event.state.name for token in scenario.tokens for event in token.events}
    assert states == {
        "password_changed",
        "revoked",
        "checkpointed",
        "logged_out",
        "unconfirmed_user",
        "page_role_lost",
        "invalid",
        "scope_lost",
        "short_lived",
        "flapping",
        "hostile",
    }
    overrides = {key for token in scenario.tokens for key in token.inventory}
    assert overrides == {"token", "app_id", "kind", "user_id"}
    assert len({token.owner.email for token in scenario.tokens}) == 12
    assert 30 <= len(scenario.tokens) <= 35


def test_the_demos_inventory_survives_a_csv_file() -> None:
    rows = list(reading.demo().inventory())
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    again = list(csv.DictReader(io.StringIO(text.getvalue(), newline="")))
    assert [row["name"] for row in again] == [row["name"] for row in rows]


def test_a_state_without_a_meaning_is_refused() -> None:
    with pytest.raises(ValueError, match="no state 'dead'"):
        State.parse("dead")
