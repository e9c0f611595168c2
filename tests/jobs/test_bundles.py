"""One letter a person and product: a thousand matters in one, hours, and the cap."""

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from monitor.core.delivery import Hours
from monitor.core.hold import Brake
from monitor.core.policy import Rule
from monitor.core.tokens import Code
from monitor.sandbox.clock import VirtualClock
from monitor.sandbox.letters import Received
from monitor.sandbox.scenario import Event, Owner, TokenPlan
from monitor.sandbox.states import State
from monitor.store.codec import decode_incident
from tests.jobs.house import (
    ACME,
    ADS,
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
from tests.store.builders import execute, rows

MANY: Final = 1_000
LARGEST: Final = 100_000
"""Gmail clips a message that is larger than 102 kB."""
BERLIN: Final = "Europe/Berlin"
OFFICE: Final = Hours(frozenset(range(5)), time(9), time(17))
ANY_DAY: Final = Hours(frozenset(range(7)), time(9), time(17))


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if getattr(request, "param", "sqlite") == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path}/monitor.db"


ON_BOTH = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


def a_page(number: int, **facts: Any) -> TokenPlan:
    return a_token(f"page-{number:04}", **{"expires_in": 10 * DAY, **facts})


def pages_in(letter: Received) -> set[str]:
    """The pages a letter names."""
    return set(re.findall(r"Page-\d{4}", letter.text))


async def told_of(home: House) -> Counter[tuple[str, int, bool]]:
    """Open incidents by what was told, in how many notices, and whether it is done."""
    found = await rows(
        home.store, "SELECT state FROM incidents WHERE closed_at IS NULL"
    )
    incidents = [decode_incident(text) for (text,) in found]
    return Counter(
        (",".join(sorted(each.told)), each.notices, each.settled_at is not None)
        for each in incidents
    )


# --- a thousand in one


@ON_BOTH
async def test_a_thousand_tokens_of_one_owner_are_one_letter(house: Builder) -> None:
    home = await house(*map(a_page, range(MANY)))
    await passes(home, MINUTE, 5)
    (letter,) = home.letters(ANN)
    assert "(and 999 more)" in letter.subject
    assert pages_in(letter) == {f"Page-{n:04}" for n in range(100)}
    assert "And 900 more." in letter.text
    assert len(letter.data) < LARGEST
    incidents = letter.message["X-Token-Monitor-Incident"].split()
    assert len(incidents) == len(set(incidents)) == 100, "of those it names"
    assert letter.message["X-Token-Monitor-Reason"] == "opened"
    assert max(map(len, letter.data.splitlines())) <= 78
    assert await told_of(home) == {(Code.EXPIRING, 1, True): MANY}
    await passes(home, 12 * HOUR, 5)
    assert len(home.letters()) == 1, "each was told, named or counted"
    await passes(home, 8 * HOUR, 3)
    await passes(home, 3 * MINUTE, 3)
    assert len(home.letters(ANN)) == 2, "a positive control: seven days are to go"
    assert await told_of(home) == {(Code.EXPIRING, 2, True): MANY}


async def passes(home: House, pause: timedelta, times: int) -> None:
    """Checker and courier tick now and then; all that is due by then is done."""
    for _ in range(times):
        await home.check()
        await home.deliver()
        home.clock.advance(pause)


async def test_what_comes_in_two_sweeps_within_the_wait_is_one_letter(
    house: Builder,
) -> None:
    home = await house(*map(a_page, range(60)))
    await later(home, "page-003%", MINUTE)
    await later(home, "page-004%", 90 * MINUTE)
    await later(home, "page-005%", 90 * MINUTE)
    await home.check()
    home.clock.advance(MINUTE)
    await home.check()
    home.clock.advance(MINUTE)
    assert (await home.deliver()).sealed == 1
    (letter,) = home.letters(ANN)
    assert pages_in(letter) == {f"Page-{n:04}" for n in range(40)}
    # What comes when it is sealed goes in the next one.
    await home.live(2 * HOUR)
    _, second = home.letters(ANN)
    assert pages_in(second) == {f"Page-{n:04}" for n in range(40, 60)}
    assert await told_of(home) == {(Code.EXPIRING, 1, True): 60}


async def later(home: House, ids: str, by: timedelta) -> None:
    """Tokens whose first look comes later."""
    await execute(
        home.store,
        "UPDATE health SET next_check_at = next_check_at + :by WHERE token_row IN "
        "(SELECT row_id FROM tokens WHERE id LIKE :ids)",
        by=by // timedelta(microseconds=1),
        ids=ids,
    )


@pytest.mark.parametrize("name", ["ブレーメン音楽隊のパン屋" * 12, "Bäckerei " * 30])
async def test_long_names_do_not_make_a_letter_that_is_clipped(
    house: Builder, name: str
) -> None:
    plans = [replace(a_page(n), name=f"{n} {name}") for n in range(200)]
    home = await house(*plans)
    await home.live(HOUR)
    (letter,) = home.letters(ANN)
    assert len(letter.data) < LARGEST
    assert "(and 199 more)" in letter.subject
    named = {n for n in range(200) if f'"{n} ' in letter.text}
    assert len(named) >= 10
    assert f"And {200 - len(named)} more." in letter.text


