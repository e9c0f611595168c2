"""A configuration file as read: plain values, and where each of them stands."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from monitor.config.faults import Fault, Trail, dotted

Mark: TypeAlias = tuple[int, int]
"""Line and column, both counted from one, as editors do."""


class Scalar(str):
    """A value as text; what it means is decided where its type is known.

    So `no` is a word, `12:30` no number and `0123` keeps its zero, whatever YAML
    version the reader of the file has in mind.
    """

    __slots__ = ("bare", "written")

    written: str
    """The text of the file, before `${VAR}` was put in: this may be shown."""
    bare: bool
    """Whether it may be a number or a boolean: unquoted, or made from `${VAR}`."""

    @classmethod
    def of(
        cls, text: str, *, written: str | None = None, bare: bool = True
    ) -> "Scalar":
        """Text with its origin."""
        scalar = cls(text)
        scalar.written = text if written is None else written
        scalar.bare = bare
        return scalar


class Broken:
    """The place of a value that could not be had; its fault is told already."""

    def __repr__(self) -> str:
        return "BROKEN"


BROKEN: Final = Broken()


@dataclass(slots=True)
class Document:
    """The values of a file, their places and the faults found so far."""

    file: str
    """The name to show, as the operator gave it."""
    folder: Path
    """What relative paths are relative to."""
    tree: dict[str, object] = field(default_factory=dict)
    """Mappings, lists, `Scalar`, `None` and `BROKEN`."""
    keys: dict[Trail, Mark] = field(default_factory=dict)
    values: dict[Trail, Mark] = field(default_factory=dict)
    spoiled: set[Trail] = field(default_factory=set)
    """Where a fault is told already and none must follow from it."""
    twins: dict[Trail, Trail] = field(default_factory=dict)
    """A value that came from a file, to the `_file` key that named it."""
    faults: list[Fault] = field(default_factory=list)

    def fault(
        self,
        trail: Trail,
        text: str,
        *,
        at: Mark | None = None,
        at_key: bool = False,
        known: Iterable[str] = (),
        spoils: bool = True,
    ) -> None:
        """Note one fault, at the value of `trail` unless told otherwise."""
        if spoils:
            self.spoiled.add(trail)
        trail = self.twins.get(trail, trail)
        line, column = at or self.place(trail, at_key=at_key)
        self.faults.append(Fault(line, column, dotted(trail, known), text))

    def place(self, trail: Trail, *, at_key: bool = False) -> Mark:
        """Where a trail stands; the nearest place above it if it is not written."""
        first, second = (self.keys, self.values) if at_key else (self.values, self.keys)
        while trail not in first and trail not in second and trail:
            trail = trail[:-1]
        return first.get(trail) or second.get(trail) or (1, 1)

    def get(self, *trail: str | int) -> object:
        """The value at a trail, `None` if something on the way is missing."""
        here: object = self.tree
        for step in trail:
            if isinstance(here, dict):
                here = here.get(step)
            elif isinstance(here, list) and isinstance(step, int):
                here = here[step] if step < len(here) else None
            else:
                return None
        return here

    def entries(self, key: str) -> list[object]:
        """The entries of a list at the top level; none if it is no list."""
        found = self.tree.get(key)
        return found if isinstance(found, list) else []

    def told(self) -> list[str]:
        """Every fault as a line, in the order of the file."""
        lines = [fault.told(self.file) for fault in sorted(self.faults)]
        return list(dict.fromkeys(lines))
