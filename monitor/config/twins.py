"""Secrets kept in files of their own: `secret_file` beside `secret`."""

import os
from pathlib import Path
from typing import Final

from monitor.config.document import BROKEN, Document, Scalar
from monitor.config.faults import Trail, dotted
from monitor.config.scalars import secretive

SECRETS: Final = (
    ("", "database"),
    ("keys", "secret"),
    ("apps", "secret"),
    ("mail", "password"),
    ("operator", "heartbeat_url"),
)
"""Section (or list of sections) and key of every secret."""
_LIMIT: Final = 65_536
_BLANK: Final = "A" * 43 + "="
"""Stands for any secret that is not needed: a text, and by its form a key."""
_WITH_DEFAULT: Final = frozenset({"database", "heartbeat_url"})


def resolve(document: Document) -> None:
    """Put the content of every `<key>_file` in the place of its key."""
    for section, key in SECRETS:
        found = document.get(section) if section else document.tree
        if isinstance(found, list):
            for number, entry in enumerate(found):
                _resolve(document, entry, (section, number), key)
        else:
            _resolve(document, found, (section,) if section else (), key)


def blank(document: Document) -> None:
    """Put a blank in the place of every secret, and forget why it could not be had."""
    for section, key in SECRETS:
        found = document.get(section) if section else document.tree
        entries = enumerate(found) if isinstance(found, list) else [(None, found)]
        for number, entry in entries:
            if isinstance(entry, dict):
                way = (section,) if section else ()
                _blank(document, entry, way if number is None else (*way, number), key)


def _blank(
    document: Document, entry: dict[str, object], trail: Trail, key: str
) -> None:
    given = [name for name in (key, f"{key}_file") if entry.get(name) is not None]
    for name in given:
        del entry[name]
        here = (*trail, name)
        document.spoiled.discard(here)
        place = dotted(here)
        document.faults[:] = [each for each in document.faults if each.path != place]
    if given and key not in _WITH_DEFAULT:
        entry[key] = Scalar.of(_BLANK, written="…")


def _resolve(document: Document, entry: object, trail: Trail, key: str) -> None:
    twin = f"{key}_file"
    if not isinstance(entry, dict) or twin not in entry:
        return
    name = entry.pop(twin)
    here, there = (*trail, key), (*trail, twin)
    if name is None:
        return
    if entry.get(key) is not None:
        document.fault(there, f"'{key}' and '{twin}' are both given: keep one")
        document.spoiled.add(here)
        return
    document.twins[here] = there
    document.values[here] = document.place(there)
    if name is BROKEN:
        document.spoiled.add(here)
        entry[key] = BROKEN
        return
    content = _content(document, there, name)
    entry[key] = BROKEN if content is None else Scalar.of(content, written="…")
    if content is None:
        document.spoiled.add(here)


def _content(document: Document, there: Trail, name: object) -> str | None:
    """The text of a file without its last newline; `None` once a fault is told."""
    if not isinstance(name, Scalar):
        document.fault(there, "expected the path of a file")
        return None
    path = document.folder / name
    # What `${VAR}` stands for is not shown, not even in a path.
    shown = str(path) if name == name.written else name.written
    if any(secretive(part) for part in name.written.split("/")):
        shown = "…"  # perhaps the secret itself, written where its file belongs
    if not shown.isprintable():
        document.fault(there, "expected the path of a file")
        return None
    reason = ""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LIMIT + 1)
        if len(content) <= _LIMIT:
            return content.decode().removesuffix("\n").removesuffix("\r")
        reason = "is larger than 64 KiB, expected one secret"
    except UnicodeDecodeError:
        reason = "is not UTF-8 text"
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = f"cannot be read: {os.strerror(number) if number else 'no such file'}"
    document.fault(there, f"the file '{shown}' {reason}")
    return None
