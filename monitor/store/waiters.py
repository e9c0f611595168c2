"""Waiters: outbox entries with the present state of what they speak of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select

from monitor.core.delivery import Drop, Item, Passage, Role, Waiting
from monitor.core.incident import Incident, Reason
from monitor.core.observation import Observation
from monitor.core.tokens import Expected
from monitor.store.brake import Ended, Held
from monitor.store.codec import (
    decode_incident,
    decode_item,
    decode_known,
    decode_labels,
    split_list,
)
from monitor.store.entries import Entry
from monitor.store.tables import (
    apps,
    health,
    incidents,
    introspections,
    mutes,
    outbox,
    tokens,
)
from monitor.store.transactions import AnyRow


@dataclass(frozen=True, slots=True)
class Waiter:
    """An entry before the gate, with the present state of what it speaks of."""

    id: str
    incident_id: str
    recipient: str
    role: Role
    product: str
    name: str | None
    cc: str
    locale: str | None
    timezone: str | None
    item: Item
    planned_at: datetime
    looked_at: datetime | None
    asked_look_at: datetime | None
    newer_notice: bool
    incident: Incident
    token_row: int | None
    expected: Expected | None
    """`None`: the entry concerns no token, or the token is gone."""
    labels: Mapping[str, str]
    observation: Observation
    owner_email: str | None
    last_checked_at: datetime | None
    next_check_at: datetime | None
    silenced_until: datetime | None
    app_paused_until: datetime | None
    app_rejected: bool
    news_at: datetime | None = None
    held_until: datetime | None = None
    let_go_at: datetime | None = None
    perhaps_told: bool = False
    """Whether a courier died with it in hand."""
    muted: bool = False
    """Whether the reader stopped reminders, and was told all news there is."""
    waits_for: str = ""
    pooled: bool = False
    """Whether it leaves with all that its reader must hear of the product, whoever
    gets copies: something of that waited for the cap."""

    @property
    def group(self) -> tuple[str, str, str, str]:
        """What must be equal for entries to share a letter."""
        cc = "" if self.pooled else self.cc
        return (self.recipient, self.product, self.role, cc)


def pooled(waiters: Sequence[Waiter]) -> list[Waiter]:
    """The waiters; those who share reader and product with a capped one are pooled.

    Else each set of copies would be a letter of its own, with a turn of its own.
    """
    capped = {_reader(each) for each in waiters if each.waits_for == Waiting.CAP}
    return [
        replace(each, pooled=True) if _reader(each) in capped else each
        for each in waiters
    ]


def _reader(waiter: Waiter) -> tuple[str, str, str]:
    return waiter.recipient, waiter.product, waiter.role


Review: TypeAlias = Callable[[Waiter], tuple[Item, Passage]]
"""The gate over a waiter: the item as it is true now, and whether it may go."""


Heirs: TypeAlias = Callable[[Waiter], Sequence[Entry]]
"""A waiter whose reader is none any more → the entries of those who are readers now."""


def nobody(_: Waiter) -> Sequence[Entry]:
    """No heirs."""
    return ()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A letter one courier has in hand until its lease ends."""

    id: str
    message_id: str
    fence: int
    attempts: int
    first_attempt_at: datetime | None
    in_doubt: bool
    waiters: tuple[Waiter, ...]
    references: tuple[str, ...]


@dataclass(slots=True)
class Pass:
    """What a pass of the gate did."""

    sealed: int = 0
    dropped: int = 0
    owed: tuple[int, ...] = ()
    """Rows of the tokens that owe a last look."""
    last: tuple[int, str] | None = None
    """Where the next pass goes on; `None`: no reader was left."""
    paced: int = 0
    """Owner letters that must leave later."""
    held: list[Held] = field(default_factory=list)
    """Holds that were opened."""
    ended: list[Ended] = field(default_factory=list)
    """Holds that ended by themselves."""


_newer = outbox.alias("newer")
_news = outbox.alias("news")
_told = outbox.alias("told")


