"""A reader stops reminders by his letter's link: what he then gets, and still gets."""

import re
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert

from monitor.core.incident import Reason
from monitor.core.mute import mute_url
from monitor.core.policy import Rule
from monitor.sandbox.clock import VirtualClock
from monitor.store import Store
from monitor.store.tables import vault
from tests.jobs.house import ANN, BOB, DAY, HOUR, OPS, Builder, House, a_token
from tests.jobs.visits import BOSS, ONE_CLICK, a_web, dying, get, post, url_in
from tests.store.builders import rows

BOTH = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
"""For what statements decide; the rest is the same on any database."""


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if getattr(request, "param", "sqlite") == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path}/monitor.db"


@pytest.fixture
async def public_url(store: Store, clock: VirtualClock) -> AsyncIterator[str]:
    async with a_web(store, clock) as url:
        yield url


async def told(home: House, *to: str) -> list[str]:
    """The reasons of what these readers were sent, as it was sent."""
    entries = await home.store.reports.entries(state="sent")
    entries.sort(key=lambda row: row["settled_at"])
    return [row["reason"] for row in entries if row["recipient"] in to]


async def renewed(house: Builder, home: House) -> None:
    fresh = home.graph.replace_token("north")
    row = house.row(home, "north", token=fresh)
    await home.store.inventory.import_rows([row], home.clock())
    await home.live(2 * DAY)


@BOTH
async def test_a_mail_program_stops_what_repeats_by_one_click(
    house: Builder, public_url: str
) -> None:
    home = await dying(house, public_url)
    (letter,) = home.letters(ANN)
    assert letter.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    reply = await post(url_in(letter), ONE_CLICK)
    assert (reply.status_code, reply.history) == (200, [])
    assert "Reminders are stopped" in reply.text
    await home.live(32 * DAY)
    await renewed(house, home)
    assert await told(home, ANN) == ["opened", "closer", "worsened", "resolved"]
    assert await told(home, BOSS) == ["escalated", "resolved"]
    closer = home.letters(ANN)[1]
    assert (closer.at - letter.at) // DAY == 13, "the final notice, a day before"
    dropped = await home.store.reports.entries(state="dropped")
    reasons = [(row["reason"], row["dropped_for"]) for row in dropped]
    assert sorted(reasons) == [("closer", "muted")] * 2 + [("reminder", "muted")] * 3


async def test_the_headers_are_whole_lines_whatever_their_length(
    house: Builder,
) -> None:
    """Parsers differ on folds, and none reads an encoded word here."""
    place = "https://" + "tokens." * 20 + "acme.example/behind/a-path"
    home = await house(a_token(expires_in=10 * DAY), public_url=place)
    await home.live(HOUR)
    (letter,) = home.letters(ANN)
    lines = letter.data.split(b"\r\n\r\n")[0].split(b"\r\n")
    (line,) = [each for each in lines if each.startswith(b"List-Unsubscribe:")]
    pattern = rb"List-Unsubscribe: <%s/mute/[0-9a-f]{12}\.[a-z2-7]{16}>"
    assert re.fullmatch(pattern % re.escape(place.encode()), line)
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines
    parsed = letter.message["List-Unsubscribe"]
    assert (str(parsed), parsed.defects) == (line[18:].decode(), ())
    assert str(parsed)[1:-1] in letter.text
    assert str(parsed)[1:-1] in letter.html


async def test_without_a_click_all_of_it_comes(house: Builder, public_url: str) -> None:
    """The positive control; looking at the page is no click."""
    home = await dying(house, public_url)
    url = url_in(home.letters(ANN)[0])
    for method in ("GET", "HEAD"):
        async with httpx.AsyncClient() as client:
            assert (await client.request(method, url)).status_code == 200
    assert "Stop reminders?" in (await get(url)).text
    await home.live(32 * DAY)
    await renewed(house, home)
    assert await told(home, ANN) == [
        "opened",
        *["closer"] * 3,
        "worsened",
        *["reminder"] * 3,
        "resolved",
    ]


@BOTH
async def test_it_is_taken_back_on_the_same_page(
    house: Builder, public_url: str
) -> None:
    home = await dying(house, public_url)
    url = url_in(home.letters(ANN)[0])
    await post(url)
    assert "Reminders are stopped" in (await get(url)).text
    again = await post(url, {"reminders": "on"})
    assert "Reminders are sent again" in again.text
    assert "Stop reminders?" in (await get(url)).text
    await home.live(8 * DAY)
    assert await told(home, ANN) == ["opened", "closer"]


async def test_what_is_repeated_changes_nothing(
    house: Builder, public_url: str
) -> None:
    home = await dying(house, public_url)
    url = url_in(home.letters(ANN)[0])
    for data in (ONE_CLICK, None, {"reminders": "off"}, {"anything": "x"}):
        assert "Reminders are stopped" in (await post(url, data)).text
    assert len(await rows(home.store, "SELECT * FROM mutes")) == 1
    for _ in range(2):
        assert "sent again" in (await post(url, {"reminders": "on"})).text
    assert await rows(home.store, "SELECT * FROM mutes") == []
    audit = await rows(home.store, "SELECT author, action FROM audit ORDER BY id")
    assert audit == [("reader", "mute"), ("reader", "unmute")]


async def test_another_reader_of_the_same_matter_gets_his_reminders(
    house: Builder, public_url: str
) -> None:
    """The owner is unreachable, so reminders go to two others."""
    rule = Rule(escalate_to=(BOB, BOSS))
    home = await house(a_token(), rule=rule, public_url=public_url)
    home.mailbox.refuse(ANN)
    home.graph.set_state("north", "revoked")
    await home.live(DAY)
    (letter,) = home.letters(BOB)
    await post(url_in(letter), ONE_CLICK)
    await home.live(5 * DAY)
    assert await told(home, BOB) == ["opened"]
    assert await told(home, BOSS) == ["opened", "reminder"]


