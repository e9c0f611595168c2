"""A reader stops reminders by his letter's link: what he then gets, and still gets."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.core.incident import Reason
from monitor.core.policy import Rule
from monitor.core.vitals import Ailment
from monitor.jobs.muting import Desk
from monitor.notify.leaflets import Leaflets
from monitor.sandbox.clock import VirtualClock
from monitor.sandbox.letters import Received
from monitor.store import Store
from monitor.web.pages import pages
from monitor.web.serve import Door
from tests.jobs.house import ANN, BOB, DAY, HOUR, OPS, Builder, House, a_token
from tests.store.builders import rows

BOSS = "boss@bakery.example"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
DAYS_26 = 26 * DAY + HOUR


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path}/monitor.db"


async def well() -> Sequence[Ailment]:
    return []


async def nothing() -> bytes:
    return b""


@pytest.fixture
async def public_url(store: Store, clock: VirtualClock) -> AsyncIterator[str]:
    """A real web on loopback."""
    desk = Desk(store, Leaflets(), clock)
    door = await Door.open("127.0.0.1", 0, pages(well, nothing, desk.serve))
    yield f"http://127.0.0.1:{door.port}"
    await door.close()


def url_in(letter: Received) -> str:
    """The link as a mail program reads it."""
    text = str(letter.message["List-Unsubscribe"])
    found = re.fullmatch(r"<(http://127\.0\.0\.1:\d+/mute/[a-z0-9.]+)>", text)
    assert found, text
    return found[1]


async def get(url: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=5) as client:
        return await client.get(url, headers=headers)


async def post(url: str, data: dict[str, str] | None = None) -> httpx.Response:
    async with httpx.AsyncClient(timeout=5) as client:
        return await client.post(url, data=data)


async def told(home: House, *to: str) -> list[str]:
    """The reasons of what these readers were sent, as it was sent."""
    entries = await home.store.reports.entries(state="sent")
    entries.sort(key=lambda row: row["settled_at"])
    return [row["reason"] for row in entries if row["recipient"] in to]


async def dying(house: Builder, public_url: str, **facts: Any) -> House:
    """A token that ends in forty days, and its owner who has read of it once."""
    rule = Rule(escalate_to=(BOSS,), escalate_after=4 * DAY, check_every=2 * DAY)
    plan = a_token(expires_in=40 * DAY, **facts)
    home = await house(plan, rule=rule, public_url=public_url)
    await home.live(DAYS_26)
    assert await told(home, ANN) == ["opened"]
    return home


async def renewed(house: Builder, home: House) -> None:
    fresh = home.graph.replace_token("north")
    row = house.row(home, "north", token=fresh)
    await home.store.inventory.import_rows([row], home.clock())
    await home.live(2 * DAY)


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
    await home.live(DAY)
    (letter,) = home.letters(OPS)
    assert letter.message["List-Unsubscribe"] is None
    assert letter.message["List-Unsubscribe-Post"] is None
    key = await home.store.mutes.key()
    (entry,) = await home.store.reports.entries()
    from monitor.core.mute import mute_url  # noqa: PLC0415 - a link nobody was given

    reply = await post(mute_url(public_url, entry["letter_id"], key), ONE_CLICK)
    assert reply.status_code == 404


async def test_without_a_place_there_is_no_link(house: Builder) -> None:
    home = await house(a_token(expires_in=10 * DAY))
    await home.live(HOUR)
    (letter,) = home.letters(ANN)
    assert b"List-Unsubscribe" not in letter.data
    assert b"/mute/" not in letter.data


async def test_all_matters_of_a_letter_and_no_others(
    house: Builder, public_url: str
) -> None:
    plans = (a_token("north"), a_token("south"), a_token("west"))
    home = await house(*plans, public_url=public_url)
    for name in ("north", "south"):
        home.graph.set_state(name, "revoked")
    await home.live(DAY)
    (letter,) = home.letters(ANN)
    home.graph.set_state("west", "revoked")
    await home.live(DAY)
    await post(url_in(letter), ONE_CLICK)
    await home.live(5 * DAY)
    entries = await home.store.reports.entries(state="sent")
    subjects = {row["subject"] for row in entries if row["reason"] == Reason.REMINDER}
    assert subjects == {"token:west"}


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
    found = [(row["reason"], row["state"]) for row in reversed(entries)]
    assert found == [("opened", "sent"), ("worsened", "dropped"), ("closer", "sent")]
    assert "ads" in home.letters(ANN)[-1].text


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


async def test_pruning_keeps_what_is_stopped_about_an_open_matter(
    house: Builder, public_url: str
) -> None:
    home = await dying(house, public_url)
    await post(url_in(home.letters(ANN)[0]))
    assert await home.store.mutes.prune() == 0
    assert len(await rows(home.store, "SELECT * FROM mutes")) == 1


# --- what the page shows, and to whom


async def test_the_page_names_nobody(house: Builder, public_url: str) -> None:
    home = await dying(house, public_url)
    url = url_in(home.letters(ANN)[0])
    for reply in (
        await get(url),
        await post(url),
        await post(url, {"reminders": "on"}),
    ):
        assert "a…@b….example" in reply.text
        shown = reply.text + str(reply.headers)
        for secret in (ANN, "bakery.example", "North", "north", "token:", "EAAB"):
            assert secret not in shown
        assert "set-cookie" not in reply.headers


async def test_a_browser_is_told_to_keep_and_show_nothing(
    house: Builder, public_url: str
) -> None:
    home = await dying(house, public_url)
    reply = await get(url_in(home.letters(ANN)[0]))
    headers = reply.headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-robots-tag"] == "noindex, nofollow"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    (policy,) = headers.get_list("content-security-policy")
    nonce = re.search(r"'nonce-([\w-]+)'", policy)
    assert nonce
    assert policy == (
        f"default-src 'none'; style-src 'nonce-{nonce[1]}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    assert f'<style nonce="{nonce[1]}">' in reply.text
    assert "style=" not in reply.text, "the policy forbids it"
    assert "<script" not in reply.text


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_forged_links_and_forgotten_letters_look_alike(
    house: Builder, public_url: str, method: str
) -> None:
    home = await dying(house, public_url)
    real = url_in(home.letters(ANN)[0])
    place, _, link = real.rpartition("/")
    letter, _, signature = link.partition(".")
    wrong = [
        f"{letter}.{'a' * 16}",
        f"{'0' * 12}.{signature}",
        link.upper(),
        link[:-1],
        letter,
        "x",
        "%00",
        "é",
        "a" * 2000,
    ]
    async with httpx.AsyncClient(timeout=5) as client:
        seen = set()
        for forged in wrong:
            reply = await client.request(method, f"{place}/{forged}")
            seen.add((reply.status_code, re.sub(r"nonce.{20,30}", "", reply.text)))
    ((status, text),) = seen
    assert (status, "Acme" in text, "This link is not known" in text) == (
        404,
        False,
        True,
    )
    assert await rows(home.store, "SELECT * FROM mutes") == []


async def test_only_get_head_and_post_are_answered(
    house: Builder, public_url: str
) -> None:
    home = await dying(house, public_url)
    url = url_in(home.letters(ANN)[0])
    async with httpx.AsyncClient(timeout=5) as client:
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            assert (await client.request(method, url)).status_code == 405
    assert await rows(home.store, "SELECT * FROM mutes") == []


async def test_a_body_without_end_is_cut_off_and_nothing_is_done(
    house: Builder, public_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    home = await dying(house, public_url)
    url = url_in(home.letters(ANN)[0])
    with pytest.raises(httpx.TransportError):
        await post(url, {"x": "a" * 20_000})
    assert "Stop reminders?" in (await get(url)).text
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []


async def test_a_visitor_is_answered_in_the_language_of_the_letter(
    house: Builder, public_url: str, tmp_path: Path
) -> None:
    """Forged links are answered in the browser's; one we do not have, in English."""
    home = await dying(house, public_url)
    place = url_in(home.letters(ANN)[0]).rpartition("/")[0]
    for spoken in ("tlh", "en-GB, de;q=0.5", "*", "../../etc", "x" * 500):
        reply = await get(f"{place}/x", **{"accept-language": spoken})
        assert 'lang="en" dir="ltr"' in reply.text


async def test_a_letter_in_another_tongue_leads_to_a_page_in_it(
    house: Builder, store: Store, clock: VirtualClock, tmp_path: Path
) -> None:
    """A language is a folder: its button and its direction are those of the page."""
    folder = tmp_path / "words" / "ar"
    (folder / "pages").mkdir(parents=True)
    (folder / "attention.txt").write_text("[body]\n\n", encoding="utf-8")
    words = "[title]\nس\n[still]\nب\n[on]\n## ت\n{{ still }}\n[stop]\nقف\n"
    (folder / "pages" / "mute.txt").write_text(words, encoding="utf-8")
    desk = Desk(store, Leaflets(tmp_path / "words"), clock)
    door = await Door.open("127.0.0.1", 0, pages(well, nothing, desk.serve))
    url = f"http://127.0.0.1:{door.port}"
    home = await house(a_token(expires_in=10 * DAY), public_url=url)
    row = replace(house.row(home, "north"), locale="ar")
    await home.store.inventory.import_rows([row], home.clock())
    await home.live(HOUR)
    try:
        reply = await get(url_in(home.letters(ANN)[0]))
    finally:
        await door.close()
    assert '<html lang="ar" dir="rtl">' in reply.text
    assert ">قف</button>" in reply.text
