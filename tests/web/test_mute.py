"""The page that stops reminders: what it shows, and to whom."""

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from monitor.notify.leaflets import Leaflets
from monitor.sandbox.clock import VirtualClock
from monitor.store import Store
from tests.jobs.house import ANN, DAY, HOUR, Builder, a_token
from tests.jobs.visits import a_web, dying, get, post, url_in
from tests.store.builders import rows


@pytest.fixture
async def public_url(store: Store, clock: VirtualClock) -> AsyncIterator[str]:
    async with a_web(store, clock) as url:
        yield url


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
    async with a_web(store, clock, Leaflets(tmp_path / "words")) as url:
        home = await house(a_token(expires_in=10 * DAY), public_url=url)
        row = replace(house.row(home, "north"), locale="ar")
        await home.store.inventory.import_rows([row], home.clock())
        await home.live(HOUR)
        reply = await get(url_in(home.letters(ANN)[0]))
    assert '<html lang="ar" dir="rtl">' in reply.text
    assert ">قف</button>" in reply.text


async def test_who_asks_for_what_is_so_already_waits_for_no_writer(
    house: Builder, public_url: str, tmp_path: Path
) -> None:
    """So whoever repeats it, by a link he has, keeps nobody from writing either."""
    home = await dying(house, public_url)
    url = url_in(home.letters(ANN)[0])
    await post(url)
    with closing(sqlite3.connect(tmp_path / "monitor.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert "Reminders are stopped" in (await post(url)).text
        writer.rollback()


async def test_a_reader_of_no_known_language_has_the_page_in_that_of_his_letter(
    house: Builder, store: Store, clock: VirtualClock
) -> None:
    """`mail.locale` is German, the inventory names none; his browser speaks another."""
    async with a_web(store, clock, locale="de") as url:
        plan = a_token(expires_in=10 * DAY)
        home = await house(plan, public_url=url, locale="de")
        await home.live(HOUR)
        (letter,) = home.letters(ANN)
        reply = await get(url_in(letter), **{"accept-language": "fr"})
    assert '<html lang="de"' in letter.html
    assert '<html lang="de"' in reply.text


async def test_forged_links_cost_no_look_into_the_database(
    house: Builder, public_url: str, tmp_path: Path
) -> None:
    """So nothing tells whether there is such a letter, not even the time it takes."""
    home = await dying(house, public_url)
    url = url_in(home.letters(ANN)[0])
    await get(url)
    (tmp_path / "monitor.db").rename(tmp_path / "elsewhere.db")
    assert (await get(f"{url[:-16]}{'a' * 16}")).status_code == 404
    for reply in (await get(url), await post(url)):
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "60")
        assert "Please try again later" in reply.text
    (tmp_path / "elsewhere.db").rename(tmp_path / "monitor.db")
    assert "Stop reminders?" in (await get(url)).text, "nothing was changed"
