"""Refused by policy: one reader who blocks us stops nobody, and costs nobody else."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.notify import email
from monitor.store import Store
from monitor.store.settlement import channel_pause
from tests.faults.office import Office, an_owing_office
from tests.faults.smtp import At, Post, a_post
from tests.store.builders import ANN, BOB, HOUR, MINUTE, OPS

BLOCKED = "550 5.7.1 delivery not authorized"
READERS = (ANN, BOB, *(f"r{n}@acme.example" for n in range(4)))


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


async def an_office(store: Store, post: Post, *readers: str) -> Office:
    owners = {f"t-{n}": who for n, who in enumerate(readers or READERS)}
    return await an_owing_office(store, post, owners)


async def outcomes(office: Office) -> dict[str, str]:
    rows = await office.store.reports.entries()
    return {row["recipient"]: row["state"] for row in rows}


async def paused(office: Office) -> bool:
    until, _ = await channel_pause(office.store.database)
    return until is not None


async def test_one_reader_who_blocks_us_delays_nobody(store: Store, post: Post) -> None:
    post.refused[ANN] = BLOCKED
    office = await an_office(store, post)
    await office.deliver()
    found = await outcomes(office)
    assert [found[reader] for reader in READERS[1:]] == ["sent"] * 5
    assert not await paused(office)
    await office.pass_time(HOUR, 6 * MINUTE)
    assert (await outcomes(office))[ANN] == "refused"
    assert post.begun[ANN] <= 2, "a second try, and no third"
    assert len(post.kept(OPS)) == 1


async def survives_a_blocked_channel(office: Office) -> None:
    post = office.post
    post.faults[At.RCPT] = BLOCKED
    await office.deliver()
    assert await paused(office)
    before = post.begun.total()
    for _ in range(12):
        office.clock.advance(5 * MINUTE)
        await office.deliver()
    assert post.begun.total() - before <= 12, "one letter every five minutes"
    assert set((await outcomes(office)).values()) == {"sealed"}, "nobody is given up"
    post.mend()
    await office.pass_time(2 * HOUR, 6 * MINUTE)
    assert {reader: len(post.kept(reader)) for reader in READERS} == dict.fromkeys(
        READERS, 1
    )
    assert not post.kept(OPS)


async def test_a_blocked_channel_costs_no_letter(store: Store, post: Post) -> None:
    await survives_a_blocked_channel(await an_office(store, post))


async def test_nor_does_one_whose_server_knows_no_enhanced_codes(
    store: Store, post: Post
) -> None:
    readers = READERS[:4]
    office = await an_office(store, post, *readers)
    post.faults[At.RCPT] = "550 relay not permitted"
    await office.deliver()
    assert await paused(office)
    await office.pass_time(HOUR, 5 * MINUTE)
    assert set((await outcomes(office)).values()) == {"sealed"}, "nobody is given up"
    post.mend()
    await office.pass_time(2 * HOUR, 6 * MINUTE)
    assert [len(post.kept(reader)) for reader in readers] == [1] * 4


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_control_a_refusal_taken_at_its_word_is_seen(
    store: Store, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email, "is_disputed", lambda *_: False)
    with pytest.raises(AssertionError):
        await survives_a_blocked_channel(await an_office(store, post))


async def test_two_who_block_us_do_not_keep_the_third_waiting(
    store: Store, post: Post
) -> None:
    """The way is tried with another letter each time, and soon known to be open."""
    post.refused |= {ANN: BLOCKED, BOB: BLOCKED}
    other = "z@acme.example"
    post.refused[other] = "451 4.2.0 later"
    office = await an_office(store, post, ANN, BOB, other)
    await office.deliver()
    del post.refused[other]
    await office.pass_time(HOUR, 5 * MINUTE)
    found = await outcomes(office)
    assert (found[ANN], found[BOB], found[other]) == ("refused", "refused", "sent")
    assert not await paused(office)
    assert "2 tokens" in post.kept(OPS)[-1].data.decode()


async def test_a_lone_reader_is_given_up_within_the_hour(
    store: Store, post: Post
) -> None:
    post.refused[ANN] = BLOCKED
    office = await an_office(store, post, ANN)
    await office.deliver()
    await office.pass_time(HOUR, 6 * MINUTE)
    assert (await outcomes(office))[ANN] == "refused"
    assert post.begun[ANN] == 4
    assert len(post.kept(OPS)) == 1
