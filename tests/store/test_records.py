"""Recording: what a look changes, what it leaves alone, and the line of history."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitor.core.policy import Rule
from monitor.core.tokens import Answer, Cause, Code, Inconclusive
from monitor.jobs.court import Court
from monitor.store import Store
from monitor.store.claims import Claim
from monitor.store.entries import Entry
from monitor.store.judging import Owner
from tests.store.builders import (
    ALIVE,
    ANN,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    REVOKED,
    a_court,
    a_row,
    claimed,
    column,
    dead,
    ending_in,
    execute,
    heard,
    look,
    read,
    rows,
)

DOWN = Inconclusive(Cause.UNREACHABLE)


async def history(store: Store, token_id: str = "north") -> list[str]:  # noqa: S107
    row_id = await column(store, "row_id", token_id)
    return [row["answer"] for row in await store.reports.history(row_id)]


async def test_one_replaced_token_is_superseded_and_the_others_are_written(
    store: Store,
) -> None:
    ids = [f"t-{n:02}" for n in range(50)]
    await store.inventory.import_rows(map(a_row, ids), NOW)
    claims = await claimed(store, *ids)
    await store.inventory.import_rows([a_row("t-25", token="EAAB-new")], NOW)
    looked = read(ALIVE, NOW, *claims, proved_at=NOW)
    recorded = await store.records.write(looked, a_court(), NOW)
    assert recorded.superseded == ["t-25"]
    assert len(recorded.judged) == 49
    assert await column(store, "severity", "t-25") == "unknown"
    assert await column(store, "severity", "t-24") == "ok"


async def test_an_older_look_than_the_recorded_one_is_superseded(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await look(store, ALIVE, at=NOW + MINUTE)
    (claim,) = await claimed(store, "north", now=NOW + MINUTE)
    old = read(REVOKED, NOW, claim, proved_at=NOW)
    recorded = await store.records.write(old, a_court(), NOW + MINUTE)
    assert recorded.superseded == ["north"]
    assert await column(store, "suspicion") is None


async def test_a_removed_token_is_superseded(store: Store) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    (claim,) = await claimed(store, "north")
    await store.inventory.remove("north", "ops", NOW)
    looked = read(ALIVE, NOW, claim, proved_at=NOW)
    recorded = await store.records.write(looked, a_court(), NOW)
    assert recorded.superseded == ["north"]


async def test_history_has_a_row_only_when_the_answer_differs(store: Store) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    plot: list[tuple[Answer, int]] = [
        (ALIVE, 1),
        (ALIVE, 1),
        (DOWN, 2),
        (DOWN, 2),
        (Inconclusive(Cause.THROTTLED), 3),
        (ALIVE, 3),
        (REVOKED, 4),  # a suspicion
        (ALIVE, 5),
        (ALIVE, 5),
        (replace(ALIVE, scopes=()), 6),
    ]
    for n, (answer, expected) in enumerate(plot):
        await look(store, answer, at=NOW + n * MINUTE)
        assert len(await history(store)) == expected, (n, answer)
    assert await column(store, "looks") == len(plot)


class SpeechlessCourt(Court):
    """Judges, and cannot say what is to be told."""

    def plan(self, owner: Owner, *judged: Any) -> list[Entry]:
        raise ZeroDivisionError(owner.id, judged)


async def test_a_death_is_recorded_with_its_incident_and_its_letter_or_not_at_all(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await look(store, REVOKED)
    at = NOW + 11 * MINUTE
    with pytest.raises(ZeroDivisionError):
        await look(store, REVOKED, at=at, court=a_court(at, kind=SpeechlessCourt))
    assert await column(store, "codes") == ""
    assert await rows(store, "SELECT count(*) FROM incidents") == [(0,)]
    assert len(await history(store)) == 1

    await look(store, REVOKED, at=at)
    assert await column(store, "codes") == "revoked"
    assert await rows(store, "SELECT subject, closed_at FROM incidents") == [
        ("token:north", None)
    ]
    assert await rows(store, "SELECT recipient, state FROM outbox") == [
        (ANN, "waiting")
    ]


@pytest.mark.parametrize(
    ("proof", "believed"),
    [
        pytest.param(None, False, id="no proof"),
        pytest.param(timedelta(), False, id="the proof of the first sighting"),
        pytest.param(MINUTE, True, id="a newer proof"),
    ],
)
async def test_a_second_look_settles_only_under_a_newer_proof(
    store: Store,
    proof: timedelta | None,
    believed: bool,  # noqa: FBT001 - a column of the table
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await look(store, REVOKED)
    at = NOW + 11 * MINUTE
    proved_at = None if proof is None else NOW + proof
    (claim,) = await claimed(store, "north", now=at)
    assert claim.suspected_at == NOW
    looked = read(REVOKED, at, claim, proved_at=proved_at)
    await store.records.write(looked, a_court(at), at)
    assert (await column(store, "codes") == "revoked") is believed


# --- tokens at rest

Break = Callable[[Store, Claim], Awaitable[None]]


def sets(**values: object) -> Break:
    async def change(store: Store, claim: Claim) -> None:
        names = ", ".join(f"{name} = :{name}" for name in values)
        await execute(store, f"UPDATE health SET {names}", **values)  # noqa: S608

    return change


async def nothing(store: Store, claim: Claim) -> None:
    pass


MICRO = 1_000_000
HELD = int((NOW + HOUR).timestamp()) * MICRO


@pytest.mark.parametrize(
    ("broken", "answer", "confirmed"),
    [
        pytest.param(nothing, ALIVE, 1, id="all agrees"),
        pytest.param(nothing, replace(ALIVE, scopes=()), 0, id="another answer"),
        pytest.param(nothing, DOWN, 0, id="no answer"),
        pytest.param(nothing, REVOKED, 0, id="bad news"),
        pytest.param(sets(heard=None), ALIVE, 0, id="something pends"),
        pytest.param(sets(heard=7), ALIVE, 0, id="something else was heard since"),
        pytest.param(sets(fence=99), ALIVE, 0, id="claim taken over"),
        pytest.param(sets(judge_at=HELD - 1), ALIVE, 0, id="judgement overdue"),
        pytest.param(sets(judge_at=HELD), ALIVE, 0, id="judgement due now"),
        pytest.param(sets(judge_at=HELD + 1), ALIVE, 1, id="judgement due later"),
        pytest.param(sets(last_checked_at=HELD + 1), ALIVE, 0, id="looked at later"),
        pytest.param(sets(last_checked_at=HELD), ALIVE, 1, id="looked at just now"),
    ],
)
async def test_a_token_is_at_rest_only_while_nothing_pends(
    store: Store, broken: Break, answer: Answer, confirmed: int
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await look(store, ALIVE)
    at = NOW + HOUR
    (claim,) = await claimed(store, "north", now=at)
    await broken(store, claim)
    recorded = await store.records.write(heard(answer, at, claim), a_court(at), at)
    assert recorded.confirmed.total() == confirmed
    if confirmed:
        assert recorded.judged == []
        assert len(await history(store)) == 1
        assert await column(store, "looks") == 2
        assert await column(store, "verified_at") == HELD


async def test_a_confirmed_token_is_due_within_its_interval_or_at_its_next_turn(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row("a"), a_row("b")], NOW)
    await look(store, ALIVE, "a")
    await look(store, ending_in(14 * DAY + 2 * HOUR), "b")
    at = NOW + HOUR
    for name, answer in (("a", ALIVE), ("b", ending_in(14 * DAY + 2 * HOUR))):
        assert (await look(store, answer, name, at=at)).confirmed.total() == 1
    every = 6 * 3600 * MICRO
    assert HELD + 0.9 * every <= await column(store, "next_check_at", "a")
    assert await column(store, "next_check_at", "a") <= HELD + every
    assert await column(store, "next_check_at", "b") == HELD + 3600 * MICRO


async def test_what_nobody_confirmed_for_long_is_ok_again_at_the_next_good_look(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await look(store, ALIVE)
    later = NOW + 2 * DAY
    await store.records.judge_all(a_court(later), later)
    assert await column(store, "severity") == "unknown"
    await look(store, ALIVE, at=later)
    assert await column(store, "severity") == "ok"


async def test_nothing_is_heard_while_something_pends(store: Store) -> None:
    """The print is set at rest only; whatever begins to pend clears it."""
    await store.inventory.import_rows([a_row()], NOW)
    every = 20 * MINUTE
    plot: list[tuple[Answer, bool]] = [
        (ALIVE, True),
        (DOWN, False),
        (ALIVE, True),
        (REVOKED, False),  # suspected
        (ALIVE, True),
        (REVOKED, False),
        (REVOKED, False),  # an incident opens
        (ALIVE, False),  # a first good look
        (ALIVE, True),
    ]
    for n, (answer, rests) in enumerate(plot):
        await look(store, answer, at=NOW + n * every)
        assert (await column(store, "heard") is not None) is rests, (n, answer)
    await store.records.judge_all(a_court(NOW + 9 * every), NOW + 9 * every)
    assert await column(store, "heard") is not None, "judged again, still at rest"
    await store.records.judge_all(a_court(NOW + 9 * DAY), NOW + 9 * DAY)
    assert await column(store, "severity") == "unknown"
    assert await column(store, "heard") is None, "not trusted any more"


async def test_under_other_rules_nobody_is_at_rest(store: Store) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await look(store, ALIVE)
    other = Rule(warn_before=(40 * DAY,))
    recorded = await look(store, ALIVE, at=NOW + HOUR, rule=other)
    assert (recorded.confirmed.total(), len(recorded.judged)) == (0, 1)
    again = await look(store, ALIVE, at=NOW + 2 * HOUR, rule=other)
    assert (again.confirmed.total(), len(again.judged)) == (1, 0)


async def test_of_a_group_only_those_at_rest_are_confirmed(store: Store) -> None:
    ids = [f"t-{n}" for n in range(6)]
    await store.inventory.import_rows(map(a_row, ids), NOW)
    await look(store, ALIVE, *ids)
    at = NOW + HOUR
    claims = {claim.id: claim for claim in await claimed(store, *ids, now=at)}
    await execute(
        store,
        "UPDATE health SET fence = fence + 1 WHERE token_row = :row",
        row=claims["t-1"].row_id,
    )
    await execute(
        store,
        "UPDATE health SET judge_at = :at WHERE token_row = :row",
        at=HELD,
        row=claims["t-2"].row_id,
    )
    looked = heard(ALIVE, at, *claims.values())
    recorded = await store.records.write(looked, a_court(at), at)
    assert recorded.confirmed.total() == 4
    assert [record.id for record, _ in recorded.judged] == ["t-2"]
    assert recorded.superseded == ["t-1"]


async def test_a_look_that_was_read_confirms_nothing(store: Store) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await look(store, ALIVE)
    at = NOW + HOUR
    (claim,) = await claimed(store, "north", now=at)
    looked = read(ALIVE, at, claim, proved_at=at)
    recorded = await store.records.write(looked, a_court(at), at)
    assert (recorded.confirmed.total(), len(recorded.judged)) == (0, 1)
    assert await column(store, "heard") is None, "these words were not all it said"


# --- judging without a look


async def test_time_alone_makes_a_known_date_speak(store: Store) -> None:
    await store.inventory.import_rows([a_row(), a_row("other", app_id="2")], NOW)
    await look(store, ending_in(15 * DAY))
    before = NOW + DAY - timedelta(microseconds=1)
    early = await store.records.judge_due("1", a_court(before), before)
    assert early.judged == []
    at = NOW + DAY
    assert (await store.records.judge_due("2", a_court(at), at)).judged == []
    recorded = await store.records.judge_due("1", a_court(at), at)
    assert [pair[1].step.notice is not None for pair in recorded.judged] == [True]
    again = await store.records.judge_due("1", a_court(at), at)
    assert again.judged == [], "one judgement an instant"
    assert await column(store, "looks") == 1


async def test_judging_again_without_a_look_leaves_why_the_last_one_could_not_tell(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await look(store, ALIVE)
    await look(store, DOWN, at=NOW + MINUTE)
    await store.records.judge_all(a_court(NOW + HOUR), NOW + HOUR)
    assert await column(store, "inconclusive_cause") == "unreachable"
    assert len(await history(store)) == 2


async def test_a_changed_policy_is_applied_to_every_token_once(store: Store) -> None:
    ids = [f"t-{n:03}" for n in range(25)]
    await store.inventory.import_rows(map(a_row, ids), NOW)
    await look(store, ending_in(30 * DAY), *ids)
    strict = Rule(warn_before=(40 * DAY,))
    total = await store.records.judge_all(a_court(NOW, strict), NOW, chunk=10)
    assert len(total.judged) == 25
    total = await store.records.judge_all(a_court(NOW, strict), NOW, chunk=10)
    assert total.judged == []
    # Taken back, the matter closes without a word.
    await store.records.judge_all(a_court(NOW), NOW)
    assert await rows(store, "SELECT DISTINCT state, dropped_for FROM outbox") == [
        ("dropped", "closed")
    ]


async def test_an_incident_closes_with_what_was_still_to_be_said(store: Store) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    at = await dead(store)
    for n in (1, 12):
        await look(store, ALIVE, at=at + n * MINUTE)
    assert await rows(store, "SELECT reason, state, dropped_for FROM outbox") == [
        ("opened", "dropped", "closed")
    ]
    (row,) = await rows(store, "SELECT closed_at IS NOT NULL FROM incidents")
    assert row == (1,)


async def test_one_subject_has_one_open_incident(store: Store) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    at = await dead(store)
    await look(store, replace(REVOKED, fault=Code.LOGGED_OUT), at=at + MINUTE)
    await look(store, replace(REVOKED, fault=Code.LOGGED_OUT), at=at + 20 * MINUTE)
    found = await rows(store, "SELECT subject FROM incidents")
    assert found == [("token:north",)]
    query = "SELECT reason, state, dropped_for FROM outbox ORDER BY number"
    assert await rows(store, query) == [
        ("opened", "dropped", "superseded"),
        ("worsened", "waiting", None),
    ]
