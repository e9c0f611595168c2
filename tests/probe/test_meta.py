"""The probe as a whole: what it sends, makes of replies, and never shows."""

import gc
import hashlib
import hmac
import json
import logging
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from monitor.core.tokens import Cause, Code, Inconclusive, Introspection
from monitor.probe.meta import Asked, Caller, MetaProbe, Proof, form_of
from monitor.probe.usage import Usage
from tests.probe.server import Script, Server, Writer, answering, reply, serving

APP = "373482871624900"
SECRET = "canarysecret0123456789abcdef"
TOKEN = "EAAGcanarytoken" + "Zx9" * 40
CALLER = Caller(APP, SECRET)
VERSION = "v25.0"

LIVE = json.dumps({"data": {"is_valid": True, "app_id": APP, "user_id": "1"}})
DEAD = '{"data":{"is_valid":false,"error":{"code":190,"subcode":460}}}'
THROTTLED = '{"error":{"code":4,"message":"Application request limit reached"}}'
REFUSED = '{"error":{"code":190,"message":"Invalid OAuth access token signature."}}'
NOT_CALLER = '{"error":{"code":10,"message":"no"}}'
WRONG_APP = '{"error":{"code":100,"message":"App_id did not match the Viewing App"}}'


def entry(body: str, code: int = 200, **headers: str) -> dict[str, Any]:
    pairs = [{"name": k.replace("_", "-"), "value": v} for k, v in headers.items()]
    return {"code": code, "headers": pairs, "body": body}


def batch(*entries: Any, **headers: str) -> Script:
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return answering(reply(json.dumps(entries).encode(), 200, pairs))


def probe(server: Server, timeout: timedelta = timedelta(seconds=5)) -> MetaProbe:
    return MetaProbe(server.url, VERSION, timeout)


def utf8(tokens: Iterable[str]) -> list[bytes]:
    """Secrets as they are stored, damaged ones among them."""
    return [token.encode("utf-8", "surrogatepass") for token in tokens]


async def ask(script: Script, *tokens: str) -> Asked:
    async with serving(script) as server, probe(server).worker() as worker:
        return await worker.ask(CALLER, utf8(tokens))


async def inspect(script: Script) -> Proof:
    async with serving(script) as server, probe(server).worker() as worker:
        return await worker.inspect_caller(CALLER)


async def test_a_batch_is_one_form_and_no_secret_stands_in_the_url() -> None:
    tokens = [TOKEN, "123|a b&c=d%7C\u00e9/+?#"]
    async with serving(batch(entry(LIVE), entry(DEAD))) as server:
        async with probe(server).worker() as worker:
            asked = await worker.ask(CALLER, utf8(tokens))
        (seen,) = server.seen
    assert asked.answers == (
        Introspection(app_id=APP, user_id="1"),
        Introspection(Code.PASSWORD_CHANGED),
    )
    assert asked.trouble is None
    assert seen.line == "POST /v25.0/ HTTP/1.1"
    assert seen.header("authorization") == f"Bearer {APP}|{SECRET}"
    form = parse_qs(seen.body.decode(), strict_parsing=True)
    proof = hmac.new(SECRET.encode(), f"{APP}|{SECRET}".encode(), hashlib.sha256)
    assert form["appsecret_proof"] == [proof.hexdigest()]
    assert set(form) == {"batch", "appsecret_proof"}
    items = json.loads(form["batch"][0])
    assert len(items) == 2
    for item, token in zip(items, tokens, strict=True):
        assert set(item) == {"method", "relative_url"}
        assert item["method"] == "GET"
        url = urlsplit(item["relative_url"])
        assert url.path == "debug_token"
        assert dict(parse_qsl(url.query, strict_parsing=True)) == {
            "input_token": token,
            "appsecret_proof": proof.hexdigest(),
        }


@pytest.mark.parametrize(
    "tokens", [[TOKEN], ["a|b&c"], [TOKEN, "a|b c+d%&é\\\"'", ""], ["x" * 200] * 50]
)
def test_the_form_is_what_urlencode_makes(tokens: list[str]) -> None:
    items = [
        {
            "method": "GET",
            "relative_url": "debug_token?"
            + urlencode({"input_token": token, "appsecret_proof": CALLER.proof}),
        }
        for token in tokens
    ]
    form = {
        "batch": json.dumps(items, separators=(",", ":")),
        "appsecret_proof": CALLER.proof,
    }
    assert form_of(CALLER, utf8(tokens)) == urlencode(form).encode()


