"""What people ask of the store, and the few things they may change by hand."""

from typing import Any

from monitor.core.tokens import Answer, Cause, Inconclusive
from monitor.store import Store
from monitor.store.reports import TokenFilter
from tests.store.builders import (
    ALIVE,
    ANN,
    BOB,
    CALM,
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    NOW,
    REVOKED,
    a_row,
    column,
    dead,
    ending_in,
    let_go,
    look,
    rows,
)
from tests.store.test_outbox import (
    DEFERRED,
    REFUSED,
    SENT,
    an_entry,
    an_incident,
    plan,
    sealed_pass,
    settled,
    taken,
)


async def listed(store: Store, **wanted: Any) -> list[str]:
    return [view.id async for view in store.reports.tokens(TokenFilter(**wanted))]


async def test_tokens_are_listed_by_what_one_wants_to_know(store: Store) -> None:
    await store.inventory.import_rows(
        [a_row("a"), a_row("b", owner_email=BOB), a_row("c", app_id="2")], NOW
    )
    await look(store, ending_in(5 * DAY), "b")
    await dead(store, "a")
    assert await listed(store) == ["a", "b", "c"]
    assert await listed(store, severity="critical") == ["a"]
    assert await listed(store, app="2") == ["c"]
    assert await listed(store, owner=BOB) == ["b"]
    assert await listed(store, code="revoked") == ["a"]
    assert await listed(store, code="expir") == [], "a code is a whole word"
    assert await listed(store, code="_______") == []
    assert await listed(store, ids=["b", "zz"]) == ["b"]
    (view,) = [v async for v in store.reports.tokens(TokenFilter(ids=["a"]))]
    assert view.codes == ("revoked",)
    assert view.incident is not None


async def test_a_silence_is_signed_and_kept_in_the_books(store: Store) -> None:
    await store.inventory.import_rows([a_row("a"), a_row("b")], NOW)
    until = NOW + DAY
    await store.hand.silence(["a"], until, "eve", "moving", NOW)
    assert await store.reports.silences(NOW) == [
        {
            "id": "a",
            "silenced_until": until,
            "silenced_by": "eve",
            "silence_reason": "moving",
        }
    ]
    assert await store.reports.silences(until) == []
    await store.hand.silence(["a"], None, "eve", None, NOW + HOUR)
    assert await store.reports.silences(NOW) == []
    assert await column(store, "silenced_by", "a") is None
    found = await rows(store, "SELECT author, action, subject, reason FROM audit")
    assert found == [
        ("eve", "silence", "token:a", "moving"),
        ("eve", "unsilence", "token:a", None),
    ]


async def test_a_silence_of_nobody_is_no_entry_in_the_books(store: Store) -> None:
    await store.hand.silence(["nobody"], NOW + DAY, "eve", None, NOW)
    assert await rows(store, "SELECT count(*) FROM audit") == [(0,)]


async def test_retrying_hurries_what_waits_and_reopens_what_was_refused(
    store: Store,
) -> None:
    for name, attempt in (("refused", REFUSED), ("sent", SENT), ("deferred", DEFERRED)):
        await an_incident(store, name)
        await plan(store, an_entry(name, to=f"{name}@acme.example"))
        await sealed_pass(store)
        await settled(store, await taken(store.outbox), attempt)
    await an_incident(store, "waiting")
    await plan(store, an_entry("waiting", to="w@acme.example", due_at=NOW + DAY))
    found = {e["incident_id"]: e for e in await store.reports.entries()}

    at = NOW + MINUTE
    for name, count in (("waiting", 1), ("deferred", 1), ("refused", 1), ("sent", 0)):
        which = found[name]["letter_id"] or found[name]["id"]
        assert await store.hand.retry(which, "eve", at) == count, name
    assert await store.hand.retry("nobody", "eve", at) == 0
    assert await rows(store, "SELECT count(*) FROM audit") == [(3,)]
    deferred = await taken(store.outbox, at)
    assert deferred.attempts == 1
    assert (await sealed_pass(store, now=at)).sealed == 2
    for _ in range(2):
        assert (await taken(store.outbox, at)).attempts == 0


