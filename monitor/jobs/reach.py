"""Reach: who is told when an owner cannot be, and what the operator hears of it."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from monitor.core.delivery import Role
from monitor.core.incident import Reason
from monitor.core.reach import Ward, hear, stranded
from monitor.core.tokens import Code
from monitor.jobs.charter import App, Charter
from monitor.jobs.planning import matter_verdict, plan_matter
from monitor.store import Store
from monitor.store.entries import Entry
from monitor.store.unreachable import MATTER, Lost
from monitor.store.waiters import Waiter

_MOST_NAMED: Final = 20
_AGAIN: Final = timedelta(hours=1)
"""How often an open matter is looked at although nobody was added."""


def entries_instead(
    charter: Charter, waiters: Sequence[Waiter], now: datetime
) -> list[Entry]:
    """The same news for those whom the policies name, since its owner cannot be told.

    Good news and news of what is over goes to nobody else.
    """
    entries = []
    for waiter in waiters:
        item = waiter.item
        if (
            waiter.role is not Role.OWNER
            or waiter.expected is None
            or waiter.incident.closed_at is not None
            or item.reason is Reason.RESOLVED
        ):
            continue
        rule = charter.rule(waiter.expected, waiter.labels, waiter.observation)
        app_id = item.app_id
        app = charter.apps.get(app_id) or App(app_id, app_id, "")
        entries += [
            Entry(
                incident_id=waiter.incident_id,
                recipient=address,
                role=Role.ESCALATION,
                product=app.name,
                app_id=app_id,
                item=item,
                due_at=now + charter.group_wait,
                looked_at=waiter.looked_at,
                token_row=waiter.token_row,
            )
            for address in rule.escalate_to
            if address != waiter.recipient
        ]
    return entries


def entries_of_heirs(charter: Charter, waiter: Waiter, now: datetime) -> list[Entry]:
    """The same news for those who are readers by the configuration as it is now.

    An owner's goes to the next owner when the token changes hands, and good news to
    nobody else.
    """
    item = waiter.item
    readers: Sequence[str] = ()
    if waiter.role is Role.OPERATOR:
        readers = charter.operators
    elif waiter.role is Role.ESCALATION and waiter.expected is not None:
        rule = charter.rule(waiter.expected, waiter.labels, waiter.observation)
        readers = rule.escalate_to
    if item.reason is Reason.RESOLVED:
        return []
    return [
        Entry(
            incident_id=waiter.incident_id,
            recipient=address,
            role=waiter.role,
            product=waiter.product,
            app_id=item.app_id,
            item=item,
            due_at=now + charter.group_wait,
            looked_at=waiter.looked_at,
            token_row=waiter.token_row,
            timezone=waiter.timezone,
            news_at=waiter.news_at,
        )
        for address in readers
    ]


class Reach:
    """Keeps the operator's one matter of everybody whom no letter reaches."""

    def __init__(
        self, store: Store, charter: Charter, clock: Callable[[], datetime]
    ) -> None:
        self._store = store.unreachable
        self._charter = charter
        self._clock = clock
        self._looked_at: datetime | None = None

    async def account(self) -> None:
        """Tell the operator who is unreachable, and for which tokens nobody is left.

        Safe to call at any rhythm, by any number of processes.
        """
        if not await self._store.open():
            return
        now = self._clock()
        lost = await self._still_wanted()
        news = any(each.told_at is None for each in lost)
        looked_at = self._looked_at
        if lost and not news and looked_at is not None and now - looked_at < _AGAIN:
            return
        self._looked_at = now
        facts = await self._facts(lost)
        codes = (Code.UNDELIVERABLE,) if lost else ()
        verdict, rule = matter_verdict(codes, now), self._charter.house_rule
        await self._store.account(
            lambda incident: hear(incident, verdict, rule, now, news=news),
            plan_matter(self._charter, MATTER, None, facts, now),
            facts,
            lost,
            now,
        )

    async def _still_wanted(self) -> list[Lost]:
        """Those whom anybody would still write to; the others are forgotten."""
        named = {each for rule in self._charter.rules for each in rule.escalate_to}
        named |= {kin.owner for kin in await self._store.kin()}
        lost = await self._store.everybody()
        await self._store.forget([e.address for e in lost if e.address not in named])
        return [each for each in lost if each.address in named]

    async def _facts(self, lost: Sequence[Lost]) -> dict[str, str]:
        """What the operator is told."""
        wards = [
            Ward(
                kin.token_id,
                kin.owner,
                self._charter.rule(
                    kin.expected, kin.labels, kin.observation
                ).escalate_to,
            )
            for kin in await self._store.kin()
        ]
        alone = stranded(wards, {each.address for each in lost})
        latest = max(lost, key=lambda each: each.since, default=None)
        return {
            "recipients": str(len(lost)),
            "recipient": _listed([masked(each.address) for each in lost]),
            "reply": latest.why if latest else "",
            "stranded": str(len(alone)),
            "tokens": _listed([ward.token_id for ward in alone]),
        }


def _listed(names: Sequence[str]) -> str:
    """The first of them, and how many more there are.

    >>> _listed(["north", "south"])
    'north, south'
    """
    shown = ", ".join(names[:_MOST_NAMED])
    more = len(names) - _MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def masked(address: str) -> str:
    """An address one can recognise and nobody can write to.

    >>> masked("ann@bakery.example")
    'a…@bakery.example'
    """
    local, _, domain = address.partition("@")
    return f"{local[:1]}…@{domain}"