async def test_a_damaged_secret_is_asked_about_like_any_other() -> None:
    asked = await ask(batch(entry(DEAD), entry(LIVE)), "\ud800\x00", TOKEN)
    assert asked.answers[0] == Introspection(Code.PASSWORD_CHANGED)


async def test_nothing_asked_is_nothing_sent() -> None:
    async with serving(batch()) as server, probe(server).worker() as worker:
        assert await worker.ask(CALLER, []) == Asked((), None, Usage())
        assert server.connections == 0


async def test_more_than_fifty_are_refused() -> None:
    async with serving(batch()) as server, probe(server).worker() as worker:
        with pytest.raises(ValueError, match="at most 50"):
            await worker.ask(CALLER, utf8([TOKEN] * 51))


async def test_fifty_large_answers_fit() -> None:
    filler = json.dumps({"data": {"is_valid": True, "metadata": "x" * 30_000}})
    asked = await ask(batch(*[entry(filler)] * 50), *[TOKEN] * 50)
    assert asked.answers == (Introspection(),) * 50


async def test_usage_is_read_from_the_call_and_from_its_items() -> None:
    script = batch(
        entry(LIVE, X_App_Usage='{"call_count":85}'),
        entry(THROTTLED, 403, x_app_usage='{"call_count":100,"total_time":3}'),
        X_App_Usage='{"call_count":20}',
        Facebook_API_Version="v24.0",
        Retry_After="60",
        Date="Mon, 23 Nov 2026 12:00:00 GMT",
    )
    asked = await ask(script, "a", "b")
    assert asked.answers[1] == Inconclusive(Cause.THROTTLED, "item 403, error 4")
    assert asked.trouble is None
    assert asked.usage == Usage(
        percent=100,
        regain=None,
        retry_after=timedelta(minutes=1),
        throttled=True,
        version_seen="v24.0",
        server_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
    )


async def test_a_refused_call_is_trouble_for_all() -> None:
    for body, cause, throttled in (
        (REFUSED, Cause.CALLER, False),
        (THROTTLED, Cause.THROTTLED, True),
        (NOT_CALLER, Cause.UNKNOWN, False),
        (WRONG_APP, Cause.CALLER, False),
        ("<html>", Cause.UNREADABLE, False),
        ("[]", Cause.UNKNOWN, False),
    ):
        asked = await ask(answering(reply(body.encode(), 400)), "a", "b", "c")
        assert asked.trouble is not None
        assert asked.trouble.cause is cause
        assert asked.answers == (asked.trouble,) * 3
        assert asked.usage.throttled is throttled


async def test_items_that_all_blame_the_caller_are_trouble_for_the_call() -> None:
    asked = await ask(batch(entry(REFUSED, 400), entry(REFUSED, 401)), "a", "b")
    trouble = Inconclusive(Cause.CALLER, "item 400, error 190")
    assert asked.trouble == trouble
    assert asked.answers == (trouble, trouble)


async def test_one_item_that_blames_the_caller_is_no_trouble_for_the_call() -> None:
    for other in (entry(LIVE), entry(THROTTLED, 400), None):
        asked = await ask(batch(entry(REFUSED, 400), other), "a", "b")
        assert asked.trouble is None
        assert asked.answers[0] == Inconclusive(Cause.CALLER, "item 400, error 190")


async def test_a_batch_of_wrong_apps_is_left_to_the_core() -> None:
    asked = await ask(batch(*[entry(WRONG_APP, 400)] * 2), "a", "b")
    assert asked.answers == (Introspection(Code.WRONG_APP),) * 2
    assert asked.trouble is None


async def test_no_reply_is_inconclusive_for_all() -> None:
    big = answering(reply(b"x" * (2 * 32 * 1024 + 64 * 1024 + 1)))
    moved = answering(reply(b"", 301, (("Location", "https://evil.example/"),)))
    for script, cause, detail in (
        (big, Cause.UNREADABLE, "no reply: too_large"),
        (moved, Cause.UNREACHABLE, "no reply: redirect"),
        (answering(b"SSH-2.0\r\n\r\n"), Cause.UNREADABLE, "no reply: protocol"),
    ):
        asked = await ask(script, "a", "b")
        trouble = Inconclusive(cause, detail)
        assert asked.answers == (trouble, trouble)
        assert (asked.trouble, asked.usage, asked.unsent) == (trouble, Usage(), False)