async def test_history_is_forgotten_but_never_the_newest_answer(store: Store) -> None:
    await store.inventory.import_rows([a_row("a"), a_row("b")], NOW)
    down = Inconclusive(Cause.UNREACHABLE)
    answers: list[Answer] = [ALIVE, down, REVOKED, ALIVE]
    for n, answer in enumerate(answers):
        await look(store, answer, "a", at=NOW + n * DAY)
    await look(store, ALIVE, "b")
    horizon = NOW + 2 * DAY + HOUR
    assert await store.reports.prune(horizon, NOW, most=1) == 2, "in steps of one"
    assert await store.reports.prune(horizon, NOW) == 0
    kept = "SELECT count(*) FROM checks c JOIN tokens t ON t.row_id = c.token_row "
    assert await rows(store, kept + "WHERE t.id = 'a'") == [(2,)]
    assert await rows(store, kept + "WHERE t.id = 'b'") == [(1,)]


async def test_settled_entries_are_forgotten_when_their_matter_is_over(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row("a"), a_row("b", owner_email=BOB)], NOW)
    at = await dead(store, "a", "b")
    await store.outbox.seal(
        let_go, at + 3 * MINUTE, storm=CALM, lease=LEASE, domain="x.example"
    )
    for _ in range(2):
        sealed = await taken(store.outbox, at + 3 * MINUTE)
        await settled(store, sealed, SENT, at + 3 * MINUTE)
    for n in (4, 15):
        await look(store, ALIVE, "a", at=at + n * MINUTE)
    await store.reports.prune(NOW, NOW + 90 * DAY)
    left = [(e["recipient"], e["state"]) for e in await store.reports.entries()]
    assert left == [(BOB, "sent"), (ANN, "waiting")], "an open matter is remembered"
    assert await rows(store, "SELECT recipient FROM letters") == [(BOB,)]
    # So whoever was told hears of the end, however late it comes.
    later = at + 100 * DAY
    for n in (0, 15):
        await look(store, ALIVE, "b", at=later + n * MINUTE)
    found = await rows(
        store, "SELECT recipient FROM outbox WHERE reason = 'resolved' ORDER BY 1"
    )
    assert found == [(ANN,), (BOB,)]


async def test_every_daemon_has_a_pulse(store: Store) -> None:
    assert await store.reports.pulses() == []
    await store.reports.beat(NOW, "host:1")
    await store.reports.beat(NOW + MINUTE, "host:2")
    await store.reports.beat(NOW + HOUR, "host:1")
    both = [(NOW + HOUR, "host:1"), (NOW + MINUTE, "host:2")]
    assert await store.reports.pulses() == both
    await store.reports.forget_pulses(NOW + HOUR)
    assert await store.reports.pulses() == both[:1]


async def test_counts_tell_the_state_of_the_whole(store: Store) -> None:
    empty = await store.reports.counts(NOW)
    assert (empty["severity"], empty["incidents"]) == ({}, 0)
    await store.inventory.import_rows([a_row("a"), a_row("b")], NOW)
    at = await dead(store, "a")
    counts = await store.reports.counts(at)
    assert counts["severity"] == {"critical": 1, "unknown": 1}
    assert counts["codes"] == [("revoked", 1)]
    assert counts["outbox"] == {"waiting": 1}
    assert counts["incidents"] == 1
    assert counts["coverage"][:5] == (2, 1, 1, 1, 0)
    assert await store.reports.overdue(at, []) == 1
    assert await store.reports.overdue(at, ["1"]) == 0
    assert await store.reports.open_matters() == []
    (app,) = await store.reports.app_rows()
    assert (app["id"], app["proved_at"]) == ("1", None)
