"""Callers: whether each app may be asked now, and what its failures mean."""

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Final

import structlog

from monitor.core.clockwork import Reading
from monitor.core.quota import LEARNED_FROM, PAUSE, PAUSED_FROM, SLOT
from monitor.core.schedule import backoff
from monitor.core.tokens import Cause, Code, Inconclusive
from monitor.jobs.charter import App, Charter
from monitor.jobs.planning import advance_matter, plan_matter
from monitor.jobs.silence import Silence
from monitor.jobs.watch import Watch
from monitor.probe.heard import Heard
from monitor.probe.meta import Asked, Caller, MetaWorker
from monitor.probe.usage import Usage
from monitor.store import Store
from monitor.store.apps import AppState
from monitor.store.claims import Claim
from monitor.store.instants import instant
from monitor.store.ledger import Budget

PROOF_AGE: Final = timedelta(minutes=5)
"""For so long Meta's word for a caller is taken."""
_USAGE_NOTED_EVERY: Final = timedelta(minutes=1)
_FAILURES_TO_REST: Final = 3
"""So many failed calls in a row, and the app rests."""
_PASSING: Final = frozenset({Cause.TRANSIENT, Cause.UNREACHABLE, Cause.UNREADABLE})
"""Troubles that one more try may outlast."""

log = structlog.stdlib.get_logger("monitor.callers")


