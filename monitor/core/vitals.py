"""Vitals: which organ of the monitor does not do its work, and since when."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Organ(StrEnum):
    """A part without which nobody may trust the monitor."""

    SCHEDULER = "scheduler"
    DATABASE = "database"
    GRAPH = "graph"
    SMTP = "smtp"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Ailment:
    """An organ that does not do its work."""

    organ: Organ
    what: str
    """What is seen, in plain words without secrets, for a page and a letter."""
    since: datetime | None = None
