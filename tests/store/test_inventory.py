"""Imports: all or nothing, the same again is nothing, and what a change sets off."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from monitor.core.inventory import Row
from monitor.store import Store
from monitor.store.inventory import Imported
from tests.store.builders import (
    ANN,
    BOB,
    CALM,
    DAY,
    LEASE,
    MINUTE,
    NOW,
    a_row,
    claimed,
    column,
    dead,
    due,
    ending_in,
    execute,
    let_go,
    look,
    rows,
)


async def owners(store: Store) -> list[tuple[str, str, str]]:
    return sorted(
        (row["recipient"], row["state"], row["name"])
        for row in await store.reports.entries()
    )


async def test_a_row_that_fails_takes_all_others_along(store: Store) -> None:
    def broken() -> Iterator[Row]:
        for n in range(1200):
            yield a_row(f"t-{n}")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.inventory.import_rows(broken(), NOW)
    assert await store.claims.count(["1"]) == 0


async def test_the_same_file_again_changes_nothing(store: Store) -> None:
    inventory = [
        a_row("a", labels={"team": "x", "b": "y"}, cc=(BOB,)),
        a_row("b", kind="page", timezone="Europe/Berlin"),
    ]
    assert await store.inventory.import_rows(inventory, NOW) == Imported(added=2)
    before = await rows(store, "SELECT * FROM tokens ORDER BY id")
    again = await store.inventory.import_rows(inventory, NOW + DAY)
    assert again == Imported(unchanged=2)
    assert await rows(store, "SELECT * FROM tokens ORDER BY id") == before


async def test_a_replaced_secret_makes_a_new_version_of_which_nothing_is_known(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await look(store, ending_in(60 * DAY))
    (late,) = await claimed(store, "north")
    done = await store.inventory.import_rows([a_row(token="EAAB-new")], NOW + MINUTE)
    assert done == Imported(replaced=1)
    for name, value in {
        "version": 2,
        "known": None,
        "heard": None,
        "verified_at": None,
        "life_seen_at": None,
        "severity": "unknown",
        "codes": "",
        "judge_at": None,
        "urgency": 1,
    }.items():
        assert await column(store, name) == value, name
    (claim,) = await due(store, NOW + MINUTE, 10)
    assert claim.fence > late.fence
    assert store.inventory.unseal([claim, late]) == [b"EAAB-new", b"EAAB-north"]


async def test_changed_facts_are_looked_at_anew_and_the_secret_stays(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await look(store, ending_in(60 * DAY))
    done = await store.inventory.import_rows([a_row(kind="page")], NOW + MINUTE)
    assert done == Imported(changed=1)
    assert await column(store, "version") == 1
    assert await column(store, "heard") is None
    assert await column(store, "known") is not None
    assert len(await due(store, NOW + MINUTE, 10)) == 1


async def test_a_new_owner_of_an_open_matter_is_told_by_his_own_name(
    store: Store,
) -> None:
    row = a_row(owner_name="Ann", cc=("boss@bakery.example",), locale="de")
    await store.inventory.import_rows([row], NOW)
    at = await dead(store)
    changed = replace(row, owner_email=BOB, owner_name="Bob", cc=(), locale="en")
    await store.inventory.import_rows([changed], at)
    assert await owners(store) == [(ANN, "waiting", "Ann"), (BOB, "waiting", "Bob")]
    (entry,) = [e for e in await store.reports.entries() if e["recipient"] == BOB]
    assert (entry["cc"], entry["locale"]) == ("", "en")
    assert (entry["number"], entry["reason"]) == (1, "opened")


async def test_a_new_owner_is_told_once_however_often_the_file_comes(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    at = await dead(store)
    for _ in range(3):
        await store.inventory.import_rows([a_row(owner_email=BOB)], at)
    assert len(await owners(store)) == 2


async def test_an_owner_who_comes_back_before_he_was_told_is_told(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    at = await dead(store)
    await store.inventory.import_rows([a_row(owner_email=BOB)], at)
    # The gate drops what the first owner was to be told.
    (entry,) = [e for e in await store.reports.entries() if e["recipient"] == ANN]
    await execute(
        store,
        "UPDATE outbox SET state = 'dropped', dropped_for = 'not_recipient' "
        "WHERE id = :id",
        id=entry["id"],
    )
    await store.inventory.import_rows([a_row(owner_email=ANN)], at)
    states = {e["recipient"]: e["state"] for e in await store.reports.entries()}
    assert states[ANN] == "waiting"


async def test_a_new_owner_of_a_well_token_hears_nothing(store: Store) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    await store.inventory.import_rows([a_row(owner_email=BOB)], NOW)
    assert await owners(store) == []


async def test_a_removed_token_takes_history_incident_and_entries_along(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    at = await dead(store)
    assert await store.inventory.remove("north", "ops", at)
    assert not await store.inventory.remove("north", "ops", at)
    assert await rows(store, "SELECT count(*) FROM checks") == [(0,)]
    assert await rows(
        store, "SELECT count(*) FROM incidents WHERE closed_at IS NULL"
    ) == [(0,)]
    assert await rows(store, "SELECT state, dropped_for FROM outbox") == [
        ("dropped", "gone")
    ]
    assert await rows(store, "SELECT author, action, subject FROM audit") == [
        ("ops", "remove", "token:north")
    ]
    done = await store.outbox.seal(
        let_go, at + DAY, storm=CALM, lease=LEASE, domain="x.example"
    )
    assert done.sealed == 0


async def test_a_token_that_comes_back_is_another_one(store: Store) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    before = await column(store, "row_id")
    await store.inventory.remove("north", "ops", NOW)
    await store.inventory.import_rows([a_row()], NOW)
    assert await column(store, "row_id") != before


async def test_an_export_tells_everything_but_the_secret(store: Store) -> None:
    await store.inventory.import_rows([a_row("b"), a_row("a")], NOW)
    exported = [row async for row in store.inventory.export()]
    assert [row["id"] for row in exported] == ["a", "b"]
    assert "EAAB" not in repr(exported)
    assert "secret" not in exported[0]


async def test_twenty_thousand_rows_are_quick(store: Store) -> None:
    seen: list[int] = []
    inventory = [a_row(f"t-{n}") for n in range(20_000)]
    began = time.process_time()
    await store.inventory.import_rows(inventory, NOW, seen.append)
    again = await store.inventory.import_rows(inventory, NOW)
    assert again == Imported(unchanged=20_000)
    assert time.process_time() - began < 20
    assert (seen[0], seen[-1]) == (500, 20_000)
