"""Courier: seals what is due into letters and hands each to the mail server."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Final, TypeAlias

import structlog

from monitor.core.attempt import Attempt, Outcome, Phase
from monitor.core.delivery import Item, Passage, Pending, Role, gate
from monitor.core.incident import Reason
from monitor.core.mute import is_final
from monitor.core.observation import classify
from monitor.errors import UnavailableError
from monitor.jobs.charter import Charter
from monitor.jobs.delivered import Delivered
from monitor.jobs.parcels import letter_with_links, sender_of
from monitor.jobs.patience import patiently
from monitor.jobs.planning import findings_for
from monitor.jobs.reach import Reach, entries_instead, entries_of_heirs
from monitor.jobs.storm import storm_of, tell_holds
from monitor.jobs.unusable import tell_unusable
from monitor.jobs.watch import CLOCK, Watch
from monitor.notify.compose import Composer
from monitor.notify.email import Mailer
from monitor.notify.headers import UnwritableError
from monitor.store import Store
from monitor.store.outbox import FIRST
from monitor.store.settlement import channel_pause, put_back, settle
from monitor.store.waiters import Heirs, Pass, Sealed, Waiter

LINES: Final = 4
"""Letters under way at once, each over a connection of its own."""

Clock: TypeAlias = Callable[[], datetime]

_LONG: Final = 60
"""So many more tries for what must not be forgotten; the lease ends them."""

log = structlog.stdlib.get_logger("monitor.courier")


class Courier:
    """Takes letters out: at least once, always under the same Message-ID."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a courier carries
        self,
        store: Store,
        composer: Composer,
        mailer: Callable[[], Mailer],
        charter: Charter,
        clock: Clock,
        random: Random,
        watch: Watch | None = None,
    ) -> None:
        self._store = store
        self._watch = watch or Watch(clock)
        self._composer = composer
        self._mailer = mailer
        self._charter = charter
        self._clock = clock
        self._random = random
        self._reach = Reach(store, charter, clock)
        self._mailers: set[Mailer] = set()
        self._stopped = self._begun = False
        self._storm = storm_of(charter, clock)
        self._heirs: Heirs = lambda waiter: entries_of_heirs(charter, waiter, clock())

    def stop(self) -> None:
        """Begin nothing more: before the final dot abort, after it wait for a reply."""
        self._stopped = True
        for mailer in self._mailers:
            mailer.abort()

    async def deliver_now(
        self,
        look: Callable[[Sequence[int]], Awaitable[object]],
        progress: Callable[[int], None] | None = None,
    ) -> Delivered:
        """One pass with `group_wait` taken as elapsed, and the looks it owes taken.

        Args:
            look: Takes a last look at the tokens of these rows.
            progress: Told how many letters were tried so far.
        """
        first = await self._seal(hurried=True)
        letters_owe = await self._store.outbox.owed(self._review, self._clock())
        if owed := (*first.owed, *letters_owe):
            await look(owed)
            second = await self._seal(hurried=True)
            first.sealed += second.sealed
            first.dropped += second.dropped
        delivered = Delivered(sealed=first.sealed, dropped=first.dropped)
        await self._send_all(delivered, progress)
        await self._reach.account()
        return delivered

    async def deliver_due(
        self, progress: Callable[[int], None] | None = None
    ) -> Delivered:
        """One pass over what is due; owed looks are left to the checker.

        Args:
            progress: Told how many letters were tried so far.
        """
        passed = await self._seal(hurried=False, progress=progress)
        delivered = Delivered(sealed=passed.sealed, dropped=passed.dropped)
        until, _ = await channel_pause(self._store.database)
        if until is None or until <= self._clock():
            await self._send_all(delivered, progress, probe=until is not None)
        await self._reach.account()
        return delivered

    async def _seal(
        self, *, hurried: bool, progress: Callable[[int], None] | None = None
    ) -> Pass:
        """Put every due entry through the gate once, reader by reader."""
        if not self._begun and self._watch.trusted():
            # Under the configuration before this one, hours and cap may have differed.
            await self._store.outbox.ask_again(self._clock())
            self._begun = True
        total, after = Pass(), FIRST
        while True:
            done = await self._store.outbox.seal(
                self._review,
                self._clock(),
                storm=self._storm,
                lease=self._charter.lease,
                domain=self._charter.mail_domain,
                hurried=hurried,
                after=after,
                only=self._only,
                heirs=self._heirs,
            )
            total.sealed += done.sealed
            total.dropped += done.dropped
            total.owed += done.owed
            tell_holds(done)
            if done.last is None:
                await tell_unusable(self._store, self._charter, self._clock())
                return total
            after = done.last
            if progress is not None:
                progress(0)  # none is tried yet, but we got on

    @property
    def _only(self) -> str | None:
        """While the clock is doubted nothing leaves but the word that it is."""
        return None if self._watch.trusted() else CLOCK

    # --- the gate

    def _review(self, waiter: Waiter) -> tuple[Item, Passage]:
        """The entry as it is true now, and whether it may go."""
        now = self._clock()
        item = waiter.item
        gone = waiter.token_row is not None and waiter.expected is None
        if waiter.expected is None:
            pending = Pending(
                item,
                waiter.role,
                waiter.planned_at,
                None,
                None,
                newer_notice=waiter.newer_notice,
                closed=waiter.incident.closed_at is not None,
                gone=gone,
                recipient=self._is_operator(waiter),
            )
            return item, gate(pending, self._charter.hours, now)
        rule = self._charter.rule(waiter.expected, waiter.labels, waiter.observation)
        verdict = classify(waiter.observation, waiter.expected, rule, now)
        findings = findings_for(waiter.role, verdict)
        resolved = item.reason is Reason.RESOLVED
        if findings and not resolved:
            item = replace(
                item, findings=findings, verified_at=waiter.observation.verified_at
            )
        pending = Pending(
            item,
            waiter.role,
            waiter.planned_at,
            waiter.looked_at,
            waiter.asked_look_at,
            newer_notice=waiter.newer_notice,
            closed=waiter.incident.closed_at is not None,
            recipient=self._is_reader(waiter, rule.escalate_to),
            recovering=waiter.incident.healing is not None,
            true_now=not verdict.matters if resolved else bool(findings),
            verified_at=waiter.observation.verified_at,
            last_checked_at=waiter.last_checked_at,
            next_check_at=waiter.next_check_at,
            app_paused=self._app_rests(waiter, now),
            trust_for=rule.trust_for,
            silenced_until=waiter.silenced_until,
            timezone=waiter.timezone or self._charter.timezone,
            news_at=waiter.news_at,
            held_until=waiter.held_until,
            let_go_at=waiter.let_go_at,
            muted=waiter.muted,
            final=is_final(findings, rule, now),
        )
        return item, gate(pending, self._charter.hours, now)

    def _app_rests(self, waiter: Waiter, now: datetime) -> bool:
        until = waiter.app_paused_until
        return waiter.app_rejected or (until is not None and until > now)

    def _is_operator(self, waiter: Waiter) -> bool:
        return waiter.recipient in self._charter.operators

    def _is_reader(self, waiter: Waiter, escalate_to: Sequence[str]) -> bool:
        if waiter.item.reason is Reason.RESOLVED:
            return True
        if waiter.role is Role.OPERATOR:
            return self._is_operator(waiter)
        if waiter.role is Role.ESCALATION:
            return waiter.recipient in escalate_to
        return waiter.recipient == waiter.owner_email

    # --- sending

    async def _send_all(
        self,
        delivered: Delivered,
        progress: Callable[[int], None] | None,
        *,
        probe: bool = False,
    ) -> None:
        """Hand over what is due; after a pause one letter tries the way first."""
        if probe and not await self._line(delivered, progress, most=1):
            return
        # A line that fails leaves the others to finish: a letter whose dot is written
        # must be known to have left.
        ended = await asyncio.gather(
            *(self._line(delivered, progress) for _ in range(LINES)),
            return_exceptions=True,
        )
        failures = [each for each in ended if isinstance(each, BaseException)]
        # A bug before a database in trouble: the one says more than the other.
        failures.sort(key=lambda each: isinstance(each, UnavailableError))
        if failures:
            raise failures[0]

    async def _line(
        self,
        delivered: Delivered,
        progress: Callable[[int], None] | None,
        most: int | None = None,
    ) -> bool:
        """One connection's worth of letters; `False` when the way is in trouble."""
        mailer = self._mailer()
        self._mailers.add(mailer)
        tried = 0
        try:
            while not self._stopped and delivered.channel is None:
                if delivered.ailing:
                    break
                if most is not None and tried >= most:
                    break
                taken_at = self._clock()
                sealed = await self._store.outbox.take(
                    self._review,
                    taken_at,
                    self._charter.lease,
                    self._only,
                    self._heirs,
                )
                if sealed is None:
                    break
                tried += 1
                ours_until = taken_at + self._charter.lease
                await self._try(mailer, sealed, ours_until, delivered)
                if progress is not None:
                    progress(delivered.sent + delivered.deferred + delivered.refused)
        except BaseException:
            delivered.ailing = True
            raise
        finally:
            self._mailers.discard(mailer)
            await mailer.close()
        return delivered.channel is None

    async def _try(
        self,
        mailer: Mailer,
        sealed: Sealed,
        ours_until: datetime,
        delivered: Delivered,
    ) -> None:
        attempt = await self._attempt(mailer, sealed, ours_until)
        put_off = attempt is not None and attempt.outcome is Outcome.DEFERRED
        if (
            attempt is None
            or self._aborted(attempt)
            or (put_off and self._mistimed(sealed))
        ):
            await put_back(self._store.database, [sealed])
            return
        instead = entries_instead(self._charter, sealed.waiters, self._clock())
        # A letter that left must be known to have left, or it leaves again.
        outcome = await patiently(
            lambda: settle(
                self._store.database,
                sealed,
                attempt,
                self._clock(),
                jitter=self._random.random(),
                instead=instead,
            ),
            "delivery",
            self._patience_for(attempt),
            lambda: self._clock() >= ours_until,
        )
        log.info(
            "delivery.attempted",
            letter=sealed.id,
            entries=len(sealed.waiters),
            outcome=attempt.outcome,
            phase=attempt.phase,
            code=attempt.code,
        )
        if outcome is None:
            log.warning("delivery.superseded", letter=sealed.id)
        elif outcome is Outcome.SENT:
            delivered.sent += 1
        elif outcome is Outcome.REFUSED:
            delivered.refused += 1
        elif outcome is Outcome.CHANNEL:
            delivered.channel = f"{attempt.phase}: {attempt.reply or 'no reply'}"
            log.error("channel.paused", phase=attempt.phase, code=attempt.code)
        else:
            delivered.deferred += 1

    def _patience_for(self, attempt: Attempt) -> tuple[float, ...]:
        """For a letter that left, or may have, as long as it is ours."""
        patience = self._charter.patience
        if attempt.outcome in {Outcome.SENT, Outcome.UNKNOWN}:
            return patience + patience[-1:] * _LONG
        return patience

    def _mistimed(self, sealed: Sealed) -> bool:
        """Whether the clock came into doubt, and the letter is not about that.

        No letter is then said to have been tried for days.
        """
        about = {waiter.item.subject for waiter in sealed.waiters}
        return about != {CLOCK} and not self._watch.trusted()

    def _aborted(self, attempt: Attempt) -> bool:
        """Whether we ended the attempt ourselves, before its final dot."""
        ended = {Outcome.CHANNEL, Outcome.DEFERRED}
        return self._stopped and attempt.code is None and attempt.outcome in ended

    async def _attempt(
        self, mailer: Mailer, sealed: Sealed, ours_until: datetime
    ) -> Attempt | None:
        """One try; `None` if the gate closed just before `MAIL FROM`."""
        letter = await letter_with_links(self._store, self._charter, sealed)
        sender = await sender_of(self._store, self._charter, sealed)
        try:
            composed = self._composer.compose(letter, self._clock())
        except UnwritableError as error:
            return Attempt(Outcome.REFUSED, Phase.RCPT, None, str(error))
        except Exception:  # a bug in words must not stop the other letters
            log.exception("letter.failed", letter=sealed.id)
            return Attempt(Outcome.DEFERRED, Phase.DATA, None, "could not be composed")
        if composed.fell_back is not None:
            log.warning("template.failed", fault=composed.fell_back)

        async def before_mail() -> bool:
            if self._mistimed(sealed):
                return False
            return await self._store.outbox.still_right(sealed, self._review)

        return await mailer.send(
            sender or self._composer.envelope_from,
            composed.envelope_to,
            composed.raw,
            before_mail=before_mail,
            # Who was frozen beyond his lease must not finish: somebody else sends.
            before_dot=lambda: (
                self._clock() < ours_until and not self._mistimed(sealed)
            ),
        )
