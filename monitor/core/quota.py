"""Govern: how many calls an app may make now, and how far they go."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Final

SLOT: Final = timedelta(seconds=30)
"""Calls are remembered by slots: 122 of them cover every hour that still counts."""
UNLIMITED: Final = 1_000_000_000
"""More calls than there are tokens."""

_HOUR: Final = timedelta(hours=1)
_MEMORY: Final = _HOUR + SLOT
"""A slot counts in full so long after its start: its last call may be at its end."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT: Final = timedelta.resolution
_INSTANTS: Final = _HOUR // _INSTANT
_RESERVED: Final = 100
"""One call in so many is kept for self-inspections and one-more-tries."""
_SMALLEST_WITH_RESERVE: Final = 20
_BURST: Final = 25
"""One hour's calls in so many may go at once: 4 %. With what a slot accrues (0.83 %)
less than 5 % of them go at any one time beyond the even pace."""

LEARNED_FROM: Final = 25.0
_SLOW_FROM: Final = 85.0
PAUSED_FROM: Final = 95.0
"""Percentages of the quota. Below the first one, Meta's headers change nothing; they
are absent while few calls were made. The others are a large client's (airbyte).
Source: Graph API, "Rate Limits", and graph-api.md 3, read 2026-11-23."""
PAUSE: Final = timedelta(minutes=10)
_PROBE_EVERY: Final = timedelta(minutes=2)
_PROBE: Final = 100
"""One hour's calls in so many, at least one, go in every `_PROBE_EVERY`."""
_ROUNDING: Final = 1.0
"""The headers are whole per cents."""
_CAREFUL: Final = 0.95
"""So much of a learned quota is used; the headers are whole numbers and lag."""
_LEAST_LEARNED: Final = 60
"""Calls an hour that are left when others use up the app: from no calls of our own no
quota can be learned. A quota is 200 calls an hour at least (one daily user)."""
_LEAST_SHARE: Final = 25
"""Of a configured quota, one call in so many is left below 85 %, so that a daemon that
starts beside other users comes up to speed in an hour or two."""


