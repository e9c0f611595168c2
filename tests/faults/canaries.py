"""Marked secrets, the search for them in any disguise, and faults on command."""

import base64
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from urllib.parse import quote

import monitor

TOKEN = "EAAcanarytokenZDsecret0123456789abcdefghijklm"
APP_SECRET = "canary-app-secret-3f9a6b1c2d8e7f40"
PASSWORD = "canary-smtp-pass+word/0123456789"
BEAT = "https://beat.canary.example/ping/canary-heartbeat-0123456789"
DATABASE = "canary-database-pass+word/987654"
LENGTH = 16
"""A part of a secret so long counts as the secret."""


def disguises(secret: str) -> Iterator[tuple[bytes, int]]:
    """The secret as common encodings show it, and how long a part of it is in each."""
    raw = secret.encode()
    for text in {raw, quote(secret, safe="").encode(), quote(secret).encode()}:
        yield text, LENGTH
    yield raw.hex().encode(), 2 * LENGTH
    yield raw.hex().upper().encode(), 2 * LENGTH
    for ahead in range(3):
        # Inside a longer text base64 begins at any of three places.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * ahead + raw)[4 if ahead else 0 : -4], LENGTH


class Search:
    """Finds secrets in whatever was written and said."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._forms = [(secret, list(disguises(secret))) for secret in secrets]

    def __call__(self, text: bytes) -> list[str]:
        """The secrets of which some part is found."""
        return [
            secret
            for secret, forms in self._forms
            if any(_part_of(form, length, text) for form, length in forms)
        ]


def _part_of(form: bytes, length: int, text: bytes) -> bool:
    """Whether so long a part of the form is in the text.

    Each such part holds one of the eights at which a quick search begins.
    """
    eights = (form[n : n + 8] for n in range(0, len(form) - 7, 8))
    return any(eight in text for eight in eights) and any(
        form[n : n + length] in text for n in range(len(form) - length + 1)
    )


ROOM = str(Path(monitor.__file__).parent)
NOT_OURS = str(Path(ROOM) / "sandbox")


class Watch:
    """Notes the functions of ours that run; raises at the first call of one of them."""

    def __init__(
        self, target: CodeType | None = None, error: BaseException | None = None
    ) -> None:
        self.seen: dict[CodeType, None] = {}
        self.fired = False
        self._target, self._error = target, error

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if self._target is not None and code is not self._target:
            return
        if not code.co_filename.startswith(ROOM):
            return
        if code.co_name == "<module>" or code.co_filename.startswith(NOT_OURS):
            return
        self.seen.setdefault(code)
        if code is self._target and not self.fired and self._error is not None:
            self.fired = True
            sys.setprofile(None)  # it has seen what it is for, and costs time
            raise self._error


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Let the watch see every call of this thread; tracing for coverage goes on."""
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)
