"""One HTTP call of the simulated Graph, read without trusting it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import msgspec

from monitor.sandbox.behaviour import Answer, refusal
from monitor.sandbox.wire import Receive, Scope

BATCH_LIMIT = 50
"""Source: Graph API, "Batch Requests", read 2026-11-23."""

_URL = re.compile(r"/?(?:(v\d+\.\d+)(?:/|$))?(.*?)/?", re.DOTALL)
_PLAIN = re.compile(r"/?(?:v\d+\.\d+/)?debug_token/?\?input_token=([^&#]+)")
_PROOF = ("appsecret_proof", "appsecret_time")


@dataclass(frozen=True, slots=True)
class Ask:
    """One debug_token with what it says about its own caller."""

    text: str
    token: str = ""
    proof: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP call."""

    came_at: datetime
    version: str
    """The version it names; empty: none."""
    token: str
    """The caller's."""
    proof: Mapping[str, str]
    asks: Sequence[str | Ask | Answer] = ()
    """What is asked: an input token, one with its own caller, or what cannot be."""
    is_batch: bool = False
    include_headers: bool = True
    refused: Answer | None = None
    """Why the call as a whole means nothing."""

    @property
    def proof_later(self) -> bool:
        """Whether items bring proofs of their own."""
        return any(isinstance(ask, Ask) and ask.proof for ask in self.asks)


class _Item(msgspec.Struct):
    method: Any = "GET"
    relative_url: Any = ""


_decode = msgspec.json.Decoder(list[_Item | None]).decode


async def body_of(receive: Receive) -> bytes:
    """The whole body of a call."""
    message = await receive()
    parts = [bytes(message.get("body", b""))]
    while message.get("more_body"):
        message = await receive()
        parts.append(bytes(message.get("body", b"")))
    return b"".join(parts)


def read(scope: Scope, body: bytes, now: datetime) -> Request:
    """Read a call; what it asks in vain is its answer already."""
    url = _URL.fullmatch(scope["path"])
    version, path = (url[1] or "", url[2]) if url else ("", "")
    method, params = scope["method"], _params(scope["query_string"])
    if method == "POST":
        params |= _params(body)
    token = _bearer(scope["headers"]) or params.get("access_token", "")
    caller = Request(now, version, token, _proof(params))
    if method == "GET":
        return _asking(caller, _question(path, params))
    if method != "POST" or path or "batch" not in params:
        return _asking(caller, _unsupported(method.lower()))
    shown = params.get("include_headers", "true").lower() not in {"false", "0"}
    asks = _batch(params["batch"])
    if isinstance(asks, Answer):
        return replace(caller, is_batch=True, refused=asks)
    return replace(caller, asks=asks, is_batch=True, include_headers=shown)


def _asking(caller: Request, ask: Ask | Answer) -> Request:
    if isinstance(ask, Answer):
        return replace(caller, refused=ask)
    return replace(caller, asks=(ask.text,))


def _batch(text: str) -> list[str | Ask | Answer] | Answer:
    try:
        items = _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        # A guess: no recorded answer to a broken batch was found.
        return refusal(400, "(#100) param batch must be an array.", code=100)
    if len(items) <= BATCH_LIMIT:
        return [_wanted(item) for item in items]
    error = {
        "fbtrace_id": "ArehearsalTrace0",
        "type": "GraphBatchException",
        "message": "Too many requests in batch message. Maximum batch size is 50",
    }
    return Answer(400, msgspec.json.encode({"error": error}))


def _wanted(item: _Item | None) -> str | Ask | Answer:
    if item is None or not isinstance(item.relative_url, str):
        return refusal(400, "(#100) The parameter relative_url is required", code=100)
    if str(item.method).upper() != "GET":
        return _unsupported("post")
    plain = _PLAIN.fullmatch(item.relative_url)
    if plain:
        return unquote_plus(plain[1])
    path, _, query = item.relative_url.partition("?")
    url = _URL.fullmatch(path)
    return _question(url[2] if url else "", dict(parse_qsl(query)))


def _question(path: str, query: Mapping[str, str]) -> Ask | Answer:
    if path == "me":
        text = (
            "An active access token must be used to query information about the "
            "current user."
        )
        return refusal(400, text, code=2500)
    if path != "debug_token":
        return _unsupported("get")
    if "input_token" not in query:
        return refusal(400, "(#100) The parameter input_token is required", code=100)
    return Ask(query["input_token"], query.get("access_token", ""), _proof(query))


def _unsupported(method: str) -> Answer:
    text = (
        f"Unsupported {method} request. Object does not exist, cannot be loaded due to "
        "missing permissions, or does not support this operation"
    )
    return refusal(400, text, code=100, error_subcode=33, type="GraphMethodException")


def _params(text: bytes) -> dict[str, str]:
    plain = text.decode("utf-8", "replace")
    return dict(parse_qsl(plain, keep_blank_values=True))


def _proof(params: Mapping[str, str]) -> dict[str, str]:
    return {key: params[key] for key in _PROOF if key in params}


def _bearer(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].decode("latin-1").strip()
    return ""