# --- office hours

SATURDAY: Final = datetime(2026, 11, 28, 12, tzinfo=UTC)
NINE: Final = datetime(2026, 11, 30, 8, tzinfo=UTC)
"""Monday, 9:00 in Berlin."""


def in_berlin(name: str = "north", **facts: Any) -> TokenPlan:
    plan = a_token(name, **facts)
    return replace(plan, owner=Owner(ANN, timezone=BERLIN))


async def at_the_weekend(house: Builder, clock: VirtualClock, plan: TokenPlan) -> House:
    clock.now = SATURDAY
    return await house(plan, hours=OFFICE)


async def test_a_warning_waits_for_the_owners_office_hours(
    house: Builder, clock: VirtualClock
) -> None:
    home = await at_the_weekend(house, clock, in_berlin(expires_in=10 * DAY))
    await home.live(NINE - SATURDAY - 3 * MINUTE)  # a pass may take two more
    assert home.letters() == []
    await home.live(12 * MINUTE)
    (letter,) = home.letters()
    assert NINE <= letter.at < NINE + 10 * MINUTE


async def test_it_leaves_as_soon_as_less_than_a_day_is_left(
    house: Builder, clock: VirtualClock
) -> None:
    clock.now = SATURDAY
    plan = in_berlin(expires_in=30 * HOUR)
    home = await house(plan, rule=AT_FOURTEEN_DAYS, hours=OFFICE)
    await home.live(6 * HOUR - 3 * MINUTE)
    assert home.letters() == []
    await home.live(8 * MINUTE)
    assert len(home.letters()) == 1


async def test_what_ends_within_a_day_is_told_at_the_weekend(
    house: Builder, clock: VirtualClock
) -> None:
    home = await at_the_weekend(house, clock, in_berlin(expires_in=23 * HOUR))
    await home.live(10 * MINUTE)
    assert len(home.letters()) == 1


async def test_what_has_stopped_is_told_at_the_weekend_and_good_news_on_monday(
    house: Builder, clock: VirtualClock
) -> None:
    home = await at_the_weekend(house, clock, in_berlin())
    home.graph.set_state("north", "revoked")
    await home.live(HOUR)
    assert len(home.letters()) == 1
    home.graph.set_state("north", "valid")
    await home.live(NINE - clock() - 5 * MINUTE)
    assert len(home.letters()) == 1, "that it works again can wait"
    await home.live(10 * MINUTE)
    _, good = home.letters()
    assert good.message["X-Token-Monitor-Reason"] == "resolved"


@pytest.mark.parametrize(
    ("zone", "day", "opens"),
    [
        pytest.param(BERLIN, "2026-10-24", 7, id="Berlin, summer time"),
        pytest.param(BERLIN, "2026-10-25", 8, id="Berlin, the day of 25 hours"),
        pytest.param(BERLIN, "2027-03-28", 7, id="Berlin, the day of 23 hours"),
        pytest.param("Asia/Tokyo", "2026-10-25", 0, id="Tokyo"),
        pytest.param("America/New_York", "2026-11-01", 14, id="New York, 25 hours"),
        pytest.param("", "2026-10-25", 9, id="no zone: the mail's, UTC"),
    ],
)
async def test_hours_are_the_owners_on_the_days_the_clocks_change_too(
    house: Builder, clock: VirtualClock, zone: str, day: str, opens: int
) -> None:
    nine = datetime.fromisoformat(day).replace(tzinfo=UTC, hour=opens)
    clock.now = nine - 5 * HOUR
    plan = replace(a_token(expires_in=10 * DAY), owner=Owner(ANN, timezone=zone))
    home = await house(plan, hours=ANY_DAY)
    await home.live(5 * HOUR - MINUTE)
    assert home.letters() == []
    await home.live(10 * MINUTE)
    (letter,) = home.letters()
    assert nine <= letter.at < nine + 10 * MINUTE


# --- the cap

NO_STORM: Final = Brake(at_least=1_000_000, letters_per_day=3)
AT_FOURTEEN_DAYS: Final = Rule(warn_before=(14 * DAY,))


def one_by_one(pages: int) -> list[TokenPlan]:
    """Pages that come to their fourteenth day ten minutes after one another."""
    return [a_page(n, expires_in=14 * DAY + n * 10 * MINUTE) for n in range(pages)]


