"""Times: instants that lie ahead of the present are mended, so nothing waits for them.

A clock that ran ahead and was set back leaves rows that no clock catches up with for
years: a look that was never superseded, a letter due in 2036. History may stay as it
was written; whatever something waits for is brought back to the present.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    true,
    type_coerce,
    update,
)

from monitor.core.attempt import CHANNEL_PAUSE
from monitor.core.cap import CAPPED_OVER
from monitor.core.clockwork import APART, back_from_the_future
from monitor.core.delivery import DATED_LOOK_AGE, Waiting
from monitor.core.hold import PACED_OVER
from monitor.store.codec import encode
from monitor.store.damage import incident_in
from monitor.store.dialect import ROWS, WHOLE, ByDialect, given, insert_on, pack_ids
from monitor.store.entries import close_entries
from monitor.store.instants import microseconds
from monitor.store.locks import lock_tokens
from monitor.store.tables import (
    apps,
    calls,
    health,
    holds,
    incidents,
    letters,
    marks,
    outbox,
)
from monitor.store.transactions import POSTGRESQL, Database

BELIEVED: Final = "clock"
"""The mark at which a daemon last believed its clock."""
_A_DAY: Final = timedelta(days=1)
"""No app rests longer, whatever its headers say, and no letter waits longer to be
tried again."""
_LONGEST_HOURS: Final = timedelta(days=8)
"""Office hours open within so long."""
_CHUNK: Final = 2_000

_Marked: TypeAlias = tuple[datetime | None, datetime | None]


async def newest_marks(database: Database) -> _Marked:
    """When a daemon last believed its clock, and the newest sign of life of any."""
    query = select(
        func.max(marks.c.at).filter(marks.c.name == BELIEVED), func.max(marks.c.at)
    )
    async with database.read() as connection:
        believed, newest = (await connection.execute(query)).one()
    return believed, newest


async def note_believed(database: Database, now: datetime) -> None:
    """Write down the present as an instant at which a clock was believed."""
    async with database.write() as connection:
        note = insert_on(marks, connection).values(name=BELIEVED, at=now)
        await connection.execute(
            note.on_conflict_do_update(index_elements=["name"], set_={"at": now})
        )


async def mend(
    database: Database,
    now: datetime,
    *,
    lease: timedelta,
    group_wait: timedelta,
    hold: timedelta,
    sweep: timedelta,
) -> int:
    """Bring back to the present what lies further ahead than it may.

    When nothing does, which is nearly always, it only reads.

    Args:
        database: Where.
        now: The present instant, which must be right.
        lease: The longest that a token or a letter is in hand.
        group_wait: The longest that an entry waits for its group.
        hold: The longest that an app's letters are held.
        sweep: How far ahead a release lets news go.

    Returns:
        How many rows hold something that was decided at a time that has not come;
        if any, everything should be judged anew.
    """
    found = 0
    for decided, table, where, values in _others(now, lease, group_wait, hold, sweep):
        found += await _mend(database, table, where, values) * decided
    found += await _mend_health(database, now, lease)
    found += await _mend_incidents(database, now)
    await _forget(database, now)
    return found


# --- tokens

_HAPPENED: Final = ("last_checked_at", "verified_at", "life_seen_at", "suspected_at")


def _rows(dialect: str) -> Any:  # noqa: ANN401 - a condition
    rows = given(dialect, row=WHOLE)
    return health.c.token_row.in_(select(rows.c.row))


_ROWS: Final = ByDialect(_rows)


async def _mend_health(database: Database, now: datetime, lease: timedelta) -> int:
    """Whatever was looked at in the future is due, and so is what waits too long."""
    latest = now + APART
    looked = or_(*(health.c[name] > latest for name in _HAPPENED))
    values: dict[str, Any] = {n: _back(health.c[n], now, now) for n in _HAPPENED}
    # So old that it counts for no last look.
    values["verified_at"] = _back(health.c.verified_at, now, now - DATED_LOOK_AGE)
    # The same words again say nothing to a judgement of a time that has not come.
    values |= {"next_check_at": now, "heard": None}
    found = await _mend_tokens(database, looked, values)
    next_check = type_coerce(health.c.next_check_at, BigInteger)
    interval = func.coalesce(health.c.interval, 0)
    rests = select(apps.c.id).where(
        apps.c.id == health.c.app_id, apps.c.paused_until >= health.c.next_check_at
    )
    late = and_(next_check - interval > microseconds(latest + lease), ~rests.exists())
    await _mend_tokens(database, late, {"next_check_at": now})
    return found


async def _mend_tokens(
    database: Database, where: ColumnElement[bool], values: dict[str, Any]
) -> int:
    mended = 0
    query = select(health.c.token_row).where(where).limit(_CHUNK)
    while True:
        async with database.read() as connection:
            rows = (await connection.scalars(query)).all()
        if not rows:
            return mended
        async with database.write() as connection:
            await lock_tokens(connection, rows)
            ours = update(health).where(_ROWS.on(connection), where)
            await connection.execute(ours.values(values), {ROWS: pack_ids(rows)})
        mended += len(rows)


def _back(
    column: Any,  # noqa: ANN401 - a column of instants
    now: datetime,
    to: datetime | None,
) -> ColumnElement[Any]:
    """The column, or another instant where it lies ahead."""
    present = literal(to, column.type)
    return case((column > now + APART, present), else_=column)


# --- incidents

_STATE_DATES: Final = (
    "opened_at",
    "last_notice_at",
    "settled_at",
    "first_told_at",
    "critical_since",
)


def _ahead(dialect: str) -> Any:  # noqa: ANN401 - a select
    """Open incidents whose state names an instant after `latest`, a text in UTC.

    One that cannot be read names none: the cast would fail for all of them.
    """
    state = incidents.c.state
    told: list[ColumnElement[Any]]
    if dialect == POSTGRESQL:
        told = [func.substring(state, f'"{name}":"([^"]*)"') for name in _STATE_DATES]
        told.append(func.substring(state, r'"healing":\{[^{}]*"since":"([^"]*)"'))
    else:
        paths = [f"$.{name}" for name in (*_STATE_DATES, "healing.since")]
        whole = func.json_valid(state) == 1
        told = [case((whole, func.json_extract(state, path))) for path in paths]
    latest = bindparam("latest", type_=Text)
    return select(incidents.c.id, incidents.c.token_row).where(
        incidents.c.closed_at.is_(None),
        or_(*(cast(each, Text) > latest for each in told)),
    )


_AHEAD: Final = ByDialect(_ahead)


async def _mend_incidents(database: Database, now: datetime) -> int:
    # Texts of instants in UTC sort as the instants do, to the second.
    latest = {"latest": (now + APART).isoformat()[:19]}
    async with database.read() as connection:
        found = (await connection.execute(_AHEAD.on(connection), latest)).all()
    for key, token_row in found:
        async with database.write() as connection:
            if token_row is not None:
                await lock_tokens(connection, [token_row])
            columns = (incidents.c.id, incidents.c.state)
            query = select(*columns).where(incidents.c.id == key)
            row = (await connection.execute(query.with_for_update())).first()
            before = None if row is None else incident_in(row)
            if before is None:
                continue
            incident = back_from_the_future(before, now, of_token=token_row is not None)
            closed, text = incident.closed_at, encode(incident)
            values = {
                "opened_at": incident.opened_at,
                "closed_at": closed,
                "state": text,
            }
            change = update(incidents).where(incidents.c.id == key).values(values)
            await connection.execute(change)
            if closed is not None:
                await close_entries(connection, [key], now)
    return len(found)


# --- everything else

_Mending: TypeAlias = tuple[bool, Table, ColumnElement[bool], dict[str, Any]]
"""Whether it was decided in the future, and what is mended where and how."""


def _others(
    now: datetime,
    lease: timedelta,
    group_wait: timedelta,
    hold: timedelta,
    sweep: timedelta,
) -> Iterator[_Mending]:
    latest = now + APART

    def ahead(
        table: Table, among: ColumnElement[bool], **present: datetime | None
    ) -> tuple[Table, ColumnElement[bool], dict[str, Any]]:
        """Instants of what has happened: none lies ahead."""
        where = or_(*(table.c[name] > latest for name in present))
        values = {n: _back(table.c[n], now, to) for n, to in present.items()}
        return table, and_(among, where), values

    waits = outbox.c.state == "waiting"
    is_open = letters.c.state == "open"
    group = waits & (outbox.c.waits_for == Waiting.GROUP)
    within_a_day = [Waiting.LOOK, Waiting.RECOVERING, Waiting.CAP]
    short = waits & outbox.c.waits_for.in_(within_a_day)
    # A look the entry waits for is one after its plan.
    yield (
        True,
        *ahead(outbox, waits, planned_at=now, looked_at=now - APART, news_at=now),
    )
    yield False, *ahead(outbox, waits, asked_look_at=now)
    yield (
        False,
        outbox,
        group & (outbox.c.due_at > latest + group_wait),
        {"due_at": now},
    )
    yield False, outbox, short & (outbox.c.due_at > latest + _A_DAY), {"due_at": now}
    # The gate is asked again, and whatever is right to wait for waits anew.
    yield (
        False,
        outbox,
        waits
        & (outbox.c.waits_for.is_(None) | ~outbox.c.waits_for.in_([Waiting.SILENCE]))
        & (outbox.c.due_at > latest + max(_LONGEST_HOURS, hold)),
        {"due_at": now},
    )
    yield (
        False,
        letters,
        is_open & (letters.c.due_at > latest + _A_DAY),
        {"due_at": now},
    )
    yield False, *ahead(letters, is_open, first_attempt_at=now)
    # They count for pace and cap no more, or no owner would hear anything until then.
    yield (
        False,
        *ahead(
            letters, true(), sealed_at=now - PACED_OVER, settled_at=now - CAPPED_OVER
        ),
    )
    in_hand = is_open & (letters.c.attempt_until > latest + lease)
    yield False, letters, in_hand, {"attempt_until": None}
    rests = apps.c.paused_until > latest + _A_DAY
    yield False, apps, rests, {"paused_until": None, "pause_cause": None}
    yield (
        False,
        *ahead(apps, true(), proved_at=None, rejected_at=now, usage_at=None),
    )
    # A release lets go what the next sweep finds: that lies ahead and is right.
    freed = apps.c.let_go_at > latest + sweep
    yield False, apps, freed, {"let_go_at": now}
    yield False, apps, apps.c.held_until > latest + hold, {"held_until": now}
    ends = holds.c.ended_at.is_(None) & (holds.c.until > latest + hold)
    yield False, holds, ends, {"until": now}
    rests = marks.c.until > latest + CHANNEL_PAUSE
    yield False, marks, rests, {"until": None}
    yield False, *ahead(marks, ~marks.c.name.contains(":"), at=now)


async def _mend(
    database: Database, table: Table, where: ColumnElement[bool], values: dict[str, Any]
) -> int:
    async with database.read() as connection:
        if (
            await connection.execute(select(true()).where(where).limit(1))
        ).first() is None:
            return 0
    async with database.write() as connection:
        return (
            await connection.execute(update(table).where(where).values(values))
        ).rowcount


async def _forget(database: Database, now: datetime) -> None:
    """Signs of life and calls of a time that has not come."""
    latest = now + APART
    for table, where in (
        (marks, marks.c.at > latest),
        (calls, calls.c.slot > latest),
    ):
        async with database.read() as connection:
            query = select(true()).select_from(table).where(where).limit(1)
            if (await connection.execute(query)).first() is None:
                continue
        async with database.write() as connection:
            await connection.execute(delete(table).where(where))
