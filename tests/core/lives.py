"""A token's life in days, played through the same decisions the daemon makes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from monitor.core.incident import Incident, Reason, Step, advance, settled
from monitor.core.observation import Look, Observation, classify, observe
from monitor.core.policy import Rule
from monitor.core.schedule import judge_at, next_check_at
from monitor.core.tokens import Answer, Code, Expected, Inconclusive, Introspection
from tests.builders import DAY, a_live_introspection, a_rule, an_expected

START: Final = datetime(2026, 9, 1, tzinfo=UTC)
Said: TypeAlias = tuple[float, Reason]


def day(number: float) -> datetime:
    """The instant so many days after the start."""
    return START + timedelta(days=number)


def alive_until(number: float, **said: object) -> Introspection:
    """A live answer about a token that ends on that day, and never loses data."""
    usual = {"issued_at": START, "data_access_expires_at": None}
    return a_live_introspection(**{**usual, "expires_at": day(number), **said})


def dead(fault: Code = Code.PASSWORD_CHANGED, **said: object) -> Introspection:
    """Meta says so much and no more."""
    return Introspection(fault=fault, **said)  # type: ignore[arg-type] # as said


@dataclass
class Life:
    """What is known of one token, and what was said of it on which day."""

    rule: Rule = field(default_factory=a_rule)
    expected: Expected = field(default_factory=an_expected)
    settles: bool = True
    """Whether every notice is sent at once; else it waits for ever."""
    seen: Observation = field(default_factory=Observation)
    incident: Incident | None = None
    closed: Incident | None = None
    said: list[Said] = field(default_factory=list)
    told: list[tuple[Code, ...]] = field(default_factory=list)
    due_at: datetime = START
    judged_at: datetime | None = None

    def look(self, on: float, answer: Answer) -> Step:
        """Ask on that day, under a proof of the same instant."""
        return self.look_at(day(on), answer)

    def look_at(self, at: datetime, answer: Answer) -> Step:
        """Ask at that instant."""
        before = self.seen
        self.seen = observe(before, Look(answer, at, at), self.expected, self.rule)
        was_bad = classify(before, self.expected, self.rule, at).matters
        step = self.judge_at(at, by_answer=before.known is None or bool(was_bad))
        self.due_at = next_check_at(
            self.seen,
            step.incident,
            self.rule,
            at,
            conclusive=not isinstance(answer, Inconclusive),
        )
        return step

    def judge(self, on: float) -> Step:
        """Think again on that day, without a look."""
        return self.judge_at(day(on), by_answer=False)

    def judge_at(self, at: datetime, *, by_answer: bool) -> Step:
        """Think again at that instant."""
        verdict = classify(self.seen, self.expected, self.rule, at)
        step = advance(
            self.incident, verdict, self.rule, at, healed_by_answer=by_answer
        )
        incident = step.incident
        if step.notice is not None and incident is not None:
            number = round((at - START) / DAY, 2)
            self.said.append((number, step.notice.reason))
            self.told.append(step.notice.codes)
            if self.settles:
                incident = settled(incident, step.notice.number, at)
        if incident is not None and incident.closed_at is not None:
            self.closed, incident = incident, None
        self.incident = incident
        self.judged_at = judge_at(self.seen, incident, self.rule, at)
        return step

    def live(self, until: float, says: Callable[[datetime], Answer]) -> list[Said]:
        """Look and think whenever it is due, until that day; what was said."""
        while True:
            turn = (
                self.due_at
                if self.judged_at is None
                else min(self.due_at, self.judged_at)
            )
            if turn > day(until):
                return self.said
            if turn == self.due_at:
                self.look_at(turn, says(turn))
            else:
                self.judge_at(turn, by_answer=False)

    def look_on(self, days: Iterable[float], answer: Answer) -> list[Said]:
        """Ask on each of these days, and be told the same."""
        for on in days:
            self.look(on, answer)
        return self.said
