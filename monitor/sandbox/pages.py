"""YAML with the place of every value, so that an error can point at it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches

import yaml

from monitor.sandbox.duration import duration

_NULLS = frozenset({"", "~", "null", "never"})


@dataclass(slots=True)
class Page:
    """One file being read and what was found wrong in it."""

    name: str
    faults: list[str] = field(default_factory=list)

    def open(self, text: str) -> "Place":
        """The file's outermost value; broken YAML is a fault and reads as empty."""
        empty = yaml.MappingNode("tag:yaml.org,2002:map", [])
        try:
            node = yaml.compose(text, yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            at = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
            self.faults.append(f"{self.name}:{at}: not YAML: {error.problem}")
            return Place(self, empty)
        except yaml.YAMLError as error:
            self.faults.append(f"{self.name}:1:1: not YAML: {error}")
            return Place(self, empty)
        return Place(self, node or empty)


@dataclass(frozen=True, slots=True)
class Place:
    """One value of the file; reading it as something it is not is a fault."""

    page: Page
    node: yaml.Node

    @property
    def line(self) -> int:
        """Its line, from 1."""
        mark = self.node.start_mark
        return mark.line + 1 if mark else 1

    @property
    def is_text(self) -> bool:
        """Whether it is a single value, neither list nor mapping."""
        return isinstance(self.node, yaml.ScalarNode)

    def fault(self, words: str) -> None:
        """Note that something is wrong here."""
        mark = self.node.start_mark
        column = mark.column + 1 if mark else 1
        self.page.faults.append(f"{self.page.name}:{self.line}:{column}: {words}")

    def entries(self) -> dict[str, "Place"]:
        """The entries of a mapping with any keys, empty ones included."""
        return {name: value for name, (_, value) in self._pairs().items()}

    def mapping(self, *allowed: str) -> dict[str, "Place"]:
        """The entries of a mapping with these keys only."""
        found = {}
        for name, (key, value) in self._pairs().items():
            if name in allowed:
                found[name] = value
                continue
            close = get_close_matches(name, allowed, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            key.fault(f"unknown key {name!r}{hint}")
        return found

    def _pairs(self) -> dict[str, tuple["Place", "Place"]]:
        found: dict[str, tuple[Place, Place]] = {}
        if not isinstance(self.node, yaml.MappingNode):
            self.fault("`key: value` lines are expected")
            return found
        for key, value in self.node.value:
            place = Place(self.page, key)
            name = place.text()
            if name in found:
                place.fault(f"{name!r} is here twice")
            found[name] = (place, Place(self.page, value))
        return found

    def required(self, parts: Mapping[str, "Place"], key: str) -> str:
        """The text of an entry that must be there."""
        if key not in parts:
            self.fault(f"{key!r} is missing")
            return ""
        return parts[key].text()

    def items(self) -> tuple["Place", ...]:
        """The items of a list; nothing reads as an empty list."""
        if isinstance(self.node, yaml.SequenceNode):
            return tuple(Place(self.page, node) for node in self.node.value)
        if not self._nothing():
            self.fault("a list is expected")
        return ()

    def text(self) -> str:
        """A single value, as it was written."""
        if isinstance(self.node, yaml.ScalarNode):
            return str(self.node.value)
        self.fault("a single value is expected")
        return ""

    def whole(self) -> int | None:
        """A whole number; null is `None`."""
        if self._nothing():
            return None
        text = self.text()
        if text.isdecimal():
            return int(text)
        self.fault(f"{text!r} is not a whole number")
        return None

    def share(self) -> float:
        """A number from 0 to 1."""
        text = self.text()
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if 0 <= value <= 1:
            return value
        self.fault(f"{text!r} is not a share between 0 and 1")
        return 1.0

    def yes(self) -> bool:
        """`true` or `false`."""
        return self.one_of(("true", "false"), "answer") == "true"

    def span(self) -> timedelta | None:
        """A duration; `never` and null are `None`."""
        if self._nothing():
            return None
        try:
            return duration(self.text())
        except ValueError as error:
            self.fault(f"{error}, or never")
            return None

    def one_of(self, known: Collection[str], what: str) -> str:
        """A single value out of these."""
        text = self.text()
        if text not in known:
            close = get_close_matches(text, known, 1)
            hint = f"did you mean {close[0]!r}?" if close else ", ".join(known)
            self.fault(f"no {what} {text!r}; {hint}")
        return text

    def _nothing(self) -> bool:
        plain = isinstance(self.node, yaml.ScalarNode) and not self.node.style
        return plain and self.node.value in _NULLS
