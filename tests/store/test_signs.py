"""Signs of life, as both databases tell them."""

from typing import Any

import pytest

from monitor.core.attempt import Attempt, Outcome, Phase
from monitor.core.incident import Incident
from monitor.core.report import Appointment, Line, Listed
from monitor.core.tokens import Introspection
from monitor.core.vitals import Ailment, Organ, PostSigns
from monitor.store import Store
from monitor.store.codec import encode
from monitor.store.settlement import channel_pause, settle
from tests.store.builders import (
    ALIVE,
    BOB,
    CALM,
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    NOW,
    OPS,
    a_row,
    dead,
    execute,
    let_go,
    look,
    rows,
)

OTHER = "other@acme.example"
WEEK = Appointment(NOW - DAY, "2026-W48")


@pytest.fixture(autouse=True)
async def inventory(store: Store) -> None:
    await store.inventory.import_rows(
        [a_row("north"), a_row("south", owner_email=BOB), a_row("ads", app_id="2")], NOW
    )


# --- coverage


async def test_the_ledger_counts_who_goes_without_a_look(store: Store) -> None:
    await look(store, ALIVE, "north", "south")
    (one, two) = (await store.vitals.coverage(NOW, 6 * HOUR)).values()
    assert (one.tokens, one.late, one.late_since) == (2, 0, None)
    assert (two.tokens, two.late) == (1, 0)
    later = NOW + 6 * HOUR + MINUTE
    await look(store, ALIVE, "south", at=later - HOUR)
    found = await store.vitals.coverage(later, 6 * HOUR)
    assert (found["1"].late, found["1"].late_since) == (1, NOW + 6 * HOUR)
    assert (found["2"].late, found["2"].late_since) == (1, NOW + 6 * HOUR)
    assert found["1"].needs == pytest.approx(1 / 3)


async def test_due_times_do_not_deceive_the_ledger(store: Store) -> None:
    await execute(store, "UPDATE health SET next_check_at = 99999999999999999")
    found = await store.vitals.coverage(NOW + DAY, 6 * HOUR)
    assert sum(each.late for each in found.values()) == 3


# --- letters


async def post(store: Store, now: Any = NOW) -> PostSigns:
    return await store.vitals.post(now, [OPS, OTHER])


async def attempt(store: Store, now: Any, outcome: Outcome, phase: Phase) -> None:
    await store.outbox.seal(let_go, now, storm=CALM, lease=LEASE, domain="acme.example")
    code = 250 if outcome is Outcome.SENT else 451
    while (sealed := await store.outbox.take(let_go, now, LEASE)) is not None:
        tried = Attempt(outcome, phase, code, "said so")
        await settle(store.database, sealed, tried, now, jitter=0, instead=())
        if outcome is Outcome.CHANNEL:
            return


async def test_no_letters_are_no_trouble(store: Store) -> None:
    assert await post(store) == PostSigns()


async def test_what_waits_for_a_reason_is_not_owed(store: Store) -> None:
    second = await dead(store, "north")
    assert (await post(store, second)).owed_since is None
    due = second + 2 * MINUTE
    assert (await post(store, due)).owed_since == due
    await execute(store, "UPDATE outbox SET due_at = due_at + 3600000000")
    assert (await post(store, due)).owed_since is None


async def test_a_letter_that_is_due_is_owed_until_it_is_sent(store: Store) -> None:
    second = await dead(store, "north") + 2 * MINUTE
    await store.outbox.seal(
        let_go, second, storm=CALM, lease=LEASE, domain="acme.example"
    )
    assert (await post(store, second + HOUR)).owed_since == second
    await attempt(store, second, Outcome.SENT, Phase.DOT)
    assert (await post(store, second + HOUR)).owed_since is None


async def test_the_channel_is_shut_since_its_first_failure(store: Store) -> None:
    second = await dead(store, "north") + 2 * MINUTE
    for later in (0, 5, 10):
        at = second + later * MINUTE
        await attempt(store, at, Outcome.CHANNEL, Phase.CONNECT)
        assert (await channel_pause(store.database))[0] == at + 5 * MINUTE
    found = await post(store, second + HOUR)
    assert (found.shut_since, found.reply) == (second, "connect: said so")
    await attempt(store, second + 15 * MINUTE, Outcome.SENT, Phase.DOT)
    assert (await post(store, second + HOUR)).shut_since is None
    # The next trouble counts from its own beginning.
    again = await dead(store, "south", at=second + HOUR) + 2 * MINUTE
    await attempt(store, again, Outcome.CHANNEL, Phase.CONNECT)
    assert (await post(store, again)).shut_since == again


async def test_one_reader_put_off_is_his_servers_affair(store: Store) -> None:
    at = await dead(store, "north") + 2 * MINUTE
    await attempt(store, at, Outcome.DEFERRED, Phase.RCPT)
    assert (await post(store, at)).deferred_since is None
    later = await dead(store, "south", at=at) + 2 * MINUTE
    await attempt(store, later, Outcome.DEFERRED, Phase.RCPT)
    assert (await post(store, later)).deferred_since == at
    await store.inventory.import_rows([a_row("east", owner_email="c@d.example")], later)
    third = await dead(store, "east", at=later) + 2 * MINUTE
    await execute(store, "UPDATE letters SET due_at = 99999999999999999")
    await attempt(store, third, Outcome.SENT, Phase.DOT)
    assert (await post(store, third)).deferred_since is None


