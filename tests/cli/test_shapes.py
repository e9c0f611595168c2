"""JSON exactly as contract.md names it; CSV, tables and pipes."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.whole.tools import APP, Place, environment, graph, plan, scenario

_TOKEN = """
    id app_id kind name owner_email severity codes confirmed suspicion expires_at
    data_access_expires_at scopes missing_scopes excess_scopes user_id profile_id policy
    last_checked_at verified_at next_check_at inconclusive_cause incident
    silenced_until version
"""
_ENTRY = """
    id letter_id subject number recipient reason codes state waits_for attempts
    last_reply message_id
"""
TOKEN, ENTRY = _TOKEN.split(), _ENTRY.split()
INCIDENT = {"opened_at", "codes", "notices", "last_notice_at", "last_reason"}
SUSPECT = scenario(plan("doubted", more="events: [{after: 0s, state: revoked}]"))
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def instants(value: object, key: str = "") -> Iterator[str]:
    """Every value whose key says that it is an instant."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from instants(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from instants(each, key)
    elif key.endswith(("_at", "_until", "since", "deadline")) and value is not None:
        yield str(value)


def sound(value: object) -> bool:
    found = list(instants(value))
    return bool(found) and all(INSTANT.fullmatch(each) for each in found)


def test_tokens_have_the_keys_of_the_contract_in_their_order(told: Place) -> None:
    rows = told.ask("tokens", "list")
    assert len(rows) == 5
    for row in rows:
        assert list(row) == TOKEN
        assert row["app_id"] == APP
    assert sound(rows)
    south = next(row for row in rows if row["id"] == "bakery-south")
    assert set(south["incident"]) >= INCIDENT
    assert south["incident"]["codes"] == ["password_changed"]
    assert south["confirmed"] is True
    assert next(r for r in rows if r["id"] == "newsroom")["incident"] is None
    assert told.ask("tokens", "show", "bakery-south") == south


def test_status_has_the_keys_of_the_contract(told: Place) -> None:
    status = told.ask("status")
    assert status["severity"] == {"ok": 1, "unknown": 1, "warning": 2, "critical": 1}
    assert status["codes"] == {"expiring": 2, "password_changed": 1}
    coverage = {"total", "checked", "unknown", "never_checked", "overdue"}
    assert set(status["coverage"]) >= coverage
    assert (status["coverage"]["total"], status["coverage"]["unknown"]) == (5, 1)
    assert set(status["outbox"]) >= {"waiting", "sent", "refused", "held", "dropped"}
    assert (status["outbox"]["sent"], status["outbox"]["refused"]) == (2, 1)
    assert status["holds"] == []
    assert [app["id"] for app in status["apps"]] == [APP]
    assert sound(status)


def test_outbox_entries_have_the_keys_of_the_contract(told: Place) -> None:
    entries = told.ask("outbox", "list")
    for entry in entries:
        assert [key for key in entry if key in ENTRY] == ENTRY
    assert sound(entries)
    refused = next(entry for entry in entries if entry["state"] == "refused")
    assert refused["subject"] == "token:moved"
    assert "550" in refused["last_reply"] or "5.1.1" in refused["last_reply"]
    assert "gone@" not in refused["last_reply"]
    one = json.loads(told.run("outbox", "show", refused["id"]).stdout)
    assert one == refused


def test_explain_is_one_object_that_tells_the_whole_story(told: Place) -> None:
    story = told.ask("explain", "bakery-south")
    assert set(story) >= {"token", "verdict", "policy", "history", "said"}
    assert story["token"]["id"] == "bakery-south"
    assert [f["code"] for f in story["verdict"]["findings"]] == ["password_changed"]
    assert [entry["state"] for entry in story["said"]] == ["sent"]
    assert story["policy"]["name"] == "default"
    assert sound(story)


def test_a_pipe_gets_json_and_json_alone(told: Place) -> None:
    for words in (("tokens", "list"), ("status",)):
        done = told.run(*words)
        json.loads(done.stdout)
        assert done.stderr == ""


def test_empty_lists_are_an_empty_array_and_csv_keeps_quiet(fresh: Place) -> None:
    assert fresh.ask("tokens", "list") == []
    assert fresh.ask("outbox", "list") == []
    done = fresh.run("tokens", "list", "--format", "table")
    assert done.stdout == ""
    assert "tokens import FILE" in done.stderr


def test_csv_is_a_table_of_the_same_rows(told: Place) -> None:
    text = told.run("tokens", "list", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == TOKEN
    by_id = {row["id"]: row for row in rows}
    assert by_id["harbour"]["name"] == "'=1+1"
    assert by_id["bakery-south"]["codes"] == "password_changed"
    assert by_id["newsroom"]["expires_at"] == ""


def test_a_table_has_a_row_for_each_token(told: Place) -> None:
    text = told.run("tokens", "list", "--format", "table").stdout
    for word in ("bakery-north", "Bakery North", "expiring", "critical", "severity"):
        assert word in text
    shown = told.run("tokens", "show", "bakery-south", "--format", "table").stdout
    assert "{" not in shown
    assert "notices 1" in shown
    assert max(map(len, text.splitlines())) <= 200


@pytest.mark.parametrize("style", ["json", "csv", "table"])
def test_a_reader_who_has_seen_enough_is_no_error(fresh: Place, style: str) -> None:
    rows = (
        f"t-{number},EAA{number},{APP},owner-{number}@bakery.example"
        for number in range(2000)
    )
    text = "\n".join(["id,token,app_id,owner_email", *rows])
    fresh.run("tokens", "import", "-", text=text)
    with subprocess.Popen(
        [sys.executable, "-m", "monitor", "tokens", "list", "--format", style],
        cwd=fresh.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == 0


def test_a_table_shows_what_is_suspected(place: Place) -> None:
    with graph(place.folder / "graph", SUSPECT) as served:
        place.ask_graph(served)
        place.run("tokens", "import", served.inventory)
        place.run("check", "doubted", code=1)
    text = place.run("tokens", "list", "--format", "table").stdout
    (row,) = (line for line in text.splitlines() if "doubted" in line)
    assert row.split()[:4] == ["doubted", "user", "unknown", "revoked"]
