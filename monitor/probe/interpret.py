"""Interpret: from a body to an answer; pure, and never an exception."""

from typing import Final

from monitor.core.tokens import Answer, Cause, Code, Inconclusive, Introspection
from monitor.probe.meanings import meaning_of
from monitor.probe.quick import quick
from monitor.probe.reading import (
    Object,
    UnreadableError,
    read_id,
    read_instant,
    read_json,
    read_kind,
    read_scopes,
    read_targets,
    read_whole,
)
from monitor.probe.rows import Position, Said

OK: Final = 200
_LONGEST_TEXT: Final = 4_000
_LARGEST_CODE: Final = 10**10


def interpret(status: int, body: bytes | str) -> Answer:
    """The answer to one question, asked alone or as one item of a batch.

    A bad answer needs status 200, an object `data` with `is_valid` exactly false,
    and `data.error` absent or of code 0, 102 or 190. One error outside `data` is
    about the token too: that it belongs to another app. All else is inconclusive.

    Source: Graph API, "Debug Token" and "Error Handling", read 2026-11-23.
    """
    if status == OK and isinstance(body, str) and (usual := quick(body)) is not None:
        return usual
    try:
        return interpret_value(status, read_json(body))
    except UnreadableError as unreadable:
        return by_status(Position.ITEM, status, unreadable.detail)


def interpret_value(status: int, value: object) -> Answer:
    """The answer in a decoded body; see `interpret`."""
    try:
        return _interpret(status, value)
    except UnreadableError as unreadable:
        return by_status(Position.ITEM, status, unreadable.detail)


def _interpret(status: int, value: object) -> Answer:
    if type(value) is not dict:
        raise UnreadableError("no object")
    error, data = value.get("error"), value.get("data")
    if error is not None:
        if data is None:
            return refusal(Position.ITEM, status, error)
        detail = f"item {status}, both data and error"
        return Inconclusive(Cause.UNKNOWN, detail)
    if type(data) is not dict:
        raise UnreadableError("no data")
    if status != OK:
        return by_status(Position.ITEM, status, "data", Cause.UNKNOWN)
    return _introspection(data)


def _introspection(data: Object) -> Answer:
    valid, error = data.get("is_valid"), data.get("error")
    fault: Code | None = None
    if valid is False:
        meaning = _fault(error)
        if not isinstance(meaning, Code):
            return meaning
        fault = meaning
    elif valid is not True:
        raise UnreadableError("is_valid of a wrong type")
    elif error is not None:
        return Inconclusive(Cause.UNKNOWN, "item 200, valid and yet an error")
    return Introspection(
        fault,
        read_id(data.get("app_id"), "app_id"),
        read_kind(data.get("type")),
        read_id(data.get("user_id"), "user_id"),
        read_id(data.get("profile_id"), "profile_id"),
        read_instant(data.get("issued_at"), "issued_at"),
        read_instant(data.get("expires_at"), "expires_at"),
        read_instant(data.get("data_access_expires_at"), "data_access_expires_at"),
        read_scopes(data.get("scopes")),
        read_targets(data.get("granular_scopes")),
    )


def _fault(error: object) -> Code | Inconclusive:
    """What is wrong with a token that is not valid.

    An error object must bear a code: of one that bears none, no page of Meta's and
    no recording says what it means.
    """
    said = _said(Position.TOKEN, OK, {} if error is None else error)
    if error is None or said.code is not None:
        meaning = meaning_of(said)
        if isinstance(meaning, Code):
            return meaning
        return Inconclusive(meaning, _detail("data", said))
    return Inconclusive(Cause.UNKNOWN, "data 200, error without a code")


def refusal(position: Position, status: int, error: object) -> Answer:
    """The answer in an error outside `data`; never bad but for a token of another app.

    The same 190 that tells of a dead token inside `data` is about the caller here.
    """
    try:
        said = _said(position, status, error)
    except UnreadableError as unreadable:
        return by_status(position, status, unreadable.detail)
    meaning = meaning_of(said)
    if isinstance(meaning, Code):
        return Introspection(meaning)
    return Inconclusive(meaning, _detail(position, said))


def by_status(
    position: Position, status: int, detail: str, otherwise: Cause = Cause.UNREADABLE
) -> Inconclusive:
    """What can be told when the body tells nothing: by its HTTP status, if at all."""
    meaning = meaning_of(Said(position, status))
    listed = isinstance(meaning, Cause) and meaning is not Cause.UNKNOWN
    cause = meaning if isinstance(meaning, Cause) and listed else otherwise
    return Inconclusive(cause, f"{position} {status}, {detail}")


def _said(position: Position, status: int, error: object) -> Said:
    if type(error) is not dict:
        raise UnreadableError("error of a wrong type")
    text, transient = error.get("message"), error.get("is_transient")
    if text is None:
        text = ""
    elif type(text) is not str:
        raise UnreadableError("message of a wrong type")
    # `subcode` inside data.error, `error_subcode` outside; 0 is as good as none.
    # Source: Graph API, "Debug Token" and "Error Handling", read 2026-11-23.
    return Said(
        position,
        status,
        read_whole(error.get("code"), "code"),
        read_whole(error.get("subcode"), "subcode")
        or read_whole(error.get("error_subcode"), "error_subcode")
        or None,
        transient if type(transient) is bool else None,
        " ".join(text[:_LONGEST_TEXT].casefold().split()),
    )


def _detail(place: str, said: Said) -> str:
    code = _number(said.code)
    if said.subcode is not None:
        code = f"{code}/{_number(said.subcode)}"
    return f"{place} {said.status}, error {code}"


def _number(number: int | None) -> str:
    if number is None:
        return "none"
    return str(number) if abs(number) < _LARGEST_CODE else "beyond reason"
