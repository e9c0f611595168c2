"""The outbox: entries wait, pass the gate, are sealed into letters, and are settled."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.delivery import Drop, Item, Passage, Wait, Waiting
from monitor.store.brake import Storm, end_holds, open_holds
from monitor.store.cap import capped, left_lately, with_room
from monitor.store.damage import readable
from monitor.store.pace import pace, tell_pace
from monitor.store.poison import read_waiters, review_all, reviewed
from monitor.store.sealing import (
    due_entries,
    due_now,
    due_readers,
    seal_letters,
    soon_looked_at,
)
from monitor.store.tables import letters, outbox
from monitor.store.taking import (
    claim_letter,
    entries_of,
    load_letter,
    overtaken,
    with_waiters,
)
from monitor.store.transactions import Database, take_turns
from monitor.store.waiters import (
    Heirs,
    Pass,
    Review,
    Sealed,
    Waiter,
    nobody,
    select_waiters,
    waiter_of,
)
from monitor.store.waits import drop, hold, owe_looks, wait_on

FIRST: Final = (-1, "")
"""Before every reader."""


class Outbox:
    """Seals entries into letters and hands letters to couriers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seal(  # noqa: PLR0913 - the gate, its clock, and the letters' domain
        self,
        review: Review,
        now: datetime,
        *,
        storm: Storm,
        lease: timedelta,
        domain: str,
        hurried: bool = False,
        after: tuple[int, str] = FIRST,
        most: int = 200,
        only: str | None = None,
        heirs: Heirs = nobody,
    ) -> Pass:
        """Put the due entries of up to `most` readers through the gate, worst first.

        Those that may go are sealed into one letter per reader, product and copy; the
        others name what they wait for. A token that owes a last look is made due.

        Args:
            review: The gate.
            now: The present instant.
            storm: What holds a wave of sudden news, and paces letters to owners.
            lease: How long a claim on a token may last; no claimed one is made due.
            domain: The right side of new Message-IDs.
            hurried: Count `group_wait` as over, and looks as taken.
            after: Where the pass before ended.
            most: How many readers at most.
            only: Nothing but what concerns this subject.
            heirs: Who is told instead of a reader who is none any more.
        """
        done = Pass()
        begins = after == FIRST and only is None
        if begins:
            async with self._database.write() as connection:
                await take_turns(connection, "seal")
                done.ended = await end_holds(connection, storm, now)
        async with self._database.write() as connection:
            await take_turns(connection, "seal")
            if begins:
                await tell_pace(connection, storm, 0, now)
                done.held = await open_holds(connection, storm, now)
            among = true() if only is None else outbox.c.subject == only
            due = due_now(now, hurried=hurried) & among
            readers, done.last = await due_readers(connection, due, after, most)
            left = await left_lately(connection, readers, now)
            limit = storm.brake.letters_per_day
            roomy = with_room(readers, left, limit, now)
            waiters = await due_entries(connection, now, due, readers, roomy, among)
            gated = await review_all(connection, waiters, review, now)
            gated = capped(gated, left, limit, now)
            ready: dict[tuple[str, str, str, str], list[tuple[Waiter, Item]]] = {}
            delayed = {
                waiter.group
                for waiter, _, passage in gated
                if soon_looked_at(waiter, passage, now)
            }
            waiting: list[tuple[Waiter, Wait]] = []
            dropped: list[tuple[Waiter, Drop]] = []
            for waiter, item, passage in gated:
                if isinstance(passage, Wait):
                    waiting.append((waiter, passage))
                elif isinstance(passage, Drop):
                    dropped.append((waiter, passage))
                elif waiter.group in delayed:
                    soon = now + timedelta(seconds=10)
                    waiting.append((waiter, Wait(Waiting.GROUP, soon)))
                else:
                    ready.setdefault(waiter.group, []).append((waiter, item))
            later = await pace(connection, ready, storm.brake, now)
            done.paced = len(later)
            if later:
                await tell_pace(connection, storm, done.paced, now)
            waiting.extend(
                (waiter, wait)
                for group, wait in later.items()
                for waiter, _ in ready.pop(group)
            )
            done.owed = await wait_on(connection, waiting, now, lease)
            done.dropped = await drop(connection, dropped, now, heirs)
            done.sealed = await seal_letters(connection, ready, now, domain)
        return done

    async def ask_again(self, now: datetime) -> None:
        """Make due what waits for office hours or the cap, which may be others now."""
        waiting = (
            select(outbox.c.id)
            .where(
                outbox.c.state == "waiting",
                outbox.c.waits_for.in_([Waiting.HOURS, Waiting.CAP]),
                outbox.c.due_at > now,
            )
            # What somebody changes at this moment is asked by him.
            .with_for_update(skip_locked=True)
        )
        async with self._database.write() as connection:
            await connection.execute(
                update(outbox).where(outbox.c.id.in_(waiting)).values(due_at=now)
            )

    async def next_due(self) -> datetime | None:
        """When the next entry or letter falls due."""
        query = select(outbox.c.due_at).where(outbox.c.state == "waiting")
        open_letters = select(letters.c.due_at).where(letters.c.state == "open")
        async with self._database.read() as connection:
            firsts = [
                await connection.scalar(query.order_by(outbox.c.due_at).limit(1)),
                await connection.scalar(
                    open_letters.order_by(letters.c.due_at).limit(1)
                ),
            ]
        return min((first for first in firsts if first is not None), default=None)

    async def take(
        self,
        review: Review,
        now: datetime,
        lease: timedelta,
        only: str | None = None,
        heirs: Heirs = nobody,
    ) -> Sealed | None:
        """The next letter to try, with the gate asked once more; `None`: no more.

        With `only`, the next one about nothing but this subject; `heirs` are told
        instead of a reader who is none any more.

        A letter in doubt goes again as it was, but for what a later notice that was
        sent has overtaken. From another one, entries that must wait or are outlived
        step out. A letter left empty is closed. One that was tried before keeps its
        name and its clock while it owes a look. One whose lease ran out was tried by
        somebody who died, and was perhaps sent.
        """
        while True:
            async with self._database.write() as connection:
                row = await claim_letter(connection, now, lease, only)
                if row is None:
                    return None
                rows = await entries_of(connection, row.id)
                readers = await read_waiters(connection, rows, now)
                sealed = await load_letter(connection, row, readers)
                kept: list[Waiter] = []
                waiting: list[tuple[Waiter, Wait]] = []
                dropped: list[tuple[Waiter, Drop]] = []
                gated = await self._asked(connection, sealed, review, now)
                for waiter, _, passage in gated:
                    if isinstance(passage, Wait):
                        waiting.append((waiter, passage))
                    elif isinstance(passage, Drop):
                        dropped.append((waiter, passage))
                    else:
                        kept.append(waiter)
                await drop(connection, dropped, now, heirs)
                if _must_stay_whole(sealed, kept, waiting):
                    await hold(connection, sealed.id, waiting, now, lease)
                    continue
                await wait_on(connection, waiting, now, lease)
                if kept:
                    return with_waiters(sealed, kept)
                await connection.execute(
                    update(letters)
                    .where(letters.c.id == sealed.id)
                    .values(state="empty", settled_at=now, attempt_until=None)
                )

    async def _asked(
        self, connection: AsyncConnection, sealed: Sealed, review: Review, now: datetime
    ) -> Sequence[tuple[Waiter, Item, Passage]]:
        """What the gate says of a letter; of one in doubt it is not asked.

        That one goes again as it was, but never after what was told later: whoever
        read that a matter is over must not read next that it began.
        """
        if not sealed.in_doubt:
            return await review_all(connection, sealed.waiters, review, now)
        late = await overtaken(connection, sealed.id)
        return [
            (waiter, waiter.item, Drop.SUPERSEDED if waiter.id in late else None)
            for waiter in sealed.waiters
        ]

    async def owed(self, review: Review, now: datetime) -> tuple[int, ...]:
        """Rows of the tokens at which due letters must have a last look first."""
        due = select(letters.c.id).where(
            letters.c.state == "open", letters.c.due_at <= now, ~letters.c.in_doubt
        )
        query = select_waiters().where(
            outbox.c.letter_id.in_(due), outbox.c.state == "sealed"
        )
        async with self._database.read() as connection:
            waiters, _ = readable(await connection.execute(query), waiter_of)
        gated, _ = reviewed(waiters, review)
        return tuple(
            waiter.token_row
            for waiter, _, passage in gated
            if isinstance(passage, Wait)
            and passage.why is Waiting.LOOK
            and waiter.token_row is not None
        )

    async def still_right(self, sealed: Sealed, review: Review) -> bool:
        """Whether every entry of the letter may still go, asked before `MAIL FROM`."""
        if sealed.in_doubt:
            return True
        async with self._database.read() as connection:
            row = (
                await connection.execute(
                    select(letters).where(
                        letters.c.id == sealed.id,
                        letters.c.fence == sealed.fence,
                        letters.c.state == "open",
                    )
                )
            ).first()
            if row is None:
                return False
            waiters, _ = readable(await entries_of(connection, sealed.id), waiter_of)
        gated, _ = reviewed(waiters, review)
        return len(gated) == len(sealed.waiters) and all(
            passage is None for _, _, passage in gated
        )


def _must_stay_whole(
    sealed: Sealed, kept: Sequence[Waiter], waiting: Sequence[tuple[Waiter, Wait]]
) -> bool:
    """Whether a letter waits as it is, so that it goes under the same name."""
    if sealed.attempts and owe_looks(waiting):
        return True
    perhaps = any(waiter.perhaps_told for waiter, _ in waiting)
    return perhaps and not kept
