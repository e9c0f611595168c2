"""The shapes of the pages, without a port."""

from collections.abc import Sequence
from datetime import UTC, datetime

import httpx
import pytest

from monitor.core.mute import Sheet, Wish
from monitor.core.vitals import Ailment, Organ
from monitor.web.pages import pages

SINCE = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class Visitor:
    """Asks a web whose ailments the test decides."""

    def __init__(self, *ailments: Ailment) -> None:
        self._ailments = ailments
        self.asked = 0
        self.wishes: list[tuple[str, Wish, str]] = []

    async def sick(self) -> Sequence[Ailment]:
        self.asked += 1
        return self._ailments

    async def metrics(self) -> bytes:
        return b"token_monitor_build_info 1\n"

    async def mute(
        self, link: str, wish: Wish, language: str, nonce: str
    ) -> tuple[Sheet, str]:
        self.wishes.append((link, wish, language))
        known = {"known": Sheet.ON, "busy": Sheet.LATER}
        return known.get(link, Sheet.UNKNOWN), f"<style nonce={nonce}>"

    async def get(
        self,
        path: str,
        method: str = "GET",
        host: str = "monitor",
        body: bytes = b"",
        language: str = "",
    ) -> httpx.Response:
        transport = httpx.ASGITransport(pages(self.sick, self.metrics, self.mute))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(
                method,
                f"http://monitor{path}",
                headers={"Host": host, "Accept-Language": language},
                content=body,
            )


async def test_healthz_asks_nobody() -> None:
    visitor = Visitor(Ailment(Organ.DATABASE, "gone"))
    reply = await visitor.get("/healthz")
    assert (reply.status_code, reply.text) == (200, "alive\n")
    assert visitor.asked == 0


async def test_readyz_names_every_organ_in_plain_words() -> None:
    well = await Visitor().get("/readyz")
    assert (well.status_code, well.text) == (200, "ready\n")
    visitor = Visitor(
        Ailment(Organ.DATABASE, "took no write"),
        Ailment(Organ.SMTP, "the mail server fails", SINCE),
    )
    sick = await visitor.get("/readyz")
    assert sick.status_code == 503
    assert sick.text == (
        "database: took no write\n"
        "smtp: the mail server fails (since 2026-11-24T09:00:00Z)\n"
    )


async def test_metrics_are_plain_text_for_prometheus() -> None:
    reply = await Visitor().get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_only_get_and_head_are_answered(path: str) -> None:
    assert (await Visitor().get(path, "HEAD")).status_code == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        assert (await Visitor().get(path, method)).status_code == 405


@pytest.mark.parametrize(
    "path", ["/", "/healthz/", "/metrics/..%2f", "/status", "/%00", "//healthz"]
)
async def test_nothing_else_is_there_and_nothing_is_redirected(path: str) -> None:
    reply = await Visitor().get(path, host="evil.example")
    assert reply.status_code == 404
    assert "evil" not in str(reply.headers) + reply.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/nothing"])
async def test_every_reply_is_guarded(path: str) -> None:
    headers = (await Visitor().get(path)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\n'
    b"One-Click\r\n--x--\r\n"
)
"""The other form of a mail program's body: RFC 8058, section 3.2."""


@pytest.mark.parametrize(
    ("method", "body", "wish"),
    [
        ("GET", b"", Wish.LOOK),
        ("HEAD", b"", Wish.LOOK),
        ("GET", b"List-Unsubscribe=One-Click", Wish.LOOK),
        ("POST", b"List-Unsubscribe=One-Click", Wish.STOP),
        ("POST", MULTIPART, Wish.STOP),
        ("POST", b"", Wish.STOP),
        ("POST", b"reminders=off", Wish.STOP),
        ("POST", b"reminders=on", Wish.RESUME),
        ("POST", b"reminders=on&reminders=off", Wish.STOP),
        ("POST", b"\xff\x00=;%zz&" * 99, Wish.STOP),
    ],
)
async def test_a_look_changes_nothing_and_a_post_stops_reminders(
    method: str, body: bytes, wish: Wish
) -> None:
    visitor = Visitor()
    reply = await visitor.get("/mute/known", method, body=body)
    assert (reply.status_code, visitor.wishes) == (200, [("known", wish, "en")])


@pytest.mark.parametrize(
    ("link", "status"), [("known", 200), ("forged", 404), ("busy", 503)]
)
async def test_how_a_link_is_answered(link: str, status: int) -> None:
    reply = await Visitor().get(f"/mute/{link}", "POST")
    assert reply.status_code == status
    assert ("retry-after" in reply.headers) is (status == 503)
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-frame-options"] == "DENY"
    assert len(reply.headers.get_list("content-security-policy")) == 1


@pytest.mark.parametrize(
    ("spoken", "language"),
    [
        ("de-AT, de;q=0.9, en;q=0.1", "de-AT"),
        ("pt-BR;q=0.7", "pt-BR"),
        ("", "en"),
        ("*", "en"),
        ("../../etc", "en"),
    ],
)
async def test_the_first_language_of_the_browser(spoken: str, language: str) -> None:
    visitor = Visitor()
    await visitor.get("/mute/forged", language=spoken)
    assert visitor.wishes == [("forged", Wish.LOOK, language)]


@pytest.mark.parametrize("path", ["/mute", "/mute/", "/mute/a/b", "/mute/a%2Fb"])
async def test_a_link_is_one_part_of_a_path(path: str) -> None:
    visitor = Visitor()
    assert (await visitor.get(path, "POST")).status_code == 404
    assert visitor.wishes == []


async def test_every_page_has_a_nonce_of_its_own() -> None:
    seen = {(await Visitor().get("/mute/known")).text for _ in range(3)}
    assert len(seen) == 3
