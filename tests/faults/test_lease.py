"""A courier dies, freezes or loses a reply with a letter in hand: nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from monitor.core.attempt import Attempt
from monitor.core.tokens import Code, Introspection
from monitor.notify.email import Mailer
from monitor.store import Store, taking
from tests.faults.office import Office, an_owing_office
from tests.faults.smtp import At, How, Post, a_post
from tests.store.builders import ALIVE, ANN, HOUR, LEASE, MINUTE

PASSWORD_CHANGED = Introspection(fault=Code.PASSWORD_CHANGED, app_id="1")


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path}/monitor.db"


@pytest.fixture
async def office(store: Store) -> AsyncIterator[Office]:
    async with a_post(Post()) as post:
        yield await an_owing_office(store, post, {"north": ANN})


async def dies_at(office: Office, place: At) -> None:
    """A courier that ends there without another word to anybody."""
    reached = asyncio.Event()
    office.post.faults[place] = How.HOLE
    office.post.asked = lambda at: reached.set() if at is place else None
    await office.look()
    courier = asyncio.create_task(office.courier.deliver_due())
    await asyncio.wait_for(reached.wait(), 20)
    courier.cancel()
    await asyncio.gather(courier, return_exceptions=True)
    office.post.mend()


def names(office: Office) -> list[str]:
    return [letter.message_id for letter in office.post.kept(ANN)]


async def told(office: Office) -> list[tuple[str, str]]:
    entries = await office.entries(ANN)
    return [(entry["reason"], entry["state"]) for entry in entries]


# --- it dies


@pytest.mark.parametrize(("place", "times"), [(At.RCPT, 1), (At.DATA, 1), (At.DOT, 2)])
async def test_who_dies_with_a_letter_leaves_it_to_another(
    office: Office, place: At, times: int
) -> None:
    """Twice only where the dot was written, and then under the same name."""
    await dies_at(office, place)
    await office.pass_time(LEASE - MINUTE, MINUTE)
    assert len(names(office)) == times - 1, "nobody takes it before its lease is over"
    await office.pass_time(HOUR, 6 * MINUTE)
    assert len(names(office)) == times
    assert len(set(names(office))) == 1
    assert await told(office) == [("opened", "sent")]


async def who_was_perhaps_told_hears_the_end(office: Office) -> None:
    await dies_at(office, At.DOT)
    office.answer = ALIVE
    await office.pass_time(HOUR, 6 * MINUTE)
    bad, good = office.post.kept(ANN)
    assert bad.message_id != good.message_id
    assert b"is reconnected" in good.data
    assert ("resolved", "sent") in await told(office)


async def test_who_was_perhaps_told_hears_the_end(office: Office) -> None:
    """It healed before anybody took the letter over: the bad news is not repeated."""
    await who_was_perhaps_told_hears_the_end(office)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_control_a_lapse_nobody_notes_is_seen(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget(*_: Any) -> None:
        pass

    monkeypatch.setattr(taking, "_note_lapse", forget)
    with pytest.raises(ValueError, match="not enough values"):  # one letter, not two
        await who_was_perhaps_told_hears_the_end(office)


async def test_who_was_not_told_for_certain_hears_no_end(office: Office) -> None:
    office.post.faults[At.RCPT] = "451 4.2.0 later"
    await office.deliver()
    office.post.mend()
    office.answer = ALIVE
    await office.pass_time(HOUR, 6 * MINUTE)
    assert names(office) == []
    assert await told(office) == [("opened", "dropped")]


# --- it freezes


async def freezes_beyond_its_lease(office: Office, mailer: type[Mailer]) -> None:
    """It wakes between DATA and the dot, when another has sent the letter."""
    other, woken = office.courier, asyncio.Event()
    office.hire(lambda: mailer(office.server))

    async def meanwhile() -> None:
        woken.set()
        office.clock.advance(LEASE)
        await office.look()
        assert (await other.deliver_due()).sent == 1

    office.post.asked = lambda at: (
        meanwhile() if at is At.DATA and not woken.is_set() else None
    )
    await office.deliver()
    await office.pass_time(HOUR, 6 * MINUTE)
    assert await told(office) == [("opened", "sent")]
    assert len(names(office)) == 1, "only who holds the lease writes the dot"


async def test_a_courier_past_its_lease_writes_no_dot(office: Office) -> None:
    await freezes_beyond_its_lease(office, Mailer)


class Heedless(Mailer):
    """A planted fault: it does not ask whether the letter is still its own."""

    async def send(self, *letter: Any, **gates: Any) -> Attempt | None:
        return await super().send(*letter, **{**gates, "before_dot": lambda: True})


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_control_a_dot_beyond_the_lease_is_seen(office: Office) -> None:
    with pytest.raises(AssertionError, match="only who holds the lease"):
        await freezes_beyond_its_lease(office, Heedless)


# --- it loses a reply


async def test_a_lost_reply_and_newer_news(office: Office) -> None:
    """The same letter again under the same name, and the news in another letter."""
    office.post.faults[At.DOT] = How.DROP
    await office.deliver()
    office.post.mend()
    office.answer = PASSWORD_CHANGED
    await office.pass_time(HOUR, 6 * MINUTE)
    first, again, news = office.post.kept(ANN)
    assert first.message_id == again.message_id != news.message_id
    assert text(first.data) == text(again.data)
    assert b"password" in news.data
    assert await told(office) == [("opened", "sent"), ("worsened", "sent")]


def text(data: bytes) -> bytes:
    """What its reader reads; Date and boundary are those of the attempt."""
    return data.partition(b"quoted-printable\r\n\r\n")[2].partition(b"\r\n--=_")[0]
