"""From the first look to the letter, and what keeps a letter from being written."""

from datetime import timedelta

from monitor.core.policy import Rule
from tests.jobs.house import ANN, BOB, DAY, HOUR, MINUTE, OPS, Builder, a_token


async def test_sudden_news_is_told_after_the_second_look_and_a_last_one(
    house: Builder,
) -> None:
    home = await house(
        a_token("north"), a_token("south"), a_token("west", BOB), a_token("well", BOB)
    )
    for token in ("north", "south", "west"):
        home.graph.set_state(token, "password_changed")

    first = await home.check()
    assert (first.suspected, first.notices) == (3, 0)
    assert (await home.view()).severity == "unknown"

    home.clock.advance(9 * MINUTE)
    assert (await home.check()).looked == 0, "before confirm_after nobody is asked"

    home.clock.advance(MINUTE)
    second = await home.check()
    assert (second.suspected, second.notices) == (0, 3)
    assert (await home.view()).codes == ("password_changed",)

    assert (await home.deliver()).sealed == 0, "group_wait is not over"
    home.clock.advance(2 * MINUTE)
    assert (await home.deliver()).sealed == 0, "a last look is owed"
    assert (await home.check()).looked == 3
    home.clock.advance(MINUTE)
    delivered = await home.deliver()
    assert (delivered.sealed, delivered.sent) == (2, 2)
    assert sorted(each.envelope_to for each in home.letters()) == [(ANN,), (BOB,)]
    assert "North" in home.letters(ANN)[0].text
    assert "South" in home.letters(ANN)[0].text

    await home.live(12 * HOUR)
    assert len(home.letters()) == 2, "nobody hears the same twice"


async def test_deliver_by_hand_takes_the_looks_it_owes_itself(house: Builder) -> None:
    home = await house(a_token())
    home.graph.set_state("north", "revoked")
    await home.confirm()
    home.clock.advance(MINUTE)
    delivered = await home.courier.deliver_now(home.checker.check_named)
    assert (delivered.sealed, delivered.sent) == (1, 1)
    assert home.graph.looks("north") == 3


async def test_a_flapping_token_costs_nobody_a_letter(house: Builder) -> None:
    home = await house(a_token(), rule=Rule(check_every=30 * MINUTE))
    home.graph.set_state("north", "flapping")
    await home.live(6 * HOUR)
    assert home.graph.looks("north") > 12
    assert home.subjects() == []
    assert await home.entries() == []


async def test_who_healed_between_planning_and_sending_gets_no_letter(
    house: Builder,
) -> None:
    home = await house(a_token())
    home.graph.set_state("north", "checkpointed")
    await home.confirm()
    assert await home.entries() == [(ANN, "opened", "waiting")]

    home.graph.set_state("north", "valid")
    home.clock.advance(2 * MINUTE)
    await home.deliver()
    await home.check()
    home.clock.advance(MINUTE)
    await home.deliver()
    assert await home.entries() == [(ANN, "opened", "waiting")], "one good look"

    await home.live(15 * MINUTE)
    assert await home.entries() == [(ANN, "opened", "dropped")]
    assert home.subjects() == []
    assert (await home.view()).incident is None


async def test_who_healed_after_the_letter_is_told_so_after_two_good_looks(
    house: Builder,
) -> None:
    home = await house(a_token())
    home.graph.set_state("north", "checkpointed")
    await home.live(20 * MINUTE)
    assert len(home.subjects(ANN)) == 1

    home.graph.set_state("north", "valid")
    await home.live(7 * HOUR)
    opened, resolved = home.letters(ANN)
    assert await home.entries() == [(ANN, "opened", "sent"), (ANN, "resolved", "sent")]
    assert opened.message["Message-ID"] in resolved.message["References"]


async def test_a_new_secret_heals_too(house: Builder) -> None:
    home = await house(a_token())
    home.graph.set_state("north", "revoked")
    await home.live(20 * MINUTE)
    fresh = home.graph.replace_token("north")
    row = house.row(home, "north", token=fresh)
    await home.store.inventory.import_rows([row], home.clock())
    await home.live(30 * MINUTE)
    assert await home.entries() == [(ANN, "opened", "sent"), (ANN, "resolved", "sent")]


async def test_news_of_the_tokens_own_date_goes_though_meta_is_down(
    house: Builder,
) -> None:
    home = await house(a_token(expires_in=14 * DAY + HOUR))
    await home.check()
    home.graph.fail_with("http_500")
    await home.live(8 * HOUR)
    assert len(home.subjects(ANN)) == 1
    assert home.subjects(OPS) == []


