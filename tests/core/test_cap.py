"""The cap: when another letter may leave for an address, and what goes beyond it."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.cap import (
    ASK_AGAIN,
    PRESSING_APART,
    Press,
    mailbox_of,
    next_letter_at,
    press_of,
)
from monitor.core.delivery import Item
from monitor.core.incident import Reason
from monitor.core.tokens import Code
from tests.builders import DAY, HOUR, INSTANT, MINUTE, NOW, a_finding, an_item

DEAD = a_finding(Code.REVOKED)


@pytest.mark.parametrize(
    ("left", "limit", "at", "pressing_at"),
    [
        pytest.param([], 1, NOW, NOW, id="no letter yet"),
        pytest.param([9 * HOUR, HOUR], 3, NOW, NOW, id="room for one more"),
        pytest.param(
            [9 * HOUR, 5 * HOUR],
            2,
            NOW + 15 * HOUR,
            NOW,
            id="full: when the oldest leaves the day",
        ),
        pytest.param(
            [9 * HOUR, HOUR],
            2,
            NOW + 15 * HOUR,
            NOW + 3 * HOUR,
            id="full, and the last one is fresh",
        ),
        pytest.param([DAY, 5 * HOUR], 2, NOW, NOW, id="exactly a day old"),
        pytest.param(
            [DAY - INSTANT, HOUR],
            2,
            NOW + INSTANT,
            NOW + INSTANT,
            id="an instant less",
        ),
        pytest.param(
            [9 * HOUR, PRESSING_APART],
            2,
            NOW + 15 * HOUR,
            NOW,
            id="exactly four hours after the last one",
        ),
        pytest.param(
            [9 * HOUR, PRESSING_APART - INSTANT],
            2,
            NOW + 15 * HOUR,
            NOW + INSTANT,
            id="an instant before",
        ),
        pytest.param(
            [9 * HOUR, 8 * HOUR, 7 * HOUR, 3 * HOUR],
            2,
            NOW + 17 * HOUR,
            NOW + HOUR,
            id="beyond the cap already: all but the newest leave the day",
        ),
        pytest.param(
            [None, 23 * HOUR],
            2,
            NOW + ASK_AGAIN,
            NOW + ASK_AGAIN,
            id="on its way: it counts, and nobody knows for how long",
        ),
        pytest.param(
            [None, DAY - MINUTE],
            2,
            NOW + MINUTE,
            NOW + MINUTE,
            id="on its way, and another one leaves the day before",
        ),
        pytest.param([None], 2, NOW, NOW, id="on its way, and room for one more"),
    ],
)
def test_a_letter_leaves_when_there_is_room(
    left: list[timedelta | None], limit: int, at: datetime, pressing_at: datetime
):
    left_at = [None if ago is None else NOW - ago for ago in left]
    assert next_letter_at(left_at, limit, NOW, presses=False) == at
    assert next_letter_at(left_at, limit, NOW, presses=True) == pressing_at


@pytest.mark.parametrize(
    ("item", "press"),
    [
        pytest.param(an_item(DEAD), Press.URGENT, id="stopped"),
        pytest.param(an_item(), Press.NONE, id="three days to go"),
        pytest.param(
            an_item(a_finding(deadline=NOW + DAY)), Press.NONE, id="a day to go"
        ),
        pytest.param(
            an_item(a_finding(deadline=NOW + DAY - INSTANT)),
            Press.URGENT,
            id="less than a day",
        ),
        pytest.param(an_item(DEAD, reason=Reason.WORSENED), Press.URGENT, id="worse"),
        pytest.param(
            an_item(a_finding(deadline=NOW + HOUR), reason=Reason.CLOSER),
            Press.URGENT,
            id="closer",
        ),
        pytest.param(
            an_item(DEAD, reason=Reason.REMINDER), Press.NONE, id="a reminder"
        ),
        pytest.param(
            an_item(DEAD, reason=Reason.ESCALATED), Press.NONE, id="an escalation"
        ),
        pytest.param(an_item(DEAD, reason=Reason.RESOLVED), Press.NONE, id="good news"),
    ],
)
def test_only_news_of_what_stops_now_is_urgent(item: Item, press: Press):
    assert press_of(item, NOW - HOUR, NOW) is press


def test_what_waited_for_a_day_presses_most():
    good = an_item(DEAD, reason=Reason.RESOLVED)
    assert press_of(good, NOW - DAY, NOW) is Press.LATE
    assert press_of(good, NOW - DAY + INSTANT, NOW) is Press.NONE
    assert Press.LATE < Press.URGENT < Press.NONE


@given(
    gaps=st.lists(st.integers(0, 3_000), min_size=1, max_size=60),
    limit=st.integers(1, 6),
    presses=st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_no_day_has_more_than_the_cap_and_one_letter_in_four_hours(
    gaps: list[int], limit: int, presses: list[bool]
):
    """Whatever comes when: the rule is kept looking back from every letter."""
    now, left = NOW, list[datetime]()
    for gap, each in zip(gaps, presses, strict=False):
        now += gap * MINUTE
        at = next_letter_at(left, limit, now, presses=each)
        now = at
        left.append(now)
        day = [at for at in left if at > now - DAY]
        assert len(day) <= limit + DAY // PRESSING_APART
        if not each:
            assert len(day) <= limit


def test_an_address_is_one_whatever_its_case():
    assert mailbox_of("Ann@Bakery.example") == mailbox_of("ann@BAKERY.EXAMPLE")
    assert mailbox_of("ann@bakery.example") != mailbox_of("anna@bakery.example")
