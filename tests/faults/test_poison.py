"""Poison: rows that cannot be read, judged or written spoil nothing but themselves."""

# ruff: noqa: S608 - statements of our own

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import time, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from monitor.core.attempt import Attempt, Outcome, Phase
from monitor.core.delivery import Hours
from monitor.store import outbox, records, sealing
from monitor.store.poison import Unusable, unusable
from monitor.store.settlement import settle
from monitor.store.waiters import waiter_of
from tests.jobs.house import BOB, DAY, HOUR, MINUTE, OPS, Builder, House, a_token
from tests.store.builders import execute, rows

ALL_WEEK: Final = Hours(frozenset(range(7)), time(0), time(23, 59, 59))
LONG: Final = "N" * 10_000_000
_ITS_ROW: Final = "(SELECT row_id FROM tokens WHERE id = :id)"

EARLY: Final = {
    "secret": "UPDATE tokens SET secret = fingerprint WHERE id = :id",
    "labels": "UPDATE tokens SET labels = '{\"team\": [' WHERE id = :id",
    "doubt": f"UPDATE health SET suspicion = 'gone' WHERE token_row = {_ITS_ROW}",
    "known": "INSERT INTO introspections (token_row, known) "
    f'VALUES ({_ITS_ROW}, \'{{"fault": "gone_fishing"}}\')',
    "name": "UPDATE tokens SET name = :long WHERE id = :id",
    "address": "UPDATE tokens SET owner_email = 'no address' WHERE id = :id",
}
"""What lies in the inventory before the look."""
LATE: Final = {
    "item": f"UPDATE outbox SET item = '{{' WHERE token_row = {_ITS_ROW}",
    "role": f"UPDATE outbox SET role = 'jester' WHERE token_row = {_ITS_ROW}",
    "incident": f"UPDATE incidents SET state = '[]' WHERE token_row = {_ITS_ROW}",
    "zone": f"UPDATE outbox SET timezone = 'Mars/Base' WHERE token_row = {_ITS_ROW}",
}
"""What lies in the outbox before the letters are sealed."""
EVENTS: Final = ("token.unreadable", "row.damaged", "entry.failed", "token.failed")
UNREAD: Final = ("labels", "doubt", "known")


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path}/monitor.db"


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    """What is logged; tracebacks are not printed, which would take long."""
    with capture_logs() as events:
        yield events


async def poison(home: House, kinds: Mapping[str, str], each: int = 1) -> None:
    for kind, statement in kinds.items():
        for n in range(each):
            values = {"id": f"{kind}-{n}"}
            if kind == "name":  # one of ten megabytes says it
                values["long"] = LONG if n == 0 else LONG[:1000]
            await execute(home.store, statement, **values)


def plans(each: int, well: int, owners: int) -> list[Any]:
    """Tokens near their end, the poisoned ones scattered among all owners."""
    names = [f"{kind}-{n}" for kind in (*EARLY, *LATE) for n in range(each)]
    names += [f"well-{n}" for n in range(well)]
    return [
        a_token(name, f"reader-{n % owners}@acme.example", expires_in=3 * DAY)
        for n, name in enumerate(names)
    ]


def named_in(home: House, ids: Iterable[str]) -> set[str]:
    """Which tokens the owners' letters name."""
    said = "\n".join(each.text for each in home.letters() if each.envelope_to != (OPS,))
    words = set(said.replace('"', " ").split())
    return {each for each in ids if each.title() in words}


async def test_a_hundred_poisoned_of_a_thousand_delay_none_of_the_others(
    house: Builder, logged: list[EventDict], capsys: pytest.CaptureFixture[str]
) -> None:
    home = await house(*plans(10, 900, 125), hours=ALL_WEEK)
    await poison(home, EARLY, 10)
    tally = await home.check()
    assert (tally.looked, tally.failed) == (1000, 0)
    await poison(home, LATE, 10)
    home.clock.advance(2 * MINUTE)
    delivered = await home.deliver()
    events = Counter(each["event"] for each in logged)
    assert [events[name] for name in EVENTS] == [10, 60, 10, 0]
    well = [f"well-{n}" for n in range(900)]
    assert len(named_in(home, well)) == 900
    assert await states(home) == {
        ("waiting", "damaged"): 40,
        ("sent", None): 910,
        ("refused", None): 10,
    }
    # All of it is one matter of the operator, beside the letters that were refused.
    home.clock.advance(3 * MINUTE)
    await home.deliver()
    letter, refused = home.letters(OPS)
    for words in ("no configured key opens: 10", "else cannot be read: 30"):
        assert words in letter.text
    assert refused.subject == "[token-monitor] No human can be reached for 10 tokens"
    assert await unusable(home.store.database) == Unusable(10, 30, 0, 40, FIRST_TEN)
    assert LONG[:1000] not in "".join(each.text for each in home.mailbox.received)
    with capsys.disabled():
        print(  # noqa: T201 - the figures of the proof
            f"\npoison: {delivered.sent} letters left in one pass and told of 900 of "
            "900 well tokens; 40 tokens and 40 entries were set apart"
        )


