"""tokens: import, add, list, show, remove, export."""

import csv
import io
import json
from pathlib import Path

import pytest

from tests.whole.tools import APP, Place

HEADER = "id,token,app_id,owner_email"
MANY = 20_000

_DUE = (
    "SELECT id, version, next_check_at FROM tokens "
    "JOIN health ON token_row = row_id ORDER BY id"
)


def row(number: int, mark: str = "one") -> str:
    return f"t-{number},EAA{mark}{number},{APP},owner-{number}@bakery.example"


def count(place: Place) -> int:
    return int(place.query("SELECT count(*) FROM tokens")[0][0])


def test_many_rows_come_in_at_once_and_again_change_nothing(fresh: Place) -> None:
    fresh.write("many.csv", "\n".join([HEADER, *map(row, range(MANY))]))
    done = fresh.run("tokens", "import", "many.csv")
    assert done.stdout == (
        f"{MANY} tokens: {MANY} added, 0 with a new secret, 0 changed, 0 unchanged\n"
    )
    assert f"importing: 10000 of {MANY}" in done.stderr
    before = fresh.query(_DUE)
    done = fresh.run("tokens", "import", "many.csv")
    assert f"0 changed, {MANY} unchanged" in done.stdout
    after = fresh.query(_DUE)
    assert after == before


def test_one_bad_row_keeps_all_out_and_every_fault_has_line_and_column(
    fresh: Place,
) -> None:
    rows = [
        HEADER + ",kind,timezone,label.team",
        row(1) + ",page,,x",
        row(2) + ",robot,Mars/Base,x",
        row(1) + ",,,",
        f"t-3,,{APP},nobody,,,",
        row(4) + ",page",
        f"t-5,EAA5,123456789,{'a' * 300}@x.example,,,",
    ]
    fresh.write("bad.csv", "\n".join(rows))
    done = fresh.run("tokens", "import", "bad.csv", code=65)
    lines = done.stderr.splitlines()
    assert lines[-1] == "nothing was imported: 8 faults in bad.csv"
    assert [each.split(": ")[0] for each in lines[:-1]] == [
        "bad.csv:3:5",
        "bad.csv:3:6",
        "bad.csv:4:1",
        "bad.csv:5:2",
        "bad.csv:5:4",
        "bad.csv:6:6",
        "bad.csv:7:3",
        "bad.csv:7:4",
    ]
    assert "did you mean" in done.stderr
    assert "EAA" not in done.stderr
    assert done.stdout == ""
    assert not fresh.database.exists() or count(fresh) == 0


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("empty.csv", b"", "empty"),
        ("latin.csv", HEADER.encode() + b"\nt,EAA,1,\xfc@x.example\n", "not UTF-8"),
        ("semi.csv", b"id;token;app_id;owner_email\n", "commas are expected"),
        ("odd.csv", b"id,tokn,app_id,owner_email\n", "did you mean 'token'?"),
        ("odd.jsonl", b'{"id": "a"\n', "not JSON"),
        ("list.jsonl", b"[1]\n", "a JSON object is expected"),
    ],
)
def test_what_is_no_inventory_is_refused(
    fresh: Place, name: str, content: bytes, expected: str
) -> None:
    (fresh.folder / name).write_bytes(content)
    done = fresh.run("tokens", "import", name, code=65)
    assert expected in done.stderr
    assert done.stderr.splitlines()[-1].startswith("nothing was imported")


def test_a_missing_file_is_named(fresh: Place) -> None:
    done = fresh.run("tokens", "import", "nowhere.csv", code=2)
    assert "nowhere.csv" in done.stderr
    done = fresh.run("tokens", "import", ".", code=2)
    assert "directory" in done.stderr