async def test_beyond_the_cap_everything_goes_in_one_next_letter(
    house: Builder,
) -> None:
    home = await house(
        *one_by_one(20),
        a_token("beer", BOB, expires_in=14 * DAY + 2 * HOUR),
        rule=AT_FOURTEEN_DAYS,
        brake=NO_STORM,
    )
    await passes(home, 5 * MINUTE, 48)
    first = home.letters(ANN)
    assert len(first) == 3
    assert len(home.letters(BOB)) == 1, "another address has its own cap"
    waiting = await home.store.reports.entries(state="waiting")
    assert {row["waits_for"] for row in waiting} == {"cap"}
    home.clock.now = first[0].at + DAY - MINUTE
    await passes(home, MINUTE, 6)
    letters = home.letters(ANN)
    assert len(letters) == 4
    assert timedelta() <= letters[3].at - first[0].at - DAY < 5 * MINUTE
    told = [pages_in(letter) for letter in letters]
    assert sum(map(len, told)) == len(set[str]().union(*told)) == 20, "each once"
    assert await told_of(home) == {(Code.EXPIRING, 1, True): 21}
    await passes(home, 2 * HOUR, 12)
    assert len(home.letters(ANN)) == 4


async def test_three_hundred_that_die_one_by_one_are_a_few_letters_and_none_is_late(
    house: Builder,
) -> None:
    """Over ten hours a page dies every two minutes."""
    revoked = State("revoked")
    plans = [
        a_page(n, expires_in=None, events=(Event(n * 2 * MINUTE, revoked),))
        for n in range(300)
    ]
    home = await house(*plans, rule=Rule(check_every=HOUR), brake=NO_STORM)
    await passes(home, 6 * MINUTE, 160)
    letters = home.letters(ANN)
    for before, after in pairwise(letter.at for letter in letters[2:]):
        assert 4 * HOUR <= after - before < 4 * HOUR + 30 * MINUTE
    assert 5 <= len(letters) <= 3 + 4
    assert await told_of(home) == {(Code.REVOKED, 1, True): 300}


async def test_two_products_share_the_cap_of_their_owner(house: Builder) -> None:
    plans = [
        replace(plan, app=app.id)
        for plan, app in zip(one_by_one(10), [ACME, ADS] * 5, strict=True)
    ]
    home = await house(*plans, apps=(ACME, ADS), rule=AT_FOURTEEN_DAYS, brake=NO_STORM)
    await passes(home, 5 * MINUTE, 24)
    assert len(home.letters(ANN)) == 3
    home.clock.now = home.letters(ANN)[-1].at + DAY
    await passes(home, MINUTE, 6)
    assert len(home.letters(ANN)) == 5, "one letter more for each product"
    assert await told_of(home) == {(Code.EXPIRING, 1, True): 10}


async def test_copies_of_their_own_do_not_make_what_is_capped_wait_in_line(
    house: Builder,
) -> None:
    """Each page has another copy, so that each would be a letter of its own."""
    once = replace(NO_STORM, letters_per_day=1)
    plans = [a_page(n, expires_in=None) for n in range(9)]
    home = await house(*plans, rule=Rule(check_every=HOUR), brake=once)
    rows = [
        house.row(home, plan.id, cc=(f"copy-{n}@bakery.example",))
        for n, plan in enumerate(plans)
    ]
    await home.store.inventory.import_rows(rows, home.clock())
    for plan in plans:
        home.graph.set_state(plan.id, "revoked")
    await passes(home, 5 * MINUTE, 12)
    (first,) = home.letters(ANN)
    assert len(first.envelope_to) == 2, "the first one has its copy"
    await passes(home, 10 * MINUTE, 24)
    first, second = home.letters(ANN)
    assert second.at - first.at >= 4 * HOUR
    assert second.envelope_to == (ANN,), "nobody gets a copy of what is another's"
    assert len(pages_in(second)) == 8
    assert await told_of(home) == {(Code.REVOKED, 1, True): 9}


async def test_what_is_over_before_it_was_told_is_not_told(house: Builder) -> None:
    home = await house(*one_by_one(5), rule=AT_FOURTEEN_DAYS, brake=NO_STORM)
    await passes(home, 5 * MINUTE, 24)
    secret = home.graph.replace_token("page-0004")
    row = house.row(home, "page-0004", token=secret)
    await home.store.inventory.import_rows([row], home.clock())
    home.clock.now = home.letters(ANN)[-1].at + DAY
    await passes(home, MINUTE, 6)
    assert [pages_in(letter) for letter in home.letters(ANN)][3:] == [{"Page-0003"}]


async def test_the_operator_is_written_to_at_any_rate(house: Builder) -> None:
    """Whoever is owner and operator at once hears of both."""
    once = replace(NO_STORM, letters_per_day=1)
    home = await house(a_token(owner=OPS), rule=Rule(check_every=HOUR / 2), brake=once)
    home.graph.set_state("north", "revoked")
    await home.live(HOUR)
    home.graph.set_app_secret(ACME.id, "another-secret")
    await home.live(2 * HOUR)
    products = [letter.subject.partition("]")[0] for letter in home.letters(OPS)]
    assert products == ["[Acme", "[token-monitor"]
