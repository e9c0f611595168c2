"""Instants that lie ahead: none silences anybody, and what is right stays as it is."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from monitor.core.hold import Brake
from monitor.core.incident import Incident
from monitor.jobs.storm import storm_of
from monitor.store import Store
from monitor.store.codec import decode_incident, encode
from monitor.store.tables import (
    apps,
    calls,
    health,
    holds,
    incidents,
    letters,
    marks,
    metadata,
    outbox,
)
from monitor.store.times import mend, newest_marks, note_believed
from monitor.store.waiters import Pass
from tests.store.builders import (
    ANN,
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    NOW,
    a_charter,
    a_row,
    dead,
    let_go,
    rows,
)

AHEAD = NOW + 3650 * DAY
PAST = NOW - HOUR


async def put(store: Store, table: Any, **values: Any) -> None:
    async with store.database.write() as connection:
        await connection.execute(insert(table).values(**values))


async def change(store: Store, table: Any, **values: Any) -> None:
    async with store.database.write() as connection:
        await connection.execute(update(table).values(**values))


async def everything(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    async with store.database.read() as connection:
        return {
            table.name: [
                tuple(row)
                for row in await connection.execute(
                    select(table).order_by(*table.primary_key.columns)
                )
            ]
            for table in metadata.sorted_tables
        }


async def one(store: Store, table: Any, *where: Any) -> Any:
    async with store.database.read() as connection:
        return (await connection.execute(select(table).where(*where))).one()


async def mended(store: Store) -> int:
    return await mend(
        store.database,
        NOW,
        lease=LEASE,
        group_wait=2 * MINUTE,
        hold=4 * HOUR,
        sweep=6 * HOUR,
    )


async def fill(store: Store, at: datetime, due: datetime, **waits: Any) -> None:
    """A row of everything that can wait, written at one instant, due at another."""
    await store.inventory.import_rows([a_row()], PAST)
    async with store.database.read() as connection:
        (row,) = (await connection.scalars(select(health.c.token_row))).all()
    await change(
        store,
        health,
        last_checked_at=at,
        verified_at=at,
        life_seen_at=at,
        suspicion="revoked",
        suspected_at=at,
        next_check_at=due,
        interval=6 * HOUR // timedelta.resolution,
        heard=7,
    )
    state = Incident(PAST, settled_at=at, first_told_at=at, critical_since=at)
    await put(
        store,
        incidents,
        id="i1",
        subject="token:north",
        token_row=row,
        app_id="1",
        opened_at=PAST,
        state=encode(state),
    )
    letter = {"recipient": ANN, "role": "owner", "product": "Acme", "sealed_at": PAST}
    await put(
        store,
        letters,
        id="l1",
        message_id="<l1>",
        state="open",
        due_at=due,
        first_attempt_at=at,
        attempt_until=due,
        **letter,
    )
    entry = {**letter, "subject": "token:north", "app_id": "1", "reason": "opened"}
    del entry["sealed_at"]
    for number, why in enumerate(("group_wait", "look", "recovering", "hours")):
        await put(
            store,
            outbox,
            id=f"o{number}",
            incident_id="i1",
            number=number,
            token_row=row,
            codes="revoked",
            item="{}",
            planned_at=at,
            looked_at=at,
            asked_look_at=at,
            news_at=at,
            state="waiting",
            waits_for=why,
            due_at=due,
            **entry,
        )
    await put(
        store,
        apps,
        id="1",
        proved_at=at,
        rejected_at=at,
        usage_at=at,
        let_go_at=at,
        paused_until=due,
        held_until=due,
    )
    await put(
        store,
        holds,
        id="h1",
        app_id="1",
        opened_at=PAST,
        until=due,
        users=5,
        tokens=5,
        looked_at=9,
        apps=1,
        codes="revoked",
    )
    await put(store, marks, name="channel", at=at, until=due)
    await put(store, marks, name="clock", at=at)
    await put(store, marks, name="pulse:a:1", at=at, value="a:1")
    await put(store, calls, app_id="1", slot=at, calls=9)


async def test_what_is_right_stays_as_it_is(store: Store) -> None:
    await fill(store, NOW - MINUTE, NOW + MINUTE)
    before = await everything(store)
    assert await mended(store) == 0
    assert await everything(store) == before


async def test_a_release_goes_on_to_cover_the_next_sweep(store: Store) -> None:
    """The mending of every hour once cut it off: the same storm was held again."""
    for ahead, kept in ((6 * HOUR, True), (6 * HOUR + 6 * MINUTE, False)):
        async with store.database.write() as connection:
            await connection.execute(apps.delete())
        await put(store, apps, id="1", let_go_at=NOW + ahead)
        await mended(store)
        row = await one(store, apps)
        assert row.let_go_at == (NOW + ahead if kept else NOW)


async def test_a_clock_a_little_ahead_is_no_visit_to_the_future(store: Store) -> None:
    await fill(store, NOW + 4 * MINUTE, NOW + 4 * MINUTE)
    before = await everything(store)
    assert await mended(store) == 0
    assert await everything(store) == before


async def test_nothing_waits_for_a_time_that_has_not_come(store: Store) -> None:
    await fill(store, AHEAD, AHEAD + MINUTE)
    assert await mended(store) > 0
    token = await one(store, health)
    assert token.next_check_at == token.last_checked_at == NOW
    assert token.suspected_at == token.life_seen_at == NOW
    assert token.verified_at == NOW - 15 * MINUTE, "too old to spare a last look"
    assert token.heard is None
    app = await one(store, apps)
    assert (app.proved_at, app.paused_until, app.usage_at) == (None, None, None)
    assert app.rejected_at == app.let_go_at == app.held_until == NOW
    letter = await one(store, letters)
    assert letter.due_at == letter.first_attempt_at == NOW
    assert letter.attempt_until is None
    for number in range(4):
        entry = await one(store, outbox, outbox.c.id == f"o{number}")
        assert entry.due_at == entry.planned_at == entry.asked_look_at == NOW
        assert entry.looked_at < NOW
    assert (await one(store, holds)).until == NOW
    state = decode_incident((await one(store, incidents)).state)
    assert state == Incident(
        PAST, settled_at=NOW, first_told_at=NOW, critical_since=NOW
    )
    names = {row[0]: row[1:3] for row in (await everything(store))["marks"]}
    assert names == {"channel": (NOW, None), "clock": (NOW, None)}
    assert (await everything(store))["calls"] == []
    before = await everything(store)
    assert await mended(store) == 0, "once is enough"
    assert await everything(store) == before


async def test_a_matter_opened_in_the_future_is_closed_and_its_news_dropped(
    store: Store,
) -> None:
    await fill(store, NOW - MINUTE, NOW + MINUTE)
    state = Incident(PAST, notices=2, last_notice_at=AHEAD)
    await change(store, incidents, state=encode(state))
    assert await mended(store) == 1
    assert (await one(store, incidents)).closed_at == NOW
    entries = (await everything(store))["outbox"]
    assert len(entries) == 4
    assert all("dropped" in entry for entry in entries)


async def test_a_token_due_later_than_its_interval_is_due_now(store: Store) -> None:
    await fill(store, NOW - MINUTE, NOW + MINUTE)
    await change(store, health, next_check_at=NOW + 20 * HOUR)
    assert await mended(store) == 0, "nothing was decided ahead of time"
    assert (await one(store, health)).next_check_at == NOW


async def test_a_token_whose_app_rests_is_left_in_peace(store: Store) -> None:
    await fill(store, NOW - MINUTE, NOW + MINUTE)
    await change(store, health, next_check_at=NOW + 20 * HOUR)
    await change(store, apps, paused_until=NOW + 20 * HOUR)
    await mended(store)
    assert (await one(store, health)).next_check_at == NOW + 20 * HOUR


@pytest.mark.parametrize("ahead", [False, True])
async def test_the_newest_mark_is_any_daemons(store: Store, *, ahead: bool) -> None:
    assert await newest_marks(store.database) == (None, None)
    await note_believed(store.database, PAST)
    await note_believed(store.database, NOW)
    if ahead:
        await store.reports.beat(AHEAD, "other:1")
    newest = AHEAD if ahead else NOW
    assert await newest_marks(store.database) == (NOW, newest)


async def test_letters_sealed_ahead_do_not_use_up_the_pace(store: Store) -> None:
    """Owners would have heard nothing until 2036."""
    paced = storm_of(a_charter(brake=Brake(owner_letters_per_hour=2)), lambda: NOW)
    await store.inventory.import_rows([a_row()], PAST)
    for name in ("l1", "l2"):
        letter = {"recipient": ANN, "role": "owner", "product": "Acme", "state": "sent"}
        named = {"id": name, "message_id": name, "due_at": AHEAD, "sealed_at": AHEAD}
        await put(store, letters, **letter, **named)
    await dead(store, at=PAST)

    async def seal() -> Pass:
        return await store.outbox.seal(
            let_go, NOW, storm=paced, lease=LEASE, domain="acme.example"
        )

    assert (await seal()).paced == 1, "a positive control: they count until mended"
    await mended(store)
    assert (await seal()).paced == 0
    assert await rows(store, "SELECT state FROM outbox WHERE role = 'owner'") == [
        ("sealed",)
    ]
