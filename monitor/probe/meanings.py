"""What the issuer's words mean: one table of data, from error to meaning."""

from typing import Final, NamedTuple

from monitor.core.tokens import Cause
from monitor.probe.call_rows import CALL_ROWS
from monitor.probe.rows import Meaning, Numbers, Row, Said
from monitor.probe.token_rows import TOKEN_ROWS

TABLE: Final[tuple[Row, ...]] = (*TOKEN_ROWS, *CALL_ROWS)
"""Read from the top: the first row that covers what was said settles it."""


def meaning_of(said: Said) -> Meaning:
    """What an error means; what no row lists is `unknown`, never bad."""
    for row in TABLE:
        if row.covers(said):
            return row.meaning
    return Cause.UNKNOWN


class PrintedRow(NamedTuple):
    """One row of the table, in words for a reader."""

    position: str
    code: str
    subcode: str
    text: str
    meaning: str
    note: str
    source: str


def meanings_table() -> list[PrintedRow]:
    """The whole table in the order it is read, for the CLI and the docs."""
    return [
        PrintedRow(
            " or ".join(row.positions),
            _told(row.codes),
            _told(row.subcodes),
            _told_text(row),
            row.meaning,
            row.note,
            row.source,
        )
        for row in TABLE
    ]


def _told(numbers: Numbers | None) -> str:
    if numbers is None:
        return "any"
    if isinstance(numbers, range):
        return f"{numbers.start}-{numbers.stop - 1}"
    known = sorted(number for number in numbers if number is not None)
    return ", ".join(map(str, known)) or "none"


def _told_text(row: Row) -> str:
    """The words of a row, and what else it asks for.

    >>> _told_text(next(row for row in TABLE if row.meaning == "wrong_app"))
    '`did not match the viewing app`; HTTP 400-499'
    """
    told = [" or ".join(f"`{text}`" for text in row.texts)]
    if row.transient is not None:
        told.append(f"is_transient {str(row.transient).lower()}")
    if row.statuses is not None:
        told.append(f"HTTP {_told(row.statuses)}")
    return "; ".join(part for part in told if part) or "any"
