"""The operator's list of tokens: what is taken in, and what is at fault where."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.inventory import COLUMNS, Fault, Row, is_address, parse
from tests.builders import APP
from tests.core.searching import searched

APPS = (APP, "2222222222")
HEADER = "id,token,app_id,owner_email"
TOKEN = "EAABwzLixnjYBO0ZCtoKeNtHaTmUsTnEvErShOwUpInAnYfAuLtZBZD"
GOOD = f"bakery,{TOKEN},{APP},jane@bakery.example"


def _csv(*lines: str) -> list[Row | Fault]:
    return list(parse([f"{line}\n" for line in lines], APPS, jsonl=False))


def _jsonl(*lines: str) -> list[Row | Fault]:
    return list(parse(lines, APPS, jsonl=True))


def _record(**changes: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "id": "bakery",
        "token": TOKEN,
        "app_id": APP,
        "owner_email": "jane@bakery.example",
    }
    return {**usual, **changes}


def _json(**changes: object) -> list[Row | Fault]:
    return _jsonl(json.dumps(_record(**changes)))


def _row(**changes: object) -> Row:
    (row,) = _json(**changes)
    assert isinstance(row, Row)
    return row


def _wide(**fields: str) -> list[Row | Fault]:
    """One CSV row with the required columns and these."""
    usual = {
        "id": "bakery",
        "token": TOKEN,
        "app_id": APP,
        "owner_email": "jane@bakery.example",
        **fields,
    }
    return _csv(",".join(usual), ",".join(usual.values()))


# --- what is taken in


def test_a_row_needs_four_columns_and_leaves_the_rest_empty():
    assert _csv(HEADER, GOOD) == [
        Row(
            id="bakery",
            token=TOKEN,
            app_id=APP,
            owner_email="jane@bakery.example",
        )
    ]


FULL = {
    "owner_name": "Jane Baker",
    "kind": "page",
    "name": "Bakery North",
    "used_for": "Morning posts",
    "user_id": "1001",
    "profile_id": "2002",
    "locale": "pt-BR",
    "timezone": "Europe/Berlin",
    "label.team": "ads",
    "label.Kostenstelle": "17 b",
}


def test_every_column_is_taken_in_from_csv_and_json_alike():
    (row,) = _wide(**FULL, cc="a@b.example; c@d.example")
    assert row == Row(
        id="bakery",
        token=TOKEN,
        app_id=APP,
        owner_email="jane@bakery.example",
        owner_name="Jane Baker",
        kind="page",
        name="Bakery North",
        used_for="Morning posts",
        user_id="1001",
        profile_id="2002",
        locale="pt-BR",
        timezone="Europe/Berlin",
        cc=("a@b.example", "c@d.example"),
        labels={"team": "ads", "Kostenstelle": "17 b"},
    )
    assert _json(**FULL, cc=["a@b.example", "c@d.example"]) == [row]
    assert _json(**FULL, cc="a@b.example,,c@d.example, ") == [row]


def test_columns_may_come_in_any_order_with_space_around_them():
    header = " owner_email , app_id, token ,id"
    (row,) = _csv(header, f" jane@bakery.example , {APP} , {TOKEN} , bakery ")
    assert row == _csv(HEADER, GOOD)[0]


def test_empty_fields_and_labels_are_absent():
    empty = dict.fromkeys(FULL, " ")
    assert _wide(**empty, cc=" ") == _csv(HEADER, GOOD)
    assert _json(**dict.fromkeys(FULL), cc=None) == _csv(HEADER, GOOD)


def test_numbers_of_json_are_ids():
    row = _row(id=7, app_id=int(APP), user_id=10**17, profile_id=0)
    ids = (row.id, row.app_id, row.user_id, row.profile_id)
    assert ids == ("7", APP, str(10**17), "0")


def test_blank_lines_count_but_say_nothing():
    rows = _csv("", HEADER, "", ",,,", GOOD, " ", "bad")
    assert rows[0] == _csv(HEADER, GOOD)[0]
    assert rows[1:] == [Fault(7, 2, "1 fields, the header has 4")]
    record = json.dumps(_record())
    rows = _jsonl("", record, "  ", "bad")
    assert rows[1:] == [Fault(4, 1, "not JSON: Expecting value")]


def test_a_quoted_cell_may_hold_commas_quotes_and_lines():
    rows = list(
        parse(
            [
                f"{HEADER},name\r\n",
                f'a,{TOKEN},{APP},a@b.example,"Bakery, ""North""\r\n',
                'second line"\r\n',
                f"b,{TOKEN},7,a@b.example,x\r\n",
            ],
            APPS,
            jsonl=False,
        )
    )
    assert isinstance(rows[0], Row)
    assert rows[0].name == 'Bakery, "North"\r\nsecond line'
    assert rows[1:] == [Fault(4, 3, "app_id: '7' is no configured app")]


def test_a_fault_in_a_cell_of_many_lines_names_the_line_where_the_row_begins():
    header = f"{HEADER},name"
    lines = [f'b,{TOKEN},7,a@b.example,"x', "y", 'z"']
    faults = [f for f in _csv(header, GOOD + ",n", *lines) if isinstance(f, Fault)]
    assert [(fault.line, fault.column) for fault in faults] == [(3, 3)]


HOSTILE = [
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "a\r\nBcc: victim@b.example",
    "\x01\x07\x1b[31m\x7f\x85",
    "\u202egnp.exe",
    "line\u2028paragraph\u2029end",
    "{{ 7*7 }}${jndi:x}%s",
    "\U0001f469\u200d\U0001f373 Bäckerei \u05d0",
    "'; DROP TABLE tokens; --",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
@pytest.mark.parametrize("column", ["name", "owner_name", "used_for", "label.team"])
def test_a_hostile_name_is_taken_in_as_it_is(column: str, name: str):
    row = _row(**{column: name})
    kept = {
        "name": row.name,
        "owner_name": row.owner_name,
        "used_for": row.used_for,
        "label.team": row.labels.get("team"),
    }
    assert kept[column] == name.strip()


def test_a_row_never_shows_its_token():
    assert TOKEN not in repr(_row())


# --- faults of the file


@pytest.mark.parametrize("lines", [(), ("",), ("  ", ",,,")])
def test_an_empty_file_is_at_fault(lines: Sequence[str]):
    text = "empty; a header such as id,token,app_id,owner_email is expected"
    assert _csv(*lines) == [Fault(1, 1, text)]


@pytest.mark.parametrize("lines", [(), ("",), (" ", "\n")])
def test_an_empty_file_of_json_is_at_fault(lines: Sequence[str]):
    text = "empty; a JSON object on every line is expected"
    assert _jsonl(*lines) == [Fault(1, 1, text)]


def test_a_header_alone_holds_no_rows_and_no_fault():
    assert _csv(HEADER) == []


@pytest.mark.parametrize(
    ("header", "faults"),
    [
        pytest.param(
            "id;token;app_id;owner_email",
            [(1, "fields are separated by ';', commas are expected")],
            id="semicolons",
        ),
        pytest.param(
            f"{HEADER},nmae",
            [(5, "unknown column 'nmae'; did you mean 'name'?")],
            id="a slip of the pen",
        ),
        pytest.param(
            f"{HEADER},lable.team",
            [(5, "unknown column 'lable.team'; did you mean 'label.'?")],
            id="a slip in a label",
        ),
        pytest.param(
            f"{HEADER},shoe", [(5, "unknown column 'shoe'")], id="nothing like it"
        ),
        pytest.param(
            f"{HEADER},label.",
            [(5, "unknown column 'label.'; did you mean 'label.'?")],
            id="a label without a key",
        ),
        pytest.param(f"{HEADER},", [(5, "unknown column ''")], id="a comma too many"),
        pytest.param(
            f"{HEADER},id", [(5, "column 'id' stands twice")], id="the same twice"
        ),
        pytest.param(
            "id,token,app_id",
            [(1, "column 'owner_email' is missing")],
            id="one missing",
        ),
        pytest.param(
            "Id,token,app_id,shoe",
            [
                (1, "unknown column 'Id'; did you mean 'id'?"),
                (4, "unknown column 'shoe'"),
                (1, "column 'id' is missing"),
                (1, "column 'owner_email' is missing"),
            ],
            id="everything wrong is named at once",
        ),
        pytest.param(
            f"\ufeff{HEADER}",
            [
                (1, "unknown column '\\ufeffid'; did you mean 'id'?"),
                (1, "column 'id' is missing"),
            ],
            id="a byte order mark left in",
        ),
        pytest.param(
            f"{HEADER},label.\x00",
            [(5, "unknown column 'label.\\x00'; did you mean 'label.'?")],
            id="a label with a control character",
        ),
    ],
)
def test_a_header_is_at_fault(header: str, faults: list[tuple[int, str]]):
    expected = [Fault(2, column, text) for column, text in faults]
    assert _csv("", header, GOOD) == expected


def test_a_file_without_a_header_shows_no_token():
    faults = _csv(GOOD, GOOD)
    assert faults[1] == Fault(1, 2, f"unknown column <{len(TOKEN)} characters>")
    assert TOKEN not in str(faults)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        pytest.param("a,b", (3, "2 fields, the header has 4"), id="too few"),
        pytest.param(GOOD + ",x,y", (5, "6 fields, the header has 4"), id="too many"),
        pytest.param(
            f'a,"{TOKEN}"x,{APP},a@b.example',
            (1, "not CSV: ',' expected after '\"'"),
            id="text after a quote",
        ),
        pytest.param(
            f'a,"{TOKEN},{APP},a@b.example',
            (1, "not CSV: unexpected end of data"),
            id="a quote never closed",
        ),
        pytest.param(
            f"a,{'x' * 1_000_001},{APP},a@b.example",
            (1, "not CSV: field larger than field limit (1000000)"),
            id="a field without end",
        ),
    ],
)
def test_a_line_of_csv_is_at_fault(line: str, fault: tuple[int, str]):
    rows = _csv(HEADER, GOOD, line)
    assert rows[1:] == [Fault(3, *fault)]


def test_after_a_ragged_row_the_next_one_is_read():
    rows = _csv(HEADER, "a,b", GOOD)
    assert [type(row) for row in rows] == [Fault, Row]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        pytest.param('{"id": }', (8, "not JSON: Expecting value"), id="no JSON"),
        pytest.param(
            '\ufeff{"id": 1}',
            (1, "not JSON: Unexpected UTF-8 BOM (decode using utf-8-sig)"),
            id="a byte order mark left in",
        ),
        pytest.param("[]", (1, "a JSON object is expected on every line"), id="a list"),
        pytest.param(
            "7", (1, "a JSON object is expected on every line"), id="a number"
        ),
        pytest.param(
            "[" * 100_000, (1, "not a JSON object of an inventory"), id="a deep well"
        ),
        pytest.param(
            '{"id": ' + "9" * 5000 + "}",
            (1, "not a JSON object of an inventory"),
            id="a number without end",
        ),
    ],
)
def test_a_line_is_no_json_object(line: str, fault: tuple[int, str]):
    assert _jsonl(line, json.dumps(_record())) == [Fault(1, *fault), _row()]


@pytest.mark.parametrize(
    ("member", "text"),
    [
        pytest.param(
            '"nmae": ""',
            "unknown key 'nmae'; did you mean 'name'?",
            id="a slip of the pen",
        ),
        pytest.param(
            '"kind": true',
            "kind: text is expected, true or false was found",
            id="a truth",
        ),
        pytest.param(
            '"kind": 1.5', "kind: text is expected, a number was found", id="a fraction"
        ),
        pytest.param(
            '"kind": NaN', "kind: text is expected, a number was found", id="no number"
        ),
        pytest.param(
            '"kind": {}', "kind: text is expected, an object was found", id="an object"
        ),
        pytest.param(
            '"kind": []', "kind: text is expected, a list was found", id="a list"
        ),
        pytest.param(
            '"cc": {"a": 1}',
            "cc: text is expected, an object was found",
            id="copies as an object",
        ),
    ],
)
def test_a_member_of_json_is_at_fault_where_it_stands(member: str, text: str):
    line = '{"id": "a", ' + member + "}"
    assert _jsonl(line) == [Fault(1, 13, text)]


def test_a_token_of_json_is_text():
    faults = _json(token=123456789)
    text = "token: text is expected, a number was found"
    assert faults == [Fault(1, 18, text)]


def test_a_key_that_stands_twice_is_at_fault():
    assert _jsonl('{"id": "a", "id": "b"}') == [Fault(1, 2, "key 'id' stands twice")]


def test_a_key_spelled_with_escapes_is_found_at_the_beginning():
    line = '{"id": "a", "\\u006eope": ""}'
    assert _jsonl(line) == [Fault(1, 1, "unknown key 'nope'")]


# --- faults of a row


def test_everything_wrong_with_a_row_is_named_at_once():
    assert _csv(HEADER, f",,{APP}0,jane") == [
        Fault(2, 1, "id: is required and empty"),
        Fault(2, 2, "token: is required and empty"),
        Fault(
            2,
            3,
            f"app_id: '{APP}0' is no configured app; did you mean '{APP}'?",
        ),
        Fault(2, 4, "owner_email: 'jane' is not one mail address"),
    ]


def test_a_key_absent_from_json_is_required():
    assert _jsonl("{}") == [
        Fault(1, 1, f"{name}: is required and empty") for name in HEADER.split(",")
    ]


NO_DATABASE = "has a NUL or half a character, which no database keeps"


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        pytest.param("id", "a\tb", "has control characters", id="a tab in an id"),
        pytest.param("id", "a\u2028b", "has control characters", id="a line in an id"),
        pytest.param(
            "id", "x" * 201, "201 characters, at most 200 are kept", id="a long id"
        ),
        pytest.param(
            "token",
            "a b",
            "has white space or control characters inside",
            id="a space in a token",
        ),
        pytest.param(
            "token",
            "a\nb",
            "has white space or control characters inside",
            id="a line in a token",
        ),
        pytest.param("token", "a\x00b", NO_DATABASE, id="NUL in a token"),
        pytest.param(
            "token",
            "x" * 8193,
            "8193 characters, at most 8192 are kept",
            id="a long token",
        ),
        pytest.param("app_id", "7", "'7' is no configured app", id="another app"),
        pytest.param(
            "name", "x" * 501, "501 characters, at most 500 are kept", id="a long name"
        ),
        pytest.param(
            "used_for",
            "x" * 501,
            "501 characters, at most 500 are kept",
            id="a long use",
        ),
        pytest.param("name", "a\x00b", NO_DATABASE, id="NUL in a name"),
        pytest.param("name", "a\ud800b", NO_DATABASE, id="half a character in a name"),
        pytest.param("label.team", "\udfff", NO_DATABASE, id="half of one in a label"),
        pytest.param(
            "label.team",
            "x" * 201,
            "201 characters, at most 200 are kept",
            id="a long label",
        ),
        pytest.param(
            "kind", "User", "'User' is none of user, page, system_user", id="no kind"
        ),
        pytest.param(
            "user_id", "12a", "'12a' is not an id of digits", id="a letter in an id"
        ),
        pytest.param(
            "user_id",
            "١٢",
            "'١٢' is not an id of digits",
            id="digits of another script",
        ),
        pytest.param(
            "profile_id", "-1", "'-1' is not an id of digits", id="a negative id"
        ),
        pytest.param(
            "locale",
            "german",
            "'german' is not a locale such as en or pt-BR",
            id="a language spelled out",
        ),
        pytest.param(
            "locale",
            "../x",
            "'../x' is not a locale such as en or pt-BR",
            id="a path for a locale",
        ),
        *(
            pytest.param(
                "timezone",
                zone,
                f"{zone!r} is not an IANA time zone such as Europe/Berlin",
                id=f"the zone {zone}",
            )
            for zone in ("Berlin", "../../etc/passwd", "Europe", "/etc/passwd", "é\x01")
        ),
        pytest.param(
            "cc",
            "a@b.example, nobody",
            "'nobody' is not a mail address",
            id="a copy to nobody",
        ),
        pytest.param(
            "cc",
            "x@" + "y" * 2000,
            "2002 characters, at most 2000 are kept",
            id="a long copy",
        ),
    ],
)
def test_a_value_is_at_fault(column: str, value: str, text: str):
    line = json.dumps(_record(**{column: value}), ensure_ascii=False)
    where = line.index(f'"{column}"') + 1
    assert _jsonl(line) == [Fault(1, where, f"{column}: {text}")]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        pytest.param("id", "x" * 200, id="an id"),
        pytest.param("token", "x" * 8192, id="a token"),
        pytest.param("name", "x" * 500, id="a name"),
        pytest.param("used_for", "x" * 500, id="a use"),
        pytest.param("owner_name", "x" * 200, id="an owner's name"),
        pytest.param("label.team", "x" * 200, id="a label"),
        pytest.param("user_id", "1" * 64, id="a person"),
    ],
)
def test_the_longest_value_is_kept(column: str, value: str):
    assert isinstance(_json(**{column: value})[0], Row)


def test_a_copy_that_is_no_text_is_at_fault():
    line = json.dumps(_record(cc=["a@b.example", None]))
    (fault,) = _jsonl(line)
    assert isinstance(fault, Fault)
    assert fault.text == "cc: 'None' is not a mail address"


def test_an_id_that_stands_twice_names_the_first_line():
    rows = _csv(HEADER, GOOD, GOOD.replace("bakery", "cafe", 1), GOOD)
    assert rows[2] == Fault(4, 1, "id: 'bakery' stands in line 2 already")
    record = json.dumps(_record())
    assert _jsonl(record, "", record)[1] == Fault(
        3, 2, "id: 'bakery' stands in line 1 already"
    )


def test_an_id_of_a_row_at_fault_is_taken_all_the_same():
    rows = _csv(HEADER, GOOD.replace(APP, "7"), GOOD)
    assert [type(row) for row in rows] == [Fault, Fault]


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("jane@bakery.example", True),
        ("j.o'hara+tokens@bakery.example", True),
        ("root@localhost", True),
        ("jane@bäckerei.example", True),
        ("x" * 64 + "@b.example", True),
        ("x" * 65 + "@b.example", False),
        ("x@" + "y" * 253, True),
        ("x@" + "y" * 254, False),
        ("", False),
        ("jane", False),
        ("@b.example", False),
        ("jane@", False),
        ("a@b@c.example", False),
        ("a@b.example,c@d.example", False),
        ("a@b.example;c@d.example", False),
        ("Jane <jane@b.example>", False),
        ("jane@b.example\n", False),
        ("jane@b.example\r\nBcc: x@y.example", False),
        ("jane@b\x00.example", False),
        ("jane@b\x7f.example", False),
        ("jane@b\x9b.example", False),
        ("jane@b\ud800.example", False),
        ("jané@b.example", False),
        ("(x)jane@b.example", False),
        ("jane@[127.0.0.1]", False),
    ],
    ids=ascii,
)
def test_an_address_is_one_plain_mailbox(text: str, *, sound: bool):
    assert is_address(text) is sound


# --- no token in any fault

_tokens = st.text("ABCXYZabcxyz0123456789", min_size=40, max_size=60).map(
    lambda tail: f"EAAB{tail}"
)
_junk = st.text(st.characters(), max_size=20) | st.sampled_from(["", APP, "a@b.c"])
_cells = st.lists(st.one_of(_junk, st.just(...)), min_size=1, max_size=7)


@searched
@given(token=_tokens, rows=st.lists(_cells, max_size=4), header=st.booleans())
def test_a_token_in_any_cell_is_in_no_fault(
    *, token: str, rows: list[list[Any]], header: bool
):
    texts = [
        ",".join(token if cell is ... else str(cell) for cell in row) for row in rows
    ]
    lines = [HEADER, *texts] if header else texts
    found = _csv(*lines)
    assert all(token not in repr(each) for each in found)


_values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), _junk, st.just(...)
)
_values = st.one_of(
    _values, st.lists(_values, max_size=3), st.dictionaries(_junk, _values, max_size=2)
)


def _filled(value: Any, token: str) -> Any:
    if isinstance(value, list):
        return [_filled(each, token) for each in value]
    if isinstance(value, dict):
        return {key: _filled(each, token) for key, each in value.items()}
    return token if value is ... else value


@searched
@given(
    token=_tokens,
    members=st.dictionaries(st.sampled_from([*COLUMNS, "label.x"]) | _junk, _values),
    as_key=st.booleans(),
)
def test_a_token_in_any_member_is_in_no_fault(
    *, token: str, members: dict[str, Any], as_key: bool
):
    record = _filled(members, token)
    if as_key:
        record[token] = token
    found = _jsonl(json.dumps(record))
    assert all(token not in repr(each) for each in found)
    assert found


@searched
@given(lines=st.lists(st.text(), max_size=5), jsonl=st.booleans())
def test_any_text_is_rows_or_faults_and_never_an_exception(
    *, lines: list[str], jsonl: bool
):
    for each in parse(lines, APPS, jsonl=jsonl):
        if isinstance(each, Fault):
            assert each.line >= 1
            assert each.column >= 1
        else:
            assert each.id.encode()


def test_of_many_ids_every_repetition_is_found() -> None:
    names = [f"token-{n}" for n in range(3_000)]
    lines = ["id,token,app_id,owner_email\n"]
    lines += [f"{name},EAAB{name},1,ann@bakery.example\n" for name in names]
    assert all(isinstance(each, Row) for each in parse(lines, ["1"], jsonl=False))
    again = [*lines, *lines[1::500]]
    faults = [p for p in parse(again, ["1"], jsonl=False) if isinstance(p, Fault)]
    assert [fault.text for fault in faults] == [
        f"id: 'token-{n}' stands in line {n + 2} already" for n in range(0, 3_000, 500)
    ]
