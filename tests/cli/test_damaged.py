"""One bad row: every command that reads shows the others, and says what is bad."""

import sqlite3
from contextlib import closing

import pytest

from tests.whole.tools import Place

SPOILT = {
    "known": "UPDATE introspections SET known = '{' WHERE token_row = "
    "(SELECT row_id FROM tokens WHERE id = 'bakery-south')",
    "labels": "UPDATE tokens SET labels = '[1]' WHERE id = 'bakery-south'",
    "incident_state": "UPDATE incidents SET state = '' WHERE subject = "
    "'token:bakery-south'",
    "suspicion": "UPDATE health SET suspicion = 'gone' WHERE token_row = "
    "(SELECT row_id FROM tokens WHERE id = 'bakery-south')",
}


@pytest.fixture
def spoilt(place: Place) -> Place:
    with closing(sqlite3.connect(place.database)) as connection:
        for statement in SPOILT.values():
            assert connection.execute(statement).rowcount == 1
        connection.execute("UPDATE outbox SET item = 'x', role = 'jester'")
        connection.commit()
    return place


def test_every_reading_command_goes_on(spoilt: Place) -> None:
    tokens = spoilt.tokens()
    assert len(tokens) == 5
    south = tokens["bakery-south"]
    assert (south["inconclusive_cause"], south["confirmed"]) == ("damaged", False)
    assert tokens["bakery-north"]["inconclusive_cause"] is None
    story = spoilt.ask("explain", "bakery-south")
    assert set(story["damaged"]) == set(SPOILT)
    said = spoilt.run("explain", "bakery-south", "--format", "table").stdout
    assert "cannot be read, and shown as empty: " in said
    assert len(spoilt.ask("outbox", "list")) > 0
    exported = spoilt.run("tokens", "export")
    assert len(exported.stdout.splitlines()) == 6
    assert "row.damaged" in exported.stderr
    assert spoilt.ask("status")["severity"]["critical"] > 0
