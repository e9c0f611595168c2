"""Replies as they go over the wire, whole or broken by a fault."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec

from monitor.sandbox.behaviour import Answer, refusal
from monitor.sandbox.faults import Fault
from monitor.sandbox.scenario import AppPlan

Header = tuple[bytes, bytes]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON = b"application/json; charset=UTF-8"
_HTML = (
    b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" '
    b'"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd"><html id="facebook"><head>'
    b"<title>Facebook | Error</title></head><body><h1>Sorry, something went wrong.</h1>"
    b"<p>We're working on getting this fixed as soon as we can.</p></body></html>"
)
_WRONG_ITEMS = (
    b"7",
    b'"sorry"',
    b'{"code":"200","body":{"data":[]}}',
    b'{"code":200,"body":"{\\"data\\":{\\"is_valid\\":\\"false\\"}}"}',
    b'{"code":200,"body":"{\\"data\\":null}"}',
    b'{"code":200,"body":"[]"}',
    b'{"code":200}',
    b'{"code":200,"body":"{\\"data\\":{\\"is_valid\\":0,\\"error\\":\\"gone\\"}}"}',
)
_MIB = 1024 * 1024
_HUGE = 64
_DEEP = 100_000
_ELSEWHERE = b"/_sandbox/elsewhere"


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply."""

    status: int
    body: bytes
    content_type: bytes = _JSON
    headers: tuple[Header, ...] = ()
    repeat: int = 1
    """How often the body is sent, one after the other."""


def reply_of(answer: Answer, headers: tuple[Header, ...] = ()) -> Reply:
    """A reply with the body of an answer and nothing around it."""
    return Reply(answer.status, answer.body, headers=headers)


def throttled(status: int = 403) -> Answer:
    """The app is over its limit.

    Source: Graph API, "Rate Limits", and a log of 2026-09-02; read 2026-11-23.
    """
    return refusal(
        status,
        "(#4) Application request limit reached",
        code=4,
        error_subcode=1504022,
        is_transient=True,
        error_user_title="Too many API requests",
        error_user_msg="There have been too many calls from this app. Wait a bit.",
    )


def unknown_error() -> Answer:
    """Code 1: something went wrong at Graph."""
    text = "An unknown error occurred"
    return refusal(500, text, code=1, is_transient=True)


def aborted() -> Answer:
    """Code 960: a batch item that was given up."""
    text = "Request aborted. This could happen if a dependent request failed"
    return refusal(500, text, code=960)


def unavailable() -> Answer:
    """Code 2: come back later."""
    text = "(#2) Service temporarily unavailable"
    return refusal(503, text, code=2, is_transient=True)


_INSTEAD: Mapping[str, Callable[[], Reply]] = {
    "http_500": lambda: reply_of(unknown_error()),
    "code_1": lambda: reply_of(unknown_error()),
    "code_2": lambda: reply_of(unavailable()),
    "html_200": lambda: Reply(200, _HTML, b"text/html; charset=utf-8"),
    "html_500": lambda: Reply(500, _HTML, b"text/html; charset=utf-8"),
    "empty": lambda: Reply(200, b""),
    "redirect": lambda: Reply(302, b"", headers=((b"location", _ELSEWHERE),)),
    "throttle": lambda: reply_of(throttled(), ((b"X-App-Usage", _usage(100)),)),
    "blocked": lambda: reply_of(refusal(403, "API access blocked.", code=200)),
    "huge": lambda: Reply(200, b"[" * _MIB, repeat=_HUGE),
    "deep_json": lambda: Reply(200, b"[" * _DEEP + b"]" * _DEEP),
}


def instead(fault: Fault, items: int | None) -> Reply | None:
    """The reply a fault puts in the place of the right one; `None`: none.

    `items` is the size of the batch, `None` for a single call.
    """
    if fault.kind == "wrong_type":
        return Reply(200, _wrong_types(items))
    make = _INSTEAD.get(fault.kind)
    return make() if make else None


def _wrong_types(items: int | None) -> bytes:
    if items is None:
        return b'{"data":{"is_valid":"false","error":[],"scopes":"none"}}'
    wrong = (_WRONG_ITEMS[turn % len(_WRONG_ITEMS)] for turn in range(items))
    return b"[%s]" % b",".join(wrong)


def usage_headers(app: AppPlan, percent: int | None) -> tuple[Header, ...]:
    """What an answer says of the app's limits; `percent` of its own quota is used.

    Times to regain access are in minutes. Source: Graph API, "Rate Limits", read
    2026-11-23.
    """
    headers = []
    if app.usage:
        headers.append((b"X-App-Usage", msgspec.json.encode(app.usage)))
    elif percent is not None:
        headers.append((b"X-App-Usage", _usage(percent)))
    if app.regain is not None:
        use = {
            "type": "pages",
            "call_count": 100,
            "total_cputime": 20,
            "total_time": 20,
            "estimated_time_to_regain_access": app.regain // timedelta(minutes=1),
        }
        value = msgspec.json.encode({app.id: [use]})
        headers.append((b"X-Business-Use-Case-Usage", value))
    return tuple(headers)


def _usage(percent: int) -> bytes:
    used = {"call_count": percent, "total_cputime": 0, "total_time": 0}
    return msgspec.json.encode(used)


def batch_item(answer: Answer) -> tuple[bytes, bytes]:
    """An answer as a batch item, in two parts; its headers may go between them."""
    body = msgspec.json.encode(answer.body.decode())
    return b'{"code":%d,' % answer.status, b'"body":%s}' % body


def item_headers(headers: tuple[Header, ...], status: int) -> bytes:
    """The headers of a batch item, ready to lie between its two parts."""
    shown = [*headers, (b"Content-Type", _JSON), (b"Pragma", b"no-cache")]
    if status == 200:  # noqa: PLR2004 - HTTP's own number
        shown.append((b"Cache-Control", b"private, no-cache, no-store"))
    else:
        blame = b'OAuth "Facebook Platform" "invalid_request" "refused"'
        shown += [(b"WWW-Authenticate", blame), (b"Cache-Control", b"no-store")]
    pairs = [{"name": name.decode(), "value": value.decode()} for name, value in shown]
    return b'"headers":%s,' % msgspec.json.encode(pairs)


async def send_reply(send: Send, reply: Reply, head: list[Header]) -> None:
    """Send a reply; `head` are the headers every reply has."""
    size = str(len(reply.body) * reply.repeat).encode()
    headers = [
        *head,
        (b"content-type", reply.content_type),
        (b"content-length", size),
        *reply.headers,
    ]
    start = {"type": "http.response.start", "status": reply.status}
    await send({**start, "headers": headers})
    for left in range(reply.repeat - 1, -1, -1):
        body = {"type": "http.response.body", "body": reply.body}
        await send({**body, "more_body": left > 0})


def http_date(at: datetime) -> bytes:
    """The text of a `Date` header."""
    return format_datetime(at.astimezone(UTC), usegmt=True).encode()