async def test_the_operator_goes_on_hearing_and_no_page_is_for_him(
    house: Builder, public_url: str
) -> None:
    home = await house(a_token(), public_url=public_url)
    home.graph.set_app_secret("1", "another-secret")
    await home.live(HOUR)
    (letter,) = home.letters(OPS)
    assert letter.message["List-Unsubscribe"] is None
    assert letter.message["List-Unsubscribe-Post"] is None
    key = await home.store.mutes.key()
    (entry,) = await home.store.reports.entries()
    reply = await post(mute_url(public_url, entry["letter_id"], key), ONE_CLICK)
    assert reply.status_code == 404


async def test_without_a_place_there_is_no_link(house: Builder) -> None:
    home = await house(a_token(expires_in=10 * DAY))
    await home.live(HOUR)
    (letter,) = home.letters(ANN)
    assert b"List-Unsubscribe" not in letter.data
    assert b"/mute/" not in letter.data


@BOTH
async def test_all_matters_of_a_letter_and_no_others(
    house: Builder, public_url: str
) -> None:
    plans = (a_token("north"), a_token("south"), a_token("west"))
    home = await house(*plans, public_url=public_url)
    for name in ("north", "south"):
        home.graph.set_state(name, "revoked")
    await home.live(8 * HOUR)
    (letter,) = home.letters(ANN)
    home.graph.set_state("west", "revoked")
    await home.live(8 * HOUR)
    await post(url_in(letter), ONE_CLICK)
    await home.live(4 * DAY)
    entries = await home.store.reports.entries(state="sent")
    subjects = {row["subject"] for row in entries if row["reason"] == Reason.REMINDER}
    assert subjects == {"token:west"}


@BOTH
async def test_news_that_never_left_is_told_by_what_follows(
    house: Builder, public_url: str
) -> None:
    """He stops reminders; new trouble waits in a silence, and is superseded there."""
    rule = Rule(check_every=2 * DAY, required_scopes=("ads_read",))
    plan = a_token(expires_in=20 * DAY, scopes=("ads_read",))
    home = await house(plan, rule=rule, public_url=public_url)
    await home.live(6 * DAY + HOUR)
    await post(url_in(home.letters(ANN)[0]), ONE_CLICK)
    until = home.clock() + 8 * DAY
    await home.store.hand.silence(["north"], until, "ops", None, home.clock())
    home.graph.set_state("north", "scope_lost(ads_read)")
    await home.live(9 * DAY)
    entries = await home.store.reports.entries()
    entries.sort(key=lambda row: row["number"])
    found = [(row["reason"], row["state"]) for row in entries]
    assert found == [("opened", "sent"), ("worsened", "dropped"), ("closer", "sent")]
    assert "ads" in home.letters(ANN)[-1].text


@BOTH
async def test_reminders_that_nobody_gets_end_and_the_report_names_the_matter(
    house: Builder, public_url: str
) -> None:
    home = await house(a_token(), public_url=public_url)
    home.graph.set_state("north", "revoked")
    await home.live(DAY)
    await post(url_in(home.letters(ANN)[0]), ONE_CLICK)
    await home.live(20 * DAY)
    entries = await home.store.reports.entries()
    assert len(entries) == 4, "three reminders are planned, days apart, and no more"
    view = await home.view()
    assert view.incident is not None
    assert view.incident.reminders == 3
    planned = sorted(row["planned_at"] for row in entries)
    assert min(b - a for a, b in pairwise(planned)) >= 3 * DAY


async def test_a_matter_that_is_over_has_nothing_to_stop(
    house: Builder, public_url: str
) -> None:
    home = await house(a_token(), public_url=public_url)
    home.graph.set_state("north", "revoked")
    await home.live(DAY)
    url = url_in(home.letters(ANN)[0])
    await post(url, ONE_CLICK)
    home.graph.set_state("north", "valid")
    await home.live(DAY)
    assert (await told(home, ANN))[-1] == "resolved"
    for reply in (
        await get(url),
        await post(url),
        await get(url_in(home.letters()[-1])),
    ):
        assert reply.status_code == 200
        assert "nothing to stop" in reply.text
        assert "<form" not in reply.text
    assert await home.store.mutes.prune() == 1
    assert await home.store.mutes.prune() == 0
    home.graph.set_state("north", "revoked")
    await home.live(5 * DAY)
    assert (await told(home, ANN))[-2:] == ["opened", "reminder"], "a new matter"


@BOTH
async def test_pruning_keeps_what_is_stopped_about_an_open_matter(
    house: Builder, public_url: str
) -> None:
    home = await dying(house, public_url)
    await post(url_in(home.letters(ANN)[0]))
    assert await home.store.mutes.prune() == 0
    assert len(await rows(home.store, "SELECT * FROM mutes")) == 1


async def test_a_signing_key_that_nothing_opens_costs_no_letter(
    house: Builder, public_url: str, store: Store
) -> None:
    """As when the key it was made with is not configured any more."""
    async with store.database.write() as connection:
        for name in ("mute-key", "bounce-key"):
            row = {"name": name, "sealed": b"\x00" * 64}
            await connection.execute(insert(vault).values(row))
    home = await house(
        a_token(expires_in=2 * DAY),
        public_url=public_url,
        bounce_address="bounces@acme.example",
    )
    await home.live(HOUR)
    (letter,) = home.letters(ANN)
    assert letter.message["List-Unsubscribe"] is None
    assert letter.envelope_from == "tokens@acme.example"