async def test_a_refused_operator_counts_until_a_letter_reaches_him(
    store: Store,
) -> None:
    await dead(store, "north")
    await execute(
        store,
        "UPDATE outbox SET state = 'refused', role = 'operator', recipient = :ops, "
        "settled_at = 5000000",
        ops=OPS,
    )
    assert (await post(store)).refused_since is not None
    assert (await store.vitals.post(NOW, [OTHER])).refused_since is None
    await dead(store, "south")
    await execute(
        store,
        "UPDATE outbox SET state = 'sent', role = 'operator', recipient = :ops, "
        "settled_at = 6000000 WHERE state != 'refused'",
        ops=OPS,
    )
    assert (await post(store)).refused_since is None


async def test_only_open_matters_are_named(store: Store) -> None:
    assert await store.vitals.open_matters(["coverage:graph"]) == frozenset()
    await execute(
        store,
        "INSERT INTO incidents (id, subject, opened_at, state) "
        "VALUES ('i', 'coverage:graph', 0, '{}')",
    )
    wanted = ["coverage:graph", "coverage:smtp"]
    assert await store.vitals.open_matters(wanted) == {"coverage:graph"}


# --- the report


async def test_a_report_lists_what_nobody_else_hears_of(store: Store) -> None:
    wide = Introspection(app_id="1", kind="user", scopes=("ads_read", "email"))
    await look(store, wide, "south")
    await execute(store, "UPDATE health SET codes = 'scopes_excess' WHERE app_id = '1'")
    await execute(store, "UPDATE health SET codes = 'short_lived' WHERE app_id = '2'")
    second = await dead(store, "north")
    spoken = Incident(NOW, reminders=3, settled_at=second, notices=4)
    await execute(store, "UPDATE incidents SET state = :s", s=encode(spoken))
    await store.hand.silence(["south"], second + DAY, "ops", "planned", second)
    ailing = [Ailment(Organ.SMTP, "letters are due", NOW)]
    digest = await store.digests.read(second, NOW - DAY, ailing)
    assert (digest.total, digest.checked, digest.never) == (3, 2, 1)
    assert (digest.critical, digest.unknown) == (1, 1)
    assert digest.told_in_vain.lines == (Line("north", "revoked", NOW),)
    assert digest.silences.lines == (Line("south", "planned", second + DAY),)
    assert digest.excess == Listed(1, (Line("south"),))
    assert digest.short_lived == Listed(1, (Line("ads"),))
    assert digest.waiting == Listed(1, (Line("group_wait", "1"),))
    assert digest.ailing == Listed(1, (Line("smtp", "letters are due", NOW),))
    assert digest.refused == Listed()
    await execute(store, "UPDATE outbox SET state = 'refused', settled_at = 9000000")
    digest = await store.digests.read(second, NOW - 20_000 * DAY, ailing)
    assert digest.refused.total == 0  # 1970: before the report of a later week
    await execute(store, "UPDATE outbox SET settled_at = :at", at=2 * 10**15)
    digest = await store.digests.read(second, NOW - DAY, ailing)
    assert [line.detail for line in digest.refused.lines] == ["token:north"]


async def test_a_matter_still_being_told_is_not_told_in_vain(store: Store) -> None:
    second = await dead(store, "north")
    digest = await store.digests.read(second, NOW, [])
    assert digest.told_in_vain == Listed()


async def test_a_long_list_is_cut_and_counted(store: Store) -> None:
    many = [a_row(f"t-{n:03}") for n in range(30)]
    await store.inventory.import_rows(many, NOW)
    await execute(store, "UPDATE health SET codes = 'expiring,scopes_excess'")
    digest = await store.digests.read(NOW, NOW, [])
    assert (digest.excess.total, len(digest.excess.lines)) == (33, 20)
    assert digest.excess.more == 13


async def test_an_appointment_is_planned_once(store: Store) -> None:
    await store.digests.begin(Appointment(NOW - 8 * DAY, "2026-W47"))
    await store.digests.begin(WEEK)
    assert await store.digests.last() == Appointment(NOW - 8 * DAY, "2026-W47")
    assert await store.digests.plan(WEEK, lambda _: [], NOW)
    assert not await store.digests.plan(WEEK, lambda _: [], NOW)
    assert await store.digests.last() == WEEK
    found = await rows(store, "SELECT subject, closed_at FROM incidents")
    assert [row[0] for row in found] == ["report:2026-W48"]
    assert found[0][1] is not None
    assert await store.reports.open_matters() == []


async def test_before_the_first_appointment_nothing_is_planned(store: Store) -> None:
    assert await store.digests.last() is None
    assert not await store.digests.plan(WEEK, lambda _: [], NOW)
    assert await rows(store, "SELECT subject FROM incidents") == []


async def test_silence_of_meta_is_noted_with_the_app(store: Store) -> None:
    await store.apps.note("1", silent_since=NOW)
    assert (await store.apps.states(["1"]))["1"].silent_since == NOW
