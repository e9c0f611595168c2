"""Visits to the page behind a letter's link, over a real web on loopback."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from monitor.core.policy import Rule
from monitor.core.vitals import Ailment
from monitor.jobs.muting import Desk
from monitor.notify.leaflets import Leaflets
from monitor.sandbox.clock import VirtualClock
from monitor.sandbox.letters import Received
from monitor.store import Store
from monitor.web.pages import pages
from monitor.web.serve import Door
from tests.jobs.house import ANN, DAY, HOUR, Builder, House, a_token

BOSS: Final = "boss@bakery.example"
ONE_CLICK: Final = {"List-Unsubscribe": "One-Click"}


async def well() -> Sequence[Ailment]:
    return []


async def nothing() -> bytes:
    return b""


@asynccontextmanager
async def a_web(
    store: Store,
    clock: VirtualClock,
    leaflets: Leaflets | None = None,
    locale: str = "en",
) -> AsyncIterator[str]:
    """The pages over this store; where they are."""
    desk = Desk(store, leaflets or Leaflets(), clock, locale)
    door = await Door.open("127.0.0.1", 0, pages(well, nothing, desk.serve))
    try:
        yield f"http://127.0.0.1:{door.port}"
    finally:
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


async def dying(house: Builder, public_url: str, **facts: Any) -> House:
    """A token that ends in two weeks, and its owner who has read of it once."""
    rule = Rule(escalate_to=(BOSS,), escalate_after=4 * DAY, check_every=2 * DAY)
    plan = a_token(expires_in=14 * DAY + HOUR, **facts)
    home = await house(plan, rule=rule, public_url=public_url)
    await home.live(4 * HOUR)
    assert len(home.letters(ANN)) == 1
    return home
