"""The Graph API as a probe: `debug_token` for up to fifty tokens in one call."""

import hashlib
import hmac
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Final, Self
from urllib.parse import quote, quote_plus

from monitor.core.tokens import Answer, Cause, Inconclusive, Introspection
from monitor.probe.batch import BatchReading, interpret_batch
from monitor.probe.heard import Heard, told
from monitor.probe.http1 import Still
from monitor.probe.usage import Usage, read_usage
from monitor.probe.wire import (
    Failure,
    NoReply,
    Wire,
    check_base_url,
    tls_context,
)

MAX_BATCH: Final = 50
"""The most items of one batch. Source: Graph API, "Batch Requests", read 2026-11-23."""

_BYTES_AN_ITEM: Final = 32 * 1024
_BYTES_AROUND: Final = 64 * 1024

_CAUSES: Final = {
    Failure.TOO_LARGE: Cause.UNREADABLE,
    Failure.PROTOCOL: Cause.UNREADABLE,
    Failure.UNSENT: Cause.TRANSIENT,
}


@dataclass(frozen=True)
class Caller:
    """The app that asks, by its id and secret."""

    app_id: str
    secret: str = field(repr=False)

    @cached_property
    def token(self) -> str:
        """The app's own access token.

        Source: Facebook Login, "Access Token Guide", read 2026-11-23.
        """
        return f"{self.app_id}|{self.secret}"

    @cached_property
    def proof(self) -> str:
        """The proof that whoever asks has the secret, in hex.

        Source: Graph API, "Secure Graph API Calls", read 2026-11-23.
        """
        key, message = _bytes(self.secret), _bytes(self.token)
        return hmac.new(key, message, hashlib.sha256).hexdigest()

    @cached_property
    def frame(self) -> tuple[bytes, bytes, bytes]:
        """What stands before, between and after the tokens in the form of a batch."""
        head = quote_plus('{"method":"GET","relative_url":"debug_token?input_token=')
        tail = quote_plus(f'&appsecret_proof={self.proof}"}}')
        begin, between = f"batch=%5B{head}", f"{tail}%2C{head}"
        end = f"{tail}%5D&appsecret_proof={self.proof}"
        return begin.encode(), between.encode(), end.encode()


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of one call."""

    heard: tuple[Heard, ...]
    """One for each token, in the order asked, whatever happened."""
    trouble: Inconclusive | None
    """Why the call as a whole told nothing; then every answer is that."""
    usage: Usage
    unsent: bool = False
    """Whether we were not allowed any more at the last moment: Meta heard nothing."""

    @property
    def answers(self) -> tuple[Answer, ...]:
        """What every answer means."""
        return tuple(each.answer for each in self.heard)


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of the caller's look at itself."""

    ok: bool
    """Meta vouches for the app id and the secret."""
    rejected: bool
    """Meta refused them; when neither holds, it could not be told."""
    trouble: Inconclusive | None
    """Why it is not ok."""
    usage: Usage


