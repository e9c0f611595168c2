"""Storms: what Meta says of many tokens at once, and who hears of it.

Everything runs in virtual time at the pace of a daemon that ticks once a minute, on a
simulated Graph over loopback HTTP and a real mail server. SOAK=1 adds the large fleets.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from monitor.core.hold import Brake
from monitor.core.policy import Rule
from monitor.jobs.storm import storm_of
from monitor.sandbox.scenario import Event, TokenPlan
from monitor.sandbox.states import State
from monitor.store.instants import instant, microseconds
from tests.jobs.house import ACME, ADS, ANN, DAY, HOUR, MINUTE, OPS, Builder, House
from tests.jobs.house import a_token as one_token

SOAK = os.environ.get("SOAK") == "1"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path}/monitor.db"


SMALL = 20
"""Larger fleets are shown on one database, and in a soak on both."""
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What no database does otherwise is shown on one."""


def a_token(number: int, **facts: Any) -> TokenPlan:
    return one_token(f"t{number}", f"owner-{number}@bakery.example", **facts)


def told(home: House) -> Counter[str]:
    return Counter(each.envelope_to[0] for each in home.mailbox.received)


async def settle_in(home: House, over: timedelta, seed: int = 1) -> None:
    """Look at all once; then they fall due at any time, as if grown over years."""
    await home.checker.check_all()
    random, now = Random(seed), home.clock()
    async with home.store.database.write() as connection:
        rows = (await connection.scalars(text("SELECT token_row FROM health"))).all()
        await connection.execute(
            text("UPDATE health SET next_check_at = :at WHERE token_row = :row"),
            [
                {"row": row, "at": microseconds(now + over * random.random())}
                for row in sorted(rows)
            ],
        )


async def live(home: House, span: timedelta) -> None:
    """A daemon's life: a tick a minute, but for those at which nothing is due."""
    end = home.clock() + span
    while home.clock() < end:
        home.clock.now = min(end, max(await _next(home), home.clock() + MINUTE))
        await home.checker.check_due()
        await home.courier.deliver_due()


async def _next(home: House) -> datetime:
    """When the next look, letter or end of a hold is due."""
    query = (
        "SELECT min(next_check_at) FROM health UNION SELECT min(held_until) FROM apps"
    )
    async with home.store.database.read() as connection:
        due = (await connection.scalars(text(query))).all()
    at = [instant(each) for each in due if each is not None]
    letter = await home.store.outbox.next_due()
    return min([*at, letter] if letter is not None else at)


# --- Meta's 5 March 2024: every session invalid for two hours, and then valid


@pytest.mark.parametrize("every", [6, 12], ids=["6h", "12h"])
@pytest.mark.parametrize(
    "size",
    [
        SMALL,
        1_000,
        pytest.param(
            10_000, marks=pytest.mark.skipif(not SOAK, reason="SOAK=1 adds it")
        ),
    ],
)
async def test_an_outage_tells_the_operator_once_and_nobody_else(
    house: Builder,
    figure: Callable[[str], None],
    database_url: str,
    size: int,
    every: int,
) -> None:
    if size > SMALL and not database_url.startswith("sqlite") and not SOAK:
        pytest.skip("SOAK=1 adds it")
    rule = Rule(check_every=every * HOUR)
    began = 47 * MINUTE
    storm = (
        Event(began, State("logged_out")),
        Event(began + 2 * HOUR, State("valid")),
    )
    home = await house(
        *(a_token(n, events=storm) for n in range(size)), rule=rule, workers=4
    )
    await settle_in(home, every * HOUR)
    await live(home, began + 2 * HOUR)
    counts = await home.store.reports.counts(home.clock())
    assert counts["held"] > 0, "a positive control: something would have been told"
    await live(home, every * HOUR)

    letters = told(home)
    figure(f"outage over {size} tokens, check_every {every} h: letters {dict(letters)}")
    assert home.owner_letters == []
    assert letters == {OPS: 1}
    assert "Held" in home.subjects(OPS)[0]
    counts = await home.store.reports.counts(home.clock())
    assert counts["severity"] == {"ok": size}
    assert await home.store.holds.open() == []
    assert counts["outbox"].get("waiting", 0) == 0


@ON_SQLITE
@pytest.mark.parametrize("calls", [6, 20])
async def test_an_outage_seen_through_a_small_quota_tells_no_owner(
    house: Builder, calls: int
) -> None:
    """Everything is due, and the few calls go to other users before second looks."""
    storm = (Event(MINUTE, State("logged_out")), Event(2 * HOUR, State("valid")))
    home = await house(
        *(a_token(n, events=storm) for n in range(60)), hourly={ACME.id: calls}
    )
    home.clock.advance(2 * MINUTE)
    await live(home, 4 * HOUR)
    assert home.owner_letters == []
    counts = await home.store.reports.counts(home.clock())
    assert counts["severity"]["ok"] > 5, "a positive control: there were looks"