@dataclass(frozen=True, slots=True)
class Spent:
    """The calls granted in one slot by all replicas, reserve included."""

    at: datetime
    """The start of the slot."""
    calls: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What Meta's usage headers said last."""

    percent: float
    """The highest number of all headers, in percent of the quota."""
    at: datetime
    """When they were read."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be granted now."""

    calls: int
    next_at: datetime | None
    """If all these calls are taken, when there is room for another one; no later than
    an hour and a slot ahead, and to be asked again then. `None`: unlimited."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How a grant is divided: risky tokens are claimed first, then routine ones.

    What either class leaves goes to the other.
    """

    risky: int
    routine: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whether the quota of an app carries its policy."""

    needs: float
    """Calls an hour that the policy asks for."""
    carries: float | None
    """Calls an hour that can be kept up; `None`: no quota is known."""
    sweep: timedelta | None
    """How long one look at every token takes; `None`: nothing is asked for."""

    @property
    def enough(self) -> bool:
        """Whether every token is looked at as often as the policy says."""
        return self.carries is None or self.needs <= self.carries


def slot_of(now: datetime) -> datetime:
    """The start of the slot this instant lies in; slots are counted from 1970."""
    return now - (now - _EPOCH) % SLOT


def allowance(
    hourly: int | None,
    spent: Sequence[Spent],
    seen: Seen | None,
    now: datetime,
    *,
    at_once: bool = False,
) -> Allowance:
    """How many calls may be granted now.

    In no rolling hour more than `hourly` calls are granted, a hundredth of them being
    left to `may_spend`; and they go evenly: in any stretch of time no more than the
    even pace and a burst of less than 5 % of the hour. From 25 % on, Meta's headers
    show how large the quota really is; from 85 % on only a few calls go to see
    whether the usage fell, and at 95 % none for ten minutes. A slot that lies ahead,
    because the clock moved back, counts in full.

    Args:
        hourly: Calls in a rolling hour, at least one; `None`: only the headers limit.
        spent: What was granted in the last hour, or longer, in any order.
        seen: What Meta's headers said last. Older than an hour it says nothing.
        now: The present instant.
        at_once: The rest of the hour may go now, for a check by hand.
    """
    seen = unexplained(hourly, spent, seen)
    limits = tuple(_limits(hourly, spent, seen, now, at_once=at_once))
    if not limits:
        return Allowance(UNLIMITED, None)
    ledger = _latest_first(spent, now)
    resume_at = _resume_at(seen, now)
    calls = 0
    if now >= resume_at:
        calls = max(0, min(limit.room(ledger, now) for limit in limits))
    openings = (limit.opens_at(ledger, now, calls) for limit in limits)
    return Allowance(calls, min(max(resume_at, *openings), now + _MEMORY))


def needs_ledger(hourly: int | None, seen: Seen | None) -> bool:
    """Whether what was spent bears on what may be; else it need not be fetched."""
    return hourly is not None or (seen is not None and seen.percent >= LEARNED_FROM)


def unexplained(
    hourly: int | None, spent: Sequence[Spent], seen: Seen | None
) -> Seen | None:
    """What the headers say, unless our own calls account for all of it.

    Who may use a quota whole shows a usage near 100 % by himself: no reason to slow
    down. More than that means that others use it too, or that it is smaller.
    """
    if seen is None or hourly is None:
        return seen
    since = seen.at - _MEMORY
    ours = sum(each.calls for each in spent if since < each.at <= seen.at)
    return None if seen.percent <= 100 * ours / hourly + _ROUNDING else seen


def may_spend(
    hourly: int | None, spent: Sequence[Spent], now: datetime, calls: int
) -> bool:
    """Whether a self-inspection or one more try may go: the reserve is for them."""
    if hourly is None:
        return True
    return _Window(_HOUR, hourly).room(_latest_first(spent, now), now) >= calls


def time_for(calls: int, hourly: int | None) -> timedelta | None:
    """How long so many calls take at the pace of the quota; `None`: none is known."""
    if hourly is None:
        return None
    return max(calls, 0) * _MEMORY / _ordinary(hourly)


def coverage(tokens: int, needs: float, hourly: int | None) -> Coverage:
    """How far the quota of an app goes.

    Args:
        tokens: The tokens of the app that are looked at.
        needs: Calls an hour that the policy asks for: the sum over these tokens of
            one hour by their `check_every`.
        hourly: Calls in a rolling hour, at least one; `None`: no quota is known.
    """
    carries = None if hourly is None else _ordinary(hourly) * (_HOUR / _MEMORY)
    pace = needs if carries is None else min(needs, carries)
    sweep = tokens / pace * _HOUR if pace > 0 else None
    return Coverage(needs, carries, sweep)


def shares(most: int, *, risky_due: bool, routine_due: bool, turn: int) -> Shares:
    """How many of a grant go to risky and to routine tokens.

    While both are due, a quarter of every grant is routine, so that nobody starves; a
    single call is routine at every fourth turn.

    Args:
        most: The calls granted.
        risky_due: Whether any risky token is due.
        routine_due: Whether any routine token is due.
        turn: Counts up with every grant, or is drawn at random.
    """
    most = max(most, 0)
    if not (risky_due and routine_due):
        return Shares(most if risky_due else 0, most if routine_due else 0)
    routine = int(turn % 4 == 0) if most == 1 else -(-most // 4)
    return Shares(most - routine, routine)


# --- what limits a grant --------------------------------------------------------
# Each limit says how many calls it lets pass, and when it lets one more pass after so
# many were taken. It is shown the latest slot first, and among them the one of now.


@dataclass(frozen=True, slots=True)
class _Window:
    """At most so many calls in any stretch of this length."""

    length: timedelta
    most: int

    def room(self, ledger: Sequence[Spent], now: datetime) -> int:
        forgotten_at = now - SLOT - self.length
        return self.most - sum(x.calls for x in ledger if x.at > forgotten_at)

    def opens_at(self, ledger: Sequence[Spent], now: datetime, taken: int) -> datetime:
        for each in ledger:
            taken += each.calls
            if taken >= self.most:
                return each.at + SLOT + self.length
        return now


@dataclass(frozen=True, slots=True)
class _Pace:
    """From the start of any slot on, no more calls than a burst and an even pace."""

    hourly: int

    def room(self, ledger: Sequence[Spent], now: datetime) -> int:
        return self._burst + min(
            (now - start) // _INSTANT * self.hourly // _INSTANTS - calls
            for start, calls in _since(ledger, now)
        )

    def opens_at(self, ledger: Sequence[Spent], now: datetime, taken: int) -> datetime:
        over = taken + 1 - self._burst
        return max(
            start
            + min(-(-(calls + over) * _INSTANTS // self.hourly) * _INSTANT, _MEMORY)
            for start, calls in _since(ledger, now)
        )

    @property
    def _burst(self) -> int:
        return max(self.hourly // _BURST, 1)


def _limits(
    hourly: int | None,
    spent: Sequence[Spent],
    seen: Seen | None,
    now: datetime,
    *,
    at_once: bool,
) -> Iterator[_Window | _Pace]:
    percent = _percent(seen, now)
    if seen is not None and percent >= LEARNED_FROM:
        hourly = _learned(hourly, spent, seen)
    if hourly is None:
        return
    yield _Window(_HOUR, _ordinary(hourly))
    if not at_once:
        yield _Pace(hourly)
    if percent >= _SLOW_FROM:
        yield _Window(_PROBE_EVERY, max(hourly // _PROBE, 1))


def _percent(seen: Seen | None, now: datetime) -> float:
    """What the headers say at this instant; nothing, when they are old."""
    return seen.percent if seen and abs(now - seen.at) <= _HOUR else 0.0


def _resume_at(seen: Seen | None, now: datetime) -> datetime:
    """When a pause ends that the headers ask for; `now` if they ask for none."""
    if seen is None or _percent(seen, now) < PAUSED_FROM:
        return now
    return max(now, min(seen.at, now) + PAUSE)


def _learned(hourly: int | None, spent: Sequence[Spent], seen: Seen) -> int:
    """The quota that the headers show, counting all usage as ours: never too large."""
    before = (each.calls for each in spent if seen.at - _HOUR <= each.at <= seen.at)
    learned = int(_CAREFUL * 100 * sum(before) / seen.percent)
    learned = max(learned, _LEAST_LEARNED)
    if hourly is None:
        return learned
    if seen.percent < _SLOW_FROM:
        learned = max(learned, hourly // _LEAST_SHARE)
    return min(hourly, learned)


def _ordinary(hourly: int) -> int:
    """The calls of an hour without the reserve."""
    if hourly < _SMALLEST_WITH_RESERVE:
        return hourly
    return hourly - max(hourly // _RESERVED, 1)


def _latest_first(spent: Sequence[Spent], now: datetime) -> list[Spent]:
    ledger = [*spent, Spent(slot_of(now), 0)]
    return sorted(ledger, key=attrgetter("at"), reverse=True)


def _since(ledger: Sequence[Spent], now: datetime) -> Iterator[tuple[datetime, int]]:
    """The start of every slot that still counts, and the calls since then."""
    calls, forgotten_at = 0, now - _MEMORY
    for each in ledger:
        if each.at <= forgotten_at:
            return
        calls += each.calls
        if each.at <= now:
            yield each.at, calls
