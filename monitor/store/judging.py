"""What a judgement is made of, and what it leaves to be written."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from msgspec import Struct

from monitor.core.hold import Brake
from monitor.core.incident import Incident, Step
from monitor.core.observation import Look, Observation
from monitor.core.policy import Rule
from monitor.core.schedule import Urgency
from monitor.core.tokens import Answer, Cause, Expected
from monitor.core.verdict import Verdict
from monitor.store.claims import Claim
from monitor.store.entries import Entry


class Words(Protocol):
    """What Meta said about a token, read when somebody wants to know."""

    @property
    def print(self) -> int | None:
        """Tells whether the same was said, word for word; `None`: read already."""

    @property
    def answer(self) -> Answer:
        """What the words mean."""


class Looks(Struct, gc=False, eq=False):
    """Looks at tokens that were asked about in one call, unread yet.

    A sweep makes a look of each token, and most need no reading: what they share is
    kept once.
    """

    claims: Sequence[Claim]
    words: Sequence[Words]
    """What was said about each of them, in the same order."""
    asked_at: datetime
    proved_at: datetime | None = None
    app_known: bool = True
    again: int = 0
    """How many of the words are those heard before, which cost least to record."""

    def __len__(self) -> int:
        return len(self.claims)

    def read(self, words: Words) -> Look:
        """One of the looks, with what the words mean."""
        return Look(words.answer, self.asked_at, self.proved_at, self.app_known)

    def halves(self) -> "tuple[Looks, Looks]":
        """The same looks in two parts."""
        half = len(self) // 2
        claims, words = self.claims, self.words
        shared = self.asked_at, self.proved_at, self.app_known
        return (
            Looks(claims[:half], words[:half], *shared),
            Looks(claims[half:], words[half:], *shared),
        )


class Record(Struct, frozen=True):
    """A token as it really stands inside the recording transaction."""

    row_id: int
    id: str
    expected: Expected
    labels: Mapping[str, str]
    observation: Observation
    severity: str
    codes: str
    cause: str | None
    next_check_at: datetime
    judge_at: datetime | None
    urgency: int
    incident_id: str | None
    incident: Incident | None


class Judgement(Struct, frozen=True):
    """What was decided about a record."""

    rule: Rule
    observation: Observation
    verdict: Verdict
    step: Step
    next_check_at: datetime
    judge_at: datetime | None
    urgency: Urgency
    interval: timedelta
    """The planned time between looks, before it is spread."""
    cause: Cause | None = None
    """Why the look could not tell; `None`: it could, or there was none."""
    news_at: datetime | None = None
    """When the sudden news of its notice was first seen, if it has any."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a token's news concerns, as the inventory says."""

    row_id: int
    id: str
    app_id: str
    kind: str | None
    email: str
    name: str | None
    token_name: str | None
    used_for: str | None
    cc: str
    locale: str | None
    timezone: str | None
    unreachable: bool = False
    """Whether the last letter to him was refused, or bounced."""


class Court(Protocol):
    """Who decides: the policies of one configuration, and the readers they name."""

    @property
    def print(self) -> int:
        """Tells whether two judgements were made under the same rules; 63 bits."""

    @property
    def brake(self) -> Brake:
        """What makes a wave of sudden news."""

    def claims_until(self) -> datetime:
        """When the last of the claims that were made up to now lapses."""

    def judge(self, record: Record, look: Look | None) -> Judgement:
        """What becomes of a token after a look, or by time alone."""

    def plan(
        self,
        owner: Owner,
        judgement: Judgement,
        incident_id: str,
        reached: frozenset[str],
    ) -> Sequence[Entry]:
        """The entries of a notice; `reached`: readers an earlier letter reached."""


@dataclass(slots=True)
class Recorded:
    """What a transaction wrote."""

    confirmed: Counter[str] = field(default_factory=Counter)
    """By severity: tokens at rest that answered what they answered before."""

    judged: list[tuple[Record, Judgement]] = field(default_factory=list)
    superseded: list[str] = field(default_factory=list)
    """Ids whose claim was taken over, or whose secret was replaced, meanwhile."""
    damaged: list[int] = field(default_factory=list)
    """Rows of tokens that were set apart, because they cannot be read or judged."""


PlanNotice: TypeAlias = Callable[
    [Owner, Judgement, str, frozenset[str]], Sequence[Entry]
]