async def test_without_the_brake_an_outage_would_tell_everybody(
    house: Builder,
) -> None:
    """The positive control of the test above."""
    storm = (Event(HOUR, State("logged_out")), Event(3 * HOUR, State("valid")))
    home = await house(
        *(a_token(n, events=storm) for n in range(20)),
        rule=Rule(check_every=HOUR),
        brake=Brake(at_least=1_000_000),
    )
    await live(home, 3 * HOUR)
    assert len(home.owner_letters) == 20


ACCESS_LAPSED = State("data_access_expired")
"""The token lives, and the date to which its data may be read has jumped back."""


@pytest.mark.parametrize("every", [1, 6], ids=["1h", "6h"])
async def test_dates_that_jump_back_for_two_hours_tell_no_owner(
    house: Builder, every: int
) -> None:
    storm = (Event(HOUR, ACCESS_LAPSED), Event(3 * HOUR, State("valid")))
    plans = [
        a_token(n, events=storm, data_access_expires_in=80 * DAY) for n in range(40)
    ]
    home = await house(*plans, rule=Rule(check_every=every * HOUR))
    await settle_in(home, every * HOUR)
    await live(home, 3 * HOUR)
    counts = await home.store.reports.counts(home.clock())
    assert counts["held"] > 0, "a positive control: something would have been told"
    await live(home, every * HOUR)
    assert home.owner_letters == []
    assert told(home) == {OPS: 1}
    assert "data_access_expired" in home.mailbox.received[0].text
    assert await home.store.holds.open() == []
    counts = await home.store.reports.counts(home.clock())
    assert counts["severity"] == {"ok": 40}


@ON_SQLITE
async def test_one_users_date_that_jumps_back_is_told_at_once(house: Builder) -> None:
    anns = one_token("north", ANN, data_access_expires_in=80 * DAY)
    home = await house(anns, *(a_token(n) for n in range(40)))
    await settle_in(home, 6 * HOUR)
    await live(home, HOUR)
    home.graph.set_state("north", "data_access_expired")
    await live(home, 7 * HOUR)
    assert told(home) == {ANN: 1}
    assert await home.store.holds.past() == []


# --- one person's own matter, and a storm that is real


@ON_SQLITE
async def test_one_users_password_change_on_ten_pages_is_no_storm(
    house: Builder,
) -> None:
    anns = [one_token(f"page-{n}", ANN, kind="page") for n in range(10)]
    home = await house(*anns, *(a_token(n) for n in range(990)), workers=4)
    await settle_in(home, 6 * HOUR)
    await live(home, HOUR)
    for plan in anns:
        home.graph.set_state(plan.id, "password_changed")
    await live(home, 7 * HOUR)
    assert told(home) == {ANN: 1}
    assert await home.store.holds.past() == []


async def revoked_by_all(house: Builder, size: int, **wishes: Any) -> House:
    """A fleet of which everything is revoked, and held."""
    home = await house(*(a_token(n) for n in range(size)), workers=4, **wishes)
    await settle_in(home, 6 * HOUR)
    await live(home, HOUR)
    for number in range(size):
        home.graph.set_state(f"t{number}", "revoked")
    await live(home, 2 * HOUR)
    assert home.owner_letters == []
    assert told(home) == {OPS: 1}
    return home


@ON_SQLITE
async def test_after_a_release_every_owner_gets_exactly_one_letter(
    house: Builder,
) -> None:
    home = await revoked_by_all(house, 300)
    storm = storm_of(home.charter, home.clock)
    freed = await home.store.holds.release(
        ACME.id, storm, "ops", "it is real", home.clock()
    )
    assert freed is not None
    assert freed.entries > 60
    assert freed.entries == freed.readers
    await live(home, 9 * HOUR)
    letters = told(home)
    assert set(letters.values()) == {1}, "also those found after the release"
    assert len(letters) == 301
    (hold,) = await home.store.holds.past()
    assert (hold["ended_how"], hold["ended_by"]) == ("released", "ops")
    again = await home.store.holds.release(ACME.id, storm, "ops", None, home.clock())
    assert again is None


async def test_what_nobody_releases_goes_at_the_deadline(house: Builder) -> None:
    home = await revoked_by_all(house, 60)
    (hold,) = await home.store.holds.open()
    await live(home, hold["until"] - home.clock() - MINUTE)
    assert home.owner_letters == []
    await live(home, 5 * MINUTE)
    assert len(home.owner_letters) == 60
    assert set(told(home).values()) == {1}
    (hold,) = await home.store.holds.past()
    assert hold["ended_how"] == "deadline"


