"""Wrap: words become lines of a width, also where no spaces are written."""

import re
import textwrap
import unicodedata
from typing import Final

WIDTH: Final = 76
"""Columns of a line of the text part; a wide character takes two."""

# Source: Unicode Standard Annex 14, classes ID, OP, CL, NS and CJ, as far as Japanese
# and Chinese letters need them; the annex in full costs a second a letter in Python.
_WIDE: Final = (
    "\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff"
)
# ruff: noqa: RUF001 - these very characters
_OPENING: Final = "(（「『【〈《［｛"
_CLOSING: Final = (
    "),.、。，．：；？！）」』】〉》］｝ー々…・ぁぃぅぇぉっゃゅょァィゥェォッャュョ"
)
_PIECE: Final = re.compile(
    f"[{_OPENING}]*(?:[^ {_WIDE}]+|[^ {_OPENING}{_CLOSING}]|(?=[{_CLOSING}]))"
    f"[{_CLOSING}]*|[{_OPENING}]+"
)
_ANY_WIDE: Final = re.compile(f"[{_WIDE}]")


def wrap(line: str, first: str = "", rest: str = "") -> list[str]:
    """Lines of at most 76 columns; only what cannot be broken is longer.

    Args:
        line: Words with single spaces between them.
        first: What the first line begins with.
        rest: What the others begin with.
    """
    if not _ANY_WIDE.search(line):
        return textwrap.wrap(
            line,
            WIDTH,
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [first]
    lines: list[str] = []
    present, length, begun = first, len(first), False
    for word in line.split(" "):
        for number, piece in enumerate(_PIECE.findall(word)):
            gap = " " if begun and number == 0 else ""
            size = width(piece)
            if begun and length + len(gap) + size > WIDTH:
                lines.append(present)
                present, length, gap = rest, len(rest), ""
            present += gap + piece
            length += len(gap) + size
            begun = True
    lines.append(present)
    return lines


def width(text: str) -> int:
    """The columns that a terminal gives to the text.

    Source: Unicode Standard Annex 11, "East Asian Width".
    """
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
