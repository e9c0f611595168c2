"""Caretaker: watches the monitor itself, and tells when it does not do its work."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeAlias

import structlog

from monitor.core.quota import LEARNED_FROM
from monitor.core.tokens import Cause, Code
from monitor.core.vitals import (
    TICKS_MISSED,
    Ailment,
    AppSigns,
    Organ,
    PostSigns,
    Signs,
    ailments,
    database_was_gone,
    late_after,
)
from monitor.errors import UnavailableError
from monitor.jobs.charter import Charter
from monitor.jobs.planning import advance_matter, plan_matter
from monitor.jobs.reporting import Reporter
from monitor.notify.heartbeat import Heartbeat
from monitor.store import Store
from monitor.store.apps import AppState
from monitor.store.signs import Coverage

PING_EVERY: Final = timedelta(minutes=1)
SURVEY_EVERY: Final = timedelta(minutes=5)
"""The ledger of all looks is read no more often: it may be long."""
_GAP: Final = timedelta(minutes=5)
"""Without a tick for so long, the machine slept; what was due then is no failure."""
_TIDY_EVERY: Final = timedelta(hours=1)
_PULSE_KEPT: Final = timedelta(days=1)

Clock: TypeAlias = Callable[[], datetime]

log = structlog.stdlib.get_logger("monitor.caretaker")


class Caretaker:
    """Takes the signs of life at every tick, and speaks of what they mean.

    Args:
        store: Where everything is remembered.
        charter: The operator's wishes.
        clock: The one clock.
        instance: Which daemon this is among its replicas.
        heartbeat: Pinged while all is well; `None`: nobody listens.
        doubted_since: Since when the clock is not believed.
    """

    def __init__(
        self,
        store: Store,
        charter: Charter,
        clock: Clock,
        *,
        instance: str = "",
        heartbeat: Heartbeat | None = None,
        doubted_since: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._store = store
        self._charter = charter
        self._clock = clock
        self._instance = instance
        self._heartbeat = heartbeat
        self._doubted_since = doubted_since
        self._reporter = Reporter(store, charter)
        self._began_at = clock()
        self._done: dict[str, datetime] = {}
        self._failing_since: datetime | None = None
        self._ticked_at: datetime | None = None
        self._stored_at: datetime | None = None
        self._surveyed_at: datetime | None = None
        self._coverage: Mapping[str, Coverage] = {}
        self._apps: tuple[AppSigns, ...] = ()
        self._post = PostSigns()
        self._logged: frozenset[Organ] = frozenset()
        self._pinged_at: datetime | None = None
        self._tidied_at: datetime | None = None
        self._chores: dict[str, asyncio.Task[None]] = {}

    def note(self, job: str) -> None:
        """A job (`check`, `deliver`) finished a pass, or got something done in one."""
        self._done[job] = self._clock()

    def ailments(self) -> Sequence[Ailment]:
        """What does not do its work at this moment, by the signs seen last."""
        return ailments(self._signs(), self._clock())

    def ready(self) -> bool:
        """Whether every job has come through, and nothing ails."""
        return self._signs().alive and not self.ailments()

    async def tick(self) -> None:
        """Look after the house once.

        Raises:
            UnavailableError: The database cannot be used; that is one of the signs.
        """
        now = self._clock()
        self._notice_a_gap(now)
        try:
            gone = await self._look(now)
            found = self.ailments()
            self._log(found)
            await self._tell([*found, *gone], now)
            self._ping(now)
            if self._doubted_since() is None:
                await self._reporter.report(found, now)
            # By a doubted clock everything might seem old.
            if self._doubted_since() is None and _has_passed(
                _TIDY_EVERY, self._tidied_at, now
            ):
                self._tidied_at = now
                self._begin("tidy", partial(self._tidy, now))
        except UnavailableError:
            self._log(self.ailments())
            raise
        finally:
            self._ticked_at = self._clock()

    async def settle(self) -> None:
        """Wait for what goes on beside the ticks."""
        await asyncio.gather(*self._chores.values(), return_exceptions=True)

    async def close(self) -> None:
        """Give up what goes on beside the ticks: it is done again later."""
        for task in self._chores.values():
            task.cancel()
        await self.settle()

    # --- the signs

    def _signs(self) -> Signs:
        return Signs(
            began_at=self._began_at,
            tick=self._charter.tick,
            checked_at=self._done.get("check"),
            delivered_at=self._done.get("deliver"),
            stored_at=self._stored_at,
            failing_since=self._failing_since,
            doubted_since=self._doubted_since(),
            apps=self._apps,
            post=self._post,
        )

    def _notice_a_gap(self, now: datetime) -> None:
        gap = max(_GAP, self._charter.tick * TICKS_MISSED)
        if self._ticked_at is not None and now - self._ticked_at >= gap:
            self._began_at = now
            self._done.clear()

    async def _look(self, now: datetime) -> Sequence[Ailment]:
        """Give a sign of life, take the others; tells of a database that was gone."""
        if self._failing_since is None:
            self._failing_since = now
        await self._store.reports.beat(now, self._instance)
        if _has_passed(SURVEY_EVERY, self._surveyed_at, now):
            unjudged = self._charter.house_rule.check_every
            self._coverage = await self._store.vitals.coverage(now, unjudged)
            self._surveyed_at = now
        states = await self._store.apps.states(list(self._coverage))
        self._apps = tuple(
            self._app(state, self._coverage[app_id], now)
            for app_id, state in states.items()
        )
        self._post = await self._store.vitals.post(now, self._charter.operators)
        gone = database_was_gone(self._signs(), now)
        self._stored_at, self._failing_since = self._clock(), None
        return gone

    def _app(self, state: AppState, cover: Coverage, now: datetime) -> AppSigns:
        app = self._charter.apps.get(state.id)
        if app is None:
            name = f"app {state.id}, which is not configured"
            return AppSigns(name, late=cover.late, late_since=cover.late_since)
        paused = state.paused_until is not None and state.paused_until > now
        slowed = (state.usage_percent or 0) >= LEARNED_FROM
        return AppSigns(
            app.name,
            state.silent_since,
            state.rejected_at,
            cover.late,
            cover.late_since,
            late_after(
                cover.tokens,
                cover.needs,
                app.hourly_calls,
                slowed=slowed or (paused and state.pause_cause == Cause.THROTTLED),
                trust_for=self._charter.house_rule.trust_for,
            ),
        )

    # --- what is made of them

    def _log(self, found: Sequence[Ailment]) -> None:
        """A line when an organ begins to fail, and one when it works again."""
        failing = frozenset(each.organ for each in found)
        for organ in Organ:
            if organ in failing - self._logged:
                mine = [each for each in found if each.organ is organ]
                what = "; ".join(each.what for each in mine)
                log.error("organ.failed", organ=organ, what=what)
            elif organ in self._logged - failing:
                log.info("organ.recovered", organ=organ)
        self._logged = failing

    async def _tell(self, found: Sequence[Ailment], now: datetime) -> None:
        """Open, remind of or close the operator's matter of each organ.

        By a clock that is doubted nothing is known of the others, and of itself its
        guard tells.
        """
        if self._doubted_since() is not None:
            return
        subjects = {f"coverage:{organ}": organ for organ in Organ}
        is_open = await self._store.vitals.open_matters(subjects)
        for subject, organ in subjects.items():
            mine = [each for each in found if each.organ is organ and not each.told]
            if not mine and subject not in is_open:
                continue
            codes = (Code.BLIND,) if mine else ()
            await self._store.apps.matter(
                subject,
                None,
                advance_matter(self._charter, codes, now),
                plan_matter(self._charter, subject, None, _facts(organ, mine), now),
                now,
            )

    def _ping(self, now: datetime) -> None:
        """A ping is under way beside the work: it delays nothing."""
        if self._heartbeat is None or not self.ready():
            return
        if _has_passed(PING_EVERY, self._pinged_at, now):
            self._pinged_at = now
            self._begin("heartbeat", partial(self._beat, self._heartbeat))

    async def _beat(self, heartbeat: Heartbeat) -> None:
        trouble = await heartbeat.ping()
        if trouble is not None:
            log.warning("heartbeat.failed", reason=trouble)

    async def _tidy(self, now: datetime) -> None:
        """Forget what is old enough."""
        charter, reports = self._charter, self._store.reports
        await self._store.ledger.prune(now)
        await self._store.mutes.prune()
        await reports.forget_pulses(now - _PULSE_KEPT)
        await reports.prune(now - charter.keep_checks, now - charter.keep_outbox)

    def _begin(self, name: str, chore: Callable[[], Awaitable[None]]) -> None:
        """Begin a chore, unless the one before is still at it."""
        before = self._chores.get(name)
        if before is None or before.done():
            self._chores[name] = asyncio.create_task(_quietly(name, chore))


async def _quietly(name: str, chore: Callable[[], Awaitable[None]]) -> None:
    """A chore that fails is logged, and costs nothing else."""
    try:
        await chore()
    except UnavailableError as error:
        log.error("job.failed", job=name, reason=str(error))
    except Exception as error:  # noqa: BLE001 - its text may hold a URL that is secret
        log.error("job.failed", job=name, reason=type(error).__name__)


def _has_passed(span: timedelta, since: datetime | None, now: datetime) -> bool:
    """Whether it is time again; a clock that was set back counts as such."""
    return since is None or not timedelta() <= now - since < span


def _facts(organ: Organ, found: Sequence[Ailment]) -> dict[str, str]:
    """What the letter about an organ says; a reader in any zone sees UTC."""
    since = min((each.since for each in found if each.since), default=None)
    facts = {"organ": organ.value, "what": "; ".join(each.what for each in found)}
    if since is not None:
        facts["since"] = f"{since:%d %b %Y, %H:%M} UTC"
    return facts
