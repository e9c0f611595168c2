"""The operator's list of tokens: rows of CSV or JSON Lines as values, or as faults."""

import csv
import json
import re
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from monitor.core.tokens import KINDS

COLUMNS: Final = (
    "id",
    "token",
    "app_id",
    "owner_email",
    "owner_name",
    "kind",
    "name",
    "used_for",
    "user_id",
    "profile_id",
    "locale",
    "timezone",
    "cc",
)
"""The columns of an inventory, beside any number of `label.<key>`."""

_REQUIRED: Final = ("id", "token", "app_id", "owner_email")
_LABEL: Final = "label."
_LONGEST: Final = {"token": 8192, "name": 500, "used_for": 500, "cc": 2000}
_LONGEST_OTHER: Final = 200
_FIELD_LIMIT: Final = 1_000_000
_WHOLE: Final = 2**64 - 1
# RFC 5321 allows more; what it allows beyond this, no mailbox of a person has.
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"[^\s@,;:<>()\[\]\\\"\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,253}"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNKEPT: Final = re.compile(r"[\x00\ud800-\udfff]")
_SECRET: Final = re.compile(r"[A-Za-z0-9_|]{24}")
"""A run no name has and every access token does, wherever it was misplaced."""
_MOST_QUOTED: Final = 100
_LOCALE: Final = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_DIGITS: Final = re.compile(r"[0-9]{1,64}")