class MetaProbe:
    """Makes workers that ask one Graph address in one version.

    Raises:
        ValueError: secrets must not be sent to that address.
    """

    def __init__(
        self,
        base_url: str,
        version: str,
        timeout: timedelta,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._url = f"{check_base_url(base_url)}/{quote(version, safe='')}/"
        self._timeout = timeout
        self._tls = tls

    def worker(self) -> "MetaWorker":
        """One worker with a connection of its own; all share one TLS context."""
        if self._tls is None:
            self._tls = _tls_for(self._url)
        return MetaWorker(Wire(self._url, self._timeout, self._tls))


class MetaWorker:
    """Asks Meta, one call at a time; an async context manager that owns its connection.

    No outcome is an exception: what the world does comes back as a value. No secret
    ever stands in a URL, and nothing is retried.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.close()

    async def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        await self._wire.close()

    async def ask(
        self,
        caller: Caller,
        tokens: Sequence[bytes],
        known: Sequence[int | None] = (),
        still: Still | None = None,
    ) -> Asked:
        """What Meta says about each of at most fifty tokens of the caller's app.

        Args:
            caller: Who asks.
            tokens: In UTF-8.
            known: For each the print of an answer about it alone, given before.
            still: Asked immediately before the call leaves us: whether it may.

        Raises:
            ValueError: there are more than fifty.
        """
        if len(tokens) > MAX_BATCH:
            raise ValueError(f"a batch holds at most {MAX_BATCH} tokens")
        if not tokens:
            return Asked((), None, Usage())
        largest = _BYTES_AN_ITEM * len(tokens) + _BYTES_AROUND
        form = form_of(caller, tokens)
        reply = await self._wire.post(form, caller.token, largest, still)
        if isinstance(reply, NoReply):
            cause = _CAUSES.get(reply.failure, Cause.UNREACHABLE)
            trouble = Inconclusive(cause, f"no reply: {reply.failure}")
            heard = (told(trouble),) * len(tokens)
            unsent = reply.failure is Failure.UNSENT
            return Asked(heard, trouble, Usage(), unsent)
        reading = _blamed(interpret_batch(reply.status, reply.body, len(tokens), known))
        read = [each for each in reading.heard if each.print is None]
        throttled = any(map(_is_throttled, read))
        usage = read_usage(reply.headers, reading.headers, throttled=throttled)
        return Asked(reading.heard, reading.trouble, usage)

    async def inspect_caller(self, caller: Caller) -> Proof:
        """Whether Meta vouches for the caller: its token is asked about by itself.

        Without this proof no bad news is believed: a wrong secret and a dead token
        are told in the same words.

        Source: Graph API, "Debug Token", read 2026-11-23.
        """
        asked = await self.ask(caller, [_bytes(caller.token)])
        answer = asked.answers[0]
        if isinstance(answer, Inconclusive):
            rejected = answer.cause is Cause.CALLER
            return Proof(ok=False, rejected=rejected, trouble=answer, usage=asked.usage)
        said_no = _self_fault(answer, caller)
        if said_no is not None:
            trouble = Inconclusive(Cause.CALLER, f"self-inspection: {said_no}")
            return Proof(ok=False, rejected=True, trouble=trouble, usage=asked.usage)
        if answer.kind not in {None, "app"}:
            trouble = Inconclusive(Cause.UNKNOWN, "self-inspection: not an app token")
            return Proof(ok=False, rejected=False, trouble=trouble, usage=asked.usage)
        return Proof(ok=True, rejected=False, trouble=None, usage=asked.usage)


def form_of(caller: Caller, tokens: Sequence[bytes]) -> bytes:
    """The form of one batch, the same as `urlencode` would make of it, but faster.

    The tokens stand in the items' own queries, and these stand in the body. Each item
    repeats the proof, because an app that requires it checks every item. The items'
    headers are asked for: only they tell how much quota is left.

    Source: Graph API, "Batch Requests" and "Secure Graph API Calls", read 2026-11-23.
    """
    begin, between, end = caller.frame
    if not b"".join(tokens).isalnum():  # most need no quoting at all
        tokens = [quote_plus(quote_plus(token)).encode() for token in tokens]
    return b"".join((begin, between.join(tokens), end))


def _bytes(text: str) -> bytes:
    """The bytes of a stored secret, which may be damaged beyond UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def _tls_for(url: str) -> ssl.SSLContext:
    if url.startswith("https:"):
        return tls_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used over plain http


def _is_throttled(heard: Heard) -> bool:
    answer = heard.answer
    return isinstance(answer, Inconclusive) and answer.cause is Cause.THROTTLED


def _blamed(reading: BatchReading) -> BatchReading:
    """A reply whose every item blames the caller is about the caller as a whole."""
    first = reading.heard[0]
    if reading.trouble is not None or not all(map(_blames, reading.heard)):
        return reading
    trouble = first.answer
    assert isinstance(trouble, Inconclusive)  # noqa: S101 - it blames
    return BatchReading((first,) * len(reading.heard), trouble, reading.headers)


def _blames(heard: Heard) -> bool:
    """Words that are still unread are about their token alone."""
    if heard.print is not None:
        return False
    answer = heard.answer
    return isinstance(answer, Inconclusive) and answer.cause is Cause.CALLER


def _self_fault(answer: Introspection, caller: Caller) -> str | None:
    if answer.fault is not None:
        return answer.fault.value
    if answer.app_id not in {None, caller.app_id}:
        return "another app"
    return None
