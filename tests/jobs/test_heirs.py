"""Readers change while letters wait: what one is not told any more, another one is."""

from dataclasses import replace
from datetime import time
from typing import Any

import pytest

from monitor.core.delivery import Hours
from monitor.core.policy import Rule
from tests.jobs.house import (
    ACME,
    ANN,
    BOB,
    DAY,
    HOUR,
    MINUTE,
    OPS,
    Builder,
    House,
    a_token,
)

NEW = "new-ops@acme.example"
BOSS, CHIEF = "boss@bakery.example", "chief@bakery.example"
RULE = Rule(escalate_to=(BOSS,), escalate_after=DAY)


def reload(house: Builder, home: House, **wishes: Any) -> House:
    """The same house under another configuration."""
    charter = replace(home.charter, **wishes)
    plans = tuple(home.plans.values())
    return house.wire(home.graph, home.mailbox, charter, plans)


async def put_off(house: Builder) -> House:
    """A house whose operator is to hear that nothing can be asked, and cannot."""
    home = await house(a_token())
    home.graph.set_app_secret(ACME.id, "another-secret")
    home.mailbox.defer(OPS)
    await home.live(HOUR)
    assert await home.entries() == [(OPS, "opened", "sealed")]
    return home


async def test_a_new_operator_is_told_what_the_old_one_was_not(house: Builder) -> None:
    home = reload(house, await put_off(house), operators=(NEW,))
    await home.live(5 * HOUR)
    assert len(home.letters(NEW)) == 1
    assert "rejects the credentials" in home.subjects(NEW)[0]
    assert home.letters(OPS) == []


async def test_an_operator_who_was_none_for_a_while_is_told(house: Builder) -> None:
    home = await put_off(house)
    home.mailbox.defer(NEW)
    await reload(house, home, operators=(NEW,)).live(5 * HOUR)
    home.mailbox.mend()
    await home.live(5 * HOUR)
    assert len(home.letters(OPS)) == 1
    assert home.letters(NEW) == []


async def test_one_operator_more_changes_nothing_for_the_others(house: Builder) -> None:
    home = await put_off(house)
    home.mailbox.accept(OPS)
    await reload(house, home, operators=(OPS, NEW)).live(5 * HOUR)
    assert len(home.letters(OPS)) == 1


@pytest.mark.parametrize("waits", ["sealed", "silenced"])
async def test_who_is_named_now_hears_of_an_escalation_and_reminders_go_on(
    house: Builder, waits: str
) -> None:
    home = await house(a_token(), rule=RULE)
    home.graph.set_state("north", "revoked")
    await home.live(20 * HOUR)
    if waits == "silenced":
        until = home.clock() + 2 * DAY
        await home.store.hand.silence(["north"], until, "ops", None, home.clock())
    home.mailbox.defer(BOSS)
    await home.live(DAY)
    home = reload(house, home, rules=(replace(RULE, escalate_to=(CHIEF,)),))
    await home.live(7 * DAY)
    assert len(home.letters(CHIEF)) == 1
    assert home.letters(BOSS) == []
    reasons = [reason for _, reason, state in await home.entries() if state == "sent"]
    assert reasons.count("reminder") >= 1


async def test_reminders_go_on_when_nobody_is_left_to_escalate_to(
    house: Builder,
) -> None:
    home = await house(a_token(), rule=RULE)
    home.graph.set_state("north", "revoked")
    home.mailbox.defer(BOSS)
    await home.live(2 * DAY)
    assert (BOSS, "escalated", "sealed") in await home.entries()
    home = reload(house, home, rules=(replace(RULE, escalate_to=()),))
    await home.live(12 * DAY)
    assert [reason for _, reason, state in await home.entries() if state == "sent"] == [
        "opened",
        "reminder",
        "reminder",
        "reminder",
    ]


@pytest.mark.parametrize("sealed", [False, True], ids=["waiting", "sealed"])
async def test_who_gets_no_copies_any_more_gets_none_of_what_waits(
    house: Builder,
    sealed: bool,  # noqa: FBT001 - a case
) -> None:
    home = await house(a_token("north"), a_token("south"))
    named = [house.row(home, name, cc=(BOSS, CHIEF)) for name in ("north", "south")]
    await home.store.inventory.import_rows(named, home.clock())
    for name in ("north", "south"):
        home.graph.set_state(name, "revoked")
    await home.confirm()
    if sealed:
        home.mailbox.defer(ANN)
        await home.live(20 * MINUTE)
        home.mailbox.mend()
    changed = house.row(home, "north", cc=(CHIEF,), owner_name="Ann North")
    await home.store.inventory.import_rows([changed], home.clock())
    await home.live(DAY)
    copied = {each for letter in home.letters() for each in letter.envelope_to[1:]}
    of_north = [each for each in home.letters(ANN) if "North" in each.text]
    assert CHIEF in copied, "a positive control: there are copies"
    assert len(of_north) == 1
    assert BOSS not in of_north[0].envelope_to
    assert "South" in "".join(each.text for each in home.letters(ANN))


async def test_a_letter_in_doubt_is_not_addressed_anew(house: Builder) -> None:
    home = await house(a_token("north"))
    named = house.row(home, "north", cc=(BOSS,), owner_name="Ann")
    await home.store.inventory.import_rows([named], home.clock())
    home.graph.set_state("north", "revoked")
    await home.confirm()
    home.mailbox.drop_after_dot()
    while not home.letters(ANN):
        await home.live(MINUTE)
    changed = house.row(home, "north", timezone="Asia/Tokyo", owner_name="Ann North")
    await home.store.inventory.import_rows([changed], home.clock())
    await home.live(HOUR)
    first, second = home.letters(ANN)
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert (first.text, first.envelope_to) == (second.text, second.envelope_to)


async def test_a_new_owner_is_not_reminded_of_what_he_was_never_told(
    house: Builder,
) -> None:
    home = await house(a_token(), rule=Rule(remind_every=3 * DAY))
    home.graph.set_state("north", "revoked")
    await home.live(4 * DAY)
    assert len(home.letters(ANN)) == 2
    changed = house.row(home, "north", owner_email=BOB)
    await home.store.inventory.import_rows([changed], home.clock())
    await home.live(4 * DAY)
    first, second = home.letters(BOB)
    assert "Reminder" not in first.text
    assert "Reminder 2 of 3." in second.text
    back = house.row(home, "north", owner_email=ANN)
    await home.store.inventory.import_rows([back], home.clock())
    await home.live(12 * HOUR)
    assert "Reminder 2 of 3." in home.letters(ANN)[-1].text, "he knows of it"


async def test_other_office_hours_are_kept_at_once(house: Builder) -> None:
    closed = Hours(frozenset({6}), time(9), time(10))  # the clock shows a Tuesday
    home = await house(a_token(expires_in=10 * DAY), hours=closed)
    await home.live(HOUR)
    assert home.letters() == []
    home = reload(house, home, hours=None)
    await home.deliver()
    await home.live(10 * MINUTE)
    assert len(home.letters(ANN)) == 1
