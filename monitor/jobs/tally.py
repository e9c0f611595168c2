"""Tally: what a sweep came to, added up from what its transactions wrote."""

from collections import Counter
from dataclasses import dataclass, field

from monitor.core.tokens import Cause, Code
from monitor.core.verdict import Severity
from monitor.store.judging import Recorded


@dataclass(slots=True)
class Tally:
    """What a sweep came to."""

    looked: int = 0
    """Tokens that were asked about."""
    conclusive: int = 0
    causes: Counter[Cause] = field(default_factory=Counter)
    """Why the others could not tell."""
    by_severity: Counter[Severity] = field(default_factory=Counter)
    suspected: int = 0
    notices: int = 0
    superseded: int = 0
    failed: int = 0
    """Tokens we could not even record; a bug, logged as such."""
    foreign: set[str] = field(default_factory=set)
    """Apps of which some token was said to be another app's."""
    unasked: dict[str, Cause] = field(default_factory=dict)
    """Apps of which no token could be asked, and why."""

    @property
    def attention(self) -> bool:
        """Whether some token is not well, or under suspicion."""
        bad = (Severity.WARNING, Severity.CRITICAL)
        return self.suspected > 0 or any(self.by_severity[s] for s in bad)


def notices_in(recorded: Recorded) -> int:
    """How many notices were planned."""
    return sum(1 for _, judged in recorded.judged if judged.step.notice is not None)


def count(recorded: Recorded, tally: Tally) -> None:
    """Add what a transaction wrote."""
    confirmed = recorded.confirmed.total()
    tally.looked += len(recorded.judged) + confirmed + len(recorded.damaged)
    tally.by_severity[Severity.UNKNOWN] += len(recorded.damaged)
    tally.conclusive += confirmed
    tally.superseded += len(recorded.superseded)
    tally.notices += notices_in(recorded)
    for name, count in recorded.confirmed.items():
        known = name in Severity.__members__.values()
        tally.by_severity[Severity(name) if known else Severity.UNKNOWN] += count
    for record, judged in recorded.judged:
        suspicion = judged.observation.suspicion
        if Code.WRONG_APP in (suspicion and suspicion.code, *judged.verdict.codes):
            tally.foreign.add(record.expected.app_id)
        tally.by_severity[judged.verdict.severity] += 1
        if judged.observation.suspicion is not None:
            tally.suspected += 1
        if judged.cause is None:
            tally.conclusive += 1
        else:
            tally.causes[judged.cause] += 1
