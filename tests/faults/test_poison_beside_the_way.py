"""Poison met beside the way of a letter: by the clock, of the unreachable, at home."""

from collections.abc import AsyncIterator
from datetime import time
from pathlib import Path

import pytest

from monitor.core.bounces import Finding
from monitor.core.policy import Rule
from monitor.core.report import Rota
from monitor.jobs.caretaker import Caretaker
from monitor.store import Store
from tests.faults.office import an_owing_office
from tests.faults.smtp import Post, a_post
from tests.faults.test_bounces import BOSS, BOUNCES, ingest, letter_to, state
from tests.jobs.house import Builder, a_token
from tests.jobs.test_clock import guarded
from tests.notify.reports import a_bounce
from tests.store.builders import ANN, BOB, DAY, HOUR, MINUTE, OPS, execute

NOBODY = "550 5.1.1 nobody here"
RULE = Rule(remind_every=30 * DAY, escalate_to=(BOSS,))
ONLY_OWNERS = Rule(remind_every=30 * DAY)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path}/monitor.db"


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    async with a_post(Post()) as post:
        yield post


async def spoil_an_incident(store: Store) -> None:
    await execute(
        store,
        "INSERT INTO incidents (id, subject, token_row, app_id, opened_at, state) "
        "SELECT 'x', 'token:north', row_id, '1', 1, '{' FROM tokens WHERE id = 'north'",
    )


async def test_a_clock_is_believed_whatever_lies_in_an_incident(
    house: Builder,
) -> None:
    """Else the daemon asks nobody and says nothing, for good."""
    home = await house(a_token())
    await home.check()
    await spoil_an_incident(home.store)
    place = await guarded(home)
    await place.live(10 * MINUTE)
    assert place.trusted


async def test_a_report_comes_whatever_lies_in_an_incident(house: Builder) -> None:
    home = await house(a_token(), report=Rota(time(9), None, "UTC"))
    await home.check()
    await spoil_an_incident(home.store)
    await execute(home.store, "UPDATE health SET severity = 'critical'")
    for _ in range(3):
        home.clock.advance(12 * HOUR)
        care = Caretaker(home.store, home.charter, home.clock, instance="here:1")
        await care.tick()
        await care.settle()
        await home.courier.deliver_due()
    assert home.letters(OPS)


async def test_a_token_that_cannot_be_read_does_not_hide_its_owner(
    store: Store, post: Post
) -> None:
    post.refused[ANN] = NOBODY
    owners = {"north": ANN, "south": ANN, "other": BOB}
    office = await an_owing_office(store, post, owners, ONLY_OWNERS)
    await office.deliver()
    await execute(
        store,
        "UPDATE introspections SET known = '{' WHERE token_row = "
        "(SELECT row_id FROM tokens WHERE id = 'north')",
    )
    for _ in range(3):
        office.clock.advance(6 * MINUTE)
        await office.courier.deliver_due()
    assert post.kept(OPS)
    assert {kin.token_id for kin in await store.unreachable.kin()} == {
        "north",
        "south",
    }


async def test_a_notice_that_cannot_be_read_stops_no_courier(
    store: Store, post: Post
) -> None:
    post.refused |= {ANN: NOBODY, BOB: "451 4.2.0 later"}
    office = await an_owing_office(
        store, post, {"north": ANN, "other": BOB}, ONLY_OWNERS
    )
    await office.deliver()
    await execute(store, "UPDATE outbox SET item = '{' WHERE subject = 'unreachable'")
    post.refused[BOB] = NOBODY
    for _ in range(3):
        office.clock.advance(10 * MINUTE)
        await office.deliver()
    assert {lost.address for lost in await store.unreachable.everybody()} == {ANN, BOB}


async def test_a_bounce_is_settled_whatever_lies_in_the_incident(
    store: Store, post: Post
) -> None:
    owners = {"north": ANN, "south": BOB}
    office = await an_owing_office(store, post, owners, RULE, bounce_address=BOUNCES)
    await office.deliver()
    await execute(
        store, "UPDATE incidents SET state = '{' WHERE subject = 'token:north'"
    )
    raw = a_bounce(letter_to(office, ANN).sender)
    assert await ingest(office, raw) is Finding.UNREACHABLE
    assert await state(office, ANN) == "refused"
