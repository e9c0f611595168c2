"""YAML text to values with line and column, refusing what YAML hides.

The file is read as a stream of events, not composed into nodes: an alias is seen
where it is used, a bomb of them never unfolds, and no depth of nesting recurses
further than we let it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml
from yaml import CSafeLoader
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.reader import Reader

from monitor.config.document import BROKEN, Document, Mark, Scalar
from monitor.config.expand import ExpansionError, expand
from monitor.config.faults import Fault, Trail, printable
from monitor.errors import ConfigurationError

LIMIT: Final = 1 << 20
"""No configuration file is larger than a mebibyte."""
_DEPTH: Final = 16
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_HINTS: Final = {
    "mapping values are not allowed": (
        "quote a value that holds ': ', and check the indentation"
    ),
    "found character that cannot start any token": (
        "indent with spaces, never tabs, and quote a value that begins with"
        " '@', '`' or '%'"
    ),
    "found unexpected end of stream": "a quote or a bracket is not closed",
    "did not find expected ',' or": (
        "inside {…} and […] a value with ${VAR} must be quoted; or a bracket is not"
        " closed"
    ),
    "could not find expected ':'": "a key needs ': ' and a value after it",
    "did not find expected key": "check the indentation, or a quote not closed above",
    "did not find expected '-'": "check the indentation of the list",
}


def read(path: Path, environ: Mapping[str, str]) -> Document:
    """The values of a file with `${VAR}` put in.

    Raises:
        ConfigurationError: The file cannot be had, or is not YAML.
    """
    name = str(path) if str(path).isprintable() else ascii(str(path))
    document = Document(name, Path(path).absolute().parent)
    text = _decoded(name, _bytes(path, name))
    events = _events(document.file, text)
    next(events, None)  # the start of the stream
    opening = next(events, None)
    if not isinstance(opening, DocumentStartEvent):
        raise _at(document.file, (1, 1), "the file is empty")
    top = next(events)
    if isinstance(top, ScalarEvent) and top.value == "" and top.implicit[0]:
        raise _at(document.file, (1, 1), "the file is empty")
    if not isinstance(top, MappingStartEvent):
        text = "expected keys and values, such as 'database: sqlite:///monitor.db'"
        raise _at(document.file, _mark(top), text)
    tree = _Builder(document, events, environ).value(top, (), 0)
    for event in events:
        if isinstance(event, DocumentStartEvent):
            text = "a second document begins here; a configuration is one document"
            raise _at(document.file, _mark(event), text)
        if isinstance(event, StreamEndEvent):
            break
    if isinstance(tree, dict):
        document.tree = tree
    return document


class _Builder:
    """Turns events into values, noting their places."""

    def __init__(
        self, document: Document, events: Iterator[Event], environ: Mapping[str, str]
    ) -> None:
        self._document = document
        self._events = events
        self._environ = environ

    def value(self, event: Event, trail: Trail, depth: int) -> object:
        """The value that begins with `event`; consumes all its events."""
        mark = _mark(event)
        self._document.values.setdefault(trail, mark)
        if depth > _DEPTH:
            raise _at(self._document.file, mark, f"nested deeper than {_DEPTH} levels")
        if isinstance(event, AliasEvent):
            text = "aliases ('*name') are not supported: write the value out"
            self._document.fault(trail, text, at=mark)
            return BROKEN
        if isinstance(event, NodeEvent) and getattr(event, "tag", None) is not None:
            text = "tags ('!…') are not supported: leave the tag out"
            self._document.fault(trail, text, at=mark)
        if isinstance(event, MappingStartEvent):
            return self._mapping(trail, depth)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(trail, depth)
        if isinstance(event, ScalarEvent):
            return self._scalar(event, trail)
        raise AssertionError(event)  # pragma: no cover - the parser has no other

    def _mapping(self, trail: Trail, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        while not isinstance(event := next(self._events), CollectionEndEvent):
            mark = _mark(event)
            if not isinstance(event, ScalarEvent):
                self.value(event, (*trail, "?"), depth + 1)
                self.value(next(self._events), (*trail, "?"), depth + 1)
                text = "a key must be a plain word"
                self._document.fault(trail, text, at=mark, spoils=False)
                continue
            here = (*trail, event.value)
            first = self._document.keys.setdefault(here, mark)
            value = self.value(next(self._events), here, depth + 1)
            if event.value == "<<" and event.implicit[0]:
                text = "merge keys ('<<') are not supported: write the values out"
                self._document.fault(here, text, at=mark)
            elif event.value in found:
                text = (
                    f"the key '{printable(event.value)}' is given twice, first in"
                    f" line {first[0]}: keep one"
                )
                self._document.fault(here, text, at=mark, spoils=False)
            else:
                found[event.value] = value
        return found

    def _sequence(self, trail: Trail, depth: int) -> list[object]:
        found: list[object] = []
        while not isinstance(event := next(self._events), CollectionEndEvent):
            found.append(self.value(event, (*trail, len(found)), depth + 1))
        return found

    def _scalar(self, event: ScalarEvent, trail: Trail) -> object:
        plain, written = bool(event.implicit[0]), event.value
        if plain and written in _NULLS:
            return None
        if event.style in {"|", ">"}:
            written = written.removesuffix("\n")
        try:
            text = expand(written, self._environ)
        except ExpansionError as error:
            self._document.fault(trail, str(error))
            return BROKEN
        expanded = text != written
        if expanded and plain and not text:
            return None
        return Scalar.of(text, written=written, bare=plain or expanded)


def _bytes(path: Path, name: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(LIMIT + 1)
    except FileNotFoundError:
        text = "no such file — `token-monitor init` makes one"
        raise ConfigurationError(f"{name}: {text}") from None
    except IsADirectoryError:
        text = "is a directory, expected a YAML file"
        raise ConfigurationError(f"{name}: {text}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable file name"
        text = f"{name}: cannot be read: {reason}"
        raise ConfigurationError(text) from None
    if len(content) > LIMIT:
        raise _at(name, (1, 1), "larger than 1 MiB, expected a YAML file")
    return content


def _decoded(file: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        text = "not UTF-8 text from here on: save the file as UTF-8"
        raise _at(file, _after(before), text) from None
    strange = Reader.NON_PRINTABLE.search(text)
    if strange:
        mark = _after(text[: strange.start()])
        sign = f"U+{ord(strange.group()):04X}"
        raise _at(file, mark, f"the control character {sign} is not allowed")
    return text


def _events(file: str, text: str) -> Iterator[Event]:
    """The events of the parser; its complaints as ours."""
    try:
        yield from yaml.parse(text, Loader=CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or "cannot be understood"
        hint = next((h for p, h in _HINTS.items() if problem.startswith(p)), "")
        text = f"not valid YAML: {problem}" + (f" — {hint}" if hint else "")
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _at(file, place, text) from None
    except yaml.YAMLError:
        raise _at(file, (1, 1), "not valid YAML") from None


def _after(before: str) -> Mark:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _mark(event: Event) -> Mark:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _at(file: str, mark: Mark, text: str) -> ConfigurationError:
    return ConfigurationError(Fault(*mark, "", text).told(file))