def test_standard_input_json_lines_and_a_byte_order_mark_are_fine(
    fresh: Place,
) -> None:
    lines = [
        json.dumps(
            {
                "id": f"j-{number}",
                "token": f"EAAj{number}",
                "app_id": APP,
                "owner_email": "ann@bakery.example",
                "cc": ["a@x.example", "b@x.example"],
                "label.team": "a",
            }
        )
        for number in range(3)
    ]
    done = fresh.run("tokens", "import", "-", text="\n".join(lines))
    assert done.stdout.startswith("3 tokens: 3 added")
    done = fresh.run("tokens", "import", "-", text="\ufeff" + HEADER + "\n" + row(1))
    assert done.stdout.startswith("1 token: 1 added")
    assert count(fresh) == 4


def test_a_changed_secret_replaces_and_what_was_known_is_forgotten(
    place: Place,
) -> None:
    changed = place.write(
        "new.csv", f"{HEADER}\nbakery-south,EAAfresh,{APP},ann@bakery.example\n"
    )
    done = place.run("tokens", "import", changed)
    assert "1 with a new secret" in done.stdout
    found = place.ask("tokens", "show", "bakery-south")
    assert (found["version"], found["severity"], found["codes"]) == (2, "unknown", [])
    assert (found["confirmed"], found["suspicion"]) == (False, None)
    assert place.tokens()["bakery-north"]["version"] == 1


def test_one_token_is_added_with_its_secret_from_standard_input(fresh: Place) -> None:
    words = ("tokens", "add", "--id", "a", "--app-id", APP, "--owner-email")
    done = fresh.run(*words, "ann@bakery.example", text="EAAone\n")
    assert done.stdout == "a: added\n"
    other = fresh.run(*words, "ann@bakery.example", text="EAAtwo")
    assert other.stdout == "a: given a new secret\n"
    moved = fresh.run(*words, "bob@bakery.example", text="EAAtwo")
    assert moved.stdout == "a: changed\n"
    for text, owner in (("", "a@x.example"), ("EAA one", "not-one-address")):
        done = fresh.run(*words, owner, text=text, code=65)
        assert done.stderr.splitlines()[-1] == "nothing was added"
        assert "EAA one" not in done.stderr
    assert fresh.query("SELECT version, owner_email FROM tokens") == [
        (2, "bob@bakery.example")
    ]


def ids(place: Place, *options: str) -> list[str]:
    return sorted(each["id"] for each in place.ask("tokens", "list", *options))


def test_lists_are_filtered(told: Place) -> None:
    assert ids(told, "--code", "expiring", "--app", APP) == ["bakery-north", "moved"]
    assert ids(told, "--app", "0") == []
    both = ("--owner", "ann@bakery.example", "--severity", "warning")
    assert ids(told, *both) == ["bakery-north"]


def test_a_removed_token_leaves_nothing_to_be_said(place: Place) -> None:
    assert place.run("tokens", "remove", "bakery-south").stdout == (
        "bakery-south: removed\n"
    )
    assert count(place) == 4
    assert "no token" in place.run("explain", "bakery-south", code=2).stderr
    assert place.query("SELECT author FROM audit WHERE author IS NOT NULL") != []


def test_an_export_comes_in_again_once_the_tokens_are_added(
    told: Place, fresh: Place, tmp_path: Path
) -> None:
    secrets = {
        each["id"]: each["token"]
        for each in csv.DictReader(
            io.StringIO((told.folder / "inventory.csv").read_text())
        )
    }
    text = told.run("tokens", "export").stdout
    assert not [each for each in secrets.values() if each in text]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {each["id"] for each in rows} == set(secrets)
    assert "'=1+1" in text, "no spreadsheet runs it"
    out = io.StringIO()
    writer = csv.DictWriter(out, ["token", *rows[0]])
    writer.writeheader()
    writer.writerows({"token": secrets[each["id"]], **each} for each in rows)
    fresh.run("tokens", "import", "-", text=out.getvalue())
    again = fresh.run("tokens", "export").stdout
    # A cell that was quoted once is not quoted again.
    assert again == text
    as_json = json.loads(told.run("tokens", "export", "--format", "json").stdout)
    assert {each["id"]: each["name"] for each in as_json}["harbour"] == "=1+1"
    assert {each["id"]: each.get("label.team") for each in as_json} == {
        each: "bakery" if each == "bakery-north" else None for each in secrets
    }