@ON_SQLITE
async def test_what_is_discarded_is_told_to_nobody(house: Builder) -> None:
    home = await revoked_by_all(house, 40)
    storm = storm_of(home.charter, home.clock)
    await home.store.holds.discard(ACME.id, storm, "ops", "no", home.clock())
    await live(home, DAY)
    assert home.owner_letters == []
    reasons = Counter(r["dropped_for"] for r in await home.store.reports.entries())
    assert reasons["discarded"] == 40
    for number in range(40):
        home.graph.set_state(f"t{number}", "valid")
    await live(home, 8 * HOUR)
    assert home.owner_letters == [], "who was told nothing hears of no recovery"
    counts = await home.store.reports.counts(home.clock())
    assert counts["severity"] == {"ok": 40}


async def test_a_storm_over_all_apps_holds_the_small_ones_too(house: Builder) -> None:
    large = [a_token(n) for n in range(30)]
    small = [replace(a_token(n), app=ADS.id) for n in range(30, 33)]
    home = await house(*large, *small, apps=(ACME, ADS))
    await home.check()
    home.clock.advance(HOUR)
    for plan in (*large, *small):
        home.graph.set_state(plan.id, "logged_out")
    await live(home, 7 * HOUR)
    held = {each["app_id"]: each for each in await home.store.holds.open()}
    assert set(held) == {ACME.id, ADS.id}
    assert home.owner_letters == []
    assert len(home.letters(OPS)) <= 2, "one a hold at most"


@ON_SQLITE
async def test_a_small_fleet_is_told_each_by_each(house: Builder) -> None:
    home = await house(*(a_token(n) for n in range(5)))
    await home.check()
    for number in range(5):
        home.graph.set_state(f"t{number}", "revoked")
    await live(home, 7 * HOUR)
    assert len(home.owner_letters) == 5


# --- our own credentials, and looks that are wrong now and then


@ON_SQLITE
async def test_a_rotated_app_secret_writes_to_the_operator_alone(
    house: Builder,
) -> None:
    home = await house(*(a_token(n) for n in range(1_000)), workers=4)
    await settle_in(home, 6 * HOUR)
    await live(home, HOUR)
    home.graph.set_app_secret(ACME.id, "another-secret")
    await live(home, 7 * HOUR)
    assert told(home) == {OPS: 1}
    home.graph.set_app_secret(ACME.id, ACME.secret)
    await live(home, 7 * HOUR)
    assert home.owner_letters == []


@ON_SQLITE
async def test_one_per_cent_of_false_answers_tells_nobody(
    house: Builder, figure: Callable[[str], None]
) -> None:
    """100,000 looks, each false with a probability of 1 % (a fixed seed).

    A letter needs three false answers in a row about one token, two looks and the last
    one: 10^-6 a look, so 0.1 letters are to be expected in 100,000 looks.
    """
    random, size = Random(190), 1_000
    home = await house(
        *(a_token(n) for n in range(size)),
        rule=Rule(check_every=HOUR),
        batch_size=50,
        workers=4,
    )
    looked = suspected = 0
    while looked < 100_000:
        home.clock.advance(10 * MINUTE)
        lying = random.sample(range(size), k=size // 100)
        for number in lying:
            home.graph.set_state(f"t{number}", "invalid")
        tally = await home.checker.check_due()
        await home.courier.deliver_due()
        for number in lying:
            home.graph.set_state(f"t{number}", "valid")
        looked += tally.looked
        suspected += tally.suspected
    letters = dict(told(home))
    figure(f"{looked} looks, 1 % false: {suspected} suspicions, letters {letters}")
    assert suspected > 800, "a positive control: false answers were seen"
    assert home.owner_letters == []


# --- the pace


async def test_owner_letters_leave_at_a_pace_the_worst_first(house: Builder) -> None:
    ending = [a_token(n, expires_in=(n + 1) * 2 * HOUR + 2 * DAY) for n in range(12)]
    dead = [a_token(n) for n in range(12, 16)]
    home = await house(*ending, *dead, brake=Brake(owner_letters_per_hour=5))
    for plan in dead:
        home.graph.set_state(plan.id, "revoked")
    await live(home, 30 * MINUTE)
    first = [
        each.envelope_to[0] for each in home.letters() if each.envelope_to[0] != OPS
    ]
    assert set(first) == {f"owner-{n}@bakery.example" for n in range(5)}
    paced = [each for each in home.subjects(OPS) if "The pace" in each]
    assert len(paced) == 1
    await live(home, 6 * HOUR)
    assert len(home.owner_letters) == 16
    assert set(told(home).values()) == {1}, "the operator hears of the pace once"
    entries = await home.store.reports.open_matters()
    assert entries == [], "the matter closes without a word"