@dataclass(frozen=True, slots=True)
class Row:
    """One token as the operator describes it; empty fields are `None`."""

    id: str
    token: str = field(repr=False)
    app_id: str
    owner_email: str
    owner_name: str | None = None
    kind: str | None = None
    name: str | None = None
    used_for: str | None = None
    user_id: str | None = None
    profile_id: str | None = None
    locale: str | None = None
    timezone: str | None = None
    cc: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with the inventory, and where."""

    line: int
    column: int
    """The number of the field in CSV, of the character in JSON Lines; from 1."""
    text: str
    """What was found and what is expected; never a token."""


Parsed: TypeAlias = Row | Fault


def parse(
    lines: Iterable[str], app_ids: Collection[str], *, jsonl: bool
) -> Iterator[Parsed]:
    """Every row of an inventory, or every fault of a row, in the order of the file.

    Args:
        lines: The text, line by line.
        app_ids: The configured apps; a row of another one is at fault.
        jsonl: JSON Lines rather than CSV with a header.
    """
    check = _Check(app_ids)
    source = _json_records(lines) if jsonl else _csv_records(lines)
    for record in source:
        if isinstance(record, Fault):
            yield record
        else:
            yield from check.row(record)


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    fields: Mapping[str, str]
    columns: Mapping[str, int]


def _csv_records(lines: Iterable[str]) -> Iterator[_Record | Fault]:
    csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader(lines, strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                line = reader.line_num + 1
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                faults = list(_header_faults(header, line))
                yield from faults
                if faults:
                    return
            elif len(cells) != len(header):
                yield Fault(
                    line,
                    min(len(cells), len(header)) + 1,
                    f"{len(cells)} fields, the header has {len(header)}",
                )
            else:
                numbers = {name: n for n, name in enumerate(header, 1)}
                fields = {
                    name: cell.strip() for name, cell in zip(header, cells, strict=True)
                }
                yield _Record(line, fields, numbers)
            line = reader.line_num + 1
    except csv.Error as error:
        yield Fault(line, 1, f"not CSV: {error}")
        return
    if header is None:
        yield Fault(1, 1, f"empty; a header such as {','.join(_REQUIRED)} is expected")


def _header_faults(header: list[str], line: int) -> Iterator[Fault]:
    if len(header) == 1 and ";" in header[0]:
        yield Fault(line, 1, "fields are separated by ';', commas are expected")
        return
    seen: set[str] = set()
    for number, name in enumerate(header, 1):
        if name in seen:
            yield Fault(line, number, f"column {_quoted(name)} stands twice")
        elif not _known(name):
            yield Fault(line, number, f"unknown column {_quoted(name)}{_hint(name)}")
        seen.add(name)
    for name in _REQUIRED:
        if name not in seen:
            yield Fault(line, 1, f"column {name!r} is missing")


def _known(name: str) -> bool:
    label = name.removeprefix(_LABEL) if name.startswith(_LABEL) else ""
    return name in COLUMNS or (label != "" and not _CONTROL.search(label))


def _hint(name: str) -> str:
    close = get_close_matches(name[:_MOST_QUOTED].lower(), [*COLUMNS, _LABEL], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _quoted(text: str) -> str:
    """The text as a fault may show it: not at length, and never a token."""
    if len(text) > _MOST_QUOTED or _SECRET.search(text):
        return f"<{len(text)} characters>"
    return repr(text)


def _json_records(lines: Iterable[str]) -> Iterator[_Record | Fault]:
    some = False
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        some = True
        try:
            value = json.loads(text, object_pairs_hook=_pairs)
        except json.JSONDecodeError as error:
            yield Fault(number, error.colno, f"not JSON: {error.msg}")
            continue
        except (ValueError, RecursionError):
            yield Fault(number, 1, "not a JSON object of an inventory")
            continue
        if not isinstance(value, _Pairs):
            yield Fault(number, 1, "a JSON object is expected on every line")
            continue
        yield from _json_record(number, text, value)
    if not some:
        yield Fault(1, 1, "empty; a JSON object on every line is expected")


class _Pairs(list[tuple[str, object]]):
    """The members of a JSON object, duplicates included."""


def _pairs(pairs: list[tuple[str, object]]) -> _Pairs:
    return _Pairs(pairs)


def _json_record(number: int, text: str, members: _Pairs) -> Iterator[_Record | Fault]:
    fields: dict[str, str] = {}
    columns: dict[str, int] = {}
    sound = True
    for key, value in members:
        column = max(text.find(json.dumps(key, ensure_ascii=False)) + 1, 1)
        fault = None
        if key in fields:
            fault = f"key {_quoted(key)} stands twice"
        elif not _known(key):
            fault = f"unknown key {_quoted(key)}{_hint(key)}"
        elif (plain := _plain(key, value)) is None:
            fault = f"{key}: text is expected, {_kind_of(value)} was found"
        else:
            fields[key] = plain.strip()
            columns[key] = column
        if fault is not None:
            sound = False
            yield Fault(number, column, fault)
    if sound:
        yield _Record(number, fields, columns)


def _plain(key: str, value: object) -> str | None:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and key != "token":
        return str(value)
    if key == "cc" and isinstance(value, list) and not isinstance(value, _Pairs):
        return ",".join(str(part) for part in value)
    return None


def _kind_of(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number"}
    names |= {_Pairs: "an object", list: "a list"}
    return names.get(type(value), "something else")


class _Seen:
    """The ids so far and their lines, in some thirty bytes each: a million fit.

    A table of hashes with open addressing. Two ids of one hash of 64 bits would be
    taken for one; among a million that happens once in thirty million inventories.
    """

    def __init__(self) -> None:
        self._count = 0
        self._make_room(1024)

    def before(self, name: str, line: int) -> int | None:
        """The line in which the name stood before; `None`: it is remembered now."""
        key = (hash(name) & _WHOLE) or 1
        place = self._place(key)
        if self._keys[place]:
            return self._lines[place]
        self._keys[place], self._lines[place] = key, line
        self._count += 1
        if self._count * 2 > len(self._keys):
            self._grow()
        return None

    def _place(self, key: int) -> int:
        """Where the key is, or where it belongs."""
        keys, most = self._keys, len(self._keys) - 1
        place = key & most
        while keys[place] not in {0, key}:
            place = (place + 1) & most
        return place

    def _make_room(self, size: int) -> None:
        self._keys = array("Q", bytes(8 * size))
        self._lines = array("I", bytes(4 * size))

    def _grow(self) -> None:
        keys, lines = self._keys, self._lines
        self._make_room(2 * len(keys))
        for key, line in zip(keys, lines, strict=True):
            if key:
                place = self._place(key)
                self._keys[place], self._lines[place] = key, line


class _Check:
    """Turns records into rows, or names everything wrong with them."""

    def __init__(self, app_ids: Collection[str]) -> None:
        self._app_ids = frozenset(app_ids)
        self._seen = _Seen()

    def row(self, record: _Record) -> Iterator[Parsed]:
        fields = record.fields
        faults = [
            Fault(record.line, record.columns.get(name, 1), f"{name}: {text}")
            for name, text in self._faults(record)
        ]
        if faults:
            yield from faults
            return
        labels = {
            name.removeprefix(_LABEL): value
            for name, value in fields.items()
            if name.startswith(_LABEL) and value
        }
        yield Row(
            id=fields["id"],
            token=fields["token"],
            app_id=fields["app_id"],
            owner_email=fields["owner_email"],
            owner_name=fields.get("owner_name") or None,
            kind=fields.get("kind") or None,
            name=fields.get("name") or None,
            used_for=fields.get("used_for") or None,
            user_id=fields.get("user_id") or None,
            profile_id=fields.get("profile_id") or None,
            locale=fields.get("locale") or None,
            timezone=fields.get("timezone") or None,
            cc=_addresses(fields.get("cc", "")),
            labels=labels,
        )

    def _faults(self, record: _Record) -> Iterator[tuple[str, str]]:
        fields = record.fields
        for name in _REQUIRED:
            if not fields.get(name):
                yield name, "is required and empty"
        for name, value in fields.items():
            if not value:
                continue
            longest = _LONGEST.get(name, _LONGEST_OTHER)
            if _UNKEPT.search(value):
                yield name, "has a NUL or half a character, which no database keeps"
            elif len(value) > longest:
                yield name, f"{len(value)} characters, at most {longest} are kept"
            elif (text := self._fault(name, value)) is not None:
                yield name, text
        token_id = fields.get("id", "")
        before = self._seen.before(token_id, record.line) if token_id else None
        if before is not None:
            yield "id", f"{_quoted(token_id)} stands in line {before} already"

    def _fault(self, name: str, value: str) -> str | None:  # noqa: PLR0911 - a table
        if name == "token":
            odd = _CONTROL.search(value) or " " in value
            return "has white space or control characters inside" if odd else None
        if name == "id" and _CONTROL.search(value):
            return "has control characters"
        if name == "app_id" and value not in self._app_ids:
            return f"{_quoted(value)} is no configured app{self._apps_hint(value)}"
        if name == "owner_email" and not is_address(value):
            return f"{_quoted(value)} is not one mail address"
        if name == "kind" and value not in KINDS:
            return f"{_quoted(value)} is none of {', '.join(KINDS)}"
        if name in {"user_id", "profile_id"} and not _DIGITS.fullmatch(value):
            return f"{_quoted(value)} is not an id of digits"
        if name == "locale" and not _LOCALE.fullmatch(value):
            return f"{_quoted(value)} is not a locale such as en or pt-BR"
        if name == "timezone" and not _is_zone(value):
            return f"{_quoted(value)} is not an IANA time zone such as Europe/Berlin"
        if name == "cc":
            bad = [part for part in _addresses(value) if not is_address(part)]
            return f"{_quoted(bad[0])} is not a mail address" if bad else None
        return None

    def _apps_hint(self, value: str) -> str:
        close = get_close_matches(value, self._app_ids, n=1)
        return f"; did you mean {close[0]!r}?" if close else ""


def is_address(text: str) -> bool:
    """Whether the text is exactly one plain mail address."""
    return _ADDRESS.fullmatch(text) is not None


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in re.split(r"[,;]", text) if part.strip())


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return False
    except KeyError:
        return False
    return True
