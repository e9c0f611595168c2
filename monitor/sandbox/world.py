"""The simulated Graph's memory: clocks, states, quotas and who asked what."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

from monitor.errors import ConfigurationError, UnknownIdError
from monitor.sandbox.behaviour import Answer, Look, inspect
from monitor.sandbox.faults import Fault
from monitor.sandbox.scenario import AppPlan, Scenario, TokenPlan, token_text
from monitor.sandbox.states import State

Clock = Callable[[], datetime]
"""The wall clock: aware, UTC."""

_HOUR = timedelta(hours=1)
_LONG_LIVED = timedelta(days=60)
_CALLS_KEPT = 10_000
_MEMBERS_KEPT = 50_000
_PASSWORD_CHANGED = State("password_changed")


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call that was made of the simulated Graph. Never holds a secret."""

    at: datetime
    """When it came in, however late it was answered."""
    app_id: str
    """The app that asked; empty: not to be told."""
    kind: str
    """`batch`, `single`, `self_inspection` or `other`."""
    items: tuple[str, ...]
    """The token ids asked about, in order; `app:ID` for an app token, `?` unknown."""
    outcome: str
    """`answered`, `rejected` (the caller), `throttled`, or the kind of a fault."""


@dataclass(slots=True, eq=False)
class Held:
    """One issued token and what has become of it."""

    plan: TokenPlan
    text: str
    born_at: datetime
    state: State | None = None
    """Set by hand; it wins over the plan's events."""
    since_at: datetime | None = None
    looks: int = 0
    answer: Answer | None = None
    """The last answer, as long as `fresh_until` and `epoch` allow."""
    item: tuple[bytes, bytes] = (b"", b"")
    """The same, cut to lie in a batch: before and after its headers."""
    fresh_until: datetime | None = None
    epoch: int = -1


@dataclass(slots=True)
class Quota:
    """The calls of one app within the last hour."""

    limit: int
    total: int = 0
    taken: deque[tuple[datetime, int]] = field(default_factory=deque)

    def take(self, wanted: int, now: datetime) -> int:
        """Count calls and say how many of them are within the limit.

        A call above the limit counts too: "Continuing to make calls will continue to
        increase your call count." Source: Graph API, "Rate Limits", read 2026-11-23.
        """
        self._forget(now)
        granted = max(0, min(wanted, self.limit - self.total))
        cost = granted or 1
        self.total += cost
        self.taken.append((now, cost))
        return granted

    def percent(self, now: datetime) -> int:
        """The used part of the limit, in whole per cent."""
        self._forget(now)
        return 100 * self.total // max(1, self.limit)

    def _forget(self, now: datetime) -> None:
        while self.taken and self.taken[0][0] <= now - _HOUR:
            self.total -= self.taken.popleft()[1]


