"""Heard: what Meta said about one token, word for word, read when somebody asks."""

import re
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from monitor.core.tokens import Answer
from monitor.probe.interpret import OK, interpret

_USUAL: Final = ('{"data":{', '{"data": {')
_ESCAPED: Final = re.compile(r"\\u00[67]")
"""A letter as JSON may spell it, but Meta does not: it could hide a key."""
_BLANK: Final = blake2b(digest_size=8)


class Heard(Struct, gc=False, eq=False):
    """An answer, and a print of the words it was given in.

    Most tokens of a fleet are answered word for word as the time before. Equal words
    have equal prints, and what words mean depends on nothing but the words, so the
    store need not have them read to know that nothing changed. A print is of the text
    itself, not of what stood around it or of how the reply spelt it.
    """

    print: int | None
    """63 bits, so it fits a column; `None`: the answer was read already."""
    words: str | None
    """They may hold anything, so they are never shown."""
    read: Answer | None = None

    def __repr__(self) -> str:
        return f"Heard(print={self.print})"

    @property
    def answer(self) -> Answer:
        """What the words mean."""
        if self.read is None:
            self.read = interpret(OK, self.words or "")
        return self.read


def told(answer: Answer) -> Heard:
    """An answer that was read at once."""
    return Heard(None, None, answer)


def print_of(words: str) -> int:
    """A number of 63 bits that only the same words have."""
    hashed = _BLANK.copy()
    hashed.update(words.encode(errors="surrogatepass"))
    return int.from_bytes(hashed.digest()) >> 1


def heard(status: int, body: str) -> Heard:
    """One item of a batch: left unread if it is about the token and about it alone.

    Whatever may concern the call, the caller or the quota is read at once. Without
    the word `error`, an object `data` tells nothing of these.
    """
    if (
        status == OK
        and body.startswith(_USUAL)
        and '"error"' not in body
        and not ("\\" in body and _ESCAPED.search(body))
    ):
        return Heard(print_of(body), body)
    return told(interpret(status, body))
