"""Court: the decisions about one token in their order, under one charter."""

from collections.abc import Callable, Iterable
from datetime import datetime
from hashlib import blake2b

from monitor import __version__
from monitor.core.hold import Brake, brought_forward, news_at
from monitor.core.incident import advance
from monitor.core.observation import Look, classify, observe
from monitor.core.schedule import judge_at, look_every, next_check_at, urgency
from monitor.core.tokens import Inconclusive
from monitor.jobs.charter import Charter
from monitor.jobs.planning import token_entries
from monitor.store.claims import Claim
from monitor.store.codec import encode
from monitor.store.entries import Entry
from monitor.store.judging import Judgement, Owner, Record


class Court:
    """Judges records; pure, but for the clock it is given."""

    def __init__(self, charter: Charter, clock: Callable[[], datetime]) -> None:
        self._charter = charter
        self._clock = clock
        rules = f"{__version__} {encode(charter.rules)}"
        digest = blake2b(rules.encode(), digest_size=8).digest()
        self._print = int.from_bytes(digest) >> 1

    @property
    def print(self) -> int:
        """Tells whether two judgements were made under the same rules and release."""
        return self._print

    @property
    def brake(self) -> Brake:
        """What makes a wave of sudden news."""
        return self._charter.brake

    def claims_until(self) -> datetime:
        """When the last of the claims that were made up to now lapses."""
        return self._clock() + self._charter.lease

    def known(self, claims: Iterable[Claim]) -> list[int | None]:
        """For each token the print of what was heard, if it is at rest under us."""
        rules = self._print
        return [None if c.heard is None else c.heard ^ rules for c in claims]

    def judge(self, record: Record, look: Look | None) -> Judgement:
        """What becomes of a token after a look, or by time alone."""
        now = self._clock()
        expected, before = record.expected, record.observation
        after, answer = before, None
        rule = self._charter.rule(expected, record.labels, before)
        if look is not None:
            answer = look.answer
            after = observe(before, look, expected, rule)
            rule = self._charter.rule(expected, record.labels, after)
        verdict = classify(after, expected, rule, now)
        healed = (
            look is not None
            and record.incident is not None
            and not verdict.matters
            and (
                before.known is None
                or bool(classify(before, expected, rule, now).matters)
            )
        )
        step = advance(record.incident, verdict, rule, now, healed_by_answer=healed)
        conclusive = not isinstance(answer, Inconclusive)
        due_at = min(record.next_check_at, now + rule.check_every)
        if look is not None:
            due_at = next_check_at(
                after,
                step.incident,
                rule,
                look.asked_at,
                conclusive=conclusive,
                spread=_spread(record.row_id),
            )
        turn_at = judge_at(after, step.incident, rule, now)
        if turn_at is not None:
            # A reminder is planned at a look: it must not be late by an interval.
            due_at = min(due_at, turn_at)
        return Judgement(
            rule,
            after,
            verdict,
            step,
            due_at,
            turn_at,
            urgency(
                after,
                step.incident,
                rule,
                at=due_at,
                conclusive=(record.cause is None if look is None else conclusive),
            ),
            look_every(after, rule, now),
            answer.cause if isinstance(answer, Inconclusive) else None,
            news_at(
                record.incident,
                step.notice,
                verdict.matters,
                before.suspicion,
                now,
                brought_forward(before.known, after.known),
            ),
        )

    def plan(
        self,
        owner: Owner,
        judgement: Judgement,
        incident_id: str,
        reached: frozenset[str],
    ) -> list[Entry]:
        """The entries of a notice."""
        return token_entries(
            self._charter, owner, judgement, incident_id, reached, self._clock()
        )


def _spread(row_id: int) -> float:
    """What to stretch an interval by: each token has its own, from 0.9 to 1.

    Rows are numbered at random, so a fleet does not march in step.
    """
    return 0.9 + row_id % 100_001 / 1_000_000
