"""Nobody is written to in vain unnoticed: others hear instead, then the operator."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.core.policy import Rule
from monitor.core.tokens import Code, Introspection
from monitor.store import Store
from tests.faults.office import Office, an_owing_office
from tests.faults.smtp import At, Post, a_post
from tests.store.builders import ALIVE, ANN, BOB, DAY, HOUR, MINUTE, OPS, a_row

BOSS = "boss@acme.example"
NOBODY = "550 5.1.1 nobody here"
ONLY_OWNERS = Rule(remind_every=30 * DAY)
WITH_BOSS = Rule(remind_every=30 * DAY, escalate_to=(BOSS,))


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path}/monitor.db"


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    async with a_post(Post(refused={ANN: NOBODY})) as post:
        yield post


async def an_office(store: Store, post: Post, rule: Rule, tokens: int = 1) -> Office:
    owners = {f"t-{n:02}": ANN for n in range(tokens)}
    return await an_owing_office(store, post, {**owners, "other": BOB}, rule)


def texts(post: Post, to: str) -> list[str]:
    return [letter.data.decode() for letter in post.kept(to)]


async def states(office: Office, to: str) -> list[tuple[str, str]]:
    entries = await office.entries(to)
    return [(entry["role"], entry["state"]) for entry in entries]


async def test_whom_the_policy_names_is_told_instead(store: Store, post: Post) -> None:
    office = await an_office(store, post, WITH_BOSS)
    await office.deliver()
    assert await states(office, ANN) == [("owner", "refused")]
    await office.pass_time(HOUR, 12 * MINUTE)
    (letter,) = texts(post, BOSS)
    assert "names you as the person to ask" in letter.replace("=\r\n", "")
    assert await states(office, BOSS) == [("escalation", "sent")]
    assert len(post.kept(BOB)) == 1
    # The operator hears of the address, not that a token has nobody.
    (letter,) = texts(post, OPS)
    assert "Subject: [token-monitor] Letters to a=?" not in letter
    assert "No human" not in letter
    await office.pass_time(2 * DAY)
    assert (len(post.kept(BOSS)), len(post.kept(OPS))) == (1, 1)


async def test_no_human_can_be_reached_for_14_tokens(store: Store, post: Post) -> None:
    """One letter for all of them, whatever the number of tokens."""
    office = await an_office(store, post, ONLY_OWNERS, tokens=14)
    await office.deliver()
    await office.pass_time(2 * DAY)
    (letter,) = texts(post, OPS)
    assert "No human can be reached for 14 tokens" in letter
    plain = letter.replace("=\r\n", "")
    assert all(f"t-{n:02}" in plain for n in range(14))
    assert "other" not in plain.partition("What to do")[0].partition("reached")[2]
    assert ANN not in letter


async def test_the_operator_hears_when_those_named_are_refused_too(
    store: Store, post: Post
) -> None:
    post.refused[BOSS] = NOBODY
    office = await an_office(store, post, WITH_BOSS)
    await office.deliver()
    await office.pass_time(DAY)
    assert await states(office, BOSS) == [("escalation", "refused")]
    assert "No human can be reached" in texts(post, OPS)[-1]


async def test_later_news_goes_to_both_at_once(store: Store, post: Post) -> None:
    office = await an_office(store, post, WITH_BOSS)
    await office.deliver()
    await office.pass_time(HOUR, 12 * MINUTE)
    office.answer = Introspection(fault=Code.PASSWORD_CHANGED, app_id="1")
    await office.pass_time(HOUR, 12 * MINUTE)
    entries = [*await office.entries(ANN), *await office.entries(BOSS)]
    found = [(e["number"], e["role"], e["state"]) for e in entries]
    assert found == [
        (1, "owner", "refused"),
        (2, "owner", "refused"),
        (1, "escalation", "sent"),
        (2, "escalation", "sent"),
    ]
    assert len(post.kept(BOSS)) == 2


async def test_one_owner_more_is_told_again(store: Store, post: Post) -> None:
    post.refused[BOB] = "451 4.2.0 later"
    office = await an_office(store, post, ONLY_OWNERS)
    await office.deliver()
    await office.pass_time(HOUR, 12 * MINUTE)
    post.refused[BOB] = NOBODY
    await office.pass_time(5 * HOUR)
    first, second = texts(post, OPS)
    assert "for the token t-00" in first
    assert "No human can be reached for 2 tokens" in second


async def test_refusals_before_the_operator_was_told_are_in_one_letter(
    store: Store, post: Post
) -> None:
    post.refused[BOB] = "451 4.2.0 later"
    office = await an_office(store, post, ONLY_OWNERS)
    await office.deliver()
    post.refused[BOB] = NOBODY
    office.clock.advance(7 * MINUTE)
    post.faults[At.MAIL] = "451 4.3.0 not now"
    await office.deliver()
    post.faults.clear()
    await office.pass_time(5 * HOUR)
    assert "for 2 tokens" in texts(post, OPS)[-1]


@pytest.mark.parametrize("how", ["import", "retry", "accepted"])
async def test_who_can_be_reached_again_is_forgotten(
    store: Store, post: Post, how: str
) -> None:
    office = await an_office(store, post, ONLY_OWNERS)
    await office.deliver()
    await office.pass_time(HOUR, 12 * MINUTE)
    assert [lost.address for lost in await store.unreachable.everybody()] == [ANN]
    post.refused.clear()
    now = office.clock()
    reader = ANN
    if how == "import":
        reader = "new@bakery.example"
        await store.inventory.import_rows([a_row("t-00", owner_email=reader)], now)
    elif how == "retry":
        (entry,) = await office.entries(ANN)
        assert await store.hand.retry(entry["id"], "ops", now) == 1
    else:
        office.answer = Introspection(fault=Code.PASSWORD_CHANGED, app_id="1")
    await office.pass_time(HOUR, 12 * MINUTE)
    assert await store.unreachable.everybody() == []
    assert len(post.kept(reader)) == 1
    assert "Letters reach their readers again" in texts(post, OPS)[-1]
    assert not await store.unreachable.open()


async def test_a_refused_good_news_is_told_to_nobody_else(
    store: Store, post: Post
) -> None:
    post.refused.clear()
    office = await an_office(store, post, WITH_BOSS)
    await office.deliver()
    office.answer = replace(ALIVE)
    post.refused[ANN] = NOBODY
    await office.pass_time(HOUR, 12 * MINUTE)
    assert [state for _, state in await states(office, ANN)] == ["sent", "refused"]
    assert not await office.entries(BOSS)
    assert post.kept(OPS), "but the address is known to be dead"
