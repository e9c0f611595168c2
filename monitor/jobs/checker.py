"""Checker: asks Graph about tokens, judges the answers, records what is decided."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Final, TypeAlias

import structlog

from monitor.core.tokens import Cause, Inconclusive
from monitor.errors import UnavailableError
from monitor.jobs.batches import JUDGED, batches_of, readable, room_of, said_again
from monitor.jobs.callers import AppDesk
from monitor.jobs.charter import Charter
from monitor.jobs.court import Court
from monitor.jobs.desks import Desks
from monitor.jobs.mismatch import tell_mismatch
from monitor.jobs.patience import patiently
from monitor.jobs.supply import CHUNK, Batch, Due, Every, Named, Pause, Supply
from monitor.jobs.tally import Tally, count, notices_in
from monitor.jobs.together import together
from monitor.jobs.unusable import tell_unusable
from monitor.jobs.watch import Watch
from monitor.probe.heard import told
from monitor.probe.meta import MetaProbe, MetaWorker
from monitor.store import Store
from monitor.store.judging import Looks

GROUP: Final = 500
"""The most tokens judged and recorded in one transaction."""
_FRESH: Final = 1 / 3
"""The part of a lease after which a claim is renewed rather than asked about.

So two calls about a token, by two replicas, lie at least two thirds of a lease apart.
"""
_FAILED: Final = told(Inconclusive(Cause.INTERNAL))

Clock: TypeAlias = Callable[[], datetime]

log = structlog.stdlib.get_logger("monitor.checker")


class _Sweep:
    """What the tasks of one sweep share."""

    def __init__(self, charter: Charter, desks: Desks) -> None:
        self.desks = desks
        # Claims run a chunk ahead, or askers would wait for the one writing connection.
        ahead = max(charter.workers, CHUNK // charter.batch_size)
        self.batches: asyncio.Queue[Batch | None] = asyncio.Queue(ahead)
        self.answered: asyncio.Queue[list[Looks] | None] = asyncio.Queue(ahead)
        self.trouble: UnavailableError | None = None
        """Why the sweep ends early: what is answered is still recorded."""


class Checker:
    """Looks at tokens: the only part that asks Graph, and the only one that judges."""

    def __init__(
        self,
        store: Store,
        probe: MetaProbe,
        charter: Charter,
        clock: Clock,
        watch: Watch | None = None,
    ) -> None:
        self._store = store
        self._watch = watch or Watch(clock)
        self._charter = charter
        self._clock = clock
        self._court = Court(charter, clock)
        self._stopping = asyncio.Event()
        # Their connections outlive a sweep; each is made when its worker first asks.
        self._workers = [probe.worker() for _ in range(charter.workers)]

    def stop(self) -> None:
        """Claim nothing more; what is in hand is finished and recorded."""
        self._stopping.set()

    async def close(self) -> None:
        """Let go of every connection to Graph."""
        for worker in self._workers:
            await worker.close()

    async def check_all(
        self,
        progress: Callable[[int], None] | None = None,
        pausing: Callable[[Pause], None] | None = None,
    ) -> Tally:
        """One look at every token now, due or not.

        `pausing` hears of every wait for an app's quota.
        """
        supply = Every(
            self._store.claims,
            self._clock,
            self._charter.lease,
            self._stopping,
            pausing,
        )
        return await self._sweep(supply, self._charter.apps, progress, forced=True)

    async def check_named(
        self,
        row_ids: Sequence[int],
        progress: Callable[[int], None] | None = None,
        pausing: Callable[[Pause], None] | None = None,
    ) -> Tally:
        """One look at these tokens now, due or not."""
        rows = await self._store.claims.by_app(row_ids)
        supply = Named(
            self._store.claims,
            self._clock,
            self._charter.lease,
            self._stopping,
            rows,
            pausing,
        )
        apps = [app_id for app_id in rows if app_id in self._charter.apps]
        return await self._sweep(supply, apps, progress, forced=True)

    async def check_due(self, progress: Callable[[int], None] | None = None) -> Tally:
        """One look at every token that is due, and at what falls due meanwhile.

        Known deadlines of apps that cannot be asked go on speaking.
        """
        if not self._watch.trusted():
            return Tally()
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
        due = await self._store.claims.apps_due(awake, now)
        if not due:
            return tally
        supply = Due(self._store.claims, self._clock, self._charter.lease)
        swept = await self._sweep(supply, due, progress, forced=False)
        swept.notices += tally.notices
        return swept

    async def judge_again(self) -> int:
        """Judge every token without asking, after a change of policy."""
        recorded = await self._store.records.judge_all(self._court, self._clock())
        return len(recorded.judged)

    async def _judge_resting(self, app_id: str) -> int:
        notices = 0
        while self._watch.trusted():
            recorded = await self._store.records.judge_due(
                app_id, self._court, self._clock()
            )
            notices += notices_in(recorded)
            if not recorded.judged and not recorded.damaged:
                break
        return notices

    # --- the pipeline: claim, ask, record

    async def _sweep(
        self,
        supply: Supply,
        app_ids: Collection[str],
        progress: Callable[[int], None] | None,
        *,
        forced: bool,
    ) -> Tally:
        started_at = self._clock()
        desks = await Desks.opened(
            self._store,
            self._charter,
            self._clock,
            app_ids,
            forced=forced,
            watch=self._watch,
        )
        sweep = _Sweep(self._charter, desks)
        tally = Tally()
        async with together() as group:
            group.create_task(self._feed(supply, sweep))
            askers = [
                group.create_task(self._ask_all(worker, sweep))
                for worker in self._workers
            ]
            recorder = group.create_task(self._record_all(sweep, tally, progress))
            await asyncio.gather(*askers)
            await sweep.answered.put(None)
            await recorder
        if sweep.trouble is not None:
            raise sweep.trouble
        await desks.close()
        tally.unasked = desks.unasked()
        touched = list(desks.touched())
        for app_id in touched:
            await tell_mismatch(
                self._store,
                self._charter,
                self._clock(),
                app_id,
                foreign=app_id in tally.foreign,
            )
        await tell_unusable(self._store, self._charter, self._clock())
        if tally.looked or tally.superseded or touched:
            self._log_done(tally, started_at)
        return tally

    def _log_done(self, tally: Tally, started_at: datetime) -> None:
        log.info(
            "check.done",
            looked=tally.looked,
            conclusive=tally.conclusive,
            suspected=tally.suspected,
            notices=tally.notices,
            superseded=tally.superseded,
            seconds=round((self._clock() - started_at).total_seconds(), 3),
        )

    async def _feed(self, supply: Supply, sweep: "_Sweep") -> None:
        """Claims, cut into batches of one app each."""
        size = self._charter.batch_size
        try:
            async for claims in supply.claims(sweep.desks):
                # One instant for all: they were claimed in one transaction before it.
                paid_at, fresh_until = self._clock(), self._fresh_until()
                for part in batches_of(claims, size):
                    await sweep.batches.put(Batch(part, paid_at, fresh_until))
                if self._stopping.is_set() or sweep.trouble is not None:
                    break
                if not self._watch.trusted():
                    break
        except UnavailableError as error:
            sweep.trouble = error
        for _ in self._workers:
            await sweep.batches.put(None)

    def _fresh_until(self) -> datetime:
        return self._clock() + self._charter.lease * _FRESH

    async def _ask_all(self, worker: MetaWorker, sweep: "_Sweep") -> None:
        while (batch := await sweep.batches.get()) is not None:
            if sweep.trouble is not None:
                continue  # the claims lapse: without the database nothing is asked
            try:
                looked = await self._ask(worker, sweep.desks, batch)
            except UnavailableError as error:
                sweep.trouble = error
                continue
            if looked:
                await sweep.answered.put(looked)

    async def _ask(self, worker: MetaWorker, desks: Desks, batch: Batch) -> list[Looks]:
        """One call about a batch; every token of it gets a look, or is given back.

        A batch that waited for long is claimed anew: who was frozen beyond his lease
        must not ask, because somebody else asks by now.
        """
        desk = desks.of(batch.claims[0].app_id)
        if self._stopping.is_set() or not await desk.ready(worker, batch.claims):
            # By a doubted clock nothing is made due: the claims lapse.
            if self._watch.trusted():
                await self._give_back(desk, batch)
            return []
        while batch.claims and self._watch.trusted():
            looked = await self._ask_once(worker, desk, batch)
            if looked is not None:
                return looked
            batch = await self._renewed(batch)
        return []

    async def _renewed(self, batch: Batch) -> Batch:
        now, fresh_until = self._clock(), self._fresh_until()
        renewed = await self._store.claims.renew(batch.claims, now, self._charter.lease)
        lost = len(batch.claims) - len(renewed)
        if lost:
            log.warning("claims.lost", app=batch.claims[0].app_id, tokens=lost)
        return Batch(renewed, batch.paid_at, fresh_until)

    async def _ask_once(
        self, worker: MetaWorker, desk: AppDesk, batch: Batch
    ) -> list[Looks] | None:
        """Ask, if the claims are fresh at the very moment the call leaves us."""
        asked_at = self._clock()
        opened = self._store.inventory.unseal(batch.claims)
        claims, looked = readable(batch.claims, opened, asked_at)
        secrets = [secret for secret in opened if secret is not None]
        if not secrets:
            return looked
        # It may settle a suspicion. Counted before the call: no answer waits for it.
        suspected = any(claim.suspected is not None for claim in claims)
        app_known = suspected and await desk.app_known()
        fresh_until = batch.fresh_until
        known = self._court.known(claims)
        heard = await desk.ask(
            worker, secrets, known, lambda: self._clock() < fresh_until
        )
        if heard is None:
            return None
        log.debug("batch.asked", app=desk.id, tokens=len(secrets))
        for claim in claims:
            claim.sealed = b""  # room that answers need while they wait
        again = said_again(heard, known)
        looked.append(Looks(claims, heard, asked_at, desk.proved_at, app_known, again))
        return looked

    async def _give_back(self, desk: AppDesk, batch: Batch) -> None:
        at = desk.rests_until or self._clock()
        await self._store.claims.release(batch.claims, at, batch.paid_at)

    async def _record_all(
        self,
        sweep: "_Sweep",
        tally: Tally,
        progress: Callable[[int], None] | None,
    ) -> None:
        """Group commit: whatever was answered meanwhile is one transaction."""
        answered = sweep.answered
        done = gave_up = False
        while not done:
            first = await answered.get()
            if first is None:
                return
            group = list(first)
            room = GROUP * JUDGED - room_of(first)
            while room > 0 and not answered.empty():
                more = answered.get_nowait()
                if more is None:
                    done = True
                    break
                group += more
                room -= room_of(more)
            try:
                await patiently(
                    partial(self._record, group, tally),
                    "looks",
                    () if gave_up else self._charter.patience,
                )
            except UnavailableError as error:
                sweep.trouble, gave_up = error, True
                continue
            if progress is not None:
                progress(tally.looked)

    async def _record(self, group: Sequence[Looks], tally: Tally) -> None:
        """Record a group; one that fails is halved, so one token spoils no other.

        The token that fails alone is recorded as one we could not judge.
        What was answered when the clock came into doubt is asked again some day.
        """
        if not self._watch.trusted():
            return
        try:
            recorded = await self._store.records.write(
                group, self._court, self._clock()
            )
        except UnavailableError:
            raise
        except Exception:
            recorded = None
            if sum(map(len, group)) == 1:
                log.exception("token.failed", token=group[0].claims[0].id)
        if recorded is not None:
            count(recorded, tally)
        elif len(group) > 1:
            middle = len(group) // 2
            await self._record(group[:middle], tally)
            await self._record(group[middle:], tally)
        elif len(group[0]) > 1:
            for half in group[0].halves():
                await self._record([half], tally)
        else:
            await self._record_failure(group[0], tally)

    async def _record_failure(self, looks: Looks, tally: Tally) -> None:
        if looks.words[0] is _FAILED:
            tally.failed += 1  # its claim lapses, and it is tried again
            return
        failed = Looks(looks.claims, [_FAILED], looks.asked_at, looks.proved_at)
        await self._record([failed], tally)
