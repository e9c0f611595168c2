"""What is wrong with a configuration file, and where: one line a fault."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from monitor.errors import nearest

Trail: TypeAlias = tuple[str | int, ...]
"""The way from the top of the file to a value: `("apps", 0, "secret")`."""

_PLAIN_NAME = re.compile(r"[a-z][a-z_-]{0,23}")


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing the operator can mend; it never holds a secret."""

    line: int
    column: int
    path: str
    text: str

    def told(self, file: str) -> str:
        """The line the operator reads."""
        where = f"{file}:{self.line}:{self.column}: "
        return where + (f"{self.path}: {self.text}" if self.path else self.text)


def printable(name: str, known: Iterable[str] = ()) -> str:
    """A key as it may be shown; `?` for what could be a secret on the wrong side.

    >>> printable("warn_befor"), printable("8d1f0c5e7a2b4d6f")
    ('warn_befor', '?')
    """
    known = tuple(known)
    if name in known or _PLAIN_NAME.fullmatch(name) or nearest(name, known):
        return name
    return "?"


def dotted(trail: Trail, known: Iterable[str] = ()) -> str:
    """A trail as the operator writes it.

    >>> dotted(("policies", 0, "warn_before", 2))
    'policies[0].warn_before[2]'
    """
    known = tuple(known)
    told = ""
    for step in trail:
        if isinstance(step, int):
            told += f"[{step}]"
        else:
            told += ("." if told else "") + printable(step, known)
    return told
