"""A fleet with every trouble there is: judged, confirmed, told once."""

import os
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from monitor.sandbox.mailbox import Mailbox
from monitor.sandbox.states import STATES
from tests.whole.tools import (
    APP,
    Graph,
    Place,
    graph,
    mailbox,
    monitor,
    scenario,
    until_later_than,
)

FLEET = int(os.environ.get("FLEET", "700"))
"""Tokens; 10,000 take about a minute, most of it for the letters."""
PER_OWNER = 5


class Expected(NamedTuple):
    """What is said of a token in some state after one look and after two."""

    first: tuple[str, str]
    """Severity, and the code found at once; or the one suspected, in brackets."""
    second: tuple[str, str]
    owner: bool
    """Whether its owner is written to."""


def sudden(code: str, *, owner: bool = True) -> Expected:
    return Expected(("unknown", f"({code})"), ("critical", code), owner)


def at_once(severity: str, code: str, *, owner: bool) -> Expected:
    return Expected((severity, code), (severity, code), owner)


EXPECTED = {
    "valid": at_once("ok", "", owner=False),
    "expired": at_once("critical", "expired", owner=True),
    "password_changed": sudden("password_changed"),
    "revoked": sudden("revoked"),
    "invalidated": sudden("revoked"),
    "checkpointed": sudden("checkpointed"),
    "logged_out": sudden("logged_out"),
    "unconfirmed_user": sudden("unconfirmed_user"),
    "page_role_lost": sudden("page_role_lost"),
    "invalid": sudden("invalid"),
    "invalid_no_subcode": sudden("invalid"),
    "unknown_subcode": sudden("invalid"),
    "malformed": sudden("malformed", owner=False),
    "data_access_expired": at_once("critical", "data_access_expired", owner=True),
    "wrong_app": sudden("wrong_app", owner=False),
    # Nothing was taken away: it never had them, as far as we know.
    "scope_lost": at_once("critical", "scopes_missing", owner=True),
    "target_lost": at_once("critical", "targets_missing", owner=True),
    "short_lived": at_once("warning", "expiring short_lived", owner=True),
    "never_expiring": at_once("ok", "", owner=False),
    "transient": at_once("unknown", "", owner=False),
    "null_item": at_once("unknown", "", owner=False),
    "hostile": sudden("password_changed"),
    "flapping": Expected(("unknown", "(password_changed)"), ("ok", ""), owner=False),
}


def group(state: str, count: int) -> str:
    owner = f"{state.replace('_', '-')}-{{owner}}@bakery.example"
    return (
        f'{{id: "{state}-{{n}}", count: {count}, per_owner: {PER_OWNER}, app: "{APP}", '
        f'kind: page, owner: {{email: "{owner}"}}, expires_in: 50d, '
        "labels: {team: pages}, scopes: [pages_manage_posts, pages_read_engagement], "
        'targets: {pages_manage_posts: ["610000000000001"]}, '
        f"events: [{{after: 0s, state: {state}}}]}}"
    )


class Fleet(NamedTuple):
    place: Place
    graph: Graph
    post: Mailbox
    size: int


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder: Path = tmp_path_factory.mktemp("fleet")
    count = FLEET // len(EXPECTED)
    plot = scenario(groups=tuple(group(state, count) for state in EXPECTED))
    with mailbox() as post, graph(folder / "graph", plot) as served:
        place = Place.make(folder / "place", graph=served.url, mail=post.port)
        place.run("tokens", "import", served.inventory)
        yield Fleet(place, served, post, count * len(EXPECTED))


def said(row: dict[str, Any]) -> tuple[str, str]:
    codes = " ".join(row["codes"])
    doubt = row["suspicion"]
    assert not (codes and doubt)
    return row["severity"], f"({doubt['code']})" if doubt else codes


def by_state(rows: dict[str, dict[str, Any]]) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {state: set() for state in EXPECTED}
    for token_id, row in rows.items():
        found[token_id.rpartition("-")[0]].add(said(row))
    return found


