"""Trouble on the way to the reader: nothing is lost, and nobody waits for another."""

import asyncio
from typing import Any

import pytest

from monitor.sandbox.dialogue import Stage
from monitor.store.settlement import channel_pause
from tests.jobs.house import ANN, BOB, DAY, HOUR, MINUTE, OPS, Builder, House, a_token


async def with_news(house: Builder, *, readers: int = 1) -> House:
    """A house that is about to seal one letter per reader."""
    people = [ANN, BOB, *(f"r{n}@acme.example" for n in range(readers))][:readers]
    home = await house(*(a_token(f"t-{n}", who) for n, who in enumerate(people)))
    for n in range(readers):
        home.graph.set_state(f"t-{n}", "revoked")
    await home.confirm()
    home.clock.advance(2 * MINUTE)
    await home.deliver()
    await home.check()
    home.clock.advance(MINUTE)
    return home


async def letters(home: House) -> list[dict[str, Any]]:
    """Every open or closed letter, by its first entry."""
    rows = await home.store.reports.entries()
    return [row for row in rows if row["letter_id"] is not None]


async def test_a_refused_reader_delays_nobody_and_the_operator_hears(
    house: Builder,
) -> None:
    home = await with_news(house, readers=5)
    home.mailbox.refuse(ANN)
    delivered = await home.deliver()
    assert (delivered.sent, delivered.refused) == (4, 1)
    await home.live(10 * MINUTE)
    (letter,) = home.letters(OPS)
    assert ANN not in letter.text
    assert (ANN, "opened", "refused") in await home.entries()
    await home.live(DAY)
    assert len(home.letters(OPS)) == 1
    assert home.letters(ANN) == []


async def test_a_refused_letter_to_the_operator_opens_nothing(house: Builder) -> None:
    home = await house(a_token())
    home.mailbox.refuse(OPS)
    home.graph.set_app_secret("1", "another-secret")
    await home.live(2 * HOUR)
    assert await home.entries() == [(OPS, "opened", "refused")]


async def test_a_refused_letter_can_be_tried_again_by_hand(house: Builder) -> None:
    home = await with_news(house)
    home.mailbox.refuse(ANN)
    await home.deliver()
    home.mailbox.accept(ANN)
    (row,) = await home.store.reports.entries(state="refused")
    assert await home.store.hand.retry(row["id"], "ops", home.clock()) == 1
    await home.live(10 * MINUTE)
    assert len(home.letters(ANN)) == 1


async def test_a_deferred_letter_waits_ever_longer_under_one_name(
    house: Builder,
) -> None:
    home = await with_news(house)
    home.mailbox.defer(ANN)
    waits, names, attempts = [], set(), []
    for _ in range(5):
        before = home.clock()
        await home.live(2 * MINUTE)
        (row,) = await letters(home)
        names.add(row["message_id"])
        attempts.append(row["attempts"])
        waits.append(row["letter_due_at"] - before)
        home.clock.now = row["letter_due_at"]
    assert attempts == [1, 2, 3, 4, 5]
    assert waits == sorted(waits)
    assert waits[0] >= 5 * MINUTE
    assert waits[4] >= 80 * MINUTE
    assert len(names) == 1


async def test_after_four_days_of_trying_a_letter_counts_as_refused(
    house: Builder,
) -> None:
    home = await with_news(house)
    home.mailbox.defer(ANN)
    await home.live(5 * DAY)
    assert (ANN, "opened", "refused") in await home.entries()
    assert len(home.letters(OPS)) == 1


async def test_a_lost_reply_sends_the_very_same_letter_again(house: Builder) -> None:
    home = await with_news(house)
    home.mailbox.drop_after_dot()
    await home.deliver()
    await home.live(HOUR)
    first, second = home.letters(ANN)
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert first.text == second.text
    assert await home.entries() == [(ANN, "opened", "sent")]


