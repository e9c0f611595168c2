"""The table of meanings, row by row, and what its order settles."""

import itertools
import re
from pathlib import Path

import pytest

from monitor.core.tokens import Cause, Code
from monitor.probe.meanings import TABLE, PrintedRow, meaning_of, meanings_table
from monitor.probe.rows import Meaning, Position, Row, Said

TOKEN, ITEM, CALL = Position.TOKEN, Position.ITEM, Position.CALL

SUBCODES = {
    452: Code.LOGGED_OUT,
    456: Code.MALFORMED,
    457: Code.MALFORMED,
    458: Code.REVOKED,
    459: Code.CHECKPOINTED,
    460: Code.PASSWORD_CHANGED,
    461: Code.REVOKED,
    462: Code.REVOKED,
    463: Code.EXPIRED,
    464: Code.UNCONFIRMED_USER,
    465: Code.REVOKED,
    466: Code.REVOKED,
    467: Code.LOGGED_OUT,
    468: Code.EXPIRED,
    490: Code.CHECKPOINTED,
    492: Code.PAGE_ROLE_LOST,
    493: Code.DATA_ACCESS_EXPIRED,
}

TEXTS = {
    "session has expired": Code.EXPIRED,
    "changed their password": Code.PASSWORD_CHANGED,
    "changed the session for security": Code.PASSWORD_CHANGED,
    "has not authorized application": Code.REVOKED,
    "log in to www.facebook.com and follow the instructions": Code.CHECKPOINTED,
    "log in to m.facebook.com and follow the instructions": Code.CHECKPOINTED,
    "log in to www.instagram.com and follow the instructions": Code.CHECKPOINTED,
    "checkpoint": Code.CHECKPOINTED,
    "not a confirmed user": Code.UNCONFIRMED_USER,
    "logged out": Code.LOGGED_OUT,
    "invalidated explicitly using an api call": Code.REVOKED,
    "must be an administrator, editor, or moderator of the page": (Code.PAGE_ROLE_LOST),
    "must be granted before impersonating": Code.SCOPES_MISSING,
    "cannot parse access token": Code.MALFORMED,
    "could not be decrypted": Code.MALFORMED,
    "malformed": Code.MALFORMED,
    "invalid oauth access token signature": Code.MALFORMED,
    "cannot get application info": Code.MALFORMED,
}

OUTSIDE: list[tuple[Said, Cause]] = [
    *(
        (Said(position, 400, code), Cause.THROTTLED)
        for position in (ITEM, CALL)
        for code in (4, 17, 32, 341, 613, 80000, 80004, 80014)
    ),
    (Said(ITEM, 403, 4, 1504022, transient=True), Cause.THROTTLED),
    (Said(ITEM, 500, 4), Cause.THROTTLED),
    (Said(ITEM, 400, 4, 2207051, transient=False), Cause.UNKNOWN),
    (Said(ITEM, 400, 79999), Cause.UNKNOWN),
    (Said(ITEM, 400, 80015), Cause.UNKNOWN),
    (Said(CALL, 429), Cause.THROTTLED),
    (Said(ITEM, 429, 190), Cause.THROTTLED),
    (Said(ITEM, 499), Cause.UNKNOWN),
    (Said(ITEM, 500), Cause.TRANSIENT),
    (Said(CALL, 599), Cause.TRANSIENT),
    (Said(CALL, 600), Cause.UNKNOWN),
    (Said(ITEM, 500, 190, 460), Cause.TRANSIENT),
    (Said(ITEM, 400, 190, transient=True), Cause.TRANSIENT),
    (Said(ITEM, 400, 1), Cause.TRANSIENT),
    (Said(ITEM, 400, 1, 2853001, transient=False), Cause.UNKNOWN),
    (Said(ITEM, 400, 1, text="error validating client secret."), Cause.CALLER),
    (Said(CALL, 400, 2), Cause.TRANSIENT),
    (Said(ITEM, 400, 960), Cause.TRANSIENT),
    (Said(ITEM, 400, 100, text="needs an appsecret_proof argument"), Cause.CALLER),
    (
        Said(ITEM, 400, 100, text="you must provide an app access token or a"),
        Cause.CALLER,
    ),
    (
        Said(CALL, 400, 100, text="app_id did not match the viewing app"),
        Cause.CALLER,
    ),
    (Said(ITEM, 400, 100, text="missing permissions"), Cause.UNKNOWN),
    (Said(ITEM, 400, 100, 33, text="unsupported get request."), Cause.UNKNOWN),
    (Said(ITEM, 400, 101), Cause.CALLER),
    (Said(CALL, 400, 104), Cause.CALLER),
    *(
        (Said(position, status, code, subcode), Cause.CALLER)
        for position in (ITEM, CALL)
        for status in (200, 400, 401)
        for code in (0, 102, 190)
        for subcode in (None, 458, 460, 463)
    ),
    (Said(ITEM, 400, 200, text="(#200) api access blocked."), Cause.CALLER),
    (Said(ITEM, 403, 200, text="requires permission"), Cause.UNKNOWN),
    (Said(ITEM, 400, 3), Cause.UNKNOWN),
    (Said(ITEM, 400, 10), Cause.UNKNOWN),
    (Said(ITEM, 400, 2635), Cause.UNKNOWN),
    (Said(ITEM, 400), Cause.UNKNOWN),
]


@pytest.mark.parametrize("code", [0, 102, 190])
@pytest.mark.parametrize(("subcode", "meaning"), SUBCODES.items())
def test_inside_data_a_known_subcode_settles_it(
    code: int, subcode: int, meaning: Code
) -> None:
    """A known subcode wins over whatever the text says."""
    said = Said(TOKEN, 200, code, subcode, text="malformed session has expired")
    assert meaning_of(said) is meaning