def test_every_state_of_the_sandbox_is_expected_here() -> None:
    assert set(EXPECTED) == set(STATES)


def test_a_fleet_is_judged_confirmed_and_told_once(fleet: Fleet) -> None:
    place, post = fleet.place, fleet.post

    first = place.run("check", code=1)
    assert f"looked at {fleet.size} tokens" in first.stdout
    rows = place.tokens()
    assert len(rows) == fleet.size
    assert by_state(rows) == {s: {e.first} for s, e in EXPECTED.items()}
    assert all(row["last_checked_at"] for row in rows.values())
    unsure = {i.rpartition("-")[0] for i, r in rows.items() if r["inconclusive_cause"]}
    assert unsure == {"transient", "null_item"}
    assert post.received == []

    since = max(r["suspicion"]["since"] for r in rows.values() if r["suspicion"])
    until_later_than(since, timedelta(seconds=1))
    place.run("check", code=1)
    rows = place.tokens()
    assert by_state(rows) == {s: {e.second} for s, e in EXPECTED.items()}
    for token_id, row in rows.items():
        expected = EXPECTED[token_id.rpartition("-")[0]]
        told = expected.second[1].split()
        incident = row["incident"]
        assert (incident["codes"] if incident else []) == told
        assert row["confirmed"] is (row["severity"] != "unknown")
    assert post.received == []

    place.run("deliver")
    letters = Counter(letter.envelope_to for letter in post.received)
    owners = {
        (row["owner_email"],)
        for token_id, row in rows.items()
        if EXPECTED[token_id.rpartition("-")[0]].owner
    }
    assert letters == Counter(dict.fromkeys(owners, 1) | {("ops@acme.example",): 1})
    assert all(letter.message.get_all("To") for letter in post.received)
    outbox = place.ask("outbox", "list")
    assert {entry["state"] for entry in outbox} == {"sent"}
    assert {entry["message_id"] for entry in outbox} == {
        letter.message["Message-ID"] for letter in post.received
    }

    before = len(post.received)
    place.run("check", code=1)
    place.run("deliver")
    assert len(post.received) == before, "a third round says nothing new"
    settled = place.tokens()
    flapping = {i for i in rows if i.startswith("flapping-")}
    assert {said(settled[i]) for i in flapping} == {("ok", "(password_changed)")}
    assert {i: said(row) for i, row in settled.items() if i not in flapping} == {
        i: said(row) for i, row in rows.items() if i not in flapping
    }


def test_each_letter_names_the_tokens_of_its_reader_and_no_others(
    fleet: Fleet,
) -> None:
    for letter in fleet.post.received:
        (to,) = letter.envelope_to
        assert str(letter.message["To"]).endswith(to) or f"<{to}>" in str(
            letter.message["To"]
        )
        others = {
            word.strip("<>,.")
            for word in (letter.text + letter.html).split()
            if "@bakery.example" in word
        }
        assert others <= {to}


def test_hostile_answers_leave_no_trace_in_letters(fleet: Fleet) -> None:
    raw = b"".join(letter.data for letter in fleet.post.received)
    for planted in (b"evil.example", b"alert(1)", b"7*7", b"\x1b["):
        assert planted not in raw


def test_a_named_check_looks_at_these_tokens_only(fleet: Fleet) -> None:
    before = len(fleet.graph.calls())
    fleet.place.run("check", "valid-0", "valid-1")
    calls = fleet.graph.calls()[before:]
    asked = [i for c in calls if c["kind"] == "batch" for i in c["items"]]
    assert sorted(asked) == ["valid-0", "valid-1"]


def test_an_unknown_id_is_a_mistake_and_nothing_is_asked(fleet: Fleet) -> None:
    before = len(fleet.graph.calls())
    done = monitor(fleet.place.folder, "check", "valid-0", "no-such", "nor-this")
    assert done.returncode == 2
    assert done.stderr == "no token has the id no-such, nor-this\n"
    assert len(fleet.graph.calls()) == before