async def test_a_letter_in_doubt_keeps_its_entries_and_newer_news_goes_apart(
    house: Builder,
) -> None:
    home = await with_news(house)
    home.mailbox.drop_after_dot(times=1)
    await home.deliver()
    # The token heals at once; the letter may have been read, so it goes again.
    home.graph.set_state("t-0", "valid")
    await home.live(8 * HOUR)
    first, second, third = home.letters(ANN)
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert third.message["Message-ID"] != first.message["Message-ID"]
    assert await home.entries() == [(ANN, "opened", "sent"), (ANN, "resolved", "sent")]


async def in_doubt_for_hours(house: Builder) -> tuple[House, int]:
    """The token heals while the letter waits for its next try, hours away."""
    home = await with_news(house)
    home.mailbox.drop_after_dot(times=6)
    await home.live(3 * HOUR)
    doubtful = len(home.letters(ANN))
    assert doubtful > 1, "a positive control: it was tried again"
    home.graph.set_state("t-0", "valid")
    home.mailbox.mend()
    await home.checker.check_all()
    home.clock.advance(11 * MINUTE)
    await home.checker.check_all()
    return home, doubtful


async def test_a_letter_in_doubt_goes_again_before_the_news(house: Builder) -> None:
    home, doubtful = await in_doubt_for_hours(house)
    await home.live(DAY)
    again, news = home.letters(ANN)[doubtful:]
    assert again.message["Message-ID"] == home.letters(ANN)[0].message["Message-ID"]
    assert "is reconnected" in str(news.message["Subject"])
    assert await home.entries() == [(ANN, "opened", "sent"), (ANN, "resolved", "sent")]


async def test_a_letter_in_doubt_never_follows_what_was_told_later(
    house: Builder,
) -> None:
    home, doubtful = await in_doubt_for_hours(house)
    home.mailbox.drop_after_dot()
    await home.live(DAY)
    assert home.subjects(ANN)[doubtful:] == [
        home.subjects(ANN)[0],
        '[Acme] "T-0" is reconnected',
    ]
    assert await home.entries() == [
        (ANN, "opened", "dropped"),
        (ANN, "resolved", "sent"),
    ]


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL"])
async def test_trouble_with_the_channel_is_no_letters_fault(
    house: Builder, stage: Stage
) -> None:
    home = await with_news(house, readers=5)
    home.mailbox.fail_at(stage, "421 4.3.0 closed for today")
    delivered = await home.deliver()
    assert delivered.channel is not None
    assert delivered.sent == 0
    until, reply = await channel_pause(home.store.database)
    assert until == home.clock() + 5 * MINUTE
    assert reply
    assert {row["attempts"] for row in await letters(home)} == {0}

    tried = home.mailbox.connections
    home.clock.advance(4 * MINUTE)
    await home.deliver()
    assert home.mailbox.connections == tried, "the channel rests"
    home.clock.advance(MINUTE)
    await home.deliver()
    await home.check()
    home.clock.advance(MINUTE)
    await home.deliver()
    assert home.mailbox.connections == tried + 1, "one letter tries the way"

    home.mailbox.mend()
    await home.live(10 * MINUTE)
    assert len(home.letters()) == 5


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_a_hanging_server_is_left_at_once_on_sigterm(
    house: Builder, stage: Stage
) -> None:
    home = await with_news(house)
    home.mailbox.hang_at(stage)
    async with asyncio.timeout(10):
        task = asyncio.create_task(home.courier.deliver_due())
        while home.mailbox.connections == 0:  # noqa: ASYNC110 - the mailbox has no event
            await asyncio.sleep(0)
        home.courier.stop()
        delivered = await task
    assert (delivered.sent, delivered.deferred) == (0, 0)
    (row,) = await letters(home)
    assert (row["state"], row["attempts"]) == ("sealed", 0)
    assert row["letter_due_at"] <= home.clock()


async def test_a_stopped_courier_begins_nothing(house: Builder) -> None:
    home = await with_news(house)
    home.courier.stop()
    assert (await home.deliver()).sent == 0
    assert home.mailbox.connections == 0