class World:
    """Everything that changes while the sandbox is up."""

    def __init__(self, scenario: Scenario, clock: Clock, speed: float) -> None:
        if speed <= 0:
            raise ConfigurationError(f"speed: {speed} is not above 0")
        self.scenario = scenario
        self.clock = clock
        self.speed = speed
        self.started_at = clock()
        self.apps = {app.id: app for app in scenario.apps}
        self.quotas = {
            app.id: Quota(app.hourly_calls)
            for app in scenario.apps
            if app.hourly_calls is not None
        }
        self.calls: deque[Call] = deque(maxlen=_CALLS_KEPT)
        self.open = 0
        """How many calls are being answered at this moment."""
        self._skipped = timedelta(0)
        self._epoch = 0
        self._forced: list[Fault] = []
        self._struck: dict[Fault, Iterator[int]] = {}
        self._current: dict[str, Held] = {}
        self._issued: dict[str, Held] = {}
        self._members: dict[str, Held] = {}

    # The event clock.

    def elapsed(self, now: datetime) -> timedelta:
        """How far the event clock has come."""
        return (now - self.started_at) * self.speed + self._skipped

    def advance(self, by: timedelta) -> None:
        """Move the event clock forward; the wall clock and expiries stay."""
        self._skipped += by
        self._epoch += 1

    # Faults.

    def fail_with(self, fault: Fault | str | None, app: str | None = None) -> None:
        """Let a fault strike every call from now on; `None` ends such faults."""
        if fault is None:
            kept = [each for each in self._forced if app and each.app != app]
            self._forced = kept
            return
        known = Fault.parse(fault) if isinstance(fault, str) else fault
        begins = replace(known, after=self.elapsed(self.clock()))
        self._forced.append(replace(begins, app=app) if app else begins)

    def faults(self, app_id: str, now: datetime) -> list[Fault]:
        """The faults that are on for calls of this app, latest command first."""
        plans = self.scenario.faults
        if not plans and not self._forced:
            return []
        elapsed = self.elapsed(now)
        return [
            fault
            for fault in (*reversed(self._forced), *plans)
            if fault.app in {None, app_id} and fault.active(elapsed)
        ]

    def strikes(self, fault: Fault) -> bool:
        """Whether the next call or item is of the fault's share, evenly spread."""
        if fault.share >= 1:
            return True
        turn = next(self._struck.setdefault(fault, count()))
        return int((turn + 1) * fault.share) > int(turn * fault.share)

    # Tokens.

    def find(self, text: str) -> Held | None:
        """The token of this text; `None`: never issued here."""
        held = self._issued.get(text) or self._members.get(text)
        if held is not None:
            return held
        plan = self.scenario.find(text)
        if plan is None:
            return None
        held = Held(plan, text, self.started_at)
        if text in self.scenario.by_text:
            self._issued[text] = self._current[plan.id] = held
        else:
            if len(self._members) >= _MEMBERS_KEPT:
                self._members.clear()
            self._members[text] = held
        return held

    def current(self, token_id: str) -> Held:
        """The token that an inventory id stands for now; from now on remembered.

        Raises:
            UnknownIdError: the scenario has no such token.
        """
        held = self._current.get(token_id)
        if held is not None:
            return held
        try:
            plan = self.scenario.named(token_id)
        except KeyError:
            raise UnknownIdError(f"no token {token_id!r} in the scenario") from None
        held = self.find(plan.text) or Held(plan, plan.text, self.started_at)
        self._issued[held.text] = self._current[token_id] = held
        return held

    def set_state(self, token_id: str, state: State | str) -> None:
        """Put a token into a state, from now on and whatever its events say."""
        held = self.current(token_id)
        held.state = State.parse(state) if isinstance(state, str) else state
        held.since_at = self.clock()
        held.looks = 0
        held.epoch = -1

    def replace_token(self, token_id: str) -> str:
        """Issue a fresh, valid token for an id and return it.

        The old one keeps answering as it did. What ended keeps its kind of end: a
        token with an expiry gets one at least sixty days ahead.
        """
        old, now = self.current(token_id), self.clock()
        state, since_at = self._state(old, now)
        old.state, old.since_at, old.epoch = state, since_at, -1
        plan = replace(
            old.plan,
            token=token_text(f"{token_id} {now.isoformat()} {len(self._issued)}"),
            expires_in=_renewed(old.plan.expires_in),
            data_access_expires_in=_renewed(old.plan.data_access_expires_in),
            issued_ago=timedelta(0),
            events=(),
        )
        new = Held(plan, plan.text, now)
        self._issued[new.text] = self._current[token_id] = new
        return new.text

    def set_app_secret(self, app_id: str, secret: str) -> None:
        """Change the secret of an app, so that the old one is refused."""
        self.apps[app_id] = replace(self.app(app_id), secret=secret)

    def app(self, app_id: str) -> AppPlan:
        """An app of the scenario.

        Raises:
            UnknownIdError: there is none.
        """
        if app_id not in self.apps:
            raise UnknownIdError(f"no app {app_id!r} in the scenario")
        return self.apps[app_id]

    def look(self, held: Held, now: datetime, *, ended: bool = False) -> Answer | None:
        """One look at a token; `ended` answers as if its password had changed."""
        held.looks += 1
        if ended:
            return self._inspect(held, now, _PASSWORD_CHANGED, now)
        if self._fresh(held, now):
            return held.answer
        state, since_at = self._state(held, now)
        answer = self._inspect(held, now, state, since_at)
        held.answer, held.item = answer, (b"", b"")
        held.epoch = -1 if state.name == "flapping" else self._epoch
        ends = (answer.expires_at if answer else None, self._next_event(held, now))
        held.fresh_until = min((at for at in ends if at is not None), default=None)
        return answer

    def _fresh(self, held: Held, now: datetime) -> bool:
        if held.epoch != self._epoch:
            return False
        return held.fresh_until is None or now < held.fresh_until

    def _inspect(
        self, held: Held, now: datetime, state: State, since_at: datetime
    ) -> Answer | None:
        return inspect(
            Look(
                plan=held.plan,
                app=self.apps[held.plan.app],
                text=held.text,
                born_at=held.born_at,
                state=state,
                since_at=since_at,
                now=now,
                number=held.looks,
            )
        )

    def _state(self, held: Held, now: datetime) -> tuple[State, datetime]:
        if held.state is not None:
            return held.state, held.since_at or held.born_at
        state, after = held.plan.state_at(self.elapsed(now))
        return state, max(held.born_at, self._wall(after))

    def _next_event(self, held: Held, now: datetime) -> datetime | None:
        if held.state is not None or not held.plan.events:
            return None
        elapsed = self.elapsed(now)
        ahead = [each.after for each in held.plan.events if each.after > elapsed]
        return self._wall(ahead[0]) if ahead else None

    def _wall(self, after: timedelta) -> datetime:
        """The wall clock's instant at which the event clock stood, or will stand."""
        return self.started_at + (after - self._skipped) / self.speed


def _renewed(span: timedelta | None) -> timedelta | None:
    return None if span is None else max(span, _LONG_LIVED)