async def test_who_may_not_ask_any_more_is_told_so_and_meta_hears_nothing() -> None:
    script = batch(entry(LIVE))
    async with serving(script) as server, probe(server).worker() as worker:
        asked = await worker.ask(CALLER, [b"a", b"b"], still=lambda: False)
        assert server.seen == []
        assert not (await worker.ask(CALLER, [b"a"], still=lambda: True)).unsent
    trouble = Inconclusive(Cause.TRANSIENT, "no reply: unsent")
    assert (asked.unsent, asked.trouble) == (True, trouble)
    assert asked.answers == (trouble,) * 2
    assert asked.usage == Usage()


async def test_words_that_are_left_unread_neither_blame_nor_throttle() -> None:
    """Among them, those that were read at once still do what they did."""
    for bodies, throttled, causes in (
        ((LIVE, THROTTLED), True, [None, Cause.THROTTLED]),
        ((THROTTLED, LIVE), True, [Cause.THROTTLED, None]),
        ((LIVE, REFUSED), False, [None, Cause.CALLER]),
        ((REFUSED, LIVE), False, [Cause.CALLER, None]),
        ((REFUSED, THROTTLED), True, [Cause.CALLER, Cause.THROTTLED]),
        ((LIVE, LIVE), False, [None, None]),
    ):
        codes = [200 if body is LIVE else 400 for body in bodies]
        script = batch(*map(entry, bodies, codes))
        asked = await ask(script, "a", "b")
        assert asked.trouble is None
        assert asked.usage.throttled is throttled
        assert [each.print is None for each in asked.heard] == [
            body is not LIVE for body in bodies
        ]
        assert [getattr(each, "cause", None) for each in asked.answers] == causes


async def test_a_worker_can_ask_again_after_trouble() -> None:
    scripts = iter([answering(b"no HTTP\r\n\r\n"), batch(entry(LIVE))])

    async def script(writer: Writer) -> None:
        await next(scripts)(writer)

    async with serving(script) as server, probe(server).worker() as worker:
        assert (await worker.ask(CALLER, [b"a"])).trouble is not None
        assert (await worker.ask(CALLER, [b"a"])).trouble is None


APP_OK = json.dumps({"data": {"app_id": APP, "type": "APP", "is_valid": True}})


@pytest.mark.parametrize(
    "body",
    [
        APP_OK,
        APP_OK.replace(f'"{APP}"', APP),
        '{"data":{"is_valid":true}}',
        '{"data":{"is_valid":true,"type":"app"}}',
    ],
)
async def test_meta_vouches_for_the_caller(body: str) -> None:
    proof = await inspect(batch(entry(body, x_app_usage='{"call_count":7}')))
    assert proof == Proof(ok=True, rejected=False, trouble=None, usage=Usage(percent=7))


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (APP_OK.replace(APP, "1"), 200, "self-inspection: another app"),
        (APP_OK.replace("true", "false"), 200, "self-inspection: invalid"),
        (WRONG_APP, 400, "self-inspection: wrong_app"),
        (DEAD, 200, "self-inspection: password_changed"),
        (REFUSED, 400, "item 400, error 190"),
        ('{"error":{"code":101}}', 400, "item 400, error 101"),
    ],
)
async def test_meta_rejects_the_caller(body: str, status: int, detail: str) -> None:
    proof = await inspect(batch(entry(body, status)))
    assert (proof.ok, proof.rejected) == (False, True)
    assert proof.trouble == Inconclusive(Cause.CALLER, detail)


async def test_meta_rejects_the_caller_of_the_whole_call() -> None:
    proof = await inspect(answering(reply(REFUSED.encode(), 400)))
    assert (proof.ok, proof.rejected) == (False, True)
    assert proof.trouble == Inconclusive(Cause.CALLER, "call 400, error 190")