def _muted() -> ColumnElement[bool]:
    """Whether the reader stopped reminders and has missed nothing.

    News that was superseded before it left, or refused, is told by what follows it.
    """
    told_since = exists().where(
        _told.c.incident_id == _news.c.incident_id,
        _told.c.recipient == _news.c.recipient,
        _told.c.number > _news.c.number,
        _told.c.state == "sent",
    )
    missed = exists().where(
        _news.c.incident_id == outbox.c.incident_id,
        _news.c.recipient == outbox.c.recipient,
        _news.c.number < outbox.c.number,
        _news.c.reason.in_([Reason.OPENED, Reason.WORSENED]),
        or_(_news.c.state == "refused", _news.c.dropped_for == Drop.SUPERSEDED),
        ~told_since,
    )
    return and_(mutes.c.since.is_not(None), ~missed)


def select_waiters() -> Select[Any]:
    """Entries with everything the gate asks about, to be narrowed by the caller."""
    newer = exists().where(
        _newer.c.incident_id == outbox.c.incident_id,
        _newer.c.recipient == outbox.c.recipient,
        _newer.c.number > outbox.c.number,
        _newer.c.state != "dropped",
    )
    return select(
        outbox,
        newer.label("newer_notice"),
        incidents.c.state.label("incident_state"),
        tokens.c.id.label("token_id"),
        tokens.c.kind,
        tokens.c.user_id,
        tokens.c.profile_id,
        tokens.c.labels,
        introspections.c.known,
        health.c.life_seen_at,
        health.c.verified_at,
        tokens.c.owner_email,
        health.c.last_checked_at,
        health.c.next_check_at,
        tokens.c.silenced_until,
        apps.c.paused_until,
        apps.c.rejected_at,
        apps.c.held_until,
        apps.c.let_go_at,
        _muted().label("muted"),
    ).select_from(
        outbox.join(incidents, incidents.c.id == outbox.c.incident_id)
        .outerjoin(tokens, tokens.c.row_id == outbox.c.token_row)
        .outerjoin(health, health.c.token_row == outbox.c.token_row)
        .outerjoin(introspections, introspections.c.token_row == outbox.c.token_row)
        .outerjoin(apps, apps.c.id == outbox.c.app_id)
        .outerjoin(
            mutes,
            (mutes.c.incident_id == outbox.c.incident_id)
            & (mutes.c.reader == outbox.c.recipient),
        )
    )


def waiter_of(row: AnyRow) -> Waiter:
    """The waiter in a row of `select_waiters`."""
    gone = row.token_id is None
    expected = None
    if not gone:
        expected = Expected(row.app_id, row.kind, row.user_id, row.profile_id)
    return Waiter(
        id=row.id,
        incident_id=row.incident_id,
        recipient=row.recipient,
        role=Role(row.role),
        product=row.product,
        name=row.name,
        cc=row.cc,
        waits_for=row.waits_for or "",
        locale=row.locale,
        timezone=row.timezone,
        item=decode_item(row.item),
        planned_at=row.planned_at,
        looked_at=row.looked_at,
        asked_look_at=row.asked_look_at,
        newer_notice=bool(row.newer_notice),
        incident=decode_incident(row.incident_state),
        token_row=row.token_row,
        expected=expected,
        labels={} if gone else decode_labels(row.labels),
        observation=Observation(
            decode_known(row.known), row.verified_at, row.life_seen_at
        ),
        owner_email=row.owner_email,
        last_checked_at=row.last_checked_at,
        next_check_at=row.next_check_at,
        silenced_until=row.silenced_until,
        app_paused_until=row.paused_until,
        app_rejected=row.rejected_at is not None,
        news_at=row.news_at,
        held_until=row.held_until,
        let_go_at=row.let_go_at,
        perhaps_told=bool(row.perhaps_told),
        muted=bool(row.muted),
    )


def copies(waiters: Sequence[Waiter]) -> tuple[str, ...]:
    """Whom a letter goes to as a copy: whoever all of its entries name.

    They named the same when it was sealed; an import may have changed some since.
    """
    if not waiters:
        return ()
    named = [split_list(waiter.cc) for waiter in waiters]
    return tuple(each for each in named[0] if all(each in other for other in named))
