"""Any relay carries a letter unchanged: 7 bits, short lines, one encoding a header."""

import base64
import quopri
import re
from collections.abc import Iterator

import pytest

from tests.letters.tools import every_letter
from tests.notify.rewrite import composed_samples

WIDEST = 78
"""RFC 5322, section 2.1.1: characters a line should have at most, without CRLF."""
LONGEST = 998
"""The same: characters a line may have at most."""
_WORD = re.compile(r"=\?([^?\s]+)\?([bq])\?([!->@-~]*)\?=")
"""RFC 2047, section 2."""


def faults(raw: bytes) -> Iterator[str]:
    """What a relay or a reader could stumble over."""
    if not raw.isascii() or b"\0" in raw:
        yield "not 7-bit"
    if re.search(rb"(?<!\r)\n|\r(?!\n)", raw):
        yield "a line that does not end with CRLF"
    head, _, body = raw.decode("ascii", "replace").partition("\r\n\r\n")
    for line in body.split("\r\n"):
        if len(line) > WIDEST:
            yield f"a wide line: {line}"
    for line in head.split("\r\n"):
        if len(line) > LONGEST or (len(line) > WIDEST and len(line.split()) > 2):
            yield f"a wide header: {line}"
        if not line.strip():
            yield "an empty line that folds"
    for header in re.split(r"\r\n(?![ \t])", head):
        yield from _encoded(*header.split(": ", 1))


def _encoded(name: str, value: str) -> Iterator[str]:
    words = value.split()
    encoded = [_WORD.fullmatch(word) for word in words]
    whole = name == "Subject" or (name == "From" and all(encoded[:-1]))
    if any(encoded) and not all(encoded if name == "Subject" else encoded[:-1]):
        yield f"{name} is encoded in part: {value}"
    for word, found in zip(words, encoded, strict=True):
        if "=?" in word and found is None:
            yield f"{name} has a broken encoded word: {word}"
        if found is None:
            continue
        if not whole:
            yield f"{name} is encoded"
        if len(word) > 75:
            yield f"{name} has a long encoded word: {word}"
        if found[1] != "utf-8":
            yield f"{name} is in {found[1]}"
        try:
            _decoded(found[2], found[3]).decode()
        except ValueError:
            yield f"{name} cuts a character in two: {word}"


def _decoded(encoding: str, text: str) -> bytes:
    if encoding == "b":
        return base64.b64decode(text, validate=True)
    return quopri.decodestring(text.encode(), header=True)


def test_every_letter_is_carried_unchanged():
    letters = every_letter()
    found = {name: list(faults(letter.raw)) for name, letter in letters.items()}
    assert {name: each for name, each in found.items() if each} == {}
    encoded = sum(b"\nSubject: =?utf-8?" in each.raw for each in letters.values())
    assert encoded >= 50


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Hello", b"H\xc3\xa4llo"),
        (b"Hello", b"H\0llo"),
        (b"Hello Jane Doe,\r\n", b"Hello Jane Doe,\n"),
        (b"Hello", b"Hello" * 20),
        (b"I-5d2c91\r\n", b"I-5d2c91 " + b"I-5d2c92 " * 9 + b"\r\n"),
        (b"I-5d2c91\r\n", b"x" * 1000 + b"\r\n"),
        (b"\r\nDate:", b"\r\n \r\nDate:"),
        (b"ends Thu", b"=?utf-8?q?ends?= Thu"),
        (b"ends Thu", b"=?utf-8?q?ends"),
        (b"I-5d2c91\r\n", b"=?utf-8?q?I?=\r\n"),
        (b"Subject: [", b"Subject: =?utf-8?q?a?==?utf-8?q?b?=\r\nX: ["),
        (b"Subject: [", b"Subject: =?iso-8859-1?q?a?=\r\nX: ["),
        (b"Subject: [", b"Subject: =?utf-8?q?=C3?=\r\n =?utf-8?q?=A4?=\r\nX: ["),
        (b"Subject: [", b"Subject: =?utf-8?b?" + b"YWFh" * 18 + b"?=\r\nX: ["),
    ],
)
def test_what_would_be_changed_is_found(old: bytes, new: bytes):
    """The control."""
    raw = composed_samples()["expiring.opened.page"].raw
    assert list(faults(raw)) == []
    assert list(faults(raw.replace(old, new, 1)))
