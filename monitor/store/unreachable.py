"""Readers whom no letter reaches: refused or bounced, until the address changes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.observation import Observation
from monitor.core.tokens import Expected
from monitor.store.apps import Advance, PlanMatter, advance_matter
from monitor.store.codec import decode_item, decode_known, decode_labels, encode
from monitor.store.damage import readable
from monitor.store.dialect import ROWS, WORDS, ByDialect, given, insert_on, pack_ids
from monitor.store.tables import incidents, introspections, outbox, tokens, unreachable
from monitor.store.transactions import AnyRow, Database, take_turns

MATTER: Final = "unreachable"
"""The subject of the operator's one matter about all of them."""


class Source(StrEnum):
    """How we learned that somebody cannot be reached."""

    REFUSED = "refused"
    """A server said so to us, or put the letter off for four days."""
    BOUNCED = "bounced"
    """A server said so after it had accepted the letter."""


@dataclass(frozen=True, slots=True)
class Lost:
    """One who cannot be reached."""

    address: str
    since: datetime
    why: str
    source: str
    told_at: datetime | None
    """When the operator was told, or will be by a letter under way."""


@dataclass(frozen=True, slots=True)
class Kin:
    """A token whose owner cannot be reached, with what its policy is found by."""

    token_id: str
    owner: str
    expected: Expected
    labels: Mapping[str, str]
    observation: Observation


def _these(dialect: str) -> ColumnElement[bool]:
    """Addresses as one parameter: a whole domain may bounce."""
    named = given(dialect, address=WORDS)
    return unreachable.c.address.in_(select(named.c.address))


_FORGOTTEN: Final = ByDialect(lambda name: delete(unreachable).where(_these(name)))
_TOLD: Final = ByDialect(
    lambda name: (
        update(unreachable)
        .where(_these(name), unreachable.c.told_at.is_(None))
        .values(told_at=bindparam("now"))
    )
)


async def mark(
    connection: AsyncConnection, address: str, why: str, source: Source, now: datetime
) -> None:
    """Remember that a letter did not reach this address; it is news again."""
    values = {"why": why, "source": source, "told_at": None}
    note = insert_on(unreachable, connection).values(
        address=address, since=now, **values
    )
    await connection.execute(
        note.on_conflict_do_update(index_elements=["address"], set_=values)
    )


async def unmark(connection: AsyncConnection, addresses: Collection[str]) -> None:
    """Forget it: the operator says that these can be reached again."""
    if addresses:
        values = {ROWS: pack_ids(addresses)}
        await connection.execute(_FORGOTTEN.on(connection), values)


async def accepted(connection: AsyncConnection, address: str) -> None:
    """A server took a letter for this address.

    What a server said to us is over then; a bounce came after such an acceptance.
    """
    await connection.execute(
        delete(unreachable).where(
            unreachable.c.address == address, unreachable.c.source == Source.REFUSED
        )
    )


class Unreachable:
    """Who cannot be reached, and the operator's matter of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def everybody(self) -> list[Lost]:
        """All of them, the oldest first."""
        query = select(unreachable).order_by(unreachable.c.since, unreachable.c.address)
        async with self._database.read() as connection:
            return [Lost(*row) for row in await connection.execute(query)]

    async def open(self) -> bool:
        """Whether the operator's matter is open, or somebody is untold."""
        matter = select(func.count()).where(
            incidents.c.subject == MATTER, incidents.c.closed_at.is_(None)
        )
        untold = select(func.count()).where(unreachable.c.told_at.is_(None))
        async with self._database.read() as connection:
            found = [await connection.scalar(query) for query in (matter, untold)]
        return any(found)

    async def kin(self) -> list[Kin]:
        """The tokens whose owners cannot be reached, by their ids."""
        query = (
            select(
                tokens.c.id,
                tokens.c.app_id,
                tokens.c.kind,
                tokens.c.owner_email,
                tokens.c.labels,
                introspections.c.known,
            )
            .select_from(
                tokens.join(
                    unreachable, unreachable.c.address == tokens.c.owner_email
                ).outerjoin(
                    introspections, introspections.c.token_row == tokens.c.row_id
                )
            )
            .order_by(tokens.c.id)
        )
        async with self._database.read() as connection:
            kin, damaged = readable(await connection.execute(query), _kin_of)
        # Its owner is written to all the same, by the policy of a new token.
        kin += [
            Kin(row.id, row.owner_email, Expected(row.app_id), {}, Observation())
            for row in damaged
        ]
        return sorted(kin, key=lambda each: each.token_id)

    async def forget(self, addresses: Collection[str]) -> None:
        """Forget these: nobody is written to there any more."""
        if addresses:
            async with self._database.write() as connection:
                await unmark(connection, addresses)

    async def account(
        self,
        advance: Advance,
        plan: PlanMatter,
        facts: Mapping[str, str],
        told: Sequence[Lost],
        now: datetime,
    ) -> None:
        """Advance the operator's matter; a notice that still waits tells what is new.

        Args:
            advance: How it moves.
            plan: Who is told.
            facts: What is true now.
            told: Whom the facts include.
            now: The present instant.
        """
        async with self._database.write() as connection:
            # No letter is sealed from what is changed here.
            await take_turns(connection, "seal")
            step = await advance_matter(connection, (MATTER, None), advance, plan, now)
            spoken = step.notice is not None
            if spoken or await _refreshed(connection, facts):
                values = {ROWS: pack_ids(lost.address for lost in told), "now": now}
                await connection.execute(_TOLD.on(connection), values)


async def _refreshed(connection: AsyncConnection, facts: Mapping[str, str]) -> bool:
    """Put the facts into notices that no letter holds yet; whether there were any."""
    waiting = select(outbox.c.id, outbox.c.item).where(
        outbox.c.subject == MATTER, outbox.c.state == "waiting"
    )
    # One that cannot be read tells nothing: whoever is new stays news.
    found, _ = readable(
        await connection.execute(waiting),
        lambda row: (row.id, decode_item(row.item)),
    )
    for entry_id, item in found:
        text = encode(replace(item, facts=dict(facts)))
        await connection.execute(
            update(outbox).where(outbox.c.id == entry_id).values(item=text)
        )
    return bool(found)


def _kin_of(row: AnyRow) -> Kin:
    return Kin(
        row.id,
        row.owner_email,
        Expected(row.app_id, row.kind),
        decode_labels(row.labels),
        Observation(decode_known(row.known)),
    )