FIRST_TEN: Final = tuple(f"doubt-{n}" for n in range(10))


async def states(home: House) -> dict[tuple[str, str | None], int]:
    """Entries to owners by state and what they wait for."""
    found = await rows(
        home.store,
        "SELECT state, waits_for, count(*) FROM outbox WHERE token_row IS NOT NULL "
        "GROUP BY state, waits_for",
    )
    return {(state, why): count for state, why, count in found}


async def test_what_is_mended_goes_on_by_itself(house: Builder) -> None:
    home = await house(*plans(1, 1, 1), hours=ALL_WEEK)
    before = await saved(home, "tokens", "secret, labels, owner_email, name")
    await poison(home, EARLY)
    await home.check()
    kept = await saved(home, "outbox", "item, role, timezone")
    states_kept = await saved(home, "incidents", "state")
    await poison(home, LATE)
    await home.live(30 * MINUTE)
    assert named_in(home, LATE_IDS) == set()
    await restore(home, "tokens", "row_id", before)
    await execute(home.store, "UPDATE health SET suspicion = NULL")
    await execute(
        home.store, "DELETE FROM introspections WHERE known LIKE '%gone_fishing%'"
    )
    await restore(home, "outbox", "token_row", kept)
    await restore(home, "incidents", "token_row", states_kept)
    await home.live(3 * HOUR)
    everyone = {f"{kind}-0" for kind in (*EARLY, *LATE)} - {"name-0", "address-0"}
    assert named_in(home, everyone) == everyone
    # The operator heard of it once, and of its end.
    subjects = [s for s in home.subjects(OPS) if "stored rows" in s.lower()]
    assert len(subjects) == 2


LATE_IDS: Final = [f"{kind}-0" for kind in LATE]


async def saved(home: House, table: str, columns: str) -> list[dict[str, Any]]:
    key = "row_id" if table == "tokens" else "token_row"
    found = await rows(home.store, f"SELECT {key}, {columns} FROM {table}")
    names = [key, *columns.split(", ")]
    return [dict(zip(names, row, strict=True)) for row in found]


async def restore(
    home: House, table: str, key: str, kept: Iterable[Mapping[str, Any]]
) -> None:
    for row in kept:
        sets = ", ".join(f"{name} = :{name}" for name in row if name != key)
        await execute(
            home.store,
            f"UPDATE {table} SET {sets} WHERE {key} = :{key}",
            **row,
        )


@pytest.mark.parametrize("kind", UNREAD)
async def test_a_resting_app_goes_on_speaking_of_the_others(
    house: Builder, kind: str
) -> None:
    home = await house(
        a_token(f"{kind}-0", expires_in=8 * DAY), a_token("b", BOB, expires_in=8 * DAY)
    )
    await home.check()
    if kind == "known":
        await execute(
            home.store,
            f"DELETE FROM introspections WHERE token_row = {_ITS_ROW}",
            id="known-0",
        )
    await poison(home, {kind: EARLY[kind]})
    until = home.clock() + 30 * DAY
    await home.store.apps.note("1", paused_until=until, pause_cause="unreachable")
    home.clock.advance(2 * DAY)
    await home.check()
    assert [reader for reader, _, _ in await home.entries()].count(BOB) == 2
    assert await home.checker.judge_again() == 0
    view = await home.view(f"{kind}-0")
    assert (view.inconclusive_cause, view.severity) == ("damaged", "unknown")


