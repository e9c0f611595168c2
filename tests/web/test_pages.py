"""The shapes of the pages, without a port."""

from collections.abc import Sequence
from datetime import UTC, datetime

import httpx
import pytest

from monitor.core.vitals import Ailment, Organ
from monitor.web.pages import pages

SINCE = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class Visitor:
    """Asks a web whose ailments the test decides."""

    def __init__(self, *ailments: Ailment) -> None:
        self._ailments = ailments
        self.asked = 0

    async def sick(self) -> Sequence[Ailment]:
        self.asked += 1
        return self._ailments

    async def metrics(self) -> bytes:
        return b"token_monitor_build_info 1\n"

    async def get(
        self, path: str, method: str = "GET", host: str = "monitor"
    ) -> httpx.Response:
        transport = httpx.ASGITransport(pages(self.sick, self.metrics))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(
                method, f"http://monitor{path}", headers={"Host": host}
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
