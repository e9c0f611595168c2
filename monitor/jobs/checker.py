"""Checker: asks Graph about tokens, judges the answers, records what is decided."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Final, TypeAlias

import structlog

from monitor.core.observation import Look
from monitor.core.tokens import Cause, Code, Inconclusive
from monitor.core.verdict import Severity
from monitor.errors import UnavailableError
from monitor.jobs.callers import AppDesk, Desks
from monitor.jobs.charter import Charter
from monitor.jobs.court import Court
from monitor.jobs.planning import advance_matter, plan_matter
from monitor.jobs.together import together
from monitor.probe.meta import MetaProbe, MetaWorker
from monitor.store import Store
from monitor.store.claims import Claim
from monitor.store.judging import Recorded

GROUP: Final = 1000
"""The most tokens recorded in one transaction."""
CHUNK: Final = 1000
"""How many tokens are claimed at a time."""

Clock: TypeAlias = Callable[[], datetime]
Batch: TypeAlias = list[Claim]
Looked: TypeAlias = list[tuple[Claim, Look]]

log = structlog.stdlib.get_logger("monitor.checker")


@dataclass(slots=True)
class Tally:
    """What a sweep came to."""

    looked: int = 0
    """Tokens that were asked about."""
    conclusive: int = 0
    by_severity: Counter[Severity] = field(default_factory=Counter)
    suspected: int = 0
    notices: int = 0
    superseded: int = 0
    failed: int = 0
    """Tokens we could not even record; a bug, logged as such."""
    unasked: dict[str, Cause] = field(default_factory=dict)
    """Apps of which no token could be asked, and why."""

    @property
    def attention(self) -> bool:
        """Whether some token is not well, or under suspicion."""
        bad = (Severity.WARNING, Severity.CRITICAL)
        return self.suspected > 0 or any(self.by_severity[s] for s in bad)


class Checker:
    """Looks at tokens: the only part that asks Graph, and the only one that judges."""

    def __init__(
        self,
        store: Store,
        probe: MetaProbe,
        charter: Charter,
        clock: Clock,
        random: Random,
    ) -> None:
        self._store = store
        self._probe = probe
        self._charter = charter
        self._clock = clock
        self._court = Court(charter, clock, random)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Claim nothing more; what is in hand is finished and recorded."""
        self._stopping.set()

    async def check_all(self, progress: Callable[[int], None] | None = None) -> Tally:
        """One look at every token now, due or not."""
        return await self._sweep(self._claim_all, progress, forced=True)

    async def check_named(
        self, row_ids: Sequence[int], progress: Callable[[int], None] | None = None
    ) -> Tally:
        """One look at these tokens now, due or not."""

        async def claim(desks: Desks) -> AsyncIterator[list[Claim]]:
            for start in range(0, len(row_ids), CHUNK):
                chunk = row_ids[start : start + CHUNK]
                claims = await self._store.claims.named(
                    chunk, self._clock(), self._charter.lease
                )
                # Nobody can ask for an app that is configured no more.
                yield [claim for claim in claims if claim.app_id in desks]

        return await self._sweep(claim, progress, forced=True)

    async def check_due(self, progress: Callable[[int], None] | None = None) -> Tally:
        """One look at every token that is due, and at what falls due meanwhile.

        Known deadlines of apps that cannot be asked go on speaking.
        """
        now = self._clock()
        states = await self._store.apps.states(self._charter.apps)
        resting = [
            state.id
            for state in states.values()
            if state.paused_until is not None and state.paused_until > now
        ]
        tally = Tally()
        for app_id in resting:
            tally.notices += await self._judge_resting(app_id)
        awake = [app_id for app_id in self._charter.apps if app_id not in resting]
        if not await self._store.claims.anything_due(awake, now):
            return tally
        swept = await self._sweep(self._claim_due, progress, forced=False)
        swept.notices += tally.notices
        return swept

    async def judge_again(self) -> int:
        """Judge every token without asking, after a change of policy."""
        recorded = await self._store.records.judge_all(self._court, self._clock())
        return len(recorded.judged)

    async def _judge_resting(self, app_id: str) -> int:
        notices = 0
        while True:
            recorded = await self._store.records.judge_due(
                app_id, self._court, self._clock()
            )
            notices += _notices(recorded)
            if not recorded.judged:
                return notices

    # --- claiming

    async def _claim_all(self, desks: Desks) -> AsyncIterator[list[Claim]]:
        after = -1
        while True:
            open_apps = desks.open_ids()
            if not open_apps:
                return
            claims = await self._store.claims.after(
                after, open_apps, self._clock(), self._charter.lease, CHUNK
            )
            if not claims:
                return
            after = claims[-1].row_id
            yield claims

    async def _claim_due(self, desks: Desks) -> AsyncIterator[list[Claim]]:
        """Due tokens of every open app in turn, so that none waits for another."""
        while True:
            found = False
            for app_id in desks.open_ids():
                claims = await self._store.claims.due(
                    app_id, self._clock(), self._charter.lease, CHUNK
                )
                if claims:
                    found = True
                    yield claims
            if not found:
                return

    # --- the pipeline: claim, ask, record

    async def _sweep(
        self,
        claim: Callable[[Desks], AsyncIterator[list[Claim]]],
        progress: Callable[[int], None] | None,
        *,
        forced: bool,
    ) -> Tally:
        started_at = self._clock()
        desks = await Desks.opened(self._store, self._charter, self._clock, forced)
        # Claims run a chunk ahead, or askers would wait for the one writing connection.
        ahead = max(self._charter.workers, 2 * CHUNK // self._charter.batch_size)
        batches: asyncio.Queue[Batch | None] = asyncio.Queue(ahead)
        answered: asyncio.Queue[Looked | None] = asyncio.Queue(ahead)
        tally = Tally()
        async with AsyncExitStack() as stack:
            workers = [
                await stack.enter_async_context(self._probe.worker())
                for _ in range(self._charter.workers)
            ]
            async with together() as group:
                group.create_task(self._feed(claim, desks, batches, len(workers)))
                askers = [
                    group.create_task(self._ask_all(worker, desks, batches, answered))
                    for worker in workers
                ]
                recorder = group.create_task(
                    self._record_all(answered, tally, progress)
                )
                await asyncio.gather(*askers)
                await answered.put(None)
                await recorder
        await desks.close()
        tally.unasked = desks.unasked()
        for app_id in desks.touched():
            await self._app_mismatch(app_id)
        log.info(
            "check.done",
            looked=tally.looked,
            conclusive=tally.conclusive,
            suspected=tally.suspected,
            notices=tally.notices,
            superseded=tally.superseded,
            seconds=round((self._clock() - started_at).total_seconds(), 3),
        )
        return tally

    async def _feed(
        self,
        claim: Callable[[Desks], AsyncIterator[list[Claim]]],
        desks: Desks,
        batches: asyncio.Queue[Batch | None],
        workers: int,
    ) -> None:
        size = self._charter.batch_size
        partial: dict[str, Batch] = {}
        async for claims in claim(desks):
            for each in claims:
                batch = partial.setdefault(each.app_id, [])
                batch.append(each)
                if len(batch) == size:
                    await batches.put(partial.pop(each.app_id))
            if self._stopping.is_set():
                break
        for batch in partial.values():
            await batches.put(batch)
        for _ in range(workers):
            await batches.put(None)

    async def _ask_all(
        self,
        worker: MetaWorker,
        desks: Desks,
        batches: asyncio.Queue[Batch | None],
        answered: asyncio.Queue[Looked | None],
    ) -> None:
        while (batch := await batches.get()) is not None:
            desk = desks.of(batch[0].app_id)
            if self._stopping.is_set() or not await desk.ready(worker, batch):
                await self._give_back(desk, batch)
                continue
            await answered.put(await self._ask(worker, desk, batch))

    async def _ask(self, worker: MetaWorker, desk: AppDesk, batch: Batch) -> Looked:
        """One call about a batch; every token of it gets a look."""
        asked_at = self._clock()
        secrets = [(claim, self._store.inventory.unseal(claim)) for claim in batch]
        readable = [
            (c, secret) for c, secret in secrets if not isinstance(secret, Cause)
        ]
        looked: Looked = []
        for claim, secret in secrets:
            if isinstance(secret, Cause):
                log.error("token.unreadable", token=claim.id)
                looked.append((claim, Look(Inconclusive(secret), asked_at)))
        if not readable:
            return looked
        answers = await desk.ask(worker, [secret for _, secret in readable])
        log.debug("batch.asked", app=desk.id, tokens=len(readable))
        looked.extend(
            (claim, Look(answer, asked_at, desk.proved_at, app_known=desk.app_known))
            for (claim, _), answer in zip(readable, answers, strict=True)
        )
        return looked

    async def _give_back(self, desk: AppDesk, batch: Batch) -> None:
        at = desk.rests_until or self._clock()
        await self._store.claims.release(batch, at)

    async def _record_all(
        self,
        answered: asyncio.Queue[Looked | None],
        tally: Tally,
        progress: Callable[[int], None] | None,
    ) -> None:
        """Group commit: whatever was answered meanwhile is one transaction."""
        done = False
        while not done:
            first = await answered.get()
            if first is None:
                return
            group = list(first)
            while len(group) < GROUP and not answered.empty():
                more = answered.get_nowait()
                if more is None:
                    done = True
                    break
                group.extend(more)
            await self._record(group, tally)
            if progress is not None:
                progress(tally.looked)

    async def _record(self, group: Looked, tally: Tally) -> None:
        """Record a group; one that fails is halved, so one token spoils no other.

        The token that fails alone is recorded as one we could not judge.
        """
        try:
            recorded = await self._store.records.write(
                group, self._court, self._clock()
            )
        except UnavailableError:
            raise
        except Exception:
            recorded = None
            if len(group) == 1:
                log.exception("token.failed", token=group[0][0].id)
        if recorded is not None:
            _count(recorded, tally)
        elif len(group) > 1:
            middle = len(group) // 2
            await self._record(group[:middle], tally)
            await self._record(group[middle:], tally)
        else:
            await self._record_failure(*group[0], tally)

    async def _record_failure(self, claim: Claim, look: Look, tally: Tally) -> None:
        answer = look.answer
        if isinstance(answer, Inconclusive) and answer.cause is Cause.INTERNAL:
            tally.failed += 1  # its claim lapses, and it is tried again
            return
        failed = Look(Inconclusive(Cause.INTERNAL), look.asked_at, look.proved_at)
        await self._record([(claim, failed)], tally)

    async def _app_mismatch(self, app_id: str) -> None:
        """If most tokens are said to be another app's, the app id is the mistake."""
        kin = await self._store.apps.kinship(app_id)
        now = self._clock()
        rule = self._charter.house_rule
        settled = (
            kin.foreign_since is not None
            and now - kin.foreign_since >= rule.confirm_after
        )
        mismatch = kin.foreign > 0 and kin.foreign >= kin.own and settled
        subject = f"app_id:{app_id}"
        if not mismatch and not await self._store.apps.open_matter(subject):
            return
        codes = (Code.APP_MISMATCH,) if mismatch else ()
        facts = {"foreign": str(kin.foreign), "own": str(kin.own)}
        await self._store.apps.matter(
            subject,
            app_id,
            advance_matter(self._charter, codes, now),
            plan_matter(
                self._charter, subject, self._charter.apps.get(app_id), facts, now
            ),
            now,
        )


def _notices(recorded: Recorded) -> int:
    return sum(1 for _, judged in recorded.judged if judged.step.notice is not None)


def _count(recorded: Recorded, tally: Tally) -> None:
    confirmed = recorded.confirmed.total()
    tally.looked += len(recorded.judged) + confirmed
    tally.conclusive += confirmed
    tally.superseded += len(recorded.superseded)
    tally.notices += _notices(recorded)
    for name, count in recorded.confirmed.items():
        tally.by_severity[Severity(name)] += count
    for _, judged in recorded.judged:
        tally.by_severity[judged.verdict.severity] += 1
        if judged.observation.suspicion is not None:
            tally.suspected += 1
        if judged.cause is None:
            tally.conclusive += 1