class AppDesk:
    """Everything about asking one app during one sweep."""

    def __init__(
        self,
        store: Store,
        charter: Charter,
        app: App,
        state: AppState,
        clock: Callable[[], datetime],
        watch: Watch | None = None,
    ) -> None:
        self.id = app.id
        self._watch = watch or Watch(clock)
        self.proved_at = state.proved_at
        self.rests_until: datetime | None = None
        self._app_known: bool | None = None
        self.touched = False
        """Whether any call was tried."""
        self.answered = False
        """Whether any call about tokens told something."""
        self.trouble: Inconclusive | None = None
        """Why it may not be asked any more."""
        self._silence = Silence(state.silent_since)
        self._store = store
        self._charter = charter
        self._app = app
        self._caller = Caller(app.id, app.secret)
        self._failures = state.failures
        self._failures_noted = state.failures
        self._rejected = state.rejected_at is not None
        self._usage = Usage()
        self._percent_noted = state.usage_percent
        self._usage_noted_at = state.usage_at
        self._clock = clock
        self._lock = asyncio.Lock()

    @property
    def budget(self) -> Budget:
        """What the governor allows it."""
        return Budget(self.id, self._app.hourly_calls)

    @property
    def open(self) -> bool:
        """Whether its tokens may be asked about."""
        return self.trouble is None

    async def ready(self, worker: MetaWorker, batch: Sequence[Claim]) -> bool:
        """Whether Meta vouches for the caller now.

        The proof is renewed when it is older than five minutes, and always between
        two looks that settle a suspicion.
        """
        suspected = [c.suspected for c in batch if c.suspected is not None]
        newer_than = instant(max(suspected)) if suspected else None
        async with self._lock:
            if not self.open:
                return False
            if self._proof_holds(newer_than):
                return True
            return await self._prove(worker)

    def _proof_holds(self, newer_than: datetime | None) -> bool:
        if self.proved_at is None or self._rejected:
            return False
        if newer_than is not None and self.proved_at <= newer_than:
            return False
        age = self._clock() - self.proved_at
        return timedelta() <= age <= PROOF_AGE

    async def _prove(self, worker: MetaWorker) -> bool:
        for attempt in range(_FAILURES_TO_REST):
            if not await self._afford(1):
                self.trouble = Inconclusive(Cause.THROTTLED, "hourly_calls is used up")
                self.rests_until = self._clock() + SLOT
                return False
            self.touched = True
            asked_at = self._clock()
            sent = self._watch.read()
            proof = await worker.inspect_caller(self._caller)
            if not self._timely(proof.usage, sent):
                self.trouble = Inconclusive(Cause.INTERNAL, "our clock is doubted")
                return False
            await self._note_usage(proof.usage)
            if proof.ok:
                self.proved_at = asked_at
                self._app_known = None
                await self._note_proof(asked_at)
                return True
            trouble = proof.trouble or Inconclusive(Cause.UNKNOWN)
            if proof.rejected:
                await self._reject(trouble)
                return False
            if trouble.cause not in _PASSING or attempt == _FAILURES_TO_REST - 1:
                self._failures += 1
                await self._rest(trouble)
                return False
            await self._breathe()
        return False

    async def app_known(self) -> bool:
        """Whether most tokens answer as the app's own, so that its id is no mistake.

        Counted once for each proof, and only when a suspicion may settle: it takes
        long.
        """
        known = self._app_known
        if known is None:
            kin = await self._store.apps.kinship(self.id)
            known = self._app_known = kin.own > kin.foreign
        return known

    async def ask(
        self,
        worker: MetaWorker,
        tokens: Sequence[bytes],
        known: Sequence[int | None],
        still: Callable[[], bool],
    ) -> Sequence[Heard] | None:
        """What Meta says about each token, or why each could not be told.

        Args:
            worker: Who asks.
            tokens: At most fifty.
            known: For each the print of what was heard before, if there is one.
            still: Whether we may, asked immediately before the call leaves us.

        Returns:
            `None`: we might not any more, and nobody was asked.
        """
        sent = self._watch.read()
        asked = await worker.ask(self._caller, tokens, known, still)
        if asked.unsent:
            return None
        self.touched = True
        trouble = asked.trouble
        if (
            trouble is not None
            and trouble.cause in _PASSING
            and await self._afford(len(tokens))
        ):
            await self._breathe()
            again = await worker.ask(self._caller, tokens, known, still)
            asked = asked if again.unsent else again
        if self._timely(asked.usage, sent):
            self._silence.hear(asked.heard, known)
            await self._note_usage(asked.usage)
            await self._weigh(worker, asked)
        return asked.heard

    def _timely(self, usage: Usage, sent: Reading) -> bool:
        """Whether our clock is believed still, after Meta said what time it is."""
        self._watch.heard(usage.server_at, sent)
        return self._watch.trusted()

    async def _afford(self, calls: int) -> bool:
        """Whether the quota has room for calls that no claim has paid for."""
        return await self._store.ledger.try_spend(self.budget, self._clock(), calls)

    async def _breathe(self) -> None:
        await asyncio.sleep(self._charter.breath.total_seconds())

    async def _weigh(self, worker: MetaWorker, asked: Asked) -> None:
        """What a call's outcome means for the app."""
        trouble = asked.trouble
        if asked.usage.throttled or (trouble and trouble.cause is Cause.THROTTLED):
            self.answered = self.answered or trouble is None
            async with self._lock:
                await self._rest(Inconclusive(Cause.THROTTLED))
            return
        if trouble is None:
            self.answered = True
            self._failures = 0
            percent = asked.usage.percent or 0
            if percent >= PAUSED_FROM and not await self._store.ledger.explains(
                self.budget, percent, self._clock()
            ):
                async with self._lock:
                    # Nearly all is used, by whomever: the next calls would be refused.
                    await self._rest(Inconclusive(Cause.THROTTLED), PAUSE)
            return
        async with self._lock:
            if not self.open:
                return
            if trouble.cause is Cause.CALLER and not await self._prove(worker):
                return
            self._failures += 1
            log.warning(
                "batch.failed", app=self.id, cause=trouble.cause, detail=trouble.detail
            )
            if self._failures >= _FAILURES_TO_REST:
                await self._rest(trouble)

    async def _note_usage(self, usage: Usage) -> None:
        """Let the governor know, at once if it may tighten the pace of all replicas."""
        seen = usage.version_seen
        if seen is not None and seen != self._usage.version_seen:
            log.debug("graph.version", app=self.id, served=seen)
        self._usage = usage
        # Meta sends no usage while little is used; whole per cents are rounded up.
        percent = ceil(usage.percent or 0)
        known = self._percent_noted or 0
        if percent != known and max(percent, known) >= LEARNED_FROM:
            self._percent_noted = percent
            await self._store.apps.note(
                self.id, usage_percent=percent, usage_at=self._clock()
            )

    async def _rest(
        self, trouble: Inconclusive, least: timedelta = timedelta()
    ) -> None:
        """Stop the app's run, for as long as Meta names or failures teach."""
        if not self.open:
            return
        self.trouble = trouble
        now = self._clock()
        named = self._usage.regain or self._usage.retry_after
        retry_every = self._charter.house_rule.retry_every
        rest = backoff(max(self._failures - _FAILURES_TO_REST + 1, 1), retry_every)
        self.rests_until = now + max(named or rest, least)
        self._failures_noted = self._failures
        await self._store.apps.note(
            self.id,
            paused_until=self.rests_until,
            pause_cause=trouble.cause,
            failures=self._failures,
        )
        log.warning(
            "app.resting",
            app=self.id,
            cause=trouble.cause,
            detail=trouble.detail,
            until=self.rests_until.isoformat(),
        )

    async def _reject(self, trouble: Inconclusive) -> None:
        """Meta refuses our credentials: one matter, and nobody's tokens are judged."""
        self._failures += 1
        await self._rest(trouble)
        now = self._clock()
        await self._store.apps.note(self.id, rejected_at=now)
        await self._matter((Code.CALLER_REJECTED,), _graph_code(trouble.detail), now)
        log.error("caller.rejected", app=self.id, detail=trouble.detail)

    async def _note_proof(self, at: datetime) -> None:
        facts: dict[str, object] = {
            "proved_at": at,
            "paused_until": None,
            "pause_cause": None,
            "rejected_at": None,
        }
        if self._usage.version_seen is not None:
            facts["api_version"] = self._usage.version_seen
        await self._store.apps.note(self.id, **facts)
        if self._rejected or await self._store.apps.open_matter(self._subject):
            await self._matter((), {}, self._clock())
        self._rejected = False

    @property
    def _subject(self) -> str:
        return f"app:{self.id}"

    async def _matter(
        self, codes: Sequence[Code], facts: dict[str, str], now: datetime
    ) -> None:
        await self._store.apps.matter(
            self._subject,
            self.id,
            advance_matter(self._charter, codes, now),
            plan_matter(self._charter, self._subject, self._app, facts, now),
            now,
        )

    async def close(self) -> None:
        """Remember what the sweep taught about the app."""
        if not self.touched:
            return
        facts: dict[str, object] = {}
        if self._usage.percent is not None:
            percent, now = round(self._usage.percent), self._clock()
            if percent != self._percent_noted or not self._noted_lately(now):
                facts["usage_percent"], facts["usage_at"] = percent, now
        if self._failures != self._failures_noted:
            facts["failures"] = self._failures
        facts |= self._silence.change(self.trouble, self._clock())
        if self._silence.needs_witness(self._clock()):
            await self._store.apps.call_witness(
                self.id, self._clock(), self._charter.lease
            )
        if facts:
            await self._store.apps.note(self.id, **facts)

    def _noted_lately(self, now: datetime) -> bool:
        """Whether the same once more would be a transaction a sweep for nothing."""
        at = self._usage_noted_at
        return at is not None and timedelta() <= now - at < _USAGE_NOTED_EVERY


def _graph_code(detail: str) -> dict[str, str]:
    """Graph's own numbers for a refusal, as the operator's letter names them."""
    found = re.search(r"error (\d+)(?:/(\d+))?", detail)
    if found is None:
        return {}
    code, subcode = found.groups()
    return {"code": code} | ({"subcode": subcode} if subcode else {})
