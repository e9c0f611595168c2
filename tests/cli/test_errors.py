"""What the operator did wrong: one clear line each, the right code, no traceback."""

import re
import socket
import sqlite3
from pathlib import Path

import pytest

from tests.whole.tools import Place, monitor

BROKEN = """\
database: sqlite:///monitor.db
keys: [{id: k1, secret_file: monitor.key}]
graph: {base_url: "https://graph.facebook.com", wokers: 2}
apps:
  - {id: "1", name: Acme, secret: not-shown-anywhere}
policies:
  - name: default
    check_every: 6 hours
    remind_evry: 3d
mail:
  host: 127.0.0.1
  tls: nonne
  from: tokens@acme.example
operator: {email: [not-an-address]}
"""

_STATE = "SELECT id, version, severity FROM tokens JOIN health ON token_row = row_id"


def line(place: Place, *words: object, code: int) -> str:
    """What a command that fails says: one line, on standard error only."""
    done = place.run(*words, code=code)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


@pytest.mark.parametrize("words", [("config", "check"), ("run",), ("status",)])
def test_five_faults_are_five_lines_with_places_and_suggestions(
    fresh: Place, words: tuple[str, ...]
) -> None:
    fresh.configure(BROKEN)
    done = fresh.run(*words, code=78)
    lines = done.stderr.splitlines()
    assert len(lines) == 5
    places = [re.match(r".*monitor\.yaml:(\d+):(\d+): ", each) for each in lines]
    assert [int(p[1]) for p in places if p] == [3, 8, 9, 12, 14]
    assert "did you mean 'workers'?" in lines[0]
    assert "6h" in lines[1]
    assert "did you mean 'remind_every'?" in lines[2]
    assert "did you mean 'none'?" in lines[3]
    assert "not-shown-anywhere" not in done.stderr
    assert not fresh.database.exists()


def test_a_missing_configuration_names_where_it_was_looked_for(tmp_path: Path) -> None:
    named = monitor(tmp_path, "-c", "nowhere.yaml", "status")
    assert named.returncode == 78
    assert "nowhere.yaml" in named.stderr
    assert named.stderr.count("\n") == 1
    unnamed = monitor(tmp_path, "status")
    assert unnamed.returncode == 78
    assert "token-monitor init" in unnamed.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_missing_or_damaged_key_is_named(fresh: Place) -> None:
    fresh.key.write_text("not a key\n")
    said = line(fresh, "status", code=78)
    assert said.startswith("monitor.yaml:2:")
    assert "secret_file: is not a key" in said
    assert "token-monitor keys new" in said
    fresh.key.unlink()
    assert "monitor.key" in line(fresh, "status", code=78)
    assert not fresh.database.exists()


def test_another_key_is_refused_before_anything_is_written(place: Place) -> None:
    other = monitor(place.folder, "keys", "new").stdout
    place.key.write_text(other)
    before = place.query(_STATE)
    said = line(place, "check", code=78)
    assert "key" in said
    assert other.strip() not in said
    assert place.query(_STATE) == before


def test_a_directory_is_no_database(fresh: Place) -> None:
    fresh.database.mkdir()
    said = line(fresh, "status", code=69)
    assert f"{fresh.database}: is a folder" in said


def test_a_file_of_something_else_is_no_database_and_is_left_alone(
    fresh: Place,
) -> None:
    fresh.database.write_text("my diary\n" * 500)
    assert "is it a SQLite file of ours" in line(fresh, "check", code=69)
    assert fresh.database.read_text() == "my diary\n" * 500


def test_a_database_of_another_program_is_left_alone(fresh: Place) -> None:
    with sqlite3.connect(fresh.database) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    assert "holds tables of something else" in line(fresh, "status", code=78)


def test_a_schema_of_another_release_is_refused_with_the_way_out(place: Place) -> None:
    with sqlite3.connect(place.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for words in (("check",), ("run",)):
        assert "schema 9999" in line(place, *words, code=78)
    assert place.query("SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_schema_of_a_later_release_is_not_upgraded(place: Place) -> None:
    with sqlite3.connect(place.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "9999" in line(place, "db", "upgrade", code=78)


def test_a_port_in_use_ends_the_sandbox_with_69(fresh: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = line(fresh, "sandbox", "--port", port, code=69)
        assert "choose another with --port" in said
        mail = ("sandbox", "--port", 0, "--mail-port", port)
        assert f"127.0.0.1:{port}" in fresh.run(*mail, code=69).stderr


def test_a_broken_scenario_is_named_with_its_place(fresh: Place) -> None:
    path = fresh.write("plot.yaml", "tokens: [{id: a, app: b, stat: valid}]\n")
    done = fresh.run("sandbox", "--port", 0, "--scenario", path, code=78)
    assert "plot.yaml:1:" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("check", "nobody"),
        ("tokens", "show", "nobody"),
        ("tokens", "remove", "nobody"),
        ("explain", "nobody"),
        ("silence", "harbour", "nobody", "--until", "3d", "--reason", "x"),
        ("unsilence", "nobody"),
        ("outbox", "show", "nobody"),
        ("outbox", "retry", "nobody"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_an_unknown_id_ends_2_and_changes_nothing(
    told: Place, words: tuple[str, ...]
) -> None:
    assert "nobody" in line(told, *words, code=2)
    silent = "SELECT count(*) FROM tokens WHERE silenced_until IS NOT NULL"
    assert told.query(silent) == [(0,)]
    assert told.query("SELECT count(*) FROM tokens") == [(5,)]