async def test_sudden_news_waits_for_meta_but_not_longer_than_it_is_trusted(
    house: Builder,
) -> None:
    home = await house(a_token(), rule=Rule(trust_for=2 * HOUR))
    home.graph.set_state("north", "revoked")
    await home.confirm()
    home.graph.fail_with("http_500")
    await home.live(timedelta(minutes=110))
    assert home.subjects() == []
    await home.live(15 * MINUTE)
    assert len(home.subjects(ANN)) == 1


async def test_sudden_news_goes_soon_after_meta_is_back(house: Builder) -> None:
    home = await house(a_token())
    home.graph.set_state("north", "revoked")
    await home.confirm()
    home.graph.fail_with("http_500")
    await home.live(HOUR)
    assert home.subjects() == []
    home.graph.fail_with(None)
    await home.live(timedelta(minutes=70))
    assert len(home.subjects(ANN)) == 1


async def test_silence_stops_letters_and_not_judgement(house: Builder) -> None:
    home = await house(a_token())
    now = home.clock()
    await home.store.hand.silence(["north"], now + DAY, "ops", "moving", now)
    home.graph.set_state("north", "revoked")
    await home.live(23 * HOUR)
    assert home.subjects() == []
    assert (await home.view()).codes == ("revoked",)
    assert await home.entries() == [(ANN, "opened", "waiting")]
    await home.live(2 * HOUR)
    assert len(home.subjects(ANN)) == 1


async def test_ending_a_silence_early_lets_the_letter_go(house: Builder) -> None:
    home = await house(a_token())
    now = home.clock()
    await home.store.hand.silence(["north"], now + DAY, "ops", "moving", now)
    home.graph.set_state("north", "revoked")
    await home.live(HOUR)
    await home.store.hand.silence(["north"], None, "ops", None, home.clock())
    await home.live(10 * MINUTE)
    assert len(home.subjects(ANN)) == 1


async def test_a_changed_owner_is_told_and_the_old_one_is_not(house: Builder) -> None:
    home = await house(a_token())
    home.graph.set_state("north", "revoked")
    await home.confirm()
    row = house.row(home, "north", owner_email=BOB)
    await home.store.inventory.import_rows([row], home.clock())
    await home.live(30 * MINUTE)
    assert [each.envelope_to for each in home.letters()] == [(BOB,)]


async def test_a_removed_token_takes_its_letter_along(house: Builder) -> None:
    home = await house(a_token(), a_token("south"))
    home.graph.set_state("north", "revoked")
    home.graph.set_state("south", "revoked")
    await home.confirm()
    await home.store.inventory.remove("north", "ops", home.clock())
    await home.live(30 * MINUTE)
    (letter,) = home.letters()
    assert "North" not in letter.text
    assert "South" in letter.text


async def test_a_token_removed_after_sealing_takes_its_letter_along(
    house: Builder,
) -> None:
    home = await house(a_token())
    home.graph.set_state("north", "revoked")
    home.mailbox.defer(ANN)
    await home.live(20 * MINUTE)
    assert await home.entries() == [(ANN, "opened", "sealed")]
    await home.store.inventory.remove("north", "ops", home.clock())
    home.mailbox.accept(ANN)
    await home.live(DAY)
    assert home.subjects() == []
    assert await home.entries() == [(ANN, "opened", "dropped")]


async def test_whoever_was_warned_of_a_date_hears_that_it_was_moved(
    house: Builder,
) -> None:
    home = await house(a_token(expires_in=5 * DAY))
    await home.live(HOUR)
    assert len(home.subjects(ANN)) == 1
    fresh = home.graph.replace_token("north")
    row = house.row(home, "north", token=fresh)
    await home.store.inventory.import_rows([row], home.clock())
    await home.live(HOUR)
    assert await home.entries() == [(ANN, "opened", "sent"), (ANN, "resolved", "sent")]


async def test_two_quick_looks_have_a_fresh_proof_of_the_caller_between_them(
    house: Builder,
) -> None:
    home = await house(a_token(), rule=Rule(confirm_after=3 * MINUTE))
    home.graph.set_state("north", "revoked")
    await home.check()
    home.clock.advance(3 * MINUTE)
    assert (await home.check()).notices == 1
    kinds = [call.kind for call in home.graph.calls]
    assert len(kinds) == 4, "each look after a proof of its own"
