"""Guard: nothing is claimed by a clock that nobody vouches for; the operator hears."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from itertools import cycle
from typing import Final

import structlog

from monitor.core.clockwork import (
    MOVED_BY,
    Doubt,
    Heard,
    Reading,
    doubt,
    moved,
    vouches,
)
from monitor.core.incident import Incident, Step, advance
from monitor.core.tokens import Cause, Code
from monitor.jobs.charter import Charter
from monitor.jobs.planning import advance_matter, matter_verdict, plan_matter
from monitor.jobs.watch import CLOCK, Watch
from monitor.probe.meta import Caller, MetaProbe
from monitor.store import Store
from monitor.store.ledger import Budget
from monitor.store.times import newest_marks, note_believed

_ASK_EVERY: Final = timedelta(minutes=1)
_NOTE_EVERY: Final = timedelta(minutes=1)
_MEND_EVERY: Final = timedelta(hours=1)
_PATIENCE: Final = timedelta(seconds=10)
"""So long a start waits for a reply; then a clock that nothing speaks against is
believed, for an outage of Meta's must not keep known dates from being told."""

log = structlog.stdlib.get_logger("monitor.clock")


class ClockGuard:
    """Ends a doubt about the wall clock, and tells the operator of it meanwhile."""

    def __init__(
        self,
        store: Store,
        probe: MetaProbe,
        charter: Charter,
        watch: Watch,
        mend: Callable[[datetime], Awaitable[None]],
    ) -> None:
        self.watch = watch
        self._store = store
        self._charter = charter
        self._worker = probe.worker()
        self._apps = cycle(charter.apps.values())
        self._mend = mend
        self._required_at = timedelta()
        self._asked: Reading | None = None
        self._mended_at = self._noted_at = timedelta()
        self._matter_open = False
        self._replied = False
        """Whether Meta answered the last question, be it without a `Date`."""

    @property
    def doubted_since(self) -> datetime | None:
        """Since when the clock is not believed; `None`: it is."""
        return self.watch.doubted_since

    @property
    def suspected_since(self) -> datetime | None:
        """Since when something speaks against the clock; a start is no such thing."""
        unproven = self.watch.doubt is Doubt.UNPROVEN
        return None if unproven else self.watch.doubted_since

    def require(self) -> None:
        """Believe nothing until somebody vouches: a daemon knows no time before it."""
        now = self.watch.read()
        self._required_at = now.steady
        self.watch.distrust(Doubt.UNPROVEN, now)

    async def tick(self) -> bool:
        """Whether the clock may be gone by; in doubt, ask who might vouch for it.

        Meta is asked for its `Date` once a minute, and whenever the clock was set. An
        instant at which a daemon believed its clock minutes ago vouches at a start.
        """
        watch = self.watch
        if watch.trusted():
            await self._go_on(watch.read())
            return True
        if watch.doubt is Doubt.UNPROVEN and await self._vouched():
            return True
        now = watch.read()
        if self._asked is not None and not self._due(self._asked, now):
            return await self._believed_for_want_of_proof(now)
        self._asked = now
        heard = await self._ask()
        if heard is not None:
            if doubt(heard.received, heard=heard) is None:
                await self._believe()
                return True
            watch.heard_last = heard
            watch.distrust(Doubt.APART, heard.received)
        elif await self._believed_for_want_of_proof(now):
            return True
        await self._tell(heard)
        return False

    async def _believed_for_want_of_proof(self, now: Reading) -> bool:
        """A start that waited long enough for a `Date`, or got a reply without one.

        A doubt that a daemon before us wrote down speaks against the clock: a restart
        is no evidence.
        """
        if self.watch.doubt is not Doubt.UNPROVEN:
            return False
        if not self._replied and now.steady - self._required_at < _PATIENCE:
            return False
        if await self._store.apps.lasting_matter(CLOCK):
            return False
        await self._believe()
        return True

    async def glance(self) -> bool:
        """For a command by hand: the clock is believed unless there is evidence."""
        _, newest = await newest_marks(self._store.database)
        now = self.watch.read()
        against = doubt(now, stored=newest)
        if against is not None:
            self.watch.distrust(against, now)
        return self.watch.trusted() or await self.tick()

    async def close(self) -> None:
        """Let go of the connection to Graph."""
        await self._worker.close()

    @staticmethod
    def _due(asked: Reading, now: Reading) -> bool:
        set_again = abs(moved(asked, now)) > MOVED_BY
        return set_again or now.steady - asked.steady >= _ASK_EVERY

    async def _vouched(self) -> bool:
        believed, newest = await newest_marks(self._store.database)
        now = self.watch.read()
        against = doubt(now, stored=newest)
        if against is not None:
            self.watch.distrust(against, now)
        elif vouches(believed, now):
            await self._believe()
        return self.watch.trusted()

    async def _ask(self) -> Heard | None:
        """Look at ourselves at Meta, for the `Date` of the reply."""
        app = next(self._apps)
        sent = self.watch.read()
        budget = Budget(app.id, app.hourly_calls)
        if not await self._store.ledger.try_spend(budget, sent.wall, 1):
            return None
        proof = await self._worker.inspect_caller(Caller(app.id, app.secret))
        trouble = proof.trouble
        self._replied = trouble is None or trouble.cause is not Cause.UNREACHABLE
        date = proof.usage.server_at
        return None if date is None else Heard(date, sent, self.watch.read())

    async def _believe(self) -> None:
        """Mend what was written by a wrong clock, and only then go by this one."""
        watch = self.watch
        now = watch.read()
        why, since = watch.doubt, watch.doubted_since
        await self._mend(now.wall)
        await note_believed(self._store.database, now.wall)
        if await self._store.apps.open_matter(CLOCK):
            await self._say((), {}, now.wall)
        self._mended_at = self._noted_at = now.steady
        self._asked = None
        watch.believe(now)
        if why is not Doubt.UNPROVEN and since is not None:
            log.warning("clock.trusted", doubted_since=since.isoformat(), was=why)

    async def _go_on(self, now: Reading) -> None:
        if now.steady - self._noted_at >= _NOTE_EVERY:
            self._noted_at = now.steady
            await note_believed(self._store.database, now.wall)
            if self._matter_open:
                await self._say((), {}, now.wall)
        if now.steady - self._mended_at >= _MEND_EVERY:
            self._mended_at = now.steady
            await self._mend(now.wall)

    async def _tell(self, heard: Heard | None) -> None:
        now, why = self.watch.read(), self.watch.doubt
        if why is Doubt.UNPROVEN:
            return
        facts = {"why": str(why), "wall": _said(now.wall)}
        if heard is not None:
            facts["graph"] = _said(heard.date)
        await self._say((Code.CLOCK_DOUBTED,), facts, now.wall)

    async def _say(
        self, codes: Sequence[Code], facts: dict[str, str], now: datetime
    ) -> None:
        step = await self._store.apps.matter(
            CLOCK,
            None,
            advance_matter(self._charter, codes, now) if codes else self._well(now),
            plan_matter(self._charter, CLOCK, None, facts, now),
            now,
        )
        incident = step.incident
        self._matter_open = incident is not None and incident.closed_at is None

    def _well(self, now: datetime) -> Callable[[Incident | None], Step]:
        """A matter nobody was told of yet ends in silence."""
        rule = self._charter.house_rule

        def move(incident: Incident | None) -> Step:
            told = incident is not None and incident.first_told_at is not None
            verdict = matter_verdict((), now)
            return advance(incident, verdict, rule, now, healed_by_answer=told)

        return move


def _said(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
