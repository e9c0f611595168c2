"""Pieces: a batch's reply as Meta spells it, cut into items without decoding it.

What is not spelt this way, to the letter, is no piece, and is decoded instead. Inside
a JSON string every quote is escaped, so a bare one tells where things begin and end.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
from xxhash import xxh3_64_intdigest

from monitor.probe.heard import Heard, heard, is_text
from monitor.probe.interpret import OK
from monitor.probe.usage import TELLING, Headers


class _Style(NamedTuple):
    """How an item is written, with blanks or without."""

    begin: bytes
    joint: bytes
    """Between two items, up to the second one's status."""
    body: bytes
    """Between what comes first and the body."""


_STYLES: Final = (
    _Style(b'[{"code": ', b'}, {"code": ', b', "body": '),
    _Style(b'[{"code":', b'},{"code":', b',"body":'),
)
"""The first begins as the second does, and one blank more."""
_END: Final = b'"}]'
_NONE: Final = b"{"
"""No item starts so once its own brace is cut off."""


class _Header(msgspec.Struct, gc=False, frozen=True):
    name: str
    value: str


class _Head(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    code: int
    headers: tuple[_Header, ...] = ()


class _Start(NamedTuple):
    """What stands before a body: the status, and the headers that tell anything."""

    status: int
    headers: Headers


_HEAD: Final = msgspec.json.Decoder(_Head)
_LONGEST_KEPT: Final = 4_000


class Pieces(NamedTuple):
    """A reply taken apart."""

    heard: tuple[Heard, ...]
    headers: Headers


def take_apart(reply: bytes, known: Sequence[int | None]) -> Pieces | None:
    """The items of a reply to so many questions, if it is spelt as Meta does.

    Args:
        reply: Its body.
        known: For each question the print of an answer about the token alone, given
            before: the same words are it again, and are not examined.
    """
    for style in _STYLES:
        if reply.startswith(style.begin):
            break
    else:
        return None
    if not reply.endswith(_END):
        return None
    items = reply.split(style.joint)
    if len(items) != len(known):
        return None
    items[0] = items[0][len(style.begin) :]
    items[-1] = items[-1][: 1 - len(_END)]
    # Most items of a batch begin alike: each beginning is read once.
    headers: dict[tuple[str, str], None] = {}
    found: list[Heard] = []
    start, status, size = _NONE, 0, 0
    for item, before in zip(items, known, strict=True):
        if not item.startswith(start):
            start, mark, _ = item.partition(style.body)
            read = _kept_start if len(start) <= _LONGEST_KEPT else _start
            told = read(start)
            if told is None:
                return None
            headers.update(dict.fromkeys(told.headers))
            start += mark
            status, size = told.status, len(start)
        body = item[size:]
        if status == OK and before == xxh3_64_intdigest(body) >> 1:
            found.append(Heard(before, body))
        elif not is_text(body):
            return None  # the reply as a whole may be no JSON
        else:
            found.append(heard(status, body))
    return Pieces(tuple(found), tuple(headers))


def _start(start: bytes) -> _Start | None:
    """Status and headers; each key once, letter by letter."""
    if b"\\u00" in start or b'"code"' in start or start.count(b'"headers"') > 1:
        return None
    try:
        head = _HEAD.decode(b'{"code":%s}' % start)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    headers = (
        (header.name, header.value)
        for header in head.headers
        if header.name.lower() in TELLING
    )
    return _Start(head.code, tuple(headers))


_kept_start: Final = lru_cache(maxsize=64)(_start)
"""Call after call begins the same; what is kept is bounded in number and length."""
