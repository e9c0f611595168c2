"""Take a batch's reply apart: one answer for each question, in order, or none."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from monitor.core.tokens import Answer, Cause, Inconclusive
from monitor.probe.heard import Heard, heard, is_text, told
from monitor.probe.interpret import (
    OK,
    by_status,
    interpret,
    interpret_value,
    refusal,
)
from monitor.probe.pieces import take_apart
from monitor.probe.reading import UnreadableError, read_json
from monitor.probe.rows import Position
from monitor.probe.usage import TELLING, Headers


@dataclass(frozen=True, slots=True)
class BatchReading:
    """What a batch's reply says."""

    heard: tuple[Heard, ...]
    """One for each question, in order, whatever came back."""
    trouble: Inconclusive | None = None
    """Why the call as a whole failed; then every answer is that."""
    headers: Headers = ()
    """What the headers of all items say of usage, each name and value once."""

    @property
    def answers(self) -> tuple[Answer, ...]:
        """What every answer means."""
        return tuple(each.answer for each in self.heard)


class _Header(msgspec.Struct, gc=False, frozen=True):
    name: str
    value: str


class _Item(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    code: int
    body: msgspec.Raw
    headers: msgspec.Raw = msgspec.Raw(b"[]")


_HEADERS: Final = msgspec.json.Decoder(list[_Header])
_USUAL: Final = msgspec.json.Decoder(list[_Item | None])


def interpret_batch(
    status: int, body: bytes, asked: int, known: Sequence[int | None] = ()
) -> BatchReading:
    """The answers to `asked` questions put in one batch.

    What `known` says, if anything, `take_apart` tells.

    Positions are never guessed: a reply of another length than the question answers
    nothing. A `null` entry was given up by Meta and is asked again.

    Source: Graph API, "Batch Requests", read 2026-11-23.
    """
    if status == OK:
        pieces = take_apart(body, known or (None,) * asked)
        if pieces is not None:
            return BatchReading(pieces.heard, None, pieces.headers)
        items = _usual(body)
        if items is not None and len(items) == asked:
            with suppress(msgspec.MsgspecError, ValueError):
                return _read_usual(items)
    try:
        return _read_unusual(status, read_json(body), asked)
    except UnreadableError as unreadable:
        return _failed(by_status(Position.CALL, status, unreadable.detail), asked)


def _usual(body: bytes) -> list[_Item | None] | None:
    """The items of a reply as Meta documents it, decoded fast, or `None`.

    Both keys must stand there once for each item, letter by letter: the fast decoder
    is silent about a key said twice. Inside the bodies every quote is escaped, so
    they are not counted.
    """
    try:
        items = _USUAL.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    full = len(items) - items.count(None)
    if body.count(b'"code"') != full or body.count(b'"body"') != full:
        return None
    # An escaped letter of a key begins with `\u00`; one in a text matters not.
    if b"\\u00" in body and b"\\u00" in body.replace(b"\\\\", b""):
        return None
    return items


def _read_usual(items: list[_Item | None]) -> BatchReading:
    answers = tuple(
        told(_GIVEN_UP) if item is None else heard(item.code, _text(item.body))
        for item in items
    )
    # Most items of a batch bear the same headers: each kind is read once.
    kinds = dict.fromkeys([bytes(item.headers) for item in items if item is not None])
    headers = dict.fromkeys(
        (header.name, header.value)
        for kind in kinds
        for header in _HEADERS.decode(kind)
        if header.name.lower() in TELLING
    )
    return BatchReading(answers, None, tuple(headers))


def _text(body: msgspec.Raw) -> bytes:
    spelt = bytes(body)
    if not is_text(spelt):
        raise ValueError
    return spelt


def _read_unusual(status: int, value: object, asked: int) -> BatchReading:
    if type(value) is dict and value.get("error") is not None:
        answer = refusal(Position.CALL, status, value["error"])
        if isinstance(answer, Inconclusive):
            return _failed(answer, asked)
    if status != OK:
        detail = "no error"
        return _failed(by_status(Position.CALL, status, detail, Cause.UNKNOWN), asked)
    items = _in_order(value)
    if len(items) != asked:
        detail = f"{len(items)} answers to {asked} questions"
        raise UnreadableError(detail)
    headers = dict.fromkeys(pair for item in items for pair in _headers(item))
    answers = tuple(told(_answer(item)) for item in items)
    return BatchReading(answers, None, tuple(headers))


def _in_order(value: object) -> list[object]:
    """The entries of a list, or of an object keyed by index, as some clients saw."""
    if type(value) is list:
        return value
    if type(value) is dict and value:
        keys = [str(index) for index in range(len(value))]
        if set(keys) == set(value):
            return [value[key] for key in keys]
    raise UnreadableError("no list")


def _answer(item: object) -> Answer:
    if item is None:
        return _GIVEN_UP
    if type(item) is not dict or type(item.get("code")) is not int:
        return Inconclusive(Cause.UNREADABLE, "item without a code")
    code, body = item["code"], item.get("body")
    if type(body) is str:
        # Lone surrogates pass here as bytes that are not UTF-8, so it is unreadable.
        return interpret(code, body.encode(errors="surrogatepass"))
    return interpret_value(code, body)


def _headers(item: object) -> list[tuple[str, str]]:
    headers = item.get("headers") if type(item) is dict else None
    if type(headers) is not list:
        return []
    pairs = [
        (header.get("name"), header.get("value"))
        for header in headers
        if type(header) is dict
    ]
    return [
        (name, value)
        for name, value in pairs
        if type(name) is str and type(value) is str and name.lower() in TELLING
    ]


_GIVEN_UP: Final = Inconclusive(Cause.TRANSIENT, "item given up")


def _failed(trouble: Inconclusive, asked: int) -> BatchReading:
    return BatchReading((told(trouble),) * asked, trouble)
