"""Two replicas in each other's way on PostgreSQL: nobody waits for ever."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from monitor.errors import UnavailableError
from monitor.store import connect
from monitor.store.ledger import Budget
from monitor.store.seal import Keyring
from monitor.store.tables import apps, health
from tests.store.builders import (
    CALM,
    LEASE,
    NOW,
    a_row,
    column,
    dead,
    execute,
    let_go,
    rows,
)


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


async def test_who_is_frozen_within_a_transaction_does_not_stop_the_others(
    database_url: str, keyring: Keyring
) -> None:
    """Its locks are waited for, but not for ever."""
    async with (
        connect(database_url, keyring) as frozen,
        connect(database_url, keyring) as other,
    ):
        await other.inventory.import_rows([a_row()], NOW)
        await other.apps.note("1", failures=0)
        async with frozen.database.write() as connection:
            await connection.execute(select(apps).with_for_update())
            async with asyncio.timeout(20):
                with pytest.raises(UnavailableError, match="lock timeout"):
                    await other.claims.due(Budget("1"), NOW, LEASE, 5)


async def test_a_transaction_that_idles_is_ended_and_that_is_no_bug(
    database_url: str, keyring: Keyring
) -> None:
    async with connect(database_url, keyring) as store:
        with pytest.raises(UnavailableError):  # noqa: PT012 - the whole transaction
            async with store.database.write() as connection:
                await connection.execute(
                    text("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
                )
                await asyncio.sleep(0.5)  # the server's clock, not ours
                await connection.execute(select(apps))


async def test_a_letter_in_another_hand_is_passed_over(
    database_url: str, keyring: Keyring
) -> None:
    async with (
        connect(database_url, keyring) as one,
        connect(database_url, keyring) as two,
    ):
        await one.inventory.import_rows(
            [a_row("a"), a_row("b", owner_email="bob@brewery.example")], NOW
        )
        at = await dead(one, "a", "b") + timedelta(minutes=3)
        await one.outbox.seal(let_go, at, storm=CALM, lease=LEASE, domain="x.example")
        taken = await asyncio.gather(
            *(store.outbox.take(let_go, at, LEASE) for store in (one, two, one))
        )
        ids = [sealed.id for sealed in taken if sealed is not None]
        assert len(ids) == len(set(ids)) == 2


async def test_thousands_of_entries_make_letters_that_can_be_taken(
    database_url: str, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reader of very many entries gets several letters, not one too large."""
    monkeypatch.setattr("monitor.store.sealing._MOST_ENTRIES", 20)
    async with connect(database_url, keyring) as store:
        ids = [f"t-{n}" for n in range(50)]
        await store.inventory.import_rows(map(a_row, ids), NOW)
        at = await dead(store, *ids) + timedelta(minutes=3)
        done = await store.outbox.seal(
            let_go, at, storm=CALM, lease=LEASE, domain="x.example"
        )
        assert done.sealed == 3
        sizes = []
        while sealed := await store.outbox.take(let_go, at, LEASE):
            sizes.append(len(sealed.waiters))
        assert sorted(sizes) == [10, 20, 20]


async def test_an_overdue_token_that_owes_a_look_comes_first(
    database_url: str, keyring: Keyring
) -> None:
    from monitor.core.delivery import Wait, Waiting  # noqa: PLC0415 - here only

    async with connect(database_url, keyring) as store:
        await store.inventory.import_rows([a_row()], NOW)
        at = await dead(store) + timedelta(minutes=3)
        await execute(store, "UPDATE health SET next_check_at = 1, urgency = 3")
        wait = Wait(Waiting.LOOK, at + timedelta(minutes=1))
        await store.outbox.seal(
            lambda waiter: (waiter.item, wait),
            at,
            storm=CALM,
            lease=LEASE,
            domain="x.example",
        )
        assert await column(store, "urgency") == 0
        assert await rows(store, "SELECT count(*) FROM letters") == [(0,)]


async def test_tokens_in_another_hand_are_passed_over(
    database_url: str, keyring: Keyring
) -> None:
    async with connect(database_url, keyring) as store:
        await store.inventory.import_rows([a_row("a"), a_row("b")], NOW)
        found = await store.claims.rows_of(["a"])
        async with store.database.write() as connection:
            await connection.execute(
                select(health).where(health.c.token_row == found["a"]).with_for_update()
            )
            taken = await store.claims.due(Budget("1"), NOW, LEASE, 5)
            assert [claim.id for claim in taken.claims] == ["b"]
