"""Make safe: what comes from outside becomes a plain line before it meets a letter."""

import re
import unicodedata
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

LONGEST_VALUE: Final = 200
"""Characters of a name that still help a reader."""
_LONGEST_URL: Final = 2000

OPEN: Final = "\ue000"
CLOSE: Final = "\ue001"
"""Stand around a value in a rendered template; no cleaned value contains them.

They belong to a private use area, whose characters mean nothing outside.
Source: Unicode 16.0, section 23.5.
"""

_JOINERS: Final = "\u200c\u200d"
_EDGES: Final = f" {_JOINERS}"
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that show nothing, by which a name would be an empty place.

Source: Unicode 16.0, DerivedCoreProperties.txt, Default_Ignorable_Code_Point, without
the format characters and the variation selectors.
"""
_MARKS: Final = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]"
_TOWER: Final = re.compile(f"({_MARKS}{{4}}){_MARKS}+")
"""More marks over one letter than any language writes: they cover the lines above."""
_SECRET: Final = re.compile(
    r"\b(?:EAA|IG)[A-Za-z0-9_-]{16,}|\b\d{5,}(?:\||%7C)[\w-]{8,}", re.ASCII
)
"""Shapes of user, page, system-user, Instagram and app tokens.

Source: Graph API, "Access Tokens", read 2026-11-23; the prefixes are observed.
"""


_BREAKING: Final = re.compile(r"[\t-\r\x1c-\x20\x85\u2028\u2029]+")


class _Cleaned(dict[int, str]):
    """What `str.translate` makes of each character, worked out once."""

    def __missing__(self, codepoint: int) -> str:
        char = chr(codepoint)
        match unicodedata.category(char):
            case "Cc" | "Zl" | "Zp":
                kept = " "
            case "Cs":
                kept = "\N{REPLACEMENT CHARACTER}"
            case "Cf" | "Co":  # bidi controls, zero widths; our own marks
                kept = char if char in _JOINERS else ""
            case "Cn" if _is_noncharacter(codepoint):
                # Some parsers of mail die of one. Other characters without a category
                # are younger than the tables of this Python.
                kept = "\N{REPLACEMENT CHARACTER}"
            case _:
                kept = "" if char in _BLANK else char
        self[codepoint] = kept
        return kept


_CLEANED: Final = _Cleaned()


def _is_noncharacter(codepoint: int) -> bool:
    """Source: Unicode 16.0, section 23.7."""
    return 0xFDD0 <= codepoint <= 0xFDEF or codepoint & 0xFFFE == 0xFFFE  # noqa: PLR2004 - named by the docstring


def clean(text: str, longest: int = LONGEST_VALUE) -> str:
    r"""The text as one calm line of at most `longest` characters.

    Line breaks and controls become spaces, runs of spaces one; bidi controls and
    other invisible characters go; what is no character becomes a replacement
    character; of marks over one letter four stay; whatever looks like an access token
    is hidden.

    >>> clean("Bakery\r\nBcc: x@y.example\u202e")
    'Bakery Bcc: x@y.example'
    """
    line = text[: longest * 8].translate(_CLEANED)
    line = _SECRET.sub("(hidden)", " ".join(line.split()).strip(_EDGES))
    if not line.isascii():
        line = _TOWER.sub(r"\1", line)
    return shorten(line, longest)


def one_line(text: str) -> str:
    """The text on one line, with single spaces at which lines may break.

    Spaces that do not break a line stay: French has them within its quotes.
    """
    return " ".join(filter(None, _BREAKING.split(text)))


def shorten(line: str, longest: int) -> str:
    """The line, cut to `longest` characters with an ellipsis if need be."""
    if len(line) <= longest:
        return line
    return line[: max(longest - 1, 0)].rstrip() + "…"


def clean_facts(facts: Mapping[str, str]) -> dict[str, str]:
    """At most twenty facts, keys that a template can name, values cleaned."""
    return {
        key: clean(value)
        for key, value in list(facts.items())[:20]
        if re.fullmatch(r"[a-z][a-z_]{0,39}", key)
    }


def safe_url(url: str | None) -> str | None:
    """The URL if a reader may be sent there: https, a host, nothing hidden in it.

    Plain http is for loopback only, where demonstrations live. Anything else is no
    link at all: the letter's words suffice without one.
    """
    if url is None or len(url) > _LONGEST_URL or not url.isascii():
        return None
    if re.search(r"[^!#-;=?-Z_a-z~\[\]]", url):
        return None
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or "@" in parts.netloc:
        return None
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)):
        return url
    return None


def host_of(url: str) -> str:
    """The host a reader sees named beside the link."""
    return urlsplit(url).hostname or ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
