"""One bad address among many: the others have their letters in the same pass."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.core.attempt import GIVE_UP_AFTER, Outcome
from monitor.notify import email
from monitor.store import Store
from tests.faults.office import Office, an_owing_office
from tests.faults.smtp import Post, a_post
from tests.store.builders import ANN, MINUTE, OPS

OTHERS = [f"r{n:02}@acme.example" for n in range(24)]


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path}/monitor.db"


@pytest.fixture
async def office(store: Store) -> AsyncIterator[Office]:
    async with a_post(Post()) as post:
        owners = {f"t-{n}": who for n, who in enumerate([ANN, *OTHERS])}
        yield await an_owing_office(store, post, owners)


async def waits_for_nobody(office: Office) -> None:
    done = await office.deliver()
    others = [who for who in OTHERS if who not in office.post.refused]
    late = [who for who in others if len(office.post.kept(who)) != 1]
    assert late == []
    assert done.sent == len(others)


@pytest.mark.parametrize("how", ["refused", "deferred", "silent"])
async def test_a_bad_address_delays_nobody(office: Office, how: str) -> None:
    if how == "silent":
        office.post.silent.add(ANN)
        office.connect(longest_attempt=timedelta(seconds=1))
    else:
        office.post.refused[ANN] = {"refused": "550 5.1.1 no", "deferred": "450 no"}[
            how
        ]
    await waits_for_nobody(office)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_control_a_bad_address_that_stops_the_way_is_seen(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email, "outcome_of", lambda *_: Outcome.CHANNEL)
    # Letters sealed together go in any order: half of them, so that one comes early.
    for who in [ANN, *OTHERS[::2]]:
        office.post.refused[who] = "550 5.1.1 no"
    with pytest.raises(AssertionError):
        await waits_for_nobody(office)


async def test_four_days_of_growing_waits(office: Office) -> None:
    """Then it is visible as refused, the operator hears, and `retry` tries again."""
    office.post.refused[ANN] = "450 4.2.0 later"
    begun = office.clock()
    await office.deliver()
    waits = []
    while (await office.entries(ANN))[0]["state"] == "sealed":
        due_at = (await office.entries(ANN))[0]["letter_due_at"]
        waits.append(due_at - office.clock())
        office.clock.now = due_at
        await office.deliver()
    minutes = [wait / MINUTE for wait in waits[:8]]
    for at_least, found in zip([5, 10, 20, 40, 80, 160, 240], minutes, strict=False):
        assert at_least <= found <= at_least * 1.25
    assert max(waits) <= timedelta(hours=5)
    tried_for = office.clock() - begun
    assert GIVE_UP_AFTER <= tried_for < GIVE_UP_AFTER + timedelta(hours=5)
    await office.pass_time(timedelta(hours=1), 12 * MINUTE)
    assert office.post.begun[ANN] == len(waits) + 1
    assert len(office.post.kept(OPS)) == 1
    office.post.refused.clear()
    (entry,) = await office.entries(ANN)
    assert await office.store.hand.retry(entry["id"], "ops", office.clock()) == 1
    await office.deliver()
    assert len(office.post.kept(ANN)) == 1
