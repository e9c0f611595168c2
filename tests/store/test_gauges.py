"""What is counted for metrics, on both databases."""

from datetime import timedelta

import pytest

from monitor.store import Store
from monitor.store.gauges import LATE, Gauges
from tests.store.builders import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    REVOKED,
    a_row,
    claimed,
    dead,
    ending_in,
    execute,
    look,
)


async def test_an_empty_database_counts_nothing(store: Store) -> None:
    snapshot = await Gauges(store.database).snapshot(NOW)
    assert not snapshot.tokens
    assert not snapshot.apps
    assert snapshot.due == snapshot.incidents == 0
    assert snapshot.due_since is None
    assert snapshot.pulse_at is None
    assert not snapshot.channel_paused


async def test_tokens_are_counted_once_each(store: Store) -> None:
    rows = [a_row(name) for name in ("dead", "ending", "new", "doubted")]
    await store.inventory.import_rows([*rows, a_row("other", app_id="2")], NOW)
    await look(store, ending_in(5 * DAY), "ending")
    second = await dead(store, "dead")
    await look(store, REVOKED, "doubted", at=second)
    now = second + 45 * MINUTE
    snapshot = await Gauges(store.database).snapshot(now)
    found = {(each.app_id, each.severity, each.codes): each for each in snapshot.tokens}
    assert sum(each.tokens for each in snapshot.tokens) == 5
    assert found["1", "critical", "revoked"].checked == 1
    assert found["1", "warning", "expiring"].oldest_look_at == NOW
    assert found["1", "unknown", ""].suspected == 1
    assert found["1", "unknown", ""].never_checked == 1
    assert found["2", "unknown", ""].due_at == NOW
    assert found["2", "unknown", ""].overdue == 1
    assert snapshot.incidents == 2
    assert snapshot.outbox == {"waiting": 2}
    assert snapshot.waiting == {"group_wait": 2}
    assert snapshot.due == 2
    assert snapshot.due_since is not None
    assert snapshot.due_since < now
    (app,) = snapshot.apps
    assert app.id == "1"
    assert app.spent == 4


@pytest.mark.parametrize(("after", "overdue"), [(LATE, 0), (LATE + MINUTE, 1)])
async def test_a_token_is_overdue_after_a_quarter_of_an_hour(
    store: Store, after: timedelta, overdue: int
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    (alike,) = (await Gauges(store.database).snapshot(NOW + after)).tokens
    assert alike.overdue == overdue


async def test_apps_say_how_they_are(store: Store) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await claimed(store, "north")
    await store.apps.note("1", rejected_at=NOW, paused_until=NOW + HOUR)
    await store.apps.note("2", usage_percent=40, paused_until=NOW - HOUR)
    await execute(
        store,
        "INSERT INTO holds (id, app_id, opened_at, until, users, tokens, looked_at,"
        " apps, codes, ended_at) VALUES ('a', '2', 0, 0, 1, 1, 1, 1, 'revoked', NULL),"
        " ('b', '1', 0, 0, 1, 1, 1, 1, 'revoked', 1)",
    )
    one, two = (await Gauges(store.database).snapshot(NOW)).apps
    assert (one.rejected, one.resting, one.held, one.spent) == (True, True, False, 1)
    assert (two.rejected, two.resting, two.held) == (False, False, True)
    assert two.usage_percent == 40


async def test_a_touch_writes_and_is_no_sign_of_life(store: Store) -> None:
    gauges = Gauges(store.database)
    await gauges.touch(NOW)
    await gauges.touch(NOW + MINUTE)
    assert await store.reports.pulses() == []
    await store.reports.beat(NOW, "host:1")
    assert (await gauges.snapshot(NOW)).pulse_at == NOW