@pytest.mark.parametrize(
    "script",
    [
        batch(entry(THROTTLED, 400)),
        batch(None),
        batch(entry(NOT_CALLER, 400)),
        batch(entry("<html>")),
        batch(entry(APP_OK, 500)),
        batch(entry(APP_OK), entry(APP_OK)),
        batch(entry(APP_OK.replace("APP", "USER"))),
        batch(entry(APP_OK.replace("true", "1"))),
        answering(reply(b"<html>", 503)),
        answering(b"no HTTP\r\n\r\n"),
        answering(reply(THROTTLED.encode(), 403)),
    ],
    ids=[
        *("throttled", "given up", "another error", "HTML", "status 500", "too many"),
        *("a user", "odd", "server error", "no HTTP", "throttled call"),
    ],
)
async def test_what_tells_nothing_of_the_caller_rejects_nobody(script: Script) -> None:
    proof = await inspect(script)
    assert (proof.ok, proof.rejected) == (False, False)
    assert proof.trouble is not None
    assert proof.trouble.cause is not Cause.CALLER


async def test_the_caller_asks_about_itself() -> None:
    async with serving(batch(entry(APP_OK))) as server:
        async with probe(server).worker() as worker:
            await worker.inspect_caller(CALLER)
        form = parse_qs(server.seen[0].body.decode())
    (item,) = json.loads(form["batch"][0])
    query = parse_qs(urlsplit(item["relative_url"]).query)
    assert query["input_token"] == [f"{APP}|{SECRET}"]


def test_workers_share_one_tls_context_and_secrets_need_it() -> None:
    made = MetaProbe("https://graph.facebook.com/", VERSION, timedelta(seconds=20))
    assert made.worker() is not made.worker()
    with pytest.raises(ValueError, match="must be https"):
        MetaProbe("http://graph.facebook.com", VERSION, timedelta(seconds=20))


CANARIES = [SECRET, TOKEN, CALLER.proof]


def assert_hidden(text: str) -> None:
    for canary in CANARIES:
        for start in range(len(canary) - 15):
            assert canary[start : start + 16] not in text


ECHO = json.dumps({"error": {"code": 190, "message": f"bad {TOKEN} of {SECRET}"}})


@pytest.mark.parametrize(
    "script",
    [
        batch(entry(LIVE)),
        batch(entry(ECHO, 400, Location=TOKEN)),
        batch(entry(LIVE.replace('"1"', f'"{TOKEN}"'))),
        answering(reply(ECHO.encode(), 400, (("X-App-Usage", TOKEN),))),
        answering(reply(b"", 302, (("Location", f"https://evil.example/{TOKEN}"),))),
        answering(TOKEN.encode() + b"\r\n\r\n"),
        answering(reply(TOKEN.encode(), 200, (("Content-Encoding", TOKEN),))),
        answering(reply(TOKEN.encode(), 500)),
        answering(reply(b"x" * 1_000_000)),
    ],
    ids=[
        "fine",
        "echo",
        "unread",
        "call",
        "redirect",
        "junk",
        "encoding",
        "error",
        "huge",
    ],
)
async def test_no_secret_shows_anywhere(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in a value's repr, nor in a URL, nor in any log at DEBUG."""
    caplog.set_level(logging.DEBUG)
    async with serving(script) as server:
        made = probe(server)
        async with made.worker() as worker:
            asked = await worker.ask(CALLER, utf8([TOKEN]))
            proof = await worker.inspect_caller(CALLER)
        for seen in server.seen:
            assert_hidden(seen.line)
    assert_hidden(repr((asked, proof, CALLER, made, worker, asked.usage)))
    assert_hidden(caplog.text)
    assert_hidden("".join(str(record.__dict__) for record in caplog.records))


async def test_no_secret_stands_in_an_exception() -> None:
    for version, tokens in ((VERSION, [TOKEN] * 51), (f"{VERSION}/../{TOKEN}", [])):
        made = MetaProbe("http://127.0.0.1:1", version, timedelta(seconds=1))
        async with made.worker() as worker:
            try:
                await worker.ask(CALLER, utf8(tokens))
            except ValueError as error:
                assert_hidden("".join(traceback.format_exception(error)))


def test_the_canaries_would_be_found() -> None:
    with pytest.raises(AssertionError):
        assert_hidden(f"log: {SECRET[2:]}")


async def test_nothing_is_left_open_behind() -> None:
    asked = await ask(batch(entry(LIVE)), TOKEN)
    gc.collect()  # an unclosed socket or response would warn, and warnings are errors
    assert asked.trouble is None