async def sealed_pair(house: Builder) -> House:
    home = await house(
        *(a_token(f"{name}-0", expires_in=3 * DAY) for name in ("item", "well"))
    )
    await home.check()
    home.clock.advance(2 * MINUTE)
    await home.courier._seal(hurried=True)
    return home


@pytest.mark.parametrize("doubt", [False, True])
async def test_a_sealed_letter_loses_the_entry_that_cannot_be_read(
    house: Builder, *, doubt: bool
) -> None:
    home = await sealed_pair(house)
    await execute(home.store, "UPDATE letters SET in_doubt = :doubt", doubt=doubt)
    await poison(home, {"item": LATE["item"]})
    await home.deliver()
    assert named_in(home, ["item-0", "well-0"]) == {"well-0"}
    assert await states(home) == {("sent", None): 1, ("waiting", "damaged"): 1}


async def test_a_letter_of_which_nothing_can_be_read_is_closed(house: Builder) -> None:
    home = await sealed_pair(house)
    await execute(home.store, "UPDATE letters SET in_doubt = :doubt", doubt=True)
    await execute(home.store, "UPDATE outbox SET item = ''")
    await home.deliver()
    assert home.letters() == []
    assert await states(home) == {("waiting", "damaged"): 2}
    assert await rows(home.store, "SELECT state FROM letters") == [("empty",)]


async def test_a_letter_that_left_is_known_to_have_left(house: Builder) -> None:
    home = await sealed_pair(house)
    lease = timedelta(minutes=5)
    taken = await home.store.outbox.take(home.courier._review, home.clock(), lease)
    assert taken is not None
    await execute(home.store, "UPDATE incidents SET state = 'poison'")
    attempt = Attempt(Outcome.SENT, Phase.DOT, 250)
    done = await settle(home.store.database, taken, attempt, home.clock(), jitter=0)
    assert done is Outcome.SENT
    assert await states(home) == {("sent", None): 2}


async def test_a_damaged_matter_of_the_operator_is_told_anew(house: Builder) -> None:
    home = await house(a_token())
    home.graph.set_app_secret("1", "another-secret")
    await home.live(10 * MINUTE)
    assert len(home.letters(OPS)) == 1
    await execute(home.store, "UPDATE incidents SET state = '{}'")
    await home.live(2 * HOUR)
    assert len(home.letters(OPS)) == 2
    home.graph.set_app_secret("1", "acme-secret")
    await execute(home.store, "UPDATE incidents SET state = '{}'")
    await home.live(8 * HOUR)
    assert await home.store.reports.open_matters() == []


async def test_an_unknown_severity_ends_no_sweep(house: Builder) -> None:
    home = await house(a_token())
    await home.check()
    await execute(home.store, "UPDATE health SET severity = 'dire'")
    home.clock.advance(7 * HOUR)
    tally = await home.check()
    assert tally.looked == 1


# --- controls: the same poison without the antidote -------------------------------


async def naive_waiters(_: Any, rows_: Iterable[Any], __: Any) -> list[Any]:
    return [waiter_of(row) for row in rows_]


async def naive_review(_: Any, waiters: Any, review: Any, __: Any) -> list[Any]:
    return [(waiter, *review(waiter)) for waiter in waiters]


def naive_readable(found: Iterable[Any], read: Any) -> tuple[list[Any], list[Any]]:
    return [read(row) for row in found], []


async def naive_apart(*_: Any) -> None:
    raise ArithmeticError


@pytest.mark.parametrize(
    ("room", "name", "naive"),
    [
        (sealing, "read_waiters", naive_waiters),
        (outbox, "review_all", naive_review),
        (records, "readable", naive_readable),
    ],
)
async def test_without_the_antidote_one_row_stops_all(
    house: Builder, monkeypatch: pytest.MonkeyPatch, room: Any, name: str, naive: Any
) -> None:
    """What is proven above is not true by chance."""
    monkeypatch.setattr(room, name, naive)
    home = await house(*plans(1, 9, 3), hours=ALL_WEEK)
    await poison(home, EARLY)
    await home.check()
    await poison(home, LATE)
    home.clock.advance(2 * MINUTE)
    job = home.checker.judge_again if room is records else home.courier.deliver_due
    with pytest.raises((ValueError, KeyError)):
        await job()
    assert home.letters() == []