@pytest.mark.parametrize("subcode", [None, 2069032, 1], ids=str)
@pytest.mark.parametrize(("text", "meaning"), TEXTS.items())
def test_inside_data_the_text_settles_what_the_subcode_leaves_open(
    subcode: int | None, text: str, meaning: Code
) -> None:
    said = Said(TOKEN, 200, 190, subcode, text=f"error: {text}.")
    assert meaning_of(said) is meaning


@pytest.mark.parametrize("code", [0, 102, 190, None], ids=str)
def test_inside_data_a_session_that_is_bad_for_no_told_reason_is_invalid(
    code: int | None,
) -> None:
    assert meaning_of(Said(TOKEN, 200, code, text="new words")) is Code.INVALID


@pytest.mark.parametrize("code", [1, 2, 4, 10, 17, 100, 101, 103, 189, 191, 200, -1])
@pytest.mark.parametrize("subcode", [None, 460])
def test_inside_data_any_other_code_is_unknown(code: int, subcode: int | None) -> None:
    said = Said(TOKEN, 200, code, subcode, text="session has expired")
    assert meaning_of(said) is Cause.UNKNOWN


def test_inside_data_what_meta_calls_passing_is_not_bad() -> None:
    said = Said(TOKEN, 200, 190, 460, transient=True)
    assert meaning_of(said) is Cause.TRANSIENT


@pytest.mark.parametrize(("said", "meaning"), OUTSIDE, ids=repr)
def test_outside_data(said: Said, meaning: Cause) -> None:
    assert meaning_of(said) is meaning


@pytest.mark.parametrize("status", [400, 403, 499])
@pytest.mark.parametrize("subcode", [None, 33])
def test_one_error_of_an_item_is_about_the_token(
    status: int, subcode: int | None
) -> None:
    text = "(#100) the app_id in the input_token did not match the viewing app"
    assert meaning_of(Said(ITEM, status, 100, subcode, None, text)) is Code.WRONG_APP


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        (Said(ITEM, 200, 100, text="did not match the viewing app"), Cause.UNKNOWN),
        (Said(ITEM, 503, 100, text="did not match the viewing app"), Cause.TRANSIENT),
        (Said(ITEM, 400, 190, text="did not match the viewing app"), Cause.CALLER),
        (Said(ITEM, 400, None, text="did not match the viewing app"), Cause.UNKNOWN),
        (Said(ITEM, 400, 100, text="did match the viewing app"), Cause.UNKNOWN),
    ],
    ids=["status 200", "status 503", "code 190", "no code", "another text"],
)
def test_all_of_the_wrong_app_error_must_be_right(said: Said, meaning: Cause) -> None:
    assert meaning_of(said) is meaning


def said_by(row: Row) -> Said:
    """The plainest error that the row is written for."""
    codes = sorted(row.codes or (), key=repr)
    statuses = sorted(row.statuses or (), key=repr)
    return Said(
        row.positions[0],
        statuses[0] if statuses else 400,  # type: ignore[arg-type] # never None
        codes[0] if codes else None,
        min(row.subcodes, key=repr) if row.subcodes else None,
        row.transient,
        row.texts[0] if row.texts else "",
    )


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.note)
def test_no_row_hides_behind_an_earlier_one(row: Row) -> None:
    first = next(other for other in TABLE if other.covers(said_by(row)))
    assert first is row


def test_only_one_row_outside_data_is_about_a_token() -> None:
    faults = [row for row in TABLE if isinstance(row.meaning, Code)]
    outside = [row for row in faults if row.positions != (TOKEN,)]
    assert [row.meaning for row in outside] == [Code.WRONG_APP]
    assert outside[0].positions == (ITEM,)


def test_every_bad_row_names_its_codes() -> None:
    for row in TABLE:
        if isinstance(row.meaning, Code):
            assert row.codes is not None


def test_nothing_outside_the_listed_codes_is_ever_bad() -> None:
    """All small codes and subcodes, at every position."""
    bad: set[tuple[Position, Meaning]] = set()
    for position, code, sub in itertools.product(
        (ITEM, CALL), range(-2, 700), (None, 458, 460, 463, 492)
    ):
        meaning = meaning_of(Said(position, 400, code, sub, text="session has expired"))
        if isinstance(meaning, Code):
            bad.add((position, meaning))
    assert bad == set()


def test_texts_are_written_as_they_are_compared() -> None:
    for text in (text for row in TABLE for text in row.texts):
        assert text == " ".join(text.casefold().split())


def test_the_printed_table_has_a_note_and_a_source_for_every_row() -> None:
    printed = meanings_table()
    assert len(printed) == len(TABLE)
    for row in printed:
        assert row.note.endswith(".")
        assert row.source
        assert all(row)


def test_the_payloads_that_rows_name_exist() -> None:
    payloads = Path(__file__).parent / "payloads"
    for row in TABLE:
        for number in re.findall(r"payload (\d+)", row.source):
            assert list(payloads.glob(f"{number}-*.json")), number


def test_the_printed_table_reads_like_the_facts() -> None:
    assert meanings_table()[1] == PrintedRow(
        position="token",
        code="0, 102, 190",
        subcode="463",
        text="any",
        meaning="expired",
        note="The token has expired.",
        source='Graph API, "Error Handling", read 2026-11-23',
    )
    assert [row.code for row in meanings_table() if row.code == "80000-80014"]
